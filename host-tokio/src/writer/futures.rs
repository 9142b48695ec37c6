//! The writer's futures. Each record has a span (`tracing`) from its call to its result.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use distributedlog::async_writer;
use distributedlog::writer::{
    AttemptReport, AttemptReports, Counters, EnqueueError, WriteError, WriteResult,
};
use tracing::Span;
use tracing::field::{Empty, display};

use super::telemetry::WriteTimer;
use super::{SharedState, StreamNames};

/// What a record's future keeps beside core's: its span, and the start of its time.
#[derive(Clone)]
pub(super) struct RecordTrace {
    span: Span,
    timer: WriteTimer,
    /// Nothing while nobody looks at the span: two counts of references for each record are a
    /// tenth of its processor time.
    streams: Option<StreamNames>,
}

impl RecordTrace {
    /// Begins the span of a record of this length.
    pub(super) fn begin(bytes: usize, streams: &StreamNames) -> Self {
        let span = tracing::debug_span!(
            target: "distributedlog::write",
            "write",
            otel.kind = "producer",
            messaging.system = "distributedlog",
            messaging.operation.type = "send",
            messaging.message.body.size = bytes,
            messaging.destination.name = Empty,
            messaging.message.id = Empty,
            distributedlog.attempts = Empty,
            error.type = Empty,
        );
        let streams = (!span.is_disabled()).then(|| streams.clone());
        Self {
            span,
            timer: WriteTimer::start(),
            streams,
        }
    }

    /// Ends the span with the result.
    fn end(&self, result: &WriteResult) {
        self.timer.stop(result);
        if self.span.is_disabled() {
            return;
        }
        match result {
            Ok(written) => {
                let streams = self.streams.as_ref();
                if let Some((name, _)) = streams.and_then(|it| it.get(written.stream)) {
                    self.span.record("messaging.destination.name", &*name);
                }
                let position = display(written.dlsn);
                self.span.record("messaging.message.id", position);
                self.span
                    .record("distributedlog.attempts", written.attempts);
            }
            Err(error) => {
                self.span.record("distributedlog.attempts", error.attempts);
                self.span.record("error.type", display(error));
            }
        }
    }
}

impl fmt::Debug for RecordTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.span.fmt(f)
    }
}

/// Future returned by [`MultiStreamWriter::write`](super::MultiStreamWriter::write).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Write<'a> {
    pub(super) inner: async_writer::Write<'a, SharedState>,
    pub(super) trace: RecordTrace,
}

impl Future for Write<'_> {
    type Output = WriteResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        let Self { inner, trace } = &mut *self;
        let entered = trace.span.enter();
        let result = Pin::new(inner).poll(cx);
        drop(entered);
        if let Poll::Ready(result) = &result {
            trace.end(result);
        }
        result
    }
}

/// Future returned by [`MultiStreamWriter::submit`](super::MultiStreamWriter::submit).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Submit<'a> {
    pub(super) inner: async_writer::Submit<'a, SharedState>,
    pub(super) trace: RecordTrace,
}

impl Future for Submit<'_> {
    type Output = Result<Acknowledgement, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, trace } = &mut *self;
        Pin::new(inner).poll(cx).map(|accepted| match accepted {
            Ok(inner) => Ok(Acknowledgement {
                inner,
                trace: trace.clone(),
            }),
            Err(error) => {
                trace.end(&Err(error));
                Err(error)
            }
        })
    }
}

/// Future of an accepted record's result. Dropping it does not cancel the write (R14).
#[derive(Debug)]
#[must_use = "the record is written, but its result is lost"]
pub struct Acknowledgement {
    pub(super) inner: async_writer::Acknowledgement<SharedState>,
    pub(super) trace: RecordTrace,
}

impl Acknowledgement {
    /// Converts this into a future that also returns the attempts that were made. The list is empty
    /// unless the settings keep reports of attempts.
    pub fn with_attempts(self) -> WithAttempts {
        MapAttempts {
            inner: self.inner.with_attempts(),
            trace: self.trace,
        }
    }

    /// Converts this into a future that also returns what `look` makes of the attempts, without a
    /// copy of their list: for programs that want to know of millions of records a second how long
    /// they took. `look` is called at each poll, with an empty list while the record is not
    /// completed and where the settings keep no reports.
    pub fn map_attempts<R, F: Fn(&[AttemptReport]) -> R>(self, look: F) -> MapAttempts<F> {
        MapAttempts {
            inner: self.inner.map_attempts(look),
            trace: self.trace,
        }
    }
}

impl Future for Acknowledgement {
    type Output = WriteResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        let result = Pin::new(&mut self.inner).poll(cx);
        if let Poll::Ready(result) = &result {
            self.trace.end(result);
        }
        result
    }
}

/// Future of an accepted record's result and of the attempts that were made for it.
pub type WithAttempts = MapAttempts<fn(&[AttemptReport]) -> AttemptReports>;

/// Future of an accepted record's result and of what a function makes of its attempts.
#[derive(Debug)]
#[must_use = "the record is written, but its result is lost"]
pub struct MapAttempts<F> {
    inner: async_writer::MapAttempts<SharedState, F>,
    trace: RecordTrace,
}

impl<R, F: Fn(&[AttemptReport]) -> R + Unpin> Future for MapAttempts<F> {
    type Output = (WriteResult, R);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.inner).poll(cx);
        if let Poll::Ready((result, _)) = &result {
            self.trace.end(result);
        }
        result
    }
}

/// Room that is reserved for one record. Dropping the permit releases the room.
#[derive(Debug)]
#[must_use = "dropping a permit releases its room"]
pub struct Permit {
    inner: async_writer::Permit<SharedState>,
    streams: StreamNames,
}

impl Permit {
    /// Writes a record into the reserved room.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::TooLarge`] if it is longer than what was reserved,
    /// [`EnqueueError::Closed`] if the writer was closed in the meantime.
    pub fn submit(self, record: &[u8]) -> Result<Acknowledgement, EnqueueError> {
        let trace = RecordTrace::begin(record.len(), &self.streams);
        let inner = self.inner.submit(record)?;
        Ok(Acknowledgement { inner, trace })
    }
}

/// Future returned by [`MultiStreamWriter::reserve`](super::MultiStreamWriter::reserve).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Reserve<'a> {
    pub(super) inner: async_writer::Reserve<'a, SharedState>,
    pub(super) streams: &'a StreamNames,
}

impl Future for Reserve<'_> {
    type Output = Result<Permit, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, streams } = &mut *self;
        Pin::new(inner).poll(cx).map_ok(|inner| Permit {
            inner,
            streams: streams.clone(),
        })
    }
}

/// Future returned by [`MultiStreamWriter::close`](super::MultiStreamWriter::close).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Close<'a> {
    pub(super) inner: async_writer::Close<'a, SharedState>,
    pub(super) writer: &'a async_writer::MultiStreamWriter<SharedState>,
    /// Counters when the close began.
    pub(super) before: Counters,
}

/// Records that completed while a writer closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Records that were written.
    pub written: u64,
    /// Records that were not, or of which that is unknown: each one's future has the error.
    pub failed: u64,
}

impl Future for Close<'_> {
    type Output = Closed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        Pin::new(&mut self.inner).poll(cx).map(|()| {
            let (now, before) = (self.writer.counters(), self.before);
            Closed {
                written: now.records_written.wrapping_sub(before.records_written),
                failed: now.records_failed.wrapping_sub(before.records_failed),
            }
        })
    }
}

/// Future returned by [`MultiStreamWriter::flush`](super::MultiStreamWriter::flush).
pub type Flush<'a> = async_writer::Flush<'a, SharedState>;

/// Future returned by [`MultiStreamWriter::drained`](super::MultiStreamWriter::drained).
pub type Drained<'a> = async_writer::Drained<'a, SharedState>;
