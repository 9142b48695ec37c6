use core::task::Waker;
use std::boxed::Box;
use std::collections::HashMap;
use std::vec::Vec;

use super::{WaiterSlot, WaiterSlots};
use crate::tables::grow;
use crate::writer::{AttemptReport, RecordId, WriteResult};

/// Slots on the heap, which grow as they are needed: no more than as many records and tasks wait at
/// a time.
#[derive(Debug, Default)]
pub struct GrowingSlots {
    /// By the record's row.
    records: Vec<Option<Waker>>,
    waiting: Vec<WaiterSlot>,
}

impl GrowingSlots {
    /// Makes slots: none is allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            records: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl GrowingSlots {
    /// Frees the slots of records, if no task waits for one.
    fn shrink(&mut self) {
        if self.records.iter().all(Option::is_none) {
            self.records = Vec::new();
        }
    }
}

impl WaiterSlots for GrowingSlots {
    fn record_waker(&mut self, row: usize) -> &mut Option<Waker> {
        // Bounded by the rows of records, which the writer's settings bound.
        while self.records.len() <= row {
            grow(&mut self.records, usize::MAX, || None);
        }
        &mut self.records[row]
    }

    fn waiting(&mut self, _records: usize) -> &mut [WaiterSlot] {
        &mut self.waiting
    }

    fn grow(&mut self) -> bool {
        grow(&mut self.waiting, usize::MAX, || WaiterSlot::EMPTY)
    }

    fn has_room_for(&self, _records: usize) -> bool {
        true
    }
}

/// [`GrowingSlots`], and the results of completed records whose futures were not polled yet. With
/// them a caller may hold any number of [`Acknowledgement`](super::Acknowledgement)s: what it holds
/// bounds what is kept here.
#[derive(Debug, Default)]
pub struct HeapSlots {
    slots: GrowingSlots,
    kept: HashMap<RecordId, KeptResult>,
}

/// Result that was moved out of the table of records.
#[derive(Debug)]
struct KeptResult {
    result: WriteResult,
    /// Empty, without an allocation, unless the settings keep reports.
    reports: Box<[AttemptReport]>,
}

impl HeapSlots {
    /// Makes slots: none is allocated yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Frees the slots of records, if no task waits for one.
    pub(super) fn shrink(&mut self) {
        self.slots.shrink();
    }
}

impl WaiterSlots for HeapSlots {
    const KEEPS_RESULTS: bool = true;

    fn record_waker(&mut self, row: usize) -> &mut Option<Waker> {
        self.slots.record_waker(row)
    }

    fn waiting(&mut self, records: usize) -> &mut [WaiterSlot] {
        self.slots.waiting(records)
    }

    fn grow(&mut self) -> bool {
        self.slots.grow()
    }

    fn has_room_for(&self, records: usize) -> bool {
        self.slots.has_room_for(records)
    }

    fn keep(&mut self, record: RecordId, result: WriteResult, reports: &[AttemptReport]) {
        let reports = reports.into();
        self.kept.insert(record, KeptResult { result, reports });
    }

    fn take_kept(&mut self, record: RecordId) -> Option<WriteResult> {
        let kept = self.kept.remove(&record)?;
        // Freed once what was a large batch is taken.
        if self.kept.is_empty() {
            self.kept = HashMap::new();
        }
        Some(kept.result)
    }

    fn kept_reports(&self, record: RecordId) -> &[AttemptReport] {
        self.kept
            .get(&record)
            .map_or(&[], |kept| kept.reports.as_ref())
    }
}
