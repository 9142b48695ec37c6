use std::boxed::Box;
use std::collections::HashMap;
use std::vec::Vec;

use super::{WaiterSlot, WaiterSlots};
use crate::writer::{AttemptReports, RecordId, WriteResult};

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
    /// `None` if there are none, so that most results are small.
    reports: Option<Box<AttemptReports>>,
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

    fn keep(&mut self, record: RecordId, result: WriteResult, reports: AttemptReports) {
        let reports = (!reports.is_empty()).then(|| Box::new(reports));
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

    fn kept_reports(&self, record: RecordId) -> AttemptReports {
        let kept = self.kept.get(&record);
        let reports = kept.and_then(|kept| kept.reports.as_deref());
        reports.cloned().unwrap_or_default()
    }
}
