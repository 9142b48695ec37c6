use super::slots::{RecordSlot, ReportSlot, SetSlot, StreamSlot, TimerSlot};

/// Holds one record set while it fills and flies. Recycled for ever: a writer has as many as it has
/// set slots.
///
/// Any array of bytes is one.
pub trait SetBuffer {
    /// Makes the buffer at least `bytes` long, which is at most [`capacity`](Self::capacity). What
    /// is in it stays.
    fn grow(&mut self, bytes: usize);

    /// The bytes there are.
    fn as_slice(&self) -> &[u8];

    /// The bytes there are.
    fn as_mut_slice(&mut self) -> &mut [u8];

    /// How long the buffer may become: the same at every call, and for all buffers of a writer.
    fn capacity(&self) -> usize;
}

impl<const N: usize> SetBuffer for [u8; N] {
    fn grow(&mut self, bytes: usize) {
        debug_assert!(bytes <= N, "no set is longer than its buffer's capacity");
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

/// The tables of a writer, whoever owns them. The smaller of a table's length and the setting that
/// bounds it is the bound (R7).
///
/// This is a [`Storage`] itself: memory that lives elsewhere (a `static`, an arena) is handed over
/// as slices.
#[derive(Debug)]
pub struct StorageTables<'a, B> {
    /// One row per stream at least.
    pub streams: &'a mut [StreamSlot],
    /// One row per set in flight, one for the set that fills, and one more with a codec, for what
    /// compression writes.
    pub sets: &'a mut [SetSlot],
    /// As many as sets.
    pub timers: &'a mut [TimerSlot],
    /// As many as sets.
    pub buffers: &'a mut [B],
    /// One row per record that is accepted and whose result is not taken yet.
    pub records: &'a mut [RecordSlot],
    /// Where attempts are kept for results that carry them. May be empty: results then carry none.
    pub reports: &'a mut [ReportSlot],
}

/// Where a writer keeps its tables. Its rows are opaque: fill them with their `EMPTY` and leave
/// them alone.
pub trait Storage {
    /// What holds the bytes of a set.
    type Buffer: SetBuffer;

    /// All tables at once. The same ones at every call, of the same lengths.
    fn tables(&mut self) -> StorageTables<'_, Self::Buffer>;

    /// The rows of streams, to look at.
    fn streams(&self) -> &[StreamSlot];

    /// The rows of sets, to look at.
    fn sets(&self) -> &[SetSlot];

    /// The rows of timers, to look at.
    fn timers(&self) -> &[TimerSlot];

    /// The buffers, to look at.
    fn buffers(&self) -> &[Self::Buffer];

    /// The rows of records, to look at.
    fn records(&self) -> &[RecordSlot];

    /// The rows of reports, to look at.
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

/// Storage known at link time: at most `STREAMS` streams, `SETS` sets of `SET_BYTES` bytes each,
/// `RECORDS` records, and the attempts of `REPORTS` finished sets.
///
/// One set fills while the others are in flight, so `SETS` of 3 keep two in flight (R7).
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
    /// Empty tables; `const`, so that they can stand in a `static`.
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
