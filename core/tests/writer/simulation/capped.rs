//! Tables on the heap with room for few streams, so that indexes are used again (R17).

use distributedlog::writer::{
    Heap, HeapBuffer, RecordSlot, ReportSlot, SetSlot, Storage, StorageTables, StreamSlot,
    TimerSlot,
};

pub(super) struct Capped {
    pub(super) heap: Heap,
    pub(super) most_streams: usize,
}

impl Storage for Capped {
    type Buffer = HeapBuffer;

    const GROWS: bool = true;

    fn tables(&mut self) -> StorageTables<'_, HeapBuffer> {
        self.heap.tables()
    }

    fn streams(&self) -> &[StreamSlot] {
        self.heap.streams()
    }

    fn grow_streams(&mut self) -> bool {
        self.heap.streams().len() < self.most_streams && self.heap.grow_streams()
    }

    fn grow_sets(&mut self, most: usize) {
        self.heap.grow_sets(most);
    }

    fn grow_records(&mut self, most: usize) {
        self.heap.grow_records(most);
    }

    fn grow_reports(&mut self, most: usize) {
        self.heap.grow_reports(most);
    }

    fn sets(&self) -> &[SetSlot] {
        self.heap.sets()
    }

    fn timers(&self) -> &[TimerSlot] {
        self.heap.timers()
    }

    fn buffers(&self) -> &[HeapBuffer] {
        self.heap.buffers()
    }

    fn records(&self) -> &[RecordSlot] {
        self.heap.records()
    }

    fn reports(&self) -> &[ReportSlot] {
        self.heap.reports()
    }
}
