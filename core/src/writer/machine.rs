use core::fmt;

use super::{AttemptReports, Counters, Memory, RecordId, Refused, Settings, StreamCount, WriteResult};
use crate::{Attempt, AttemptId, Instant, Outcome};

/// The multi stream writer: takes records, fills record sets, says which set to write to which stream when, and completes each record
/// exactly once (R1). No I/O, no clock (R15): who drives it tells it the time and what happened.
///
/// The methods come in families. Commands ([`write`](Self::write), [`flush`](Self::flush), [`close`](Self::close)…) come from the
/// writer's user; `handle_*` tells what happened outside; `poll_*` asks what is to be done. After any call of the first two, drive it:
///
/// 1. [`handle_finished`](Self::handle_finished) for every attempt that has finished: before the timers, so that an answer that is
///    already there is never overtaken by a timer that fired late;
/// 2. [`handle_timeout`](Self::handle_timeout), if [`poll_timeout`](Self::poll_timeout) has come;
/// 3. [`poll_cancel`](Self::poll_cancel), [`poll_transmit`](Self::poll_transmit) and [`poll_completed`](Self::poll_completed) until each
///    has no more;
/// 4. sleep until [`poll_timeout`](Self::poll_timeout), a finished attempt, or a command.
///
/// One invariant holds between any two calls: each record slot is on exactly one list (free, a set's, or completed), and each set in
/// flight has an attempt outstanding, or a timer, or a place in the queue of sets to transmit.
#[derive(Debug)]
pub struct Writer<M: Memory> {
    memory: M,
    settings: Settings,
    counters: Counters,
}

impl<M: Memory> Writer<M> {
    /// A writer over `streams` streams whose tables lie in `memory`.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when a table of the memory is too short to write anything at all.
    pub fn new(settings: Settings, streams: StreamCount, memory: M) -> Result<Self, BuildError> {
        let _ = streams;
        Ok(Self { memory, settings, counters: Counters::default() })
    }

    /// The settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was done so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The longest record that fits a set of this writer.
    pub fn max_record_bytes(&self) -> usize {
        todo!()
    }

    /// Takes a record into the set that fills. The one copy of its bytes is made here.
    ///
    /// # Errors
    ///
    /// [`Refused`]: there is no room (R7), the record is too large, or the writer is closed.
    pub fn write(&mut self, now: Instant, record: &[u8]) -> Result<RecordId, Refused> {
        let _ = (now, record, &mut self.memory);
        todo!()
    }

    /// Holds room for one record of at most `len` bytes: in the worst case the record needs a set of its own, so that a reservation
    /// counts as a set in flight until it is used.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn reserve(&mut self, len: usize) -> Result<Reservation, Refused> {
        let _ = len;
        todo!()
    }

    /// Writes with reserved room: never [`Refused::Full`].
    ///
    /// # Errors
    ///
    /// [`Refused::TooLarge`] when the record is longer than was reserved, [`Refused::Closed`] when the writer was closed meanwhile.
    /// The reservation is used up either way.
    pub fn submit(&mut self, now: Instant, reservation: Reservation, record: &[u8]) -> Result<RecordId, Refused> {
        let _ = (now, reservation, record);
        todo!()
    }

    /// Gives reserved room back.
    pub fn release(&mut self, reservation: Reservation) {
        let _ = reservation;
        todo!()
    }

    /// Transmits what was written so far as soon as a set may fly. The mark is [reached](Self::is_flushed) when all of it has completed.
    pub fn flush(&mut self, now: Instant) -> FlushMark {
        let _ = now;
        todo!()
    }

    /// Whether all that was written before the mark has completed, with whatever result. R6.
    pub fn is_flushed(&self, mark: FlushMark) -> bool {
        let _ = mark;
        todo!()
    }

    /// Takes no more records, flushes, and completes what is unfinished at `by` with `Closed`. R13.
    pub fn close(&mut self, now: Instant, by: Instant) {
        let _ = (now, by);
        todo!()
    }

    /// Completes everything with `Closed` at once and takes no more records. R13.
    pub fn abort(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// Whether the writer was closed and all its records are completed and all cancellations polled.
    pub fn is_finished(&self) -> bool {
        todo!()
    }

    /// Whether the writer was told to close.
    pub fn is_closed(&self) -> bool {
        todo!()
    }

    /// Nobody waits for this record's result any more. The record itself is written all the same (R14).
    pub fn forget(&mut self, record: RecordId) {
        let _ = record;
        todo!()
    }

    /// The record's result, once. None while it is pending. The id is dead after that.
    pub fn take(&mut self, record: RecordId) -> Option<WriteResult> {
        let _ = record;
        todo!()
    }

    /// The attempts made for a completed record whose result is not taken yet. Empty unless the settings and the memory keep them.
    pub fn attempt_reports(&self, record: RecordId) -> AttemptReports {
        let _ = record;
        todo!()
    }

    /// An attempt finished. Answers to attempts that were given up change nothing (R11).
    pub fn handle_finished(&mut self, now: Instant, attempt: AttemptId, outcome: Outcome) {
        let _ = (now, attempt, outcome);
        todo!()
    }

    /// The transport had no room for the attempt that was polled last.
    pub fn handle_refused(&mut self, now: Instant, attempt: AttemptId) {
        let _ = (now, attempt);
        todo!()
    }

    /// Time went by. Calling it early does nothing; calling it late sets off at most one hedge per set.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// The next attempt to start.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Attempt<'_>> {
        let _ = now;
        todo!()
    }

    /// The next attempt to give up at the transport (R11).
    pub fn poll_cancel(&mut self) -> Option<AttemptId> {
        todo!()
    }

    /// The next record whose result waits to be taken. Each is announced once; forgotten ones are not.
    pub fn poll_completed(&mut self) -> Option<RecordId> {
        todo!()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
}

/// Room that is held for one record. Give it to [`Writer::submit`] or [`Writer::release`]: dropping it holds the room for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "reserved room is held until it is submitted or released"]
pub struct Reservation {
    pub(super) len: usize,
}

/// A point in the order of writes. See [`Writer::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushMark(pub(super) u64);

/// Why a writer cannot be built: its memory is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// Fewer rows than streams.
    Streams {
        /// Rows there are.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// Too few set rows or buffers to have one set in flight while another fills (and a third that compression writes to).
    Sets {
        /// Rows there are.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// No row for a record.
    Records,
    /// A buffer too small for a record of one byte.
    SetBytes {
        /// Bytes there are.
        bytes: usize,
        /// Bytes needed.
        needed: usize,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streams { rows, needed } => write!(f, "the writer's memory has rows for {rows} streams, {needed} are needed"),
            Self::Sets { rows, needed } => write!(f, "the writer's memory has rows for {rows} sets, at least {needed} are needed"),
            Self::Records => f.write_str("the writer's memory has no row for a record"),
            Self::SetBytes { bytes, needed } => write!(f, "the writer's set buffers hold {bytes} bytes, at least {needed} are needed"),
        }
    }
}

impl core::error::Error for BuildError {}
