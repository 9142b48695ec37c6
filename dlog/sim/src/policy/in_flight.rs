use core::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use distributedlog::{Instant, StreamIndex};

use super::{Actions, AttemptStart};

/// A set in flight, for models that send it to one stream after the other, to each once.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlightSet {
    pub(super) began: Instant,
    /// The stream of its first attempt.
    first: u16,
    /// Number of streams that it was sent to, in the order of the rotation.
    pub(super) tried: u16,
    pub(super) outstanding: u16,
}

/// Sets in flight, and their timers.
#[derive(Debug)]
pub(super) struct InFlightSets {
    streams: u16,
    next: u16,
    open: HashMap<u64, InFlightSet>,
    timers: BinaryHeap<Reverse<(Instant, u64, TimerKind)>>,
}

/// Kind of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKind {
    /// When a set is sent to a further stream.
    Hedge,
    /// When the request timeout of a set ends.
    Deadline,
}

impl InFlightSets {
    pub(super) fn new(streams: u16) -> Self {
        Self {
            streams,
            next: 0,
            open: HashMap::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Adds a set at the next stream of the rotation. Does not send it yet.
    pub(super) fn begin(&mut self, now: Instant, set: u64) {
        self.open.insert(
            set,
            InFlightSet {
                began: now,
                first: self.next,
                tried: 0,
                outstanding: 0,
            },
        );
        self.next = (self.next + 1) % self.streams;
    }

    pub(super) fn get(&self, set: u64) -> Option<&InFlightSet> {
        self.open.get(&set)
    }

    /// Sends a set to the next stream. Returns false if it was sent to every stream already.
    pub(super) fn send(&mut self, set: u64, actions: &mut Actions) -> bool {
        let streams = self.streams;
        let Some(in_flight_set) = self
            .open
            .get_mut(&set)
            .filter(|in_flight_set| in_flight_set.tried < streams)
        else {
            return false;
        };
        let stream = StreamIndex(
            ((u32::from(in_flight_set.first) + u32::from(in_flight_set.tried)) % u32::from(streams))
                as u16,
        );
        actions.starts.push(AttemptStart {
            set,
            stream,
            attempt: u64::from(in_flight_set.tried),
            earlier_attempts: 0,
            identity: None,
        });
        in_flight_set.tried += 1;
        in_flight_set.outstanding += 1;
        true
    }

    /// Counts an attempt of a set as finished. Returns the set, or `None` if it has ended.
    pub(super) fn finish_attempt(&mut self, set: u64) -> Option<InFlightSet> {
        let in_flight_set = self.open.get_mut(&set)?;
        in_flight_set.outstanding -= 1;
        Some(*in_flight_set)
    }

    /// Ends a set, unless it has ended.
    pub(super) fn end(&mut self, set: u64, written: bool, actions: &mut Actions) {
        if self.open.remove(&set).is_some() {
            actions.ended.push((set, written));
        }
    }

    /// Sets a timer. Timers are not removed when their set ends; `next_due` skips them.
    pub(super) fn set_timer(&mut self, at: Instant, set: u64, timer: TimerKind) {
        self.timers.push(Reverse((at, set, timer)));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Removes and returns the next timer that is due, of a set that has not ended.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(u64, TimerKind)> {
        while let Some(&Reverse((at, set, timer))) = self.timers.peek() {
            if at > now {
                return None;
            }
            self.timers.pop();
            if self.open.contains_key(&set) {
                return Some((set, timer));
            }
        }
        None
    }
}
