use super::slots::{RecordSlot, ReportSlot, SetSlot, StreamSlot};
use crate::tables::TimerSlot;

/// Buffer of one record set. A writer has one for each set slot and reuses them.
///
/// Arrays of bytes implement it.
pub trait SetBuffer {
    /// Makes the buffer at least `bytes` long, which is at most [`capacity`](Self::capacity). The
    /// content is kept.
    fn grow(&mut self, bytes: usize);

    /// Returns the bytes of the buffer.
    fn as_slice(&self) -> &[u8];

    /// Returns the bytes of the buffer.
    fn as_mut_slice(&mut self) -> &mut [u8];

    /// Returns the maximum length of the buffer: the same at every call, and for all buffers of a
    /// writer.
    fn capacity(&self) -> usize;
}

impl<const N: usize> SetBuffer for [u8; N] {
    fn grow(&mut self, bytes: usize) {
        debug_assert!(
            bytes <= N,
            "no set is longer than the capacity of its buffer"
        );
    }

    fn as_slice(&self) -> &[u8] {
        self
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        self
    }

    fn capacity(&self) -> usize {
        N
    }
}

/// The tables of a writer as slices. For each table, the smaller of its length and the setting that
/// limits it is the bound (R7).
///
/// It implements [`Storage`] itself, for tables that live elsewhere (a `static`, an arena).
#[derive(Debug)]
pub struct StorageTables<'a, B> {
    /// At least one row per stream.
    pub streams: &'a mut [StreamSlot],
    /// One row per set in flight, one for the filling set, and with a codec one more for the output
    /// of compression.
    pub sets: &'a mut [SetSlot],
    /// As many rows as `sets`.
    pub timers: &'a mut [TimerSlot],
    /// As many buffers as `sets`.
    pub buffers: &'a mut [B],
    /// One row per record that is accepted and whose result is not taken yet.
    pub records: &'a mut [RecordSlot],
    /// Rows for the attempts of results that carry them. If it is empty, results carry none.
    pub reports: &'a mut [ReportSlot],
}

/// Storage of a writer's tables. The rows are opaque: initialise them with their `EMPTY` and do not
/// change them.
pub trait Storage {
    /// The buffer of one set.
    type Buffer: SetBuffer;

    /// `true` if the tables of sets, records and reports grow as they are needed: the settings
    /// alone are the bound then.
    const GROWS: bool = false;

    /// Returns all tables for writing: the same ones at every call, of the same lengths unless they
    /// grew in between.
    fn tables(&mut self) -> StorageTables<'_, Self::Buffer>;

    /// Returns the rows of streams.
    fn streams(&self) -> &[StreamSlot];

    /// Appends a row of a stream, and leaves the others unchanged. Returns `false` if it cannot.
    fn grow_streams(&mut self) -> bool {
        false
    }

    /// Appends rows of sets and timers, and buffers, up to `most` rows; of buffers one more, which
    /// stays the last. Called with [`GROWS`](Self::GROWS) only, as the other two.
    fn grow_sets(&mut self, _most: usize) {}

    /// Appends rows of records, up to `most`.
    fn grow_records(&mut self, _most: usize) {}

    /// Appends rows of reports, up to `most`.
    fn grow_reports(&mut self, _most: usize) {}

    /// Returns the rows of sets.
    fn sets(&self) -> &[SetSlot];

    /// Returns the rows of timers.
    fn timers(&self) -> &[TimerSlot];

    /// Returns the buffers.
    fn buffers(&self) -> &[Self::Buffer];

    /// Returns the rows of records.
    fn records(&self) -> &[RecordSlot];

    /// Returns the rows of reports.
    fn reports(&self) -> &[ReportSlot];
}

impl<B: SetBuffer> Storage for StorageTables<'_, B> {
    type Buffer = B;

    fn tables(&mut self) -> StorageTables<'_, B> {
        StorageTables {
            streams: self.streams,
            sets: self.sets,
            timers: self.timers,
            buffers: self.buffers,
            records: self.records,
            reports: self.reports,
        }
    }

    fn streams(&self) -> &[StreamSlot] {
        self.streams
    }

    fn sets(&self) -> &[SetSlot] {
        self.sets
    }

    fn timers(&self) -> &[TimerSlot] {
        self.timers
    }

    fn buffers(&self) -> &[B] {
        self.buffers
    }

    fn records(&self) -> &[RecordSlot] {
        self.records
    }

    fn reports(&self) -> &[ReportSlot] {
        self.reports
    }
}

/// Storage of a size that is known at link time: at most `STREAMS` streams, `SETS` sets of
/// `SET_BYTES` bytes each, `RECORDS` records, and the attempts of `REPORTS` finished sets.
///
/// One set fills while the others are in flight, so `SETS` = 3 allows two in flight (R7).
#[derive(Debug)]
pub struct Fixed<
    const STREAMS: usize,
    const SETS: usize,
    const RECORDS: usize,
    const SET_BYTES: usize,
    const REPORTS: usize = 0,
> {
    streams: [StreamSlot; STREAMS],
    sets: [SetSlot; SETS],
    timers: [TimerSlot; SETS],
    buffers: [[u8; SET_BYTES]; SETS],
    records: [RecordSlot; RECORDS],
    reports: [ReportSlot; REPORTS],
}

impl<
    const STREAMS: usize,
    const SETS: usize,
    const RECORDS: usize,
    const SET_BYTES: usize,
    const REPORTS: usize,
> Fixed<STREAMS, SETS, RECORDS, SET_BYTES, REPORTS>
{
    /// Creates empty tables. `const`, so that they can be the value of a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            streams: [StreamSlot::EMPTY; STREAMS],
            sets: [SetSlot::EMPTY; SETS],
            timers: [TimerSlot::EMPTY; SETS],
            buffers: [[0; SET_BYTES]; SETS],
            records: [RecordSlot::EMPTY; RECORDS],
            reports: [const { ReportSlot::EMPTY }; REPORTS],
        }
    }
}

impl<
    const STREAMS: usize,
    const SETS: usize,
    const RECORDS: usize,
    const SET_BYTES: usize,
    const REPORTS: usize,
> Default for Fixed<STREAMS, SETS, RECORDS, SET_BYTES, REPORTS>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<
    const STREAMS: usize,
    const SETS: usize,
    const RECORDS: usize,
    const SET_BYTES: usize,
    const REPORTS: usize,
> Storage for Fixed<STREAMS, SETS, RECORDS, SET_BYTES, REPORTS>
{
    type Buffer = [u8; SET_BYTES];

    fn tables(&mut self) -> StorageTables<'_, Self::Buffer> {
        StorageTables {
            streams: &mut self.streams,
            sets: &mut self.sets,
            timers: &mut self.timers,
            buffers: &mut self.buffers,
            records: &mut self.records,
            reports: &mut self.reports,
        }
    }

    fn streams(&self) -> &[StreamSlot] {
        &self.streams
    }

    fn sets(&self) -> &[SetSlot] {
        &self.sets
    }

    fn timers(&self) -> &[TimerSlot] {
        &self.timers
    }

    fn buffers(&self) -> &[Self::Buffer] {
        &self.buffers
    }

    fn records(&self) -> &[RecordSlot] {
        &self.records
    }

    fn reports(&self) -> &[ReportSlot] {
        &self.reports
    }
}
