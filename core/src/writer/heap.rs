use std::vec::Vec;

#[cfg(doc)]
use super::Writer;
use super::slots::{RecordSlot, ReportSlot, SetSlot, StreamSlot};
use super::storage::{SetBuffer, Storage, StorageTables};
use super::{MAX_SET_BYTES, Settings, StreamCount};
use crate::tables::{TimerSlot, grow};

/// Tables on the heap, which grow as they are needed, up to the size that the settings ask for.
///
/// A table that is full doubles, so that writing allocates only while more records, sets or reports
/// are kept at once than at any time before (R7), or since [`Writer::shrink`] freed the tables. The
/// first record of a set's buffer allocates the memory for a set of the configured size; a larger
/// record grows it once.
#[derive(Debug)]
pub struct Heap {
    streams: Vec<StreamSlot>,
    sets: Vec<SetSlot>,
    timers: Vec<TimerSlot>,
    /// One for each set, and a last one for compression.
    buffers: Vec<HeapBuffer>,
    records: Vec<RecordSlot>,
    reports: Vec<ReportSlot>,
    set_bytes: usize,
    /// Generation of rows of records that are made from now on: above those of all rows before, so
    /// that no record has the id of an earlier one.
    generation: u32,
}

impl Heap {
    /// Makes the tables for a writer of `streams` streams with these settings.
    #[must_use]
    pub fn new(settings: &Settings, streams: StreamCount) -> Self {
        let set_bytes = settings.set_bytes();
        Self {
            streams: std::vec![StreamSlot::EMPTY; streams.as_usize()],
            sets: Vec::new(),
            timers: Vec::new(),
            buffers: std::vec![HeapBuffer::new(set_bytes)],
            records: Vec::new(),
            reports: Vec::new(),
            set_bytes,
            generation: 0,
        }
    }

    /// Frees all tables but that of the streams. The caller knows that they are empty.
    pub(super) fn free(&mut self) {
        if let Some(last) = self.records.iter().map(|row| row.generation).max() {
            self.generation = last.wrapping_add(1);
        }
        self.sets = Vec::new();
        self.timers = Vec::new();
        self.buffers = std::vec![HeapBuffer::new(self.set_bytes)];
        self.records = Vec::new();
        self.reports = Vec::new();
    }
}

impl Storage for Heap {
    type Buffer = HeapBuffer;

    const GROWS: bool = true;

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

    fn grow_sets(&mut self, most: usize) {
        grow(&mut self.sets, most, || SetSlot::EMPTY);
        grow(&mut self.timers, most, || TimerSlot::EMPTY);
        let (spare, sets) = (self.buffers.len() - 1, self.sets.len());
        self.buffers
            .resize_with(sets + 1, || HeapBuffer::new(self.set_bytes));
        self.buffers.swap(spare, sets);
    }

    fn grow_records(&mut self, most: usize) {
        let generation = self.generation;
        grow(&mut self.records, most, || {
            let mut row = RecordSlot::EMPTY;
            row.generation = generation;
            row
        });
    }

    fn grow_reports(&mut self, most: usize) {
        grow(&mut self.reports, most, || ReportSlot::EMPTY);
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
pub struct HeapBuffer {
    bytes: Vec<u8>,
    /// Length that it has when it is first used, if that is enough.
    first_len: usize,
}

impl HeapBuffer {
    const fn new(first_len: usize) -> Self {
        Self {
            bytes: Vec::new(),
            first_len,
        }
    }
}

impl SetBuffer for HeapBuffer {
    fn grow(&mut self, bytes: usize) {
        if self.bytes.is_empty() {
            // Memory that the allocator has cleared already: what is not used costs nothing.
            self.bytes = std::vec![0; bytes.max(self.first_len)];
        } else if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn capacity(&self) -> usize {
        LONGEST
    }
}

/// Maximum size of a set, and what compression may add to it before it turns out to be useless.
const LONGEST: usize = MAX_SET_BYTES + MAX_SET_BYTES / 8;
