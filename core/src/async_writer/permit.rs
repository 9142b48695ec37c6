use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::AsyncWriterState;
use super::acknowledgement::Acknowledgement;
use super::sealed::with_wakers;
use super::waiters::WaiterId;
use crate::Shared;
use crate::writer::{EnqueueError, Reservation};

/// Room that is reserved for one record. Dropping the permit releases the room.
#[derive(Debug)]
#[must_use = "dropping a permit releases its room"]
pub struct Permit<S: Shared<State: AsyncWriterState>> {
    state: S,
    reservation: Option<Reservation>,
}

impl<S: Shared<State: AsyncWriterState>> Permit<S> {
    pub(super) const fn new(state: S, reservation: Reservation) -> Self {
        Self {
            state,
            reservation: Some(reservation),
        }
    }

    /// Writes a record into the reserved room.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::TooLarge`] if it is longer than what was reserved,
    /// [`EnqueueError::Closed`] if the writer was closed in the meantime.
    pub fn submit(mut self, record: &[u8]) -> Result<Acknowledgement<S>, EnqueueError> {
        let reservation = self
            .reservation
            .take()
            .expect("only `submit`, which consumes the permit, and `drop` take it");
        let record = with_wakers(&self.state, |inner, wakers| {
            inner.submit(reservation, record, wakers)
        })?;
        Ok(Acknowledgement::new(self.state.clone(), record))
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Permit<S> {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            with_wakers(&self.state, |inner, wakers| {
                inner.release(reservation, wakers)
            });
        }
    }
}

/// Future returned by [`MultiStreamWriter::reserve`](super::MultiStreamWriter::reserve).
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
        let held = with_wakers(*state, |inner, wakers| {
            inner.poll_reserve(*len, waiter, cx.waker(), wakers)
        });
        held.map(|held| held.map(|reservation| Permit::new(state.clone(), reservation)))
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Reserve<'_, S> {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            with_wakers(self.state, |inner, wakers| {
                inner.cancel_wait(&mut self.waiter, wakers)
            });
        }
    }
}
