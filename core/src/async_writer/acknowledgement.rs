use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::AsyncWriterState;
use super::sealed::{StateOf, with_wakers};
use crate::Shared;
use crate::writer::{AttemptReport, AttemptReports, RecordId, WriteResult};

/// Future of an accepted record's result. Dropping it does not cancel the write (R14).
#[derive(Debug)]
#[must_use = "the record is written, but its result is lost"]
pub struct Acknowledgement<S: Shared<State: AsyncWriterState>> {
    state: S,
    record: Option<RecordId>,
}

impl<S: Shared<State: AsyncWriterState>> Acknowledgement<S> {
    pub(super) const fn new(state: S, record: RecordId) -> Self {
        Self {
            state,
            record: Some(record),
        }
    }

    /// Converts this into a future that also returns the attempts that were made. The list is
    /// empty unless the settings keep reports of attempts.
    pub const fn with_attempts(self) -> WithAttempts<S> {
        MapAttempts {
            acknowledgement: self,
            look: AttemptReports::copied,
        }
    }

    /// Converts this into a future that also returns what `look` makes of the attempts, without a
    /// copy of their list. `look` is called at each poll, with an empty list while the record is
    /// not completed and where the settings keep no reports.
    pub const fn map_attempts<R, F: Fn(&[AttemptReport]) -> R>(self, look: F) -> MapAttempts<S, F> {
        MapAttempts {
            acknowledgement: self,
            look,
        }
    }

    fn poll_with<R>(
        &mut self,
        waker: &Waker,
        inspect: impl FnOnce(&StateOf<S::State>, RecordId) -> R,
    ) -> Poll<(WriteResult, R)> {
        let record = self
            .record
            .expect("a finished acknowledgement is not polled again");
        let outcome = with_wakers(&self.state, |inner, wakers| {
            // Before the result is taken, because taking it frees the record's row.
            let seen = inspect(inner, record);
            inner
                .poll_result(record, waker, wakers)
                .map(|result| (result, seen))
        });
        if outcome.is_ready() {
            self.record = None;
        }
        outcome
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Acknowledgement<S> {
    type Output = WriteResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        self.get_mut()
            .poll_with(cx.waker(), |_, _| ())
            .map(|(result, ())| result)
    }
}

/// No field is pinned, so this holds also if `S` is not `Unpin`.
impl<S: Shared<State: AsyncWriterState>> Unpin for Acknowledgement<S> {}

impl<S: Shared<State: AsyncWriterState>> Drop for Acknowledgement<S> {
    fn drop(&mut self) {
        if let Some(record) = self.record {
            with_wakers(&self.state, |inner, wakers| inner.forget(record, wakers));
        }
    }
}

/// Future of an accepted record's result and of the attempts that were made for it.
pub type WithAttempts<S> = MapAttempts<S, fn(&[AttemptReport]) -> AttemptReports>;

/// Future of an accepted record's result and of what a function makes of its attempts.
#[derive(Debug)]
#[must_use = "the record is written, but its result is lost"]
pub struct MapAttempts<S: Shared<State: AsyncWriterState>, F> {
    acknowledgement: Acknowledgement<S>,
    look: F,
}

impl<S: Shared<State: AsyncWriterState>, R, F: Fn(&[AttemptReport]) -> R + Unpin> Future
    for MapAttempts<S, F>
{
    type Output = (WriteResult, R);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            acknowledgement,
            look,
        } = self.get_mut();
        acknowledgement.poll_with(cx.waker(), |inner, record| {
            look(inner.attempt_reports(record))
        })
    }
}
