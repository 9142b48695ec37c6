//! Reads records ahead for a reader over HTTP, as far as there is room.

use core::time::Duration;

use distributedlog_reader::LogReader;
use distributedlog_store::StoreError;
use distributedlog_store::budget::{ByteBudget, Reservation};

/// Payload bytes of a batch of the store, if there is room for it.
const BATCH_BYTES: usize = 256 << 10;
/// Payload bytes of a batch for which no room is needed.
const SMALL_BATCH_BYTES: usize = 16 << 10;
/// Memory of a batch in multiples of its payload bytes: with the records themselves, and the lines
/// that are made of them.
const MEMORY_FACTOR: usize = 3;
/// Longest wait of one read at the end of a stream. The next append ends it.
const WAIT: Duration = Duration::from_secs(30);

/// Room for the records that one reader has read ahead of its client.
///
/// The invariant: what is buffered is in `room`, unless it is as little as a small batch.
pub(super) struct ReadAhead {
    budget: ByteBudget,
    room: Option<Reservation>,
}

impl ReadAhead {
    pub(super) const fn new(budget: ByteBudget) -> Self {
        Self { budget, room: None }
    }

    /// Waits until the reader has something buffered. Returns false at the end of the stream unless
    /// it is to `follow` it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn fill(
        &mut self,
        reader: &mut LogReader,
        follow: bool,
    ) -> Result<bool, StoreError> {
        // Bounded by the waits: each round has something buffered, waits, or has room for what it
        // did not have room for.
        loop {
            if reader.has_buffered() {
                return Ok(true);
            }
            let waited = self.room.take();
            let mut room = waited.or_else(|| self.budget.try_reserve(BATCH_BYTES * MEMORY_FACTOR));
            let bytes = room.as_ref().map_or(0, Reservation::bytes) / MEMORY_FACTOR;
            reader.set_batch_bytes(bytes.max(SMALL_BATCH_BYTES));
            if !reader.fill(Duration::ZERO).await? {
                if !follow {
                    return Ok(false);
                }
                // A reader that waits holds nothing.
                room = None;
                reader.set_batch_bytes(SMALL_BATCH_BYTES);
                reader.fill(WAIT).await?;
            }
            self.take_room(reader, room).await;
        }
    }

    /// Takes room for what is buffered. If there is none, drops it and waits for that.
    async fn take_room(&mut self, reader: &mut LogReader, room: Option<Reservation>) {
        let needed = reader.buffered_bytes() * MEMORY_FACTOR;
        if needed <= SMALL_BATCH_BYTES * MEMORY_FACTOR {
            return;
        }
        if let Some(mut room) = room
            && (room.bytes() >= needed || room.bytes() == self.budget.limit())
        {
            room.shrink_to(needed);
            self.room = Some(room);
            return;
        }
        self.room = self.budget.try_reserve(needed);
        if self.room.is_none() {
            reader.drop_buffered();
            self.room = Some(self.budget.reserve(needed).await);
        }
    }
}
