//! What was promised, and the checks that it is kept.

use core::time::Duration;
use std::collections::BTreeMap;

use distributedlog::Dlsn;
use distributedlog_store::{ReadBatch, StoreError, StreamName};

use super::records::{RecordId, id_of, record};

/// Outcome of an append, as its writer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// None yet.
    Pending,
    /// Written, at the position of the first record.
    Written(Dlsn),
    /// Nothing was written.
    NotWritten,
    /// It is not known if it was written.
    Unknown,
}

/// A record that was given to an append.
#[derive(Clone, Copy, Debug)]
struct Record {
    stream: usize,
    /// Time at which its append began.
    begun: Duration,
    outcome: Outcome,
    /// True if the stream was deleted since the append began: the record may be gone.
    is_excused: bool,
    /// True if the record is gone.
    is_gone: bool,
    /// Position at which the record was seen.
    seen: Option<Dlsn>,
}

/// A stream's promises, in its present life.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: StreamName,
    /// Number of deletions that began or ended.
    changes: u64,
    is_deleting: bool,
    /// Time of the last deletion: for a moment others do not know of it.
    deleted: Duration,
    /// Records that are known to be there, by position.
    content: BTreeMap<Dlsn, RecordId>,
    /// Position before which records may be gone.
    truncated: Dlsn,
    /// Positions of truncations that are under way, or whose process died.
    truncating: Vec<Dlsn>,
    /// Acknowledged appends by lease: the number of the call, and the position.
    leases: BTreeMap<u64, BTreeMap<u64, Dlsn>>,
}

/// State of a stream when a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// Numbers of records by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// Acknowledged.
    pub written: u64,
    /// Said to be not written.
    pub not_written: u64,
    /// Said to be unknown, or without an outcome because the process was killed.
    pub unknown: u64,
}

/// An append that was begun.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) stream: usize,
    /// Epoch of the lease, and number of the call in it.
    pub(super) lease: (u64, u64),
    pub(super) ids: Vec<RecordId>,
    /// Slots of each record.
    pub(super) slots: Vec<u32>,
}

/// The promises of all streams.
#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) streams: Vec<Stream>,
    /// Age at which log segments are deleted.
    retention: Option<Duration>,
    records: Vec<Record>,
    /// Records that readers saw.
    pub(super) records_read: u64,
}

/// Time in which a process learns of a deletion, while nothing keeps it from it.
const NEWS: Duration = Duration::from_secs(1);

/// Unit of the processes' clocks.
const TICK: Duration = Duration::from_millis(1);

/// Position before everything.
pub(super) const START: Dlsn = Dlsn::new(1, 0, 0);

impl Oracle {
    pub(super) fn new(streams: usize, retention: Option<Duration>) -> Self {
        let stream = |number: usize| Stream {
            name: format!("stream-{number}").parse().expect("a valid name"),
            changes: 0,
            is_deleting: false,
            deleted: Duration::ZERO,
            content: BTreeMap::new(),
            truncated: START,
            truncating: Vec::new(),
            leases: BTreeMap::new(),
        };
        Self {
            streams: (0..streams).map(stream).collect(),
            retention,
            records: Vec::new(),
            records_read: 0,
        }
    }

    /// Takes new records of a stream.
    pub(super) fn begin(&mut self, stream: usize, count: usize, now: Duration) -> Vec<RecordId> {
        let first = self.records.len() as RecordId;
        let is_excused = self.streams[stream].is_deleting;
        let record = Record {
            stream,
            begun: now,
            outcome: Outcome::Pending,
            is_excused,
            is_gone: false,
            seen: None,
        };
        self.records.resize(self.records.len() + count, record);
        (first..first + count as RecordId).collect()
    }

    /// Takes the outcome of an append. Returns the position if it counts: the stream has not been
    /// deleted since the append began.
    pub(super) fn end(&mut self, begun: &Begun, result: &Result<Dlsn, StoreError>) -> Option<Dlsn> {
        let outcome = outcome_of(result);
        for &id in &begun.ids {
            let record = &mut self.records[id as usize];
            assert_eq!(record.outcome, Outcome::Pending, "an append ends once");
            record.outcome = outcome;
            if outcome == Outcome::NotWritten {
                assert_eq!(record.seen, None, "I2 {id} was seen, and is not written");
            }
        }
        let Outcome::Written(first) = outcome else {
            return None;
        };
        let mut at = first;
        let mut counts = true;
        for (&id, &slots) in begun.ids.iter().zip(&begun.slots) {
            self.records[id as usize].outcome = Outcome::Written(at);
            counts &= !self.records[id as usize].is_excused;
            if counts {
                self.place(begun.stream, id, at);
            }
            at.slot_id += i64::from(slots);
        }
        if counts {
            self.check_order(begun, first);
        }
        counts.then_some(first)
    }

    /// A record is at a position: no other was there, and it was at no other.
    fn place(&mut self, stream: usize, id: RecordId, at: Dlsn) {
        let record = &mut self.records[id as usize];
        if let Some(seen) = record.seen.filter(|_| !record.is_excused) {
            assert_eq!(seen, at, "I2 record {id} is there twice");
        }
        record.seen = Some(at);
        let before = self.streams[stream].content.insert(at, id);
        assert!(
            before.is_none_or(|it| it == id),
            "I4 record {before:?} was at {at:?}, and {id} is"
        );
    }

    /// Positions of a lease ascend with its calls, and leases do not write between each other.
    fn check_order(&mut self, begun: &Begun, at: Dlsn) {
        let (lease, call) = begun.lease;
        let leases = &mut self.streams[begun.stream].leases;
        let calls = leases.entry(lease).or_default();
        calls.insert(call, at);
        let before = calls.range(..call).next_back();
        let after = calls.range(call + 1..).next();
        assert!(
            before.is_none_or(|it| *it.1 < at) && after.is_none_or(|it| at < *it.1),
            "I4 call {call} at {at:?} is between {before:?} and {after:?}"
        );
        let ends = |calls: &BTreeMap<u64, Dlsn>| {
            let (first, last) = (calls.first_key_value()?, calls.last_key_value()?);
            Some((
                first.1.log_segment_sequence_no,
                last.1.log_segment_sequence_no,
            ))
        };
        let own = leases.get(&lease).and_then(ends).expect("it has a call");
        for (other, calls) in leases.iter().filter(|it| *it.0 != lease) {
            let ends = ends(calls).expect("it has a call");
            assert!(
                own.1 < ends.0 || ends.1 < own.0,
                "I6 leases {lease} and {other} both wrote: segments {own:?} and {ends:?}"
            );
        }
    }

    /// Returns the state of a stream, or `None` while it is being deleted: a read then shows
    /// nothing.
    pub(super) fn moment(&self, stream: usize) -> Option<Moment> {
        let stream = &self.streams[stream];
        (!stream.is_deleting).then_some(Moment(stream.changes))
    }

    /// Returns the state of a stream as of a read by a process that was back at a time, if it knows
    /// of the last deletion.
    pub(super) fn read_moment(
        &self,
        stream: usize,
        back: Duration,
        now: Duration,
    ) -> Option<Moment> {
        let known = self.streams[stream].deleted.max(back) + NEWS;
        let is_known = self.streams[stream].deleted == Duration::ZERO || known < now;
        self.moment(stream).filter(|_| is_known)
    }

    /// Checks what a read returned that began at a moment. A read of an earlier life, or across a
    /// deletion, shows nothing.
    pub(super) fn check_read(
        &mut self,
        stream: usize,
        moment: Moment,
        (from, now): (Dlsn, Duration),
        read: &ReadBatch,
    ) {
        if self.moment(stream) != Some(moment) {
            return;
        }
        assert!(read.start >= from && read.next >= from, "I4 {read:?}");
        let mut found = Vec::new();
        for entry in &read.entries {
            let mut at = entry.dlsn;
            for record in &entry.records {
                if record.slots > 0 {
                    found.push((at, id_of(record), record.slots));
                }
                at.slot_id += i64::from(record.slots.max(1));
            }
        }
        assert!(found.is_sorted_by_key(|it| it.0), "I4 positions ascend");
        for &(at, id, _) in &found {
            let record = self.records.get(id as usize).expect("I2 it was appended");
            assert_eq!(record.stream, stream, "I2 record {id} at {at:?}");
            assert!(
                !record.is_gone,
                "I2 record {id} was deleted, and is at {at:?}"
            );
            match record.outcome {
                Outcome::Written(written) => {
                    assert_eq!(written, at, "I1 record {id} is not at its position");
                }
                Outcome::NotWritten => {
                    panic!("I2 record {id} was said to be not written, and is at {at:?}");
                }
                Outcome::Pending | Outcome::Unknown => {}
            }
            self.place(stream, id, at);
            self.records_read += 1;
        }
        // What is known to be there between its ends was returned.
        let known = &self.streams[stream];
        let start = read.start.max(known.truncated);
        if start < read.next {
            for (at, id) in known.content.range(start..read.next) {
                // Segments that expire are deleted from the beginning on.
                let number = at.log_segment_sequence_no;
                let mut others = found.iter().map(|it| it.0.log_segment_sequence_no);
                let is_expired = self.has_expired(*id, now) && others.all(|it| it > number);
                assert!(
                    is_expired || found.iter().any(|it| it.0 == *at),
                    "I1 record {id} at {at:?} was not returned between {start:?} and {:?}",
                    read.next
                );
            }
        }
    }

    /// Returns true if the segment of a record may have been deleted because of its age: it was
    /// completed after the record's append began.
    fn has_expired(&self, id: RecordId, now: Duration) -> bool {
        let begun = self.records[id as usize].begun;
        self.retention.is_some_and(|age| begun + age <= now + TICK)
    }

    /// Everything that was acknowledged, or seen, is before the end that a reader reached.
    pub(super) fn check_end(&self, stream: usize, end: Dlsn, now: Duration) {
        let known = &self.streams[stream];
        let last = known.content.range(known.truncated..).next_back();
        assert!(
            known.is_deleting || last.is_none_or(|it| *it.0 < end || self.has_expired(*it.1, now)),
            "I1 record {last:?} is there, and the stream ends at {end:?}"
        );
    }

    /// Returns the number of records of each segment that is known as a whole, by stream.
    pub(super) fn segment_counts(&self) -> Vec<BTreeMap<i64, i32>> {
        let slots = |id: RecordId| record(id).slots as i32;
        let counted = self.streams.iter().map(|stream| {
            let mut counts = BTreeMap::new();
            if stream.is_deleting {
                // Its deletion failed: what was appended since is not known.
                return counts;
            }
            for (at, &id) in stream.content.range(stream.truncated..) {
                *counts.entry(at.log_segment_sequence_no).or_default() += slots(id);
            }
            // Records before the truncation point may be unknown.
            counts.remove(&stream.truncated.log_segment_sequence_no);
            counts
        });
        counted.collect()
    }

    pub(super) fn begin_truncate(&mut self, stream: usize, before: Dlsn) {
        let stream = &mut self.streams[stream];
        stream.truncated = before.max(stream.truncated);
        stream.truncating.push(before);
    }

    /// A truncation has an outcome: a stream that is created from now on is not concerned.
    pub(super) fn end_truncate(&mut self, stream: usize, before: Dlsn) {
        let truncating = &mut self.streams[stream].truncating;
        if let Some(at) = truncating.iter().position(|it| *it == before) {
            truncating.swap_remove(at);
        }
    }

    /// Returns a position to truncate before: that of a known record.
    pub(super) fn position(&self, stream: usize, random: u64) -> Option<Dlsn> {
        let content = &self.streams[stream].content;
        let index = random as usize % content.len().max(1);
        content.keys().nth(index).copied()
    }

    /// A deletion begins: all records may be gone.
    pub(super) fn begin_delete(&mut self, stream: usize) {
        let state = &mut self.streams[stream];
        state.is_deleting = true;
        state.changes += 1;
        for record in self.records.iter_mut().filter(|it| it.stream == stream) {
            record.is_excused = true;
        }
    }

    /// A deletion was refused before it deleted anything.
    pub(super) fn give_up_delete(&mut self, stream: usize) {
        let state = &mut self.streams[stream];
        state.is_deleting = false;
        state.changes += 1;
        // What is there need not be: its records are excused.
        state.content.clear();
    }

    /// A deletion succeeded: what had its outcome before is gone.
    pub(super) fn end_delete(&mut self, stream: usize, now: Duration) {
        let state = &mut self.streams[stream];
        state.deleted = now;
        state.is_deleting = false;
        state.changes += 1;
        state.content.clear();
        state.leases.clear();
        // One that began before may take effect on the stream that is created next.
        let truncating = state.truncating.iter().copied();
        state.truncated = truncating.max().unwrap_or(START);
        for record in self.records.iter_mut().filter(|it| it.stream == stream) {
            record.is_excused = true;
            record.is_gone |= record.outcome != Outcome::Pending;
            record.seen = None;
        }
    }

    pub(super) fn counts(&self) -> OutcomeCounts {
        let mut counts = OutcomeCounts::default();
        for record in &self.records {
            *match record.outcome {
                Outcome::Written(_) => &mut counts.written,
                Outcome::NotWritten => &mut counts.not_written,
                Outcome::Pending | Outcome::Unknown => &mut counts.unknown,
            } += 1;
        }
        counts
    }
}

/// Returns the meaning of an append's result: each error says if anything was written.
fn outcome_of(result: &Result<Dlsn, StoreError>) -> Outcome {
    match result {
        Ok(at) => Outcome::Written(*at),
        Err(StoreError::Disconnected { .. } | StoreError::Io { .. }) => Outcome::Unknown,
        Err(_) => Outcome::NotWritten,
    }
}
