use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::AsyncWriterState;
use super::acknowledgement::Acknowledgement;
use super::sealed::{Inner, with_wakers};
use super::waiters::WaiterId;
use crate::writer::{EnqueueError, FlushMark, Reason, RecordId, WriteError, WriteResult};
use crate::{Instant, Shared, StreamIndex, WriteState};

/// Converts a refusal into the error of a write. `Full` never gets here: the future waits for room.
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

/// Future returned by [`MultiStreamWriter::write`](super::MultiStreamWriter::write).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Write<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    step: Step<'a>,
}

#[derive(Debug)]
enum Step<'a> {
    /// The record is not accepted yet; the task may stand in the queue for room.
    Enqueue(&'a [u8], Option<WaiterId>),
    Accepted(RecordId),
    Finished,
}

impl<'a, S: Shared<State: AsyncWriterState>> Write<'a, S> {
    pub(super) const fn new(state: &'a S, record: &'a [u8]) -> Self {
        Self {
            state,
            step: Step::Enqueue(record, None),
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Write<'_, S> {
    type Output = WriteResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        let this = &mut *self;
        match &mut this.step {
            Step::Enqueue(record, waiter) => match with_wakers(this.state, |inner, wakers| {
                inner.poll_write(record, waiter, cx.waker(), true, wakers)
            }) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(record)) => {
                    this.step = Step::Accepted(record);
                    Poll::Pending
                }
                Poll::Ready(Err(refused)) => {
                    this.step = Step::Finished;
                    Poll::Ready(Err(as_error(refused)))
                }
            },
            Step::Accepted(record) => {
                let result = with_wakers(this.state, |inner, wakers| {
                    inner.poll_result(*record, cx.waker(), wakers)
                });
                if result.is_ready() {
                    this.step = Step::Finished;
                }
                result
            }
            Step::Finished => panic!("`Write` was polled after it finished"),
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Write<'_, S> {
    fn drop(&mut self) {
        match &mut self.step {
            Step::Enqueue(_, waiter @ Some(_)) => with_wakers(self.state, |inner, wakers| {
                inner.cancel_wait(waiter, wakers)
            }),
            Step::Accepted(record) => {
                with_wakers(self.state, |inner, wakers| inner.forget(*record, wakers))
            }
            Step::Enqueue(_, None) | Step::Finished => {}
        }
    }
}

/// Future returned by [`MultiStreamWriter::submit`](super::MultiStreamWriter::submit).
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
        let taken = with_wakers(*state, |inner, wakers| {
            inner.poll_write(record, waiter, cx.waker(), false, wakers)
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
            with_wakers(self.state, |inner, wakers| {
                inner.cancel_wait(&mut self.waiter, wakers)
            });
        }
    }
}

/// Future returned by [`MultiStreamWriter::flush`](super::MultiStreamWriter::flush).
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
        with_wakers(*state, |inner, wakers| {
            let mark = *mark.get_or_insert_with(|| inner.flush(wakers));
            inner.poll_flushed(mark, waiter, cx.waker())
        })
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Flush<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            with_wakers(self.state, |inner, wakers| {
                inner.cancel_wait(&mut self.waiter, wakers)
            });
        }
    }
}

/// Future returned by [`MultiStreamWriter::drained`](super::MultiStreamWriter::drained).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Drained<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    stream: StreamIndex,
    waiter: Option<WaiterId>,
}

impl<'a, S: Shared<State: AsyncWriterState>> Drained<'a, S> {
    pub(super) const fn new(state: &'a S, stream: StreamIndex) -> Self {
        Self {
            state,
            stream,
            waiter: None,
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Future for Drained<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            state,
            stream,
            waiter,
        } = &mut *self;
        state.with(|inner| inner.state().poll_drained(*stream, waiter, cx.waker()))
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Drained<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            with_wakers(self.state, |inner, wakers| {
                inner.cancel_wait(&mut self.waiter, wakers)
            });
        }
    }
}

/// Future returned by [`MultiStreamWriter::close`](super::MultiStreamWriter::close).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Close<'a, S: Shared<State: AsyncWriterState>> {
    state: &'a S,
    /// The time at which unfinished records are given up; `None` once it was passed to the writer.
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
        with_wakers(*state, |inner, wakers| {
            if let Some(by) = by.take() {
                inner.close(by, wakers);
            }
            inner.poll_ended(waiter, cx.waker())
        })
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Close<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            with_wakers(self.state, |inner, wakers| {
                inner.cancel_wait(&mut self.waiter, wakers)
            });
        }
    }
}
