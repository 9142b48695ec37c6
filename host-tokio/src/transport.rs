use core::task::{Context, Poll};
use std::sync::{Arc, Mutex, PoisonError};

use distributedlog::client::routing::{RetryPolicy, Success};
use distributedlog::{
    Attempt, AttemptId, Cause, Failure, FailureDomain, Instant, Outcome, StartRefused, StreamIndex,
    Transport,
};

use crate::attempt_trace::{AttemptTraces, attempt_span};
use crate::client::{FinishedAttempt, WriterLink};
use crate::driver::{Body, Destination, Driver, NewRequest, SharedCounters, SharedPool, Token};
use crate::error::{BuildError, RequestError};
use crate::writer::StreamNames;
use crate::{ProxyClient, ProxyClientBuilder, TokioClock};

/// Carries the record sets of one writer to the write proxies: by connections of its own, or
/// through a [`ProxyClient`] that writers share.
///
/// With connections of its own, all is done in the writer's task: an attempt is encoded straight
/// into its connection's outgoing bytes, and no other task is woken for it.
///
/// [`MultiStreamWriter`](crate::MultiStreamWriter) contains one; use it alone to run core's
/// [`Runner`](distributedlog::async_writer::Runner) in a task of your own.
pub struct ProxyTransport {
    link: Link,
    streams: StreamNames,
    clock: TokioClock,
    closing: bool,
    last_failure: LastFailure,
    traces: AttemptTraces,
}

/// A transport's way to the proxies.
enum Link {
    Own(Box<Driver>),
    Shared(WriterLink),
}

/// Last failed attempt since one succeeded, shared between a writer's task and its handles.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastFailure(Arc<Mutex<Option<RequestError>>>);

impl LastFailure {
    pub(crate) fn get(&self) -> Option<RequestError> {
        self.lock().clone()
    }

    /// Keeps this failure if there is none yet.
    pub(crate) fn set_if_none(&self, error: RequestError) {
        self.lock().get_or_insert(error);
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
        let streams = names(streams)?;
        let clock = TokioClock::new();
        let driver = client.driver(clock, &streams.keys()).await?;
        Ok(Self::new(Link::Own(Box::new(driver)), streams, clock))
    }

    /// Writes to these streams through a client's connections. Any number of transports may share a
    /// client: its [`max_in_flight`](ProxyClientBuilder::max_in_flight) and
    /// [`max_in_flight_bytes`](ProxyClientBuilder::max_in_flight_bytes) hold for all of them
    /// together. An attempt beyond waits for its turn; one whose set has another outstanding, a
    /// hedge, is refused. Attempts of a client that was closed
    /// fail with [`Cause::Closed`].
    ///
    /// # Errors
    ///
    /// [`BuildError::StreamName`].
    pub fn shared<S: AsRef<str>>(client: ProxyClient, streams: &[S]) -> Result<Self, BuildError> {
        let streams = names(streams)?;
        let clock = client.clock();
        client.prepare(streams.keys());
        Ok(Self::new(
            Link::Shared(WriterLink::new(client)),
            streams,
            clock,
        ))
    }

    fn new(link: Link, streams: StreamNames, clock: TokioClock) -> Self {
        Self {
            link,
            streams,
            clock,
            closing: false,
            last_failure: LastFailure::default(),
            traces: AttemptTraces::default(),
        }
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
        match &self.link {
            Link::Own(driver) => driver.counters(),
            Link::Shared(link) => link.client().shared_counters(),
        }
    }

    /// Returns the number of the client that it shares with others.
    #[cfg(feature = "metrics")]
    pub(crate) fn shared_client(&self) -> Option<u64> {
        match &self.link {
            Link::Own(_) => None,
            Link::Shared(link) => Some(link.client().number()),
        }
    }

    /// Returns a future that is ready when a client that it shares was closed and has ended. Never
    /// ready for connections of its own.
    pub(crate) fn client_ended(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        match &mut self.link {
            Link::Own(_) => None,
            Link::Shared(link) => Some(link.client_ended()),
        }
    }

    /// The clock that the writer must go by: deadlines are its instants.
    #[must_use]
    pub const fn clock(&self) -> TokioClock {
        self.clock
    }

    /// Returns the pool of buffers of its own connections.
    pub(crate) fn own_pool(&self) -> Option<SharedPool> {
        match &self.link {
            Link::Own(driver) => Some(driver.pool().clone()),
            Link::Shared(_) => None,
        }
    }

    fn pool(&self) -> &SharedPool {
        match &self.link {
            Link::Own(driver) => driver.pool(),
            Link::Shared(link) => link.client().pool(),
        }
    }
}

/// Checks the names of streams.
fn names<S: AsRef<str>>(streams: &[S]) -> Result<StreamNames, BuildError> {
    StreamNames::new(streams).map_err(|(name, error)| BuildError::StreamName { name, error })
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
        // Another stream may succeed sooner than this one's owner: one round.
        let (retry_policy, room) = match &self.link {
            Link::Own(_) => (RetryPolicy::OneRound, None),
            Link::Shared(link) => {
                // Before the bytes are copied.
                let is_hedge = attempt.others_outstanding > 0;
                let room = link.admit(attempt.record_set.len(), is_hedge)?;
                (link.client().attempt_policy(), room)
            }
        };
        let span = attempt_span(&stream, &attempt);
        let request = NewRequest {
            token: Token(attempt.id.0),
            to: Destination::Stream(stream, key),
            body: Body::Write {
                data: self.pool().copy(attempt.record_set),
                record_set: true,
            },
            deadline: Some(attempt.deadline),
            retry_policy,
            earlier_attempts: attempt.earlier_attempts,
        };
        match &mut self.link {
            Link::Own(driver) => driver.start(now, request).map_err(|refusal| {
                tracing::debug!(%refusal, "an attempt was not started");
                StartRefused
            })?,
            Link::Shared(link) => link.start(attempt.id, request, room),
        }
        self.traces.begin(attempt.id, span);
        Ok(())
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        self.traces.end(attempt, "cancelled");
        match &mut self.link {
            Link::Own(driver) => driver.cancel(now, Token(attempt.0)),
            Link::Shared(link) => link.cancel(attempt),
        }
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        let finished = match &mut self.link {
            Link::Own(driver) => poll_driver(driver, cx),
            Link::Shared(link) => link.poll_finished(cx),
        };
        finished.map(|finished| self.outcome(finished))
    }

    /// That of the proxy where the stream's requests go, as it said in its handshake. With a client
    /// that it shares, as of the attempt before the last one.
    fn failure_domain(&mut self, stream: StreamIndex) -> Option<FailureDomain> {
        let (_, key) = self.streams.get(stream)?;
        match &mut self.link {
            Link::Own(driver) => driver.failure_domain(key),
            Link::Shared(link) => link.client().failure_domain(key),
        }
    }

    /// Closes connections of its own. Those of a client that it shares stay open.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Link::Own(driver) = &mut self.link else {
            // Cancellations are on their way to the client's task.
            return Poll::Ready(());
        };
        if !self.closing {
            self.closing = true;
            let now = driver.now();
            driver.close(now, now);
        }
        loop {
            driver.drive(cx);
            if driver.is_closed() {
                return Poll::Ready(());
            }
            // The results of cancelled attempts are dropped.
            let mut ended_any = false;
            while driver.next_finished().is_some() {
                ended_any = true;
            }
            if !ended_any {
                return Poll::Pending;
            }
        }
    }
}

/// Returns the next attempt that has ended at connections of the transport's own.
fn poll_driver(driver: &mut Driver, cx: &mut Context<'_>) -> Poll<FinishedAttempt> {
    let finished = match driver.next_finished() {
        Some(finished) => finished,
        None => {
            driver.drive(cx);
            match driver.next_finished() {
                Some(finished) => finished,
                None => return Poll::Pending,
            }
        }
    };
    let attempt = AttemptId(finished.token.0);
    Poll::Ready(FinishedAttempt::of(attempt, finished, driver))
}

impl ProxyTransport {
    fn outcome(&mut self, finished: FinishedAttempt) -> (AttemptId, Outcome) {
        let id = finished.attempt;
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
            Err(error) => {
                let failure = error.failure;
                self.traces.end(id, failure.cause.name());
                tracing::debug!(%error, "an attempt failed");
                *self.last_failure.lock() = Some(*error);
                (id, Err(failure))
            }
        }
    }
}
