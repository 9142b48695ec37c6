use super::AsyncWriterState;
use super::futures::{Acknowledgement, on};
use super::sealed::Inner;
use crate::Shared;
use crate::writer::{EnqueueError, Reservation};

/// Room held for one record. Dropping it gives the room back.
#[derive(Debug)]
#[must_use = "dropping a permit gives its room back"]
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

    /// Writes the record for which the room was held.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::TooLarge`] if it is longer than what was reserved,
    /// [`EnqueueError::Closed`] if the writer was closed in the meantime.
    pub fn submit(mut self, record: &[u8]) -> Result<Acknowledgement<S>, EnqueueError> {
        let reservation = self
            .reservation
            .take()
            .expect("it is taken here and where nobody can call this any more");
        let record = on(&self.state, |inner, wake| {
            inner.submit(reservation, record, wake)
        })?;
        Ok(Acknowledgement::new(self.state.clone(), record))
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for Permit<S> {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            on(&self.state, |inner, wake| inner.release(reservation, wake));
        }
    }
}
