//! The rows of the writer's tables. Opaque to whoever provides the memory.

use super::adaptive::Sketch;
use super::health::StreamHealth;
use super::{AttemptReports, MAX_OUTSTANDING, MAX_STREAMS, WriteResult};
use crate::{AttemptId, Cause, Instant, Known, StreamIndex};

/// Names a record from its acceptance until its result is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl RecordId {
    /// The row of the record's slot: below the length of [`Tables::records`](super::Tables), never shared by two records at a time.
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
    /// Waits to be announced, then to be taken.
    Done(WriteResult),
    /// Done and told to nobody: taken, or forgotten, before it was announced.
    Taken,
}

impl RecordSlot {
    /// A free row.
    pub const EMPTY: Self = Self { next: NO_RECORD, generation: 0, deadline: Instant::MAX, report: NO_REPORT, state: RecordState::Free };
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
    pub(crate) health: StreamHealth,
    pub(crate) latency: Sketch,
}

impl StreamSlot {
    /// A fresh row.
    pub const EMPTY: Self = Self { turn: StreamIndex(0), health: StreamHealth::NEW, latency: Sketch::EMPTY };
}

/// What a writer keeps of one attempt, outstanding or ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptSlot {
    pub(crate) id: AttemptId,
    pub(crate) stream: StreamIndex,
    pub(crate) started: Instant,
    pub(crate) state: AttemptState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptState {
    Unused,
    Outstanding,
    /// Given up; the transport is still to be told.
    ToCancel,
    GivenUp {
        ended: Instant,
    },
    Won {
        ended: Instant,
    },
    Failed {
        ended: Instant,
        cause: Cause,
        known: Known,
    },
}

impl AttemptSlot {
    pub(crate) const UNUSED: Self = Self { id: AttemptId(0), stream: StreamIndex(0), started: Instant::ZERO, state: AttemptState::Unused };
}

/// What a writer keeps of one record set.
#[derive(Clone, Copy, Debug)]
pub struct SetSlot {
    pub(crate) phase: SetPhase,
    /// The rest is documented in its place.
    pub(crate) attempts: [AttemptSlot; MAX_OUTSTANDING],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetPhase {
    Free,
    Filling,
    InFlight,
    /// Its records are completed; attempts of it are still to be cancelled.
    Ending,
}

impl SetSlot {
    /// A free row.
    pub const EMPTY: Self = Self { phase: SetPhase::Free, attempts: [AttemptSlot::UNUSED; MAX_OUTSTANDING] };
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
    pub const EMPTY: Self = Self { next: NO_REPORT, records: 0, attempts: AttemptReports::new() };
}
