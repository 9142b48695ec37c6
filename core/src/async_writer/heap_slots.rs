use std::boxed::Box;
use std::collections::HashMap;
use std::vec::Vec;

use super::{WaiterSlot, WaiterSlots};
use crate::writer::{AttemptReport, RecordId, WriteResult};

/// Slots on the heap, which grow, and the results of completed records whose futures were not
/// polled yet. With them a caller may hold any number of
/// [`Acknowledgement`](super::Acknowledgement)s: what it holds bounds what is kept here.
#[derive(Debug, Default)]
pub struct HeapSlots {
    slots: Vec<WaiterSlot>,
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
    /// Allocates this many slots: one for each record row of the writer's storage at least.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let slots = core::iter::repeat_with(|| WaiterSlot::EMPTY).take(slots);
        Self {
            slots: slots.collect(),
            kept: HashMap::new(),
        }
    }
}

impl AsMut<[WaiterSlot]> for HeapSlots {
    fn as_mut(&mut self) -> &mut [WaiterSlot] {
        &mut self.slots
    }
}

impl WaiterSlots for HeapSlots {
    const KEEPS_RESULTS: bool = true;

    fn grow(&mut self) -> bool {
        WaiterSlots::grow(&mut self.slots)
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
