//! The invariants of every write.

use std::collections::HashMap;

use distributedlog::writer::{RecordId, WriteResult};
use distributedlog::{Instant, WriteState};

use super::world::World;

#[derive(Default)]
pub(super) struct Oracle {
    pending: HashMap<RecordId, Accepted>,
    /// Records that were reported to be in no stream.
    denied: Vec<Vec<u8>>,
    pub(super) written: u64,
    pub(super) failed: u64,
}

struct Accepted {
    record: Vec<u8>,
    deadline: Instant,
}

impl Oracle {
    pub(super) fn accepted(&mut self, id: RecordId, record: Vec<u8>, deadline: Instant) {
        let double = self.pending.insert(id, Accepted { record, deadline });
        assert!(
            double.is_none(),
            "no two pending records have the same name"
        );
    }

    pub(super) fn forgotten(&mut self, id: RecordId) {
        self.pending.remove(&id);
    }

    pub(super) fn some_pending(&self, nth: u64) -> Option<RecordId> {
        let mut names: Vec<_> = self.pending.keys().copied().collect();
        names.sort_by_key(|id| id.slot());
        names.get(nth as usize % names.len().max(1)).copied()
    }

    /// Takes the record once: the second time it is not pending any more.
    pub(super) fn completed(&mut self, id: RecordId, result: WriteResult, world: &World) {
        let accepted = self
            .pending
            .remove(&id)
            .expect("only a pending record completes");
        match result {
            Ok(written) => {
                self.written += 1;
                let stored = world.record_at(written.stream, written.dlsn);
                assert_eq!(
                    stored,
                    Some(accepted.record.as_slice()),
                    "the record is where its position says"
                );
            }
            Err(error) => {
                self.failed += 1;
                match error.known {
                    WriteState::NotWritten | WriteState::Rejected => {
                        self.denied.push(accepted.record)
                    }
                    WriteState::Unknown => {}
                }
            }
        }
    }

    /// Checks the state after the machine was driven at `now`.
    pub(super) fn check_deadlines(&self, now: Instant) {
        for accepted in self.pending.values() {
            assert!(
                accepted.deadline > now,
                "a write is completed by its deadline"
            );
        }
    }

    pub(super) fn check_end(&self, world: &World) {
        assert!(
            self.pending.is_empty(),
            "{} writes were never completed",
            self.pending.len()
        );
        for record in &self.denied {
            assert!(
                !world.holds(record),
                "what is called unwritten is in no stream"
            );
        }
    }
}
