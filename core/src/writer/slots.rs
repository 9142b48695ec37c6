//! The rows of the writer's tables. Opaque to whoever provides the memory.

use super::adaptive::LatencyHistogram;
use super::counters::StreamCounters;
use super::health::StreamHealth;
use super::{AttemptReports, MAX_OUTSTANDING, MAX_STREAMS, WriteResult};
use crate::wire::record_set::{HEADER_BYTES, RecordSetBuilder};
use crate::{AttemptId, Cause, Instant, StreamIndex, WriteState};

/// Names a record from its acceptance until its result is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl RecordId {
    /// The row of the record's slot: below the length of [`StorageTables::records`](super::StorageTables), never
    /// shared by two records at a time.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// No slot, in links between record slots.
pub(crate) const NO_RECORD: u32 = u32::MAX;
/// No slot, in links between set slots.
pub(crate) const NO_SET: u16 = u16::MAX;
/// No slot, in links to attempt reports.
pub(crate) const NO_REPORT: u16 = u16::MAX;

/// What a writer keeps of one record.
#[derive(Clone, Copy, Debug)]
pub struct RecordSlot {
    /// The next record of the same set, of the completed ones, or of the free ones.
    pub(crate) next: u32,
    pub(crate) generation: u32,
    pub(crate) deadline: Instant,
    pub(crate) report: u16,
    pub(crate) state: RecordState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordState {
    Free,
    /// Its set is being filled or is in flight.
    Pending,
    /// As before, and nobody waits for the result (R14).
    Forgotten,
    /// Waits to be announced.
    Done(WriteResult),
    /// Announced, waits to be taken.
    Announced(WriteResult),
    /// Taken or forgotten before it was announced.
    Taken,
}

impl RecordSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        next: NO_RECORD,
        generation: 0,
        deadline: Instant::MAX,
        report: NO_REPORT,
        state: RecordState::Free,
    };
}

/// The streams that a set tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamSet([u64; MAX_STREAMS / 64]);

impl StreamSet {
    pub(crate) const NONE: Self = Self([0; MAX_STREAMS / 64]);

    pub(crate) const fn insert(&mut self, stream: StreamIndex) {
        self.0[stream.0 as usize / 64] |= 1 << (stream.0 % 64);
    }

    pub(crate) const fn contains(&self, stream: StreamIndex) -> bool {
        self.0[stream.0 as usize / 64] & (1 << (stream.0 % 64)) != 0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// What a writer keeps of one stream, and one entry of the rotation.
#[derive(Clone, Copy, Debug)]
pub struct StreamSlot {
    /// The stream whose turn is at this row of the rotation.
    pub(crate) turn: StreamIndex,
    /// Attempts outstanding at the stream: what its window bounds (R9).
    pub(crate) outstanding: u16,
    pub(crate) health: StreamHealth,
    pub(crate) latency: LatencyHistogram,
    pub(crate) counters: StreamCounters,
}

impl StreamSlot {
    /// A fresh row.
    pub const EMPTY: Self = Self {
        turn: StreamIndex(0),
        outstanding: 0,
        health: StreamHealth::NEW,
        latency: LatencyHistogram::EMPTY,
        counters: StreamCounters {
            attempts: 0,
            won: 0,
            failed: 0,
            given_up: 0,
        },
    };
}

/// What a writer keeps of one attempt, outstanding or ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptSlot {
    pub(crate) id: AttemptId,
    pub(crate) stream: StreamIndex,
    pub(crate) kind: AttemptKind,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) state: AttemptState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptState {
    Unused,
    Outstanding,
    /// Given up; the transport is still to be told.
    ToCancel,
    Won,
    Failed {
        cause: Cause,
        known: WriteState,
    },
}

impl AttemptSlot {
    pub(crate) const UNUSED: Self = Self {
        id: AttemptId(0),
        stream: StreamIndex(0),
        kind: AttemptKind::First,
        started: Instant::ZERO,
        ended: Instant::ZERO,
        state: AttemptState::Unused,
    };
}

/// What a writer keeps of one record set.
#[derive(Clone, Copy, Debug)]
pub struct SetSlot {
    pub(crate) phase: SetPhase,
    /// Its records, in the order in which they were written.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// What was appended to its buffer so far.
    pub(crate) content: RecordSetBuilder,
    /// The length of the set in its final form; 0 until it has it.
    pub(crate) stored: usize,
    /// How many of them, from the first, are not in the list any more: they expired while the set
    /// flew.
    pub(crate) expired: u32,
    /// The order of sealing.
    pub(crate) sequence: u64,
    /// The deadline of the last record.
    pub(crate) deadline: Instant,
    /// Whether the set that fills is to be sealed as soon as one more may fly.
    pub(crate) due: bool,
    pub(crate) links: SetLinks,
    /// Whether the set is in the queue of those to transmit.
    pub(crate) queued: bool,
    pub(crate) kind: AttemptKind,
    /// The row of the rotation that was tried last.
    pub(crate) row: u16,
    /// Streams tried in this round.
    pub(crate) tried: StreamSet,
    /// Streams that said that they will never take this set.
    pub(crate) refused_by: StreamSet,
    pub(crate) round: u32,
    /// Attempts that the transport took in this round.
    pub(crate) attempts_in_round: u16,
    pub(crate) attempts: [AttemptSlot; MAX_OUTSTANDING],
    pub(crate) outstanding: u8,
    /// Attempts that the transport took.
    pub(crate) attempts_made: u32,
    /// Whether an attempt that failed may have written the set.
    pub(crate) may_be_written: bool,
    /// Whether a proxy said that the records themselves are at fault.
    pub(crate) rejected: bool,
    pub(crate) last_cause: Option<Cause>,
    /// Whether a proxy asked for less load: the set is not hedged any more (R8).
    pub(crate) pushed_back: bool,
    /// The speculative timeout after the next hedge, in microseconds (R3).
    pub(crate) speculative_timeout: u64,
    /// The deadline of the first record.
    pub(crate) expire_at: Instant,
    pub(crate) flush_at: Instant,
    pub(crate) speculate_at: Instant,
    pub(crate) retry_at: Instant,
    /// Where in the timer heap the set's entry is.
    pub(crate) timer_index: u16,
}

/// The lists that a set slot is on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetLinks {
    /// The set in flight that was sealed before this one.
    pub(crate) older: u16,
    /// The set in flight that was sealed after this one.
    pub(crate) newer: u16,
    /// The next in the queue of sets to transmit, or the next free one.
    pub(crate) queue: u16,
    /// The next one with attempts to cancel.
    pub(crate) ending: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetPhase {
    Free,
    Filling,
    InFlight,
    /// Its records are completed; attempts of it are still to be cancelled, or the queue still
    /// names it.
    Ending,
}

/// Why a set is in the queue of those to transmit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptKind {
    First,
    Retry,
    Hedge,
    /// A copy of a set whose first attempt went to a healthy stream, for a stream whose probation
    /// is over: whoever waits for the set loses nothing when the stream is still ill (R9).
    Probe,
}

impl SetSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        phase: SetPhase::Free,
        first: NO_RECORD,
        last: NO_RECORD,
        content: RecordSetBuilder::new(HEADER_BYTES, false),
        stored: 0,
        expired: 0,
        sequence: 0,
        deadline: Instant::MAX,
        due: false,
        links: SetLinks {
            older: NO_SET,
            newer: NO_SET,
            queue: NO_SET,
            ending: NO_SET,
        },
        queued: false,
        kind: AttemptKind::First,
        row: 0,
        tried: StreamSet::NONE,
        refused_by: StreamSet::NONE,
        round: 0,
        attempts_in_round: 0,
        attempts: [AttemptSlot::UNUSED; MAX_OUTSTANDING],
        outstanding: 0,
        attempts_made: 0,
        may_be_written: false,
        rejected: false,
        last_cause: None,
        pushed_back: false,
        speculative_timeout: 0,
        expire_at: Instant::MAX,
        flush_at: Instant::MAX,
        speculate_at: Instant::MAX,
        retry_at: Instant::MAX,
        timer_index: NO_SET,
    };
}

/// One entry of the timer table.
#[derive(Clone, Copy, Debug)]
pub struct TimerSlot {
    pub(crate) at: Instant,
    pub(crate) set: u16,
}

impl TimerSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        at: Instant::MAX,
        set: NO_SET,
    };
}

/// The attempts of a set that ended, until the last of its records was taken.
#[derive(Clone, Debug)]
pub struct ReportSlot {
    pub(crate) next: u16,
    pub(crate) records: u32,
    pub(crate) attempts: AttemptReports,
}

impl ReportSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        next: NO_REPORT,
        records: 0,
        attempts: AttemptReports::new(),
    };
}
