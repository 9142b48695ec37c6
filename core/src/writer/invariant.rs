use super::machine::Writer;
use super::slots::{AttemptSlot, AttemptState, NO_SET, RecordState, SetPhase, StreamSet};
use super::{Storage, WriterFeatures};
use crate::tables::Timers;

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Checks the invariant of the type's documentation on all tables. For tests: it takes time in
    /// proportion to the tables.
    ///
    /// # Panics
    ///
    /// If the invariant does not hold, which is a bug of the machine.
    pub fn assert_invariant(&self) {
        self.assert_records();
        self.assert_sets();
        self.assert_buffered_bytes();
        self.assert_attempts();
        self.assert_windows();
        self.assert_rotation();
    }

    fn assert_rotation(&self) {
        let rows = &self.storage.streams()[..self.streams as usize];
        let turns = rows.iter().fold(StreamSet::NONE, |mut turns, row| {
            turns.insert(row.turn.0.into());
            turns
        });
        assert_eq!(turns.len(), rows.len(), "each stream has one row");
        assert!(
            (1..=self.streams).contains(&self.members()) && self.next_row < self.members(),
            "the next turn is one of the rotation's"
        );
    }

    fn assert_records(&self) {
        let records = self.storage.records();
        let used = records
            .iter()
            .filter(|record| record.state != RecordState::Free);
        assert_eq!(
            used.count(),
            self.record_slots.len(),
            "the rows in use are counted"
        );
        let mut listed = 0;
        for completed in self.completed.iter(records) {
            let state = records[completed].state;
            assert!(
                matches!(state, RecordState::Done(_) | RecordState::Taken),
                "a record on the completed list is done"
            );
            listed += 1;
        }
        for slot in self.storage.sets() {
            let mut count = slot.expired;
            for record in slot.records.iter(records) {
                let state = records[record].state;
                assert!(
                    matches!(state, RecordState::Pending | RecordState::Forgotten),
                    "a record of a set is pending"
                );
                listed += 1;
                count += 1;
            }
            let holds = matches!(slot.phase, SetPhase::Filling | SetPhase::InFlight);
            assert!(
                !holds || count == slot.content.record_count(),
                "a set's list is what its buffer holds"
            );
        }
        let waiting = records
            .iter()
            .filter(|record| matches!(record.state, RecordState::Announced(_)))
            .count();
        assert_eq!(
            listed + waiting,
            self.record_slots.len(),
            "each record slot is on exactly one list, or its result waits to be taken"
        );
    }

    fn assert_sets(&self) {
        let sets = self.storage.sets();
        let count = |phase| sets.iter().filter(|slot| slot.phase == phase).count();
        assert_eq!(
            count(SetPhase::InFlight),
            self.in_flight as usize,
            "sets in flight are counted"
        );
        assert_eq!(
            count(SetPhase::Ending),
            self.ending as usize,
            "ending sets are counted"
        );
        assert_eq!(
            count(SetPhase::Filling),
            usize::from(self.filling != NO_SET),
            "one set fills at a time"
        );
        assert!(
            self.in_flight + self.ending <= self.bounds.in_flight,
            "no more sets are in flight than may be"
        );
    }

    fn assert_buffered_bytes(&self) {
        let holds = |phase| matches!(phase, SetPhase::Filling | SetPhase::InFlight);
        let bytes = |slot: &super::SetSlot| {
            slot.content.byte_len() - super::limits::HEADER_BYTES + self.bounds.overhead
        };
        let buffered: usize = self
            .storage
            .sets()
            .iter()
            .filter(|slot| holds(slot.phase))
            .map(bytes)
            .sum();
        assert_eq!(buffered, self.buffered, "buffered bytes are counted");
        assert!(
            buffered <= self.bounds.buffered,
            "no more bytes are buffered than may be"
        );
    }

    fn assert_attempts(&self) {
        let sets = self.storage.sets();
        for (index, slot) in sets.iter().enumerate() {
            let outstanding = slot
                .attempts
                .iter()
                .filter(|a| matches!(a.state, AttemptState::Outstanding | AttemptState::ToCancel));
            assert!(
                slot.phase == SetPhase::Free || outstanding.count() == slot.outstanding as usize,
                "outstanding attempts are counted"
            );
            let armed = Timers::is_set(self.storage.timers(), index);
            assert!(
                slot.phase != SetPhase::InFlight || slot.queued || armed,
                "a set in flight is queued or has a timer"
            );
        }
    }

    fn assert_windows(&self) {
        let sets = self.storage.sets();
        for (index, stream) in self.storage.streams()[..self.streams as usize]
            .iter()
            .enumerate()
        {
            let here = |attempt: &&AttemptSlot| {
                attempt.state == AttemptState::Outstanding && usize::from(attempt.stream.0) == index
            };
            let (mut outstanding, mut bytes) = (0, 0);
            for slot in sets.iter().filter(|slot| slot.phase == SetPhase::InFlight) {
                let attempts = slot.attempts.iter().filter(here).count();
                outstanding += attempts;
                bytes += attempts * slot.stored;
            }
            assert_eq!(
                outstanding,
                usize::from(stream.outstanding),
                "what is outstanding at a stream is counted"
            );
            assert!(
                !F::CHOICE || bytes == stream.load.bytes(),
                "the bytes outstanding at a stream are counted"
            );
        }
    }
}
