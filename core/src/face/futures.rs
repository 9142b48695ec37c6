use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::sealed::Desk;
use super::waiters::{Place, Wakers, wake_all};
use super::{Face, Permit};
use crate::writer::{
    AttemptReports, EnqueueError, FlushMark, Reason, RecordId, WriteError, WriteResult,
};
use crate::{Instant, Shared, WriteState};

/// Runs `work` on the state, and wakes afterwards whom it named.
pub(super) fn on<S: Shared<State: Face>, R>(
    state: &S,
    work: impl FnOnce(&mut S::State, &mut Wakers) -> R,
) -> R {
    let mut wakers = Wakers::new();
    let result = state.with(|desk| work(desk, &mut wakers));
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
pub struct Write<'a, S: Shared<State: Face>> {
    state: &'a S,
    step: Step<'a>,
}

#[derive(Debug)]
enum Step<'a> {
    /// Not accepted yet: it may have a place in the queue for room.
    Entering(&'a [u8], Option<Place>),
    Accepted(RecordId),
    Over,
}

impl<'a, S: Shared<State: Face>> Write<'a, S> {
    pub(super) const fn new(state: &'a S, record: &'a [u8]) -> Self {
        Self {
            state,
            step: Step::Entering(record, None),
        }
    }
}

impl<S: Shared<State: Face>> Future for Write<'_, S> {
    type Output = WriteResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        let this = &mut *self;
        match &mut this.step {
            Step::Entering(record, place) => match on(this.state, |desk, wake| {
                desk.poll_write(record, place, cx.waker(), true, wake)
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
                let result = on(this.state, |desk, wake| {
                    desk.poll_result(*record, cx.waker(), wake)
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

impl<S: Shared<State: Face>> Drop for Write<'_, S> {
    fn drop(&mut self) {
        match &mut self.step {
            Step::Entering(_, place @ Some(_)) => {
                on(self.state, |desk, wake| desk.stop_waiting(place, wake))
            }
            Step::Accepted(record) => on(self.state, |desk, wake| desk.forget(*record, wake)),
            Step::Entering(_, None) | Step::Over => {}
        }
    }
}

/// The future of [`MultiStreamWriter::submit`](super::MultiStreamWriter::submit).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Submit<'a, S: Shared<State: Face>> {
    state: &'a S,
    record: &'a [u8],
    place: Option<Place>,
}

impl<'a, S: Shared<State: Face>> Submit<'a, S> {
    pub(super) const fn new(state: &'a S, record: &'a [u8]) -> Self {
        Self {
            state,
            record,
            place: None,
        }
    }
}

impl<S: Shared<State: Face>> Future for Submit<'_, S> {
    type Output = Result<Acknowledgement<S>, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            state,
            record,
            place,
        } = &mut *self;
        let taken = on(*state, |desk, wake| {
            desk.poll_write(record, place, cx.waker(), false, wake)
        });
        taken.map(|taken| {
            taken
                .map(|record| Acknowledgement::new(state.clone(), record))
                .map_err(as_error)
        })
    }
}

impl<S: Shared<State: Face>> Drop for Submit<'_, S> {
    fn drop(&mut self) {
        if self.place.is_some() {
            on(self.state, |desk, wake| {
                desk.stop_waiting(&mut self.place, wake)
            });
        }
    }
}

/// The future of an accepted record's result. Dropping it cancels nothing (R14).
#[derive(Debug)]
#[must_use = "the record is written all the same, but nobody is told where"]
pub struct Acknowledgement<S: Shared<State: Face>> {
    state: S,
    record: Option<RecordId>,
}

impl<S: Shared<State: Face>> Acknowledgement<S> {
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
        let told = on(&self.state, |desk, wake| {
            // Looked at before the result is taken: with the result the record's row is free.
            let seen = look(desk, record);
            desk.poll_result(record, waker, wake)
                .map(|result| (result, seen))
        });
        if told.is_ready() {
            self.record = None;
        }
        told
    }
}

impl<S: Shared<State: Face>> Future for Acknowledgement<S> {
    type Output = WriteResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        self.get_mut()
            .poll_with(cx.waker(), |_, _| ())
            .map(|(result, ())| result)
    }
}

/// Nothing in it is pinned, whatever the handle of the state is.
impl<S: Shared<State: Face>> Unpin for Acknowledgement<S> {}

impl<S: Shared<State: Face>> Drop for Acknowledgement<S> {
    fn drop(&mut self) {
        if let Some(record) = self.record {
            on(&self.state, |desk, wake| desk.forget(record, wake));
        }
    }
}

/// The future of an accepted record's result and of the attempts made for it.
#[derive(Debug)]
#[must_use = "the record is written all the same, but nobody is told where"]
pub struct Reported<S: Shared<State: Face>>(Acknowledgement<S>);

impl<S: Shared<State: Face>> Future for Reported<S> {
    type Output = (WriteResult, AttemptReports);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut()
            .0
            .poll_with(cx.waker(), |desk, record| desk.attempt_reports(record))
    }
}

/// The future of [`MultiStreamWriter::reserve`](super::MultiStreamWriter::reserve).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Reserve<'a, S: Shared<State: Face>> {
    state: &'a S,
    len: usize,
    place: Option<Place>,
}

impl<'a, S: Shared<State: Face>> Reserve<'a, S> {
    pub(super) const fn new(state: &'a S, len: usize) -> Self {
        Self {
            state,
            len,
            place: None,
        }
    }
}

impl<S: Shared<State: Face>> Future for Reserve<'_, S> {
    type Output = Result<Permit<S>, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { state, len, place } = &mut *self;
        let held = on(*state, |desk, wake| {
            desk.poll_reserve(*len, place, cx.waker(), wake)
        });
        held.map(|held| held.map(|reservation| Permit::new(state.clone(), reservation)))
    }
}

impl<S: Shared<State: Face>> Drop for Reserve<'_, S> {
    fn drop(&mut self) {
        if self.place.is_some() {
            on(self.state, |desk, wake| {
                desk.stop_waiting(&mut self.place, wake)
            });
        }
    }
}

/// The future of [`MultiStreamWriter::flush`](super::MultiStreamWriter::flush).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Flush<'a, S: Shared<State: Face>> {
    state: &'a S,
    mark: Option<FlushMark>,
    place: Option<Place>,
}

impl<'a, S: Shared<State: Face>> Flush<'a, S> {
    pub(super) const fn new(state: &'a S) -> Self {
        Self {
            state,
            mark: None,
            place: None,
        }
    }
}

impl<S: Shared<State: Face>> Future for Flush<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { state, mark, place } = &mut *self;
        on(*state, |desk, wake| {
            let mark = *mark.get_or_insert_with(|| desk.flush(wake));
            desk.poll_flushed(mark, place, cx.waker())
        })
    }
}

impl<S: Shared<State: Face>> Drop for Flush<'_, S> {
    fn drop(&mut self) {
        if self.place.is_some() {
            on(self.state, |desk, wake| {
                desk.stop_waiting(&mut self.place, wake)
            });
        }
    }
}

/// The future of [`MultiStreamWriter::close`](super::MultiStreamWriter::close).
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Close<'a, S: Shared<State: Face>> {
    state: &'a S,
    /// When to give up what is unfinished; none once the writer was told.
    by: Option<Instant>,
    place: Option<Place>,
}

impl<'a, S: Shared<State: Face>> Close<'a, S> {
    pub(super) const fn new(state: &'a S, by: Instant) -> Self {
        Self {
            state,
            by: Some(by),
            place: None,
        }
    }
}

impl<S: Shared<State: Face>> Future for Close<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { state, by, place } = &mut *self;
        on(*state, |desk, wake| {
            if let Some(by) = by.take() {
                desk.close(by, wake);
            }
            desk.poll_ended(place, cx.waker())
        })
    }
}

impl<S: Shared<State: Face>> Drop for Close<'_, S> {
    fn drop(&mut self) {
        if self.place.is_some() {
            on(self.state, |desk, wake| {
                desk.stop_waiting(&mut self.place, wake)
            });
        }
    }
}
