//! The end of sets and the completion of their records.

use super::health::Observation;
use super::machine::Writer;
use super::slots::{AttemptKind, AttemptState, RecordState, SetPhase};
use super::{Reason, Storage, WriteError, WriteResult, WriterFeatures, Written};
use crate::{AttemptId, Dlsn, Instant, StreamIndex, WriteState};

/// Reason for which outstanding attempts are cancelled. It determines what their end says about
/// their streams.
#[derive(Clone, Copy)]
enum CancelReason {
    /// Another attempt won: attempts that started before it are slow, and so is a probe.
    LostTo(AttemptId),
    /// The set's deadline passed: all its attempts are slow.
    TimedOut,
    /// The set ends for a reason that says nothing about its attempts.
    SetEnded,
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Completes every record of a set with its position, and cancels the other attempts (R11).
    pub(super) fn win_set(
        &mut self,
        set: u16,
        attempt_index: usize,
        stream: StreamIndex,
        dlsn: Dlsn,
        now: Instant,
    ) {
        let winner = self.storage.sets()[set as usize].attempts[attempt_index].id;
        self.cancel_attempts(set, CancelReason::LostTo(winner), now);
        let report = self.retain_report(set);
        let slot = &self.storage.sets()[set as usize];
        let (mut index, attempts) = (slot.expired, slot.attempts_made);
        while let Some(record) = self.pop_record(set) {
            self.complete(
                record,
                Ok(Written {
                    stream,
                    dlsn: dlsn.slot(index),
                    attempts,
                }),
                report,
            );
            index += 1;
        }
        self.drop_report(report);
        self.end_set(set);
    }

    /// Fails every record of a set, and cancels its outstanding attempts.
    pub(super) fn fail_set(&mut self, set: u16, reason: Reason, now: Instant) {
        let slot = &self.storage.sets()[set as usize];
        let unknown = slot.may_be_written || slot.outstanding > 0;
        #[cfg(seeded_bugs)]
        let unknown = unknown
            && (slot.may_be_written
                || !crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::OutstandingForgotten));
        let known = match (unknown, slot.rejected) {
            (true, _) => WriteState::Unknown,
            (false, true) => WriteState::Rejected,
            (false, false) => WriteState::NotWritten,
        };
        let error = WriteError {
            known,
            reason,
            last_cause: slot.last_cause,
            attempts: slot.attempts_made,
        };
        crate::report!(
            warn,
            "the records of a set failed; attempts: {}, {}",
            error.attempts,
            known.name(),
        );
        self.cancel_attempts(
            set,
            if reason == Reason::TimedOut {
                CancelReason::TimedOut
            } else {
                CancelReason::SetEnded
            },
            now,
        );
        self.fail_first(set, u32::MAX, error);
        self.end_set(set);
    }

    /// Fails the first `count` records of a set and removes them from its list.
    pub(super) fn fail_first(&mut self, set: u16, count: u32, error: WriteError) {
        let report = self.retain_report(set);
        let mut failed = 0;
        while failed < count
            && let Some(record) = self.pop_record(set)
        {
            self.complete(record, Err(error), report);
            failed += 1;
        }
        self.drop_report(report);
        let tables = self.storage.tables();
        let slot = &mut tables.sets[set as usize];
        slot.expired += failed;
        let first = slot.records.first();
        slot.expire_at = first.map_or(Instant::MAX, |record| tables.records[record].deadline);
    }

    /// Takes the first record off a set's list.
    fn pop_record(&mut self, set: u16) -> Option<usize> {
        let tables = self.storage.tables();
        let records = &mut tables.sets[set as usize].records;
        records.pop_front(tables.records)
    }

    /// Completes one record. If its result was forgotten, the slot is free at once (R14).
    fn complete(&mut self, record: usize, result: WriteResult, report: u16) {
        let counter = if result.is_ok() {
            &mut self.counters.records_written
        } else {
            &mut self.counters.records_failed
        };
        *counter = counter.wrapping_add(1);
        let tables = self.storage.tables();
        let row = &mut tables.records[record];
        match row.state {
            RecordState::Pending => {
                row.state = RecordState::Done(result);
                row.report = report;
                if let Some(report) = tables.reports.get_mut(report as usize) {
                    report.records += 1;
                }
                self.completed.push_back(tables.records, record);
            }
            RecordState::Forgotten => self.free_record(record),
            RecordState::Free
            | RecordState::Done(_)
            | RecordState::Announced(_)
            | RecordState::Taken => {
                debug_assert!(false, "a record on a set's list is pending");
            }
        }
    }

    /// Marks outstanding attempts for cancellation, and updates the health and latency of their
    /// streams.
    fn cancel_attempts(&mut self, set: u16, reason: CancelReason, now: Instant) {
        for attempt_index in 0..super::MAX_OUTSTANDING {
            let slot = &mut self.storage.tables().sets[set as usize];
            if slot.outstanding == 0 {
                return;
            }
            let attempt = &mut slot.attempts[attempt_index];
            if attempt.state != AttemptState::Outstanding {
                continue;
            }
            attempt.state = AttemptState::ToCancel;
            attempt.ended = now;
            let attempt = *attempt;
            let bytes = slot.stored;
            if attempt.kind == AttemptKind::Hedge {
                self.counters.hedges_wasted = self.counters.hedges_wasted.wrapping_add(1);
            }
            self.unload_stream(attempt.stream, bytes);
            self.count_stream(attempt.stream, |counters| &mut counters.given_up);
            let overtaken = match reason {
                CancelReason::LostTo(winner) => attempt.id.0 < winner.0,
                CancelReason::TimedOut => true,
                CancelReason::SetEnded => false,
            };
            if overtaken {
                let took =
                    (attempt.kind == AttemptKind::First).then(|| now.micros_since(attempt.started));
                self.observe(attempt.stream, Observation::Slow, took, now);
            } else if attempt.kind == AttemptKind::Probe
                && matches!(reason, CancelReason::LostTo(_))
            {
                // A probe starts after the attempt that won, so that its latency is unknown.
                self.observe(attempt.stream, Observation::Slow, None, now);
            } else {
                self.note_inconclusive(attempt.stream, now);
            }
        }
    }

    /// Removes a set whose records are completed from the list of sets in flight. Its slot is free
    /// once its attempts are cancelled.
    fn end_set(&mut self, set: u16) {
        self.disarm(set);
        self.release_bytes(set);
        let sets = self.storage.tables().sets;
        let slot = &mut sets[set as usize];
        slot.phase = SetPhase::Ending;
        debug_assert!(slot.records.is_empty(), "its records are completed");
        let cancels = slot.outstanding > 0;
        self.in_flight_sets.remove(sets, set.into());
        if cancels {
            self.ending_sets.push_front(sets, set.into());
        }
        self.in_flight -= 1;
        self.ending += 1;
        self.free_if_unused(set);
    }

    /// Frees the slot of an ended set if no list refers to it any more.
    pub(super) fn free_if_unused(&mut self, set: u16) {
        let slot = &self.storage.sets()[set as usize];
        if slot.phase == SetPhase::Ending && !slot.queued && slot.outstanding == 0 {
            self.ending -= 1;
            self.free_set(set);
        }
    }

    pub(super) fn release_bytes(&mut self, set: u16) {
        self.buffered -= self.storage.sets()[set as usize].content.byte_len()
            - super::limits::HEADER_BYTES
            + self.bounds.overhead;
    }

    pub(super) fn free_set(&mut self, set: u16) {
        let sets = self.storage.tables().sets;
        sets[set as usize].phase = SetPhase::Free;
        self.set_slots.give_back(sets, set.into());
    }
}
