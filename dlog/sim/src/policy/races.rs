use core::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use distributedlog::{Instant, StreamIndex};

use super::{Start, Todo};

/// A set on its way, for models that send it to one stream after the other, to each once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Race {
    pub(super) began: Instant,
    /// The stream that it began at.
    first: u16,
    /// How many streams it was sent to, in the order of the rotation.
    pub(super) tried: u16,
    pub(super) outstanding: u16,
}

/// Sets on their way, and their timers.
#[derive(Debug)]
pub(super) struct Races {
    streams: u16,
    next: u16,
    open: HashMap<u64, Race>,
    timers: BinaryHeap<Reverse<(Instant, u64, Bell)>>,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bell {
    /// When a set has waited long enough to be sent to a further stream.
    Hedge,
    /// When a set's time is over.
    Deadline,
}

impl Races {
    pub(super) fn new(streams: u16) -> Self {
        Self {
            streams,
            next: 0,
            open: HashMap::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// A set begins at the next stream of the rotation. It is not sent yet.
    pub(super) fn begin(&mut self, now: Instant, set: u64) {
        self.open.insert(
            set,
            Race {
                began: now,
                first: self.next,
                tried: 0,
                outstanding: 0,
            },
        );
        self.next = (self.next + 1) % self.streams;
    }

    pub(super) fn get(&self, set: u64) -> Option<&Race> {
        self.open.get(&set)
    }

    /// Sends a set to the next stream; whether there was one left.
    pub(super) fn send(&mut self, set: u64, todo: &mut Todo) -> bool {
        let streams = self.streams;
        let Some(race) = self.open.get_mut(&set).filter(|race| race.tried < streams) else {
            return false;
        };
        let stream = StreamIndex(
            ((u32::from(race.first) + u32::from(race.tried)) % u32::from(streams)) as u16,
        );
        todo.starts.push(Start {
            set,
            stream,
            attempt: u64::from(race.tried),
            again: 0,
            identity: None,
        });
        race.tried += 1;
        race.outstanding += 1;
        true
    }

    /// One of a set's attempts was answered.
    pub(super) fn settle(&mut self, set: u64) -> Option<Race> {
        let race = self.open.get_mut(&set)?;
        race.outstanding -= 1;
        Some(*race)
    }

    /// A set ends, if it has not.
    pub(super) fn end(&mut self, set: u64, written: bool, todo: &mut Todo) {
        if self.open.remove(&set).is_some() {
            todo.ended.push((set, written));
        }
    }

    /// Sets a timer. Timers of sets that ended ring all the same.
    pub(super) fn arm(&mut self, at: Instant, set: u64, bell: Bell) {
        self.timers.push(Reverse((at, set, bell)));
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next timer that rings, of a set that has not ended.
    pub(super) fn ring(&mut self, now: Instant) -> Option<(u64, Bell)> {
        while let Some(&Reverse((at, set, bell))) = self.timers.peek() {
            if at > now {
                return None;
            }
            self.timers.pop();
            if self.open.contains_key(&set) {
                return Some((set, bell));
            }
        }
        None
    }
}
