//! The rows of the writer's tables. Their content is private to the writer.

use super::adaptive::LatencyHistogram;
use super::choice::StreamLoad;
use super::counters::StreamCounters;
use super::health::StreamHealth;
use super::{AttemptReports, MAX_OUTSTANDING, MAX_STREAMS, WriteResult};
use crate::tables::{Bits, Links, Queue, linked};
use crate::wire::record_set::{HEADER_BYTES, RecordSetBuilder};
use crate::{AttemptId, Cause, FailureDomain, Instant, StreamIndex, WriteState};

/// Identifies a record from its acceptance until its result is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl RecordId {
    /// Returns the row of the record's slot. It is below the length of
    /// [`StorageTables::records`](super::StorageTables), and no two records share it at a time.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Stands for no set.
pub(crate) const NO_SET: u16 = u16::MAX;
/// Stands for no report.
pub(crate) const NO_REPORT: u16 = u16::MAX;

/// State of one record.
#[derive(Clone, Copy, Debug)]
pub struct RecordSlot {
    /// Its place among the records of its set, the completed ones, or the free ones.
    links: Links,
    pub(crate) generation: u32,
    pub(crate) deadline: Instant,
    pub(crate) report: u16,
    pub(crate) state: RecordState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordState {
    Free,
    /// The record's set is filling or in flight.
    Pending,
    /// The record's set is filling or in flight, and its result will be discarded (R14).
    Forgotten,
    /// The record is completed and not announced yet.
    Done(WriteResult),
    /// The record is completed and announced, and its result not taken yet.
    Announced(WriteResult),
    /// The result was taken or discarded before the record was announced.
    Taken,
}

impl RecordSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        links: Links::NONE,
        generation: 0,
        deadline: Instant::MAX,
        report: NO_REPORT,
        state: RecordState::Free,
    };
}

/// A set of streams.
pub(crate) type StreamSet = Bits<{ MAX_STREAMS / 32 }>;

/// State of one stream, and one entry of the rotation.
#[derive(Clone, Copy, Debug)]
pub struct StreamSlot {
    /// The stream whose turn is at this row of the rotation. It is independent of the rest of the
    /// row, which belongs to the stream of the row's index. Rows behind the rotation have the
    /// streams that were removed, in the order in which they were (R17).
    pub(crate) turn: StreamIndex,
    /// Attempts outstanding at the stream, limited by its window (R9).
    pub(crate) outstanding: u16,
    /// Time of the last answer, or of the begin of the first attempt since then if none was
    /// outstanding (R21).
    pub(crate) quiet_since: Instant,
    /// Failure domain of its storage, as far as it is known (R22).
    pub(crate) domain: Option<FailureDomain>,
    /// The load by which streams are chosen (R19).
    pub(crate) load: StreamLoad,
    pub(crate) health: StreamHealth,
    pub(crate) latency: LatencyHistogram,
    pub(crate) counters: StreamCounters,
}

impl StreamSlot {
    /// A fresh row.
    pub const EMPTY: Self = Self {
        turn: StreamIndex(0),
        outstanding: 0,
        quiet_since: Instant::ZERO,
        domain: None,
        load: StreamLoad::NEW,
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

/// State of one attempt, outstanding or ended.
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
    /// Cancelled, but the cancellation is not polled yet.
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

/// State of one record set.
#[derive(Clone, Copy, Debug)]
pub struct SetSlot {
    pub(crate) phase: SetPhase,
    /// Its records, in the order in which they were written.
    pub(crate) records: Queue,
    /// The content of its buffer so far.
    pub(crate) content: RecordSetBuilder,
    /// Length of the set in its final form; 0 until it has that form.
    pub(crate) stored: usize,
    /// The number of records, from the first, that are not in the list any more because they
    /// expired while the set was in flight.
    pub(crate) expired: u32,
    /// Sequence number in the order of sealing.
    pub(crate) sequence: u64,
    /// The deadline of the last record.
    pub(crate) deadline: Instant,
    /// `true` if the filling set is to be sealed as soon as one more may be in flight.
    pub(crate) due: bool,
    /// Its place among the sets in flight, in the order of sealing, among the ended ones with
    /// attempts to cancel, or among the free ones.
    pub(super) links: Links,
    /// Its place in the queue of sets to transmit.
    pub(super) transmit_links: Links,
    /// `true` if the set is in the queue of sets to transmit.
    pub(crate) queued: bool,
    pub(crate) kind: AttemptKind,
    /// The row of the rotation that was tried last.
    pub(crate) row: u16,
    /// Streams tried in this round.
    pub(crate) tried: StreamSet,
    /// Streams that refused this set permanently.
    pub(crate) refused_by: StreamSet,
    pub(crate) round: u32,
    /// Attempts that the transport accepted in this round.
    pub(crate) attempts_in_round: u16,
    pub(crate) attempts: [AttemptSlot; MAX_OUTSTANDING],
    pub(crate) outstanding: u8,
    /// Attempts that the transport accepted.
    pub(crate) attempts_made: u32,
    /// `true` if a failed attempt may have written the set.
    pub(crate) may_be_written: bool,
    /// `true` if a proxy rejected the records themselves.
    pub(crate) rejected: bool,
    pub(crate) last_cause: Option<Cause>,
    /// `true` if a proxy asked for less load: the set is not hedged any more (R8).
    pub(crate) pushed_back: bool,
    /// The speculative timeout after the next hedge, in microseconds (R3).
    pub(crate) speculative_timeout: u64,
    /// The deadline of the first record.
    pub(crate) expire_at: Instant,
    pub(crate) flush_at: Instant,
    pub(crate) speculate_at: Instant,
    pub(crate) retry_at: Instant,
}

/// Kind of the queue of sets to transmit: a set may be in it and in another list.
pub(crate) const TRANSMIT: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetPhase {
    Free,
    Filling,
    InFlight,
    /// The set's records are completed, but some of its attempts are still to be cancelled, or the
    /// queue still refers to it.
    Ending,
}

/// Reason for which an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptKind {
    First,
    Retry,
    Hedge,
    /// A copy of a set whose first attempt went to a healthy stream, sent to a stream whose
    /// probation is over: the set loses nothing if the stream has not recovered (R9).
    Probe,
}

impl SetSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        phase: SetPhase::Free,
        records: Queue::EMPTY,
        content: RecordSetBuilder::new(HEADER_BYTES, false),
        stored: 0,
        expired: 0,
        sequence: 0,
        deadline: Instant::MAX,
        due: false,
        links: Links::NONE,
        transmit_links: Links::NONE,
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
    };
}

/// The attempts of an ended set, kept until the last of its results is taken.
#[derive(Clone, Debug)]
pub struct ReportSlot {
    links: Links,
    pub(crate) records: u32,
    pub(crate) attempts: AttemptReports,
}

impl ReportSlot {
    /// A free row.
    pub const EMPTY: Self = Self {
        links: Links::NONE,
        records: 0,
        attempts: AttemptReports::new(),
    };
}

linked! {
    RecordSlot: links as 0;
    SetSlot: links as 0;
    SetSlot: transmit_links as TRANSMIT;
    ReportSlot: links as 0;
}
