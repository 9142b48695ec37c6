use std::boxed::Box;
use std::vec::Vec;

use super::slots::{RecordSlot, ReportSlot, SetSlot, StreamSlot, TimerSlot};
use super::storage::{SetBuffer, Storage, StorageTables};
use super::{MAX_SET_BYTES, Settings, StreamCount};

/// Tables on the heap, of the size that the settings ask for, allocated when the writer is built.
///
/// Each buffer has the capacity for a set of the configured size from the start, so that writing
/// does not allocate (R7). A larger record grows its set's buffer once.
#[derive(Debug)]
pub struct Heap {
    streams: Vec<StreamSlot>,
    sets: Box<[SetSlot]>,
    timers: Box<[TimerSlot]>,
    buffers: Box<[HeapBuffer]>,
    records: Box<[RecordSlot]>,
    reports: Box<[ReportSlot]>,
}

impl Heap {
    /// Allocates the tables for a writer of `streams` streams with these settings.
    #[must_use]
    pub fn new(settings: &Settings, streams: StreamCount) -> Self {
        // One more that fills, and one more for compression.
        let sets = settings.in_flight_sets() + 2;
        let reports = if settings.attempt_reports() {
            // As many for sets that ended and whose results are not taken yet.
            settings.in_flight_sets() * 2
        } else {
            0
        };
        Self {
            streams: std::vec![StreamSlot::EMPTY; streams.as_usize()],
            sets: std::vec![SetSlot::EMPTY; sets].into(),
            timers: std::vec![TimerSlot::EMPTY; sets].into(),
            buffers: (0..sets)
                .map(|_| HeapBuffer(Vec::with_capacity(settings.set_bytes())))
                .collect(),
            records: std::vec![RecordSlot::EMPTY; settings.pending_records()].into(),
            reports: std::vec![ReportSlot::EMPTY; reports].into(),
        }
    }
}

impl Storage for Heap {
    type Buffer = HeapBuffer;

    fn tables(&mut self) -> StorageTables<'_, HeapBuffer> {
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

    fn grow_streams(&mut self) -> bool {
        self.streams.push(StreamSlot::EMPTY);
        true
    }

    fn sets(&self) -> &[SetSlot] {
        &self.sets
    }

    fn timers(&self) -> &[TimerSlot] {
        &self.timers
    }

    fn buffers(&self) -> &[HeapBuffer] {
        &self.buffers
    }

    fn records(&self) -> &[RecordSlot] {
        &self.records
    }

    fn reports(&self) -> &[ReportSlot] {
        &self.reports
    }
}

/// Buffer of one set on the heap. It grows to the largest set when a record needs it.
#[derive(Debug, Default)]
pub struct HeapBuffer(Vec<u8>);

impl SetBuffer for HeapBuffer {
    fn grow(&mut self, bytes: usize) {
        if self.0.len() < bytes {
            // Fill the whole allocation at once, which is usually needed once per buffer.
            self.0.resize(bytes.max(self.0.capacity()), 0);
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn capacity(&self) -> usize {
        LONGEST
    }
}

/// Maximum size of a set, and what compression may add to it before it turns out to be useless.
const LONGEST: usize = MAX_SET_BYTES + MAX_SET_BYTES / 8;
