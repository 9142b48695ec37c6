//! How sets end and their records complete.

use super::health::Sign;
use super::machine::Writer;
use super::slots::{AttemptState, Intent, NO_RECORD, NO_SET, RecordState, SetPhase};
use super::{Reason, Storage, WriteError, WriteResult, WriterFeatures, Written};
use crate::{AttemptId, Dlsn, Instant, StreamIndex, WriteState};

/// Why outstanding attempts are given up, and what that says of their streams.
#[derive(Clone, Copy)]
enum GivenUp {
    /// When another attempt won: those that were started before it are slow, and a probe is.
    LostTo(AttemptId),
    /// When the set's time is over: all are slow.
    TooSlow,
    /// When the set ends for a reason that says nothing of them.
    Untold,
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// An attempt was answered: every record has its position, and the other attempts lost (R11).
    pub(super) fn win_set(
        &mut self,
        set: u16,
        place: usize,
        stream: StreamIndex,
        dlsn: Dlsn,
        now: Instant,
    ) {
        let winner = self.storage.sets()[set as usize].attempts[place].id;
        self.give_up_attempts(set, GivenUp::LostTo(winner), now);
        let report = self.keep_report(set);
        let slot = &self.storage.sets()[set as usize];
        let (mut record, mut index, attempts) = (slot.first, slot.expired, slot.made);
        while record != NO_RECORD {
            let next = self.storage.records()[record as usize].next;
            self.complete(
                record,
                Ok(Written {
                    stream,
                    dlsn: dlsn.slot(index),
                    attempts,
                }),
                report,
            );
            record = next;
            index += 1;
        }
        self.drop_report(report);
        self.end_set(set);
    }

    /// The set failed: whatever is outstanding is given up.
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
            attempts: slot.made,
        };
        self.give_up_attempts(
            set,
            if reason == Reason::TimedOut {
                GivenUp::TooSlow
            } else {
                GivenUp::Untold
            },
            now,
        );
        self.fail_first(set, u32::MAX, error);
        self.end_set(set);
    }

    /// Fails the first `count` records of a set and takes them off its list.
    pub(super) fn fail_first(&mut self, set: u16, count: u32, error: WriteError) {
        let report = self.keep_report(set);
        let mut record = self.storage.sets()[set as usize].first;
        let mut failed = 0;
        while record != NO_RECORD && failed < count {
            let next = self.storage.records()[record as usize].next;
            self.complete(record, Err(error), report);
            record = next;
            failed += 1;
        }
        self.drop_report(report);
        let tables = self.storage.tables();
        let slot = &mut tables.sets[set as usize];
        slot.first = record;
        slot.expired += failed;
        slot.expire_at = tables
            .records
            .get(record as usize)
            .map_or(Instant::MAX, |row| row.deadline);
    }

    /// Completes one record. Its slot is free at once when nobody waits for the result (R14).
    fn complete(&mut self, record: u32, result: WriteResult, report: u16) {
        let counter = if result.is_ok() {
            &mut self.counters.records_written
        } else {
            &mut self.counters.records_failed
        };
        *counter = counter.wrapping_add(1);
        let tables = self.storage.tables();
        let row = &mut tables.records[record as usize];
        match row.state {
            RecordState::Pending => {
                row.state = RecordState::Done(result);
                row.report = report;
                row.next = NO_RECORD;
                if let Some(report) = tables.reports.get_mut(report as usize) {
                    report.records += 1;
                }
                match self.completed_last {
                    NO_RECORD => self.completed_first = record,
                    last => tables.records[last as usize].next = record,
                }
                self.completed_last = record;
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

    /// Marks what is outstanding as to be cancelled, and tells health and latency of it.
    fn give_up_attempts(&mut self, set: u16, why: GivenUp, now: Instant) {
        for place in 0..super::MAX_OUTSTANDING {
            let slot = &mut self.storage.tables().sets[set as usize];
            if slot.outstanding == 0 {
                return;
            }
            let attempt = &mut slot.attempts[place];
            if attempt.state != AttemptState::Outstanding {
                continue;
            }
            attempt.state = AttemptState::ToCancel;
            attempt.ended = now;
            let attempt = *attempt;
            if attempt.intent == Intent::Hedge {
                self.counters.hedges_wasted = self.counters.hedges_wasted.wrapping_add(1);
            }
            self.leave(attempt.stream);
            self.count_for(attempt.stream, |counters| &mut counters.given_up);
            let overtaken = match why {
                GivenUp::LostTo(winner) => attempt.id.0 < winner.0,
                GivenUp::TooSlow => true,
                GivenUp::Untold => false,
            };
            if overtaken {
                let took =
                    (attempt.intent == Intent::First).then(|| now.micros_since(attempt.started));
                self.learn(attempt.stream, Sign::Slow, took, now);
            } else if attempt.intent == Intent::Probe && matches!(why, GivenUp::LostTo(_)) {
                // How long it would have taken, nobody knows: it had no time to show it.
                self.learn(attempt.stream, Sign::Slow, None, now);
            } else {
                self.abandon(attempt.stream, now);
            }
        }
    }

    /// Takes a set whose records are completed out of the way; its slot is free when its attempts
    /// are cancelled.
    fn end_set(&mut self, set: u16) {
        self.disarm(set);
        self.release_bytes(set);
        let sets = self.storage.tables().sets;
        let slot = &mut sets[set as usize];
        slot.phase = SetPhase::Ending;
        slot.first = NO_RECORD;
        if slot.outstanding > 0 {
            slot.links.ending = self.ending_first;
            self.ending_first = set;
        }
        let (older, newer) = (slot.links.older, slot.links.newer);
        match older {
            NO_SET => self.oldest_set = newer,
            older => sets[older as usize].links.newer = newer,
        }
        match newer {
            NO_SET => self.newest_set = older,
            newer => sets[newer as usize].links.older = older,
        }
        self.flying -= 1;
        self.ending += 1;
        self.free_if_over(set);
    }

    /// Frees an ended set's slot once nothing names it any more.
    pub(super) fn free_if_over(&mut self, set: u16) {
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
        let slot = &mut self.storage.tables().sets[set as usize];
        slot.phase = SetPhase::Free;
        slot.links.queue = self.free_sets;
        self.free_sets = set;
    }
}
