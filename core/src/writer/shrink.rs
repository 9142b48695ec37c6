//! Memory that an idle writer gives back.

use super::machine::Writer;
use super::slots::NO_SET;
use super::{Heap, WriterFeatures};
use crate::tables::{Slab, Timers};

impl<F: WriterFeatures> Writer<Heap, F> {
    /// Frees the tables of records, sets and reports, with the buffers of the sets, if nothing is
    /// in them: what a burst needed is memory for others again. They grow as they did at first.
    /// Returns `false`, and frees nothing, while a record is pending, a result not taken, an
    /// attempt to be cancelled, or room reserved.
    pub fn shrink(&mut self) -> bool {
        let is_empty = self.filling == NO_SET
            && self.set_slots.len() == 0
            && self.record_slots.len() == 0
            && self.report_slots.len() == 0
            && self.reserved.records == 0;
        if is_empty {
            self.storage.free();
            self.set_slots = Slab::EMPTY;
            self.record_slots = Slab::EMPTY;
            self.report_slots = Slab::EMPTY;
            self.timers = Timers::NONE;
        }
        is_empty
    }
}
