//! Bounds of what a client has in flight: operations of its handles, and attempts of the writers
//! that share it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in pieces of this size: a semaphore's permits are fewer than bytes may be.
const PIECE: usize = 1024;

/// Permits for operations and for their bytes. Those who wait get them in turn.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    max_pieces: u32,
}

/// Semaphore permits that an operation holds while it is in flight: one for the operation, and one
/// for each KiB of its records. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct InFlightPermit {
    _place: OwnedSemaphorePermit,
    _pieces: OwnedSemaphorePermit,
}

impl Room {
    /// Room for this number of operations, and for this number of bytes in them.
    pub(super) fn new(max_in_flight: usize, max_bytes: usize) -> Self {
        let max_pieces = max_bytes
            .div_ceil(PIECE)
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            places: Arc::new(Semaphore::new(max_in_flight)),
            pieces: Arc::new(Semaphore::new(max_pieces)),
            max_pieces: u32::try_from(max_pieces).expect("clamped to it"),
        }
    }

    /// Returns the number of pieces of one operation with this number of bytes. An operation larger
    /// than the maximum takes all.
    pub(super) fn pieces(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(PIECE))
            .unwrap_or(u32::MAX)
            .min(self.max_pieces)
    }

    /// Waits for the permits of one operation with this number of pieces. `None`: never, the
    /// semaphores are not closed.
    pub(super) async fn acquire(&self, pieces: u32) -> Option<InFlightPermit> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let pieces = Arc::clone(&self.pieces)
            .acquire_many_owned(pieces)
            .await
            .ok()?;
        Some(InFlightPermit {
            _place: place,
            _pieces: pieces,
        })
    }

    /// Returns the permits of one operation with this number of pieces, if there is room for it and
    /// nothing waits for room.
    pub(super) fn try_acquire(&self, pieces: u32) -> Option<InFlightPermit> {
        // Permits that are released go to those who wait first.
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let pieces = Arc::clone(&self.pieces)
            .try_acquire_many_owned(pieces)
            .ok()?;
        Some(InFlightPermit {
            _place: place,
            _pieces: pieces,
        })
    }
}
