use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::sealed::Inner;
use super::waiters::{WaiterId, Wakers, wake_all};
use super::{AsyncWriterState, Permit};
use crate::writer::{
    AttemptReports, EnqueueError, FlushMark, Reason, RecordId, WriteError, WriteResult,
};
use crate::{Instant, Shared, WriteState};

/// Runs `work` on the state, and wakes afterwards whom it named.
pub(super) fn on<S: Shared<State: AsyncWriterState>, R>(
    state: &S,
    work: impl FnOnce(&mut S::State, &mut Wakers) -> R,
) -> R {
    let mut wakers = Wakers::new();
    let result = state.with(|inner| work(inner, &mut wakers));
    wake_all(&mut wakers);
    result
}

/// A refusal as the result of a write: full is none, because the future waits then.
const fn as_error(refused: EnqueueError) -> WriteError {
    match refused {
        EnqueueError::TooLarge { len, max } => {
            WriteError::unsent(WriteState::Rejected, Reason::TooLarge { len, max })
        }
        EnqueueError::Closed | EnqueueError::Full => {
            WriteError::unsent(WriteState::NotWritten, Reason::Closed)
        }
    }
}

/// The future of [`MultiStreamWriter::write`](super::MultiStreamWriter::write).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Write<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    step: Step<'a>,
}

#[derive(Debug)]
enum Step<'a> {
    /// Not accepted yet: it may have a waiter in the queue for room.
    Entering(&'a [u8], Option<WaiterId>),
    Accepted(RecordId),
    Over,
}

impl<'a, S: Shared<State: AsyncWriterState>> Write<'a, S> {
    pub(super) const fn new(state: &'a S, record: &'a [u8]) -> Self {
        Self {
            state,
            step: Step::Entering(record, None),
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Write<'_, S> {
    type Output = WriteResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        let this = &mut *self;
        match &mut this.step {
            Step::Entering(record, waiter) => match on(this.state, |inner, wake| {
                inner.poll_write(record, waiter, cx.waker(), true, wake)
            }) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(record)) => {
                    this.step = Step::Accepted(record);
                    Poll::Pending
                }
                Poll::Ready(Err(refused)) => {
                    this.step = Step::Over;
                    Poll::Ready(Err(as_error(refused)))
                }
            },
            Step::Accepted(record) => {
                let result = on(this.state, |inner, wake| {
                    inner.poll_result(*record, cx.waker(), wake)
                });
                if result.is_ready() {
                    this.step = Step::Over;
                }
                result
            }
            Step::Over => panic!("a finished write was polled again"),
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Write<'_, S> {
    fn drop(&mut self) {
        match &mut self.step {
            Step::Entering(_, waiter @ Some(_)) => {
                on(self.state, |inner, wake| inner.stop_waiting(waiter, wake))
            }
            Step::Accepted(record) => on(self.state, |inner, wake| inner.forget(*record, wake)),
            Step::Entering(_, None) | Step::Over => {}
        }
    }
}

/// The future of [`MultiStreamWriter::submit`](super::MultiStreamWriter::submit).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Submit<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    record: &'a [u8],
    waiter: Option<WaiterId>,
}

impl<'a, S: Shared<State: AsyncWriterState>> Submit<'a, S> {
    pub(super) const fn new(state: &'a S, record: &'a [u8]) -> Self {
        Self {
            state,
            record,
            waiter: None,
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Submit<'_, S> {
    type Output = Result<Acknowledgement<S>, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            state,
            record,
            waiter,
        } = &mut *self;
        let taken = on(*state, |inner, wake| {
            inner.poll_write(record, waiter, cx.waker(), false, wake)
        });
        taken.map(|taken| {
            taken
                .map(|record| Acknowledgement::new(state.clone(), record))
                .map_err(as_error)
        })
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Submit<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            on(self.state, |inner, wake| {
                inner.stop_waiting(&mut self.waiter, wake)
            });
        }
    }
}

/// The future of an accepted record's result. Dropping it cancels nothing (R14).
#[derive(Debug)]
#[must_use = "the record is written all the same, but nobody is told where"]
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

    /// The same, with the attempts that were made (empty unless the settings keep them).
    pub const fn with_attempts(self) -> Reported<S> {
        Reported(self)
    }

    fn poll_with<R>(
        &mut self,
        waker: &Waker,
        look: impl FnOnce(&S::State, RecordId) -> R,
    ) -> Poll<(WriteResult, R)> {
        let record = self
            .record
            .expect("a finished acknowledgement is not polled again");
        let told = on(&self.state, |inner, wake| {
            // Looked at before the result is taken: with the result the record's row is free.
            let seen = look(inner, record);
            inner
                .poll_result(record, waker, wake)
                .map(|result| (result, seen))
        });
        if told.is_ready() {
            self.record = None;
        }
        told
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

/// Nothing in it is pinned, whatever the handle of the state is.
impl<S: Shared<State: AsyncWriterState>> Unpin for Acknowledgement<S> {}

impl<S: Shared<State: AsyncWriterState>> Drop for Acknowledgement<S> {
    fn drop(&mut self) {
        if let Some(record) = self.record {
            on(&self.state, |inner, wake| inner.forget(record, wake));
        }
    }
}

/// The future of an accepted record's result and of the attempts made for it.
#[derive(Debug)]
#[must_use = "the record is written all the same, but nobody is told where"]
pub struct Reported<S: Shared<State: AsyncWriterState>>(Acknowledgement<S>);

impl<S: Shared<State: AsyncWriterState>> Future for Reported<S> {
    type Output = (WriteResult, AttemptReports);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut()
            .0
            .poll_with(cx.waker(), |inner, record| inner.attempt_reports(record))
    }
}

/// The future of [`MultiStreamWriter::reserve`](super::MultiStreamWriter::reserve).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Reserve<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    len: usize,
    waiter: Option<WaiterId>,
}

impl<'a, S: Shared<State: AsyncWriterState>> Reserve<'a, S> {
    pub(super) const fn new(state: &'a S, len: usize) -> Self {
        Self {
            state,
            len,
            waiter: None,
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Reserve<'_, S> {
    type Output = Result<Permit<S>, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { state, len, waiter } = &mut *self;
        let held = on(*state, |inner, wake| {
            inner.poll_reserve(*len, waiter, cx.waker(), wake)
        });
        held.map(|held| held.map(|reservation| Permit::new(state.clone(), reservation)))
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Reserve<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            on(self.state, |inner, wake| {
                inner.stop_waiting(&mut self.waiter, wake)
            });
        }
    }
}

/// The future of [`MultiStreamWriter::flush`](super::MultiStreamWriter::flush).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Flush<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    mark: Option<FlushMark>,
    waiter: Option<WaiterId>,
}

impl<'a, S: Shared<State: AsyncWriterState>> Flush<'a, S> {
    pub(super) const fn new(state: &'a S) -> Self {
        Self {
            state,
            mark: None,
            waiter: None,
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Flush<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            state,
            mark,
            waiter,
        } = &mut *self;
        on(*state, |inner, wake| {
            let mark = *mark.get_or_insert_with(|| inner.flush(wake));
            inner.poll_flushed(mark, waiter, cx.waker())
        })
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Flush<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            on(self.state, |inner, wake| {
                inner.stop_waiting(&mut self.waiter, wake)
            });
        }
    }
}

/// The future of [`MultiStreamWriter::close`](super::MultiStreamWriter::close).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Close<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    /// When to give up what is unfinished; none once the writer was told.
    by: Option<Instant>,
    waiter: Option<WaiterId>,
}

impl<'a, S: Shared<State: AsyncWriterState>> Close<'a, S> {
    pub(super) const fn new(state: &'a S, by: Instant) -> Self {
        Self {
            state,
            by: Some(by),
            waiter: None,
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Close<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { state, by, waiter } = &mut *self;
        on(*state, |inner, wake| {
            if let Some(by) = by.take() {
                inner.close(by, wake);
            }
            inner.poll_ended(waiter, cx.waker())
        })
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Close<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            on(self.state, |inner, wake| {
                inner.stop_waiting(&mut self.waiter, wake)
            });
        }
    }
}
