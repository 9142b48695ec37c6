//! Announcing, taking and forgetting results.

use super::machine::Writer;
use super::slots::{AttemptSlot, AttemptState, NO_REPORT, RecordId, RecordState};
use super::{AttemptOutcome, AttemptReport, Storage, WriteResult, WriterFeatures};
use crate::Instant;
use crate::expect::expect_no_fmt;

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the next record whose result waits to be taken. Each record is announced once;
    /// forgotten ones are not announced.
    pub fn poll_completed(&mut self) -> Option<RecordId> {
        // Bounded: each iteration takes one record off the list.
        while let Some(record) = self.completed.pop_front(self.storage.tables().records) {
            let row = &mut self.storage.tables().records[record];
            match row.state {
                RecordState::Done(result) => {
                    row.state = RecordState::Announced(result);
                    return Some(RecordId {
                        slot: record as u32,
                        generation: row.generation,
                    });
                }
                RecordState::Free
                | RecordState::Pending
                | RecordState::Forgotten
                | RecordState::Announced(_)
                | RecordState::Taken => {
                    debug_assert!(
                        row.state == RecordState::Taken,
                        "a completed record is done, or its result was taken early"
                    );
                    self.free_record(record);
                }
            }
        }
        None
    }

    /// Returns the record in this row if its result waits to be taken and was announced.
    pub(crate) fn announced(&self, row: usize) -> Option<RecordId> {
        let slot = self.storage.records().get(row)?;
        matches!(slot.state, RecordState::Announced(_)).then_some(RecordId {
            slot: row as u32,
            generation: slot.generation,
        })
    }

    /// Returns true until the record's result is taken.
    pub(crate) fn has(&self, record: RecordId) -> bool {
        let row = self.storage.records().get(record.slot());
        row.is_some_and(|row| row.generation == record.generation)
    }

    /// Takes the record's result. `None` while the record is pending, and once the result was
    /// taken: the id is invalid from then on.
    pub fn take(&mut self, record: RecordId) -> Option<WriteResult> {
        let row = self.storage.tables().records.get_mut(record.slot())?;
        if row.generation != record.generation {
            return None;
        }
        match row.state {
            RecordState::Done(result) => {
                row.state = RecordState::Taken;
                Some(result)
            }
            RecordState::Announced(result) => {
                self.free_record(record.slot());
                Some(result)
            }
            RecordState::Free
            | RecordState::Pending
            | RecordState::Forgotten
            | RecordState::Taken => None,
        }
    }

    /// Discards the result of a record, now or when it completes. The record itself is still
    /// written, and so are the others of its set (R14).
    pub fn forget(&mut self, record: RecordId) {
        let Some(row) = self.storage.tables().records.get_mut(record.slot()) else {
            return;
        };
        if row.generation != record.generation {
            return;
        }
        match row.state {
            RecordState::Pending => row.state = RecordState::Forgotten,
            RecordState::Done(_) => row.state = RecordState::Taken,
            RecordState::Announced(_) => self.free_record(record.slot()),
            RecordState::Free | RecordState::Forgotten | RecordState::Taken => {}
        }
    }

    /// Returns the attempts made for a completed record whose result is not taken yet, oldest
    /// first. Empty unless the settings enable reports and the storage had a free row for them.
    pub fn attempt_reports(&self, record: RecordId) -> &[AttemptReport] {
        let Some(row) = self.storage.records().get(record.slot()) else {
            return &[];
        };
        match row.state {
            RecordState::Done(_) | RecordState::Announced(_)
                if row.generation == record.generation && row.report != NO_REPORT =>
            {
                &self.storage.reports()[row.report as usize].attempts
            }
            RecordState::Free
            | RecordState::Pending
            | RecordState::Forgotten
            | RecordState::Taken
            | RecordState::Done(_)
            | RecordState::Announced(_) => &[],
        }
    }

    pub(super) fn free_record(&mut self, record: usize) {
        let records = self.storage.tables().records;
        let row = &mut records[record];
        let report = core::mem::replace(&mut row.report, NO_REPORT);
        row.state = RecordState::Free;
        row.generation = row.generation.wrapping_add(1);
        self.record_slots.give_back(records, record);
        self.drop_report(report);
    }

    /// Stores the attempts of a set for the records that complete now. The row is free when the
    /// last of their results is taken and the caller has called [`drop_report`](Self::drop_report).
    pub(super) fn retain_report(&mut self, set: u16) -> u16 {
        let most = self.bounds.reports as usize;
        if self.report_slots.len() == most {
            return NO_REPORT;
        }
        if S::GROWS
            && self
                .report_slots
                .next(self.storage.reports().len())
                .is_none()
        {
            self.storage.grow_reports(most);
        }
        let now = self.now;
        let tables = self.storage.tables();
        let report = self.report_slots.take(tables.reports);
        let row = &mut tables.reports[report];
        row.records = 1;
        row.attempts.clear();
        let attempts = &tables.sets[set as usize].attempts;
        let mut last = None;
        // Oldest first: selects the attempt with the next higher id until there is none. Quadratic,
        // but bounded by the number of attempts that a set keeps.
        while let Some(attempt) = attempts
            .iter()
            .filter(|attempt| {
                attempt.state != AttemptState::Unused && last.is_none_or(|last| attempt.id.0 > last)
            })
            .min_by_key(|attempt| attempt.id.0)
        {
            last = Some(attempt.id.0);
            expect_no_fmt(
                row.attempts.push(report_of(attempt, now)),
                "a set keeps no more attempts than a report holds",
            );
        }
        report as u16
    }

    /// Releases one record's use of the report.
    pub(super) fn drop_report(&mut self, report: u16) {
        if report == NO_REPORT {
            return;
        }
        let reports = self.storage.tables().reports;
        let row = &mut reports[report as usize];
        row.records -= 1;
        if row.records == 0 {
            self.report_slots.give_back(reports, report.into());
        }
    }
}

fn report_of(attempt: &AttemptSlot, now: Instant) -> AttemptReport {
    let (ended, outcome) = match attempt.state {
        AttemptState::Won => (attempt.ended, AttemptOutcome::Won),
        AttemptState::Failed { cause, known } => {
            (attempt.ended, AttemptOutcome::Failed { cause, known })
        }
        AttemptState::ToCancel => (attempt.ended, AttemptOutcome::GivenUp),
        AttemptState::Unused | AttemptState::Outstanding => (now, AttemptOutcome::Outstanding),
    };
    AttemptReport {
        stream: attempt.stream,
        started: attempt.started,
        took: ended.since(attempt.started),
        outcome,
    }
}
