use core::task::{Context, Poll};
use std::sync::{Arc, Mutex, PoisonError};

use distributedlog::client::routing::{RetryPolicy, Success};
use distributedlog::{
    Attempt, AttemptId, Cause, Failure, Instant, Outcome, StartRefused, Transport,
};

use crate::attempt_trace::{AttemptTraces, attempt_span};
use crate::client::error_of;
use crate::driver::{
    Body, Destination, Driver, FinishedRequest, NewRequest, SharedCounters, Token,
};
use crate::error::{BuildError, RequestError};
use crate::writer::StreamNames;
use crate::{ProxyClientBuilder, TokioClock};

/// Carries the record sets of one writer to the write proxies, in the writer's own task: an attempt
/// is encoded straight into its connection's outgoing bytes, and no other task is woken for it.
///
/// [`MultiStreamWriter`](crate::MultiStreamWriter) contains one; use it alone to run core's
/// [`Runner`](distributedlog::async_writer::Runner) in a task of your own.
pub struct ProxyTransport {
    driver: Driver,
    streams: StreamNames,
    clock: TokioClock,
    closing: bool,
    last_failure: LastFailure,
    traces: AttemptTraces,
}

/// Last failed attempt since one succeeded, shared between a writer's task and its handles.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastFailure(Arc<Mutex<Option<RequestError>>>);

impl LastFailure {
    pub(crate) fn get(&self) -> Option<RequestError> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<RequestError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProxyTransport {
    /// Connects to the proxies that `client` names, to write to these streams.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; [`BuildError::NoProxy`] lists each host and the reason of its failure.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime with I/O and time enabled.
    pub async fn connect<S: AsRef<str>>(
        client: ProxyClientBuilder,
        streams: &[S],
    ) -> Result<Self, BuildError> {
        let streams = StreamNames::new(streams)
            .map_err(|(name, error)| BuildError::StreamName { name, error })?;
        let clock = TokioClock::new();
        let driver = client.driver(clock, &streams.keys()).await?;
        Ok(Self {
            driver,
            streams,
            clock,
            closing: false,
            last_failure: LastFailure::default(),
            traces: AttemptTraces::default(),
        })
    }

    /// Returns the names of the streams.
    pub(crate) fn streams(&self) -> StreamNames {
        self.streams.clone()
    }

    /// Returns a handle to the last failed attempt.
    pub(crate) fn last_failure(&self) -> LastFailure {
        self.last_failure.clone()
    }

    /// Returns the client's counters: requests, redirects, connections.
    pub(crate) fn counters(&self) -> SharedCounters {
        self.driver.counters()
    }

    /// The clock that the writer must go by: deadlines are its instants.
    #[must_use]
    pub const fn clock(&self) -> TokioClock {
        self.clock
    }
}

impl core::fmt::Debug for ProxyTransport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProxyTransport")
            .field("streams", &self.streams)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl Transport for ProxyTransport {
    /// # Panics
    ///
    /// When the attempt's stream is none of those that the transport was made for.
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let (stream, key) = self
            .streams
            .get(attempt.stream)
            .expect("a stream is registered before it is used");
        let span = attempt_span(&stream, &attempt);
        let mut data = self.driver.buffer();
        data.extend_from_slice(attempt.record_set);
        let start = NewRequest {
            token: Token(attempt.id.0),
            to: Destination::Stream(stream, key),
            body: Body::Write {
                data,
                record_set: true,
            },
            deadline: Some(attempt.deadline),
            // Another stream may succeed sooner than this one's owner.
            retry_policy: RetryPolicy::OneRound,
            earlier_attempts: attempt.earlier_attempts,
        };
        match self.driver.start(now, start) {
            Ok(()) => {
                self.traces.begin(attempt.id, span);
                Ok(())
            }
            Err(refusal) => {
                tracing::debug!(%refusal, "an attempt was not started");
                Err(StartRefused)
            }
        }
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        self.traces.end(attempt, "cancelled");
        self.driver.cancel(now, Token(attempt.0));
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        if let Some(finished) = self.driver.next_finished() {
            return Poll::Ready(self.outcome(finished));
        }
        self.driver.drive(cx);
        match self.driver.next_finished() {
            Some(finished) => Poll::Ready(self.outcome(finished)),
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.closing {
            self.closing = true;
            let now = self.driver.now();
            self.driver.close(now, now);
        }
        loop {
            self.driver.drive(cx);
            if self.driver.is_closed() {
                return Poll::Ready(());
            }
            // The results of cancelled attempts are dropped.
            let mut ended_any = false;
            while self.driver.next_finished().is_some() {
                ended_any = true;
            }
            if !ended_any {
                return Poll::Pending;
            }
        }
    }
}

impl ProxyTransport {
    fn outcome(&mut self, finished: FinishedRequest) -> (AttemptId, Outcome) {
        let id = AttemptId(finished.token.0);
        match finished.result {
            Ok(Success::Written(position)) => {
                *self.last_failure.lock() = None;
                self.traces.end(id, "written");
                (id, Ok(position))
            }
            // The reply to a write has a position; after any other reply the records may be stored.
            Ok(Success::Bulk | Success::Done | Success::Owner | Success::ServerInfo) => {
                self.traces.end(id, "malformed");
                (id, Err(Failure::unanswered(Cause::ProtocolError)))
            }
            Err(failure) => {
                let host = finished.host.and_then(|host| self.driver.address(host));
                let error = error_of(finished, failure, host);
                self.traces.end(id, failure.cause.name());
                tracing::debug!(%error, "an attempt failed");
                *self.last_failure.lock() = Some(error);
                (id, Err(failure))
            }
        }
    }
}
