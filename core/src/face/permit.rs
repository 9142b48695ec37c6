use super::Face;
use super::futures::Acknowledgement;
use crate::Shared;
use crate::writer::Refused;

/// Room held for one record. Dropping it gives the room back.
#[derive(Debug)]
#[must_use = "dropping a permit gives its room back"]
pub struct Permit<S: Shared<State: Face>> {
    state: S,
}

impl<S: Shared<State: Face>> Permit<S> {
    /// Writes the record for which the room was held.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLarge`] when it is longer than was reserved, [`Refused::Closed`] when the writer was closed meanwhile.
    pub fn submit(self, record: &[u8]) -> Result<Acknowledgement<S>, Refused> {
        let _ = (record, &self.state);
        todo!()
    }
}
