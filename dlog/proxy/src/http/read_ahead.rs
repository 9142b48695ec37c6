//! Reads records ahead for a reader over HTTP, as far as there is room.

use core::time::Duration;

use distributedlog_reader::LogReader;
use distributedlog_store::StoreError;
use distributedlog_store::budget::{ByteBudget, Reservation};

/// Payload bytes of a batch for which no room is needed.
const SMALL_BATCH_BYTES: usize = 16 << 10;
/// Longest wait of one read at the end of a stream. The next append ends it.
const WAIT: Duration = Duration::from_secs(30);

/// The batches that a reader gets from the store while there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    /// Payload bytes of a batch.
    payload_bytes: usize,
    /// Memory of a batch in multiples of its payload bytes.
    memory_factor: usize,
}

impl BatchSize {
    /// For records that become lines, which are held beside them.
    pub(super) const LINES: Self = Self {
        payload_bytes: 256 << 10,
        memory_factor: 3,
    };
    /// For records that are sent as they are stored. Each batch costs two changes of threads.
    pub(super) const ENTRIES: Self = Self {
        payload_bytes: 512 << 10,
        memory_factor: 2,
    };

    const fn memory_bytes(self) -> usize {
        self.payload_bytes * self.memory_factor
    }
}

/// Room for the records that one reader has read ahead of its client.
///
/// The invariant: what is buffered is in `room`, unless it is as little as a small batch.
pub(super) struct ReadAhead {
    budget: ByteBudget,
    batch: BatchSize,
    room: Option<Reservation>,
}

impl ReadAhead {
    pub(super) const fn new(budget: ByteBudget, batch: BatchSize) -> Self {
        Self {
            budget,
            batch,
            room: None,
        }
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
            let mut room = self.room_for_a_batch();
            let bytes = room.as_ref().map_or(0, Reservation::bytes) / self.batch.memory_factor;
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

    /// Returns room for a whole batch, or else what is held: room that was waited for, or that of
    /// the last batch. A read of less than a batch at a time would go on for ever with less.
    fn room_for_a_batch(&mut self) -> Option<Reservation> {
        let held = self.room.take();
        if held
            .as_ref()
            .is_some_and(|held| held.bytes() >= self.batch.memory_bytes())
        {
            return held;
        }
        self.budget.try_reserve(self.batch.memory_bytes()).or(held)
    }

    /// Takes room for what is buffered. If there is none, drops it and waits for that.
    async fn take_room(&mut self, reader: &mut LogReader, room: Option<Reservation>) {
        let needed = reader.buffered_bytes() * self.batch.memory_factor;
        if needed <= SMALL_BATCH_BYTES * self.batch.memory_factor {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use distributedlog::Dlsn;
    use distributedlog_store::{EntryRecord, StreamName};
    use distributedlog_testkit::store::MemoryStore;

    use super::*;

    const RECORD_BYTES: usize = 10 << 10;
    const RECORDS: usize = 400;

    /// A reader of a stream that begins with records of these sizes and goes on with many.
    fn reader(first: &[usize]) -> LogReader {
        let (store, stream) = (MemoryStore::new(), StreamName::new("s").expect("a name"));
        let many = core::iter::repeat_n(RECORD_BYTES, RECORDS);
        for (entry, bytes) in (0..).zip(first.iter().copied().chain(many)) {
            let record = EntryRecord {
                payload: Bytes::from(vec![b'x'; bytes]),
                slots: 1,
                is_record_set: false,
            };
            store.put(&stream, Dlsn::new(1, entry, 0), vec![record]);
        }
        LogReader::new(Arc::clone(&store) as _, stream, Dlsn::INITIAL)
    }

    /// Delivers what is buffered. Returns the number of records.
    fn deliver(reader: &mut LogReader) -> usize {
        core::iter::from_fn(|| reader.next_buffered()).count()
    }

    #[tokio::test]
    async fn batches_are_whole_again_behind_one_that_was_small() {
        for batch in [BatchSize::LINES, BatchSize::ENTRIES] {
            let bytes = batch.payload_bytes;
            // The second does not fit into the first one's batch.
            let mut reader = reader(&[bytes * 4 / 10, bytes * 8 / 10]);
            let mut ahead = ReadAhead::new(ByteBudget::new(4 << 20), batch);
            let mut counts = Vec::new();
            while ahead.fill(&mut reader, false).await.expect("it reads") {
                counts.push(deliver(&mut reader));
            }
            counts.pop();
            let [1, second, others @ ..] = &counts[..] else {
                panic!("{counts:?}");
            };
            assert_eq!(*second, 1 + bytes * 2 / 10 / RECORD_BYTES);
            let whole = bytes / RECORD_BYTES;
            assert!(others.iter().all(|count| *count == whole), "{counts:?}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_had_little_room_reads_whole_batches_when_there_is_more() {
        let budget = ByteBudget::new(4 << 20);
        let other = budget.try_reserve(budget.limit() - (64 << 10));
        assert!(other.is_some(), "it is free");
        let (mut reader, mut ahead) = (reader(&[]), ReadAhead::new(budget, BatchSize::LINES));
        assert!(ahead.fill(&mut reader, false).await.expect("it reads"));
        assert_eq!(deliver(&mut reader), SMALL_BATCH_BYTES / RECORD_BYTES);
        drop(other);
        assert!(ahead.fill(&mut reader, false).await.expect("it reads"));
        let whole = BatchSize::LINES.payload_bytes / RECORD_BYTES;
        assert_eq!(deliver(&mut reader), whole);
    }
}
