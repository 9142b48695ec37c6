use std::collections::{BTreeMap, HashMap};

use super::world::SentAttempt;

/// Copies of sets that proxies drop before they store them. Only what has not begun can be dropped:
/// a stream without a capacity begins at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drops {
    /// None: the worst case.
    Nothing,
    /// Attempts that wait and that the writer cancels, as the write proxy does.
    Cancelled,
    /// These, and tied attempts: those that wait while another one of their set begins at the same
    /// proxy. The dropped one has no outcome of its own: the writer waits for the other.
    Tied {
        /// Number of proxies; stream k is at proxy k modulo this number.
        proxies: u16,
        /// Drops also an attempt that arrives after another one of its set has begun at its proxy.
        late: bool,
    },
}

/// The attempts of the sets, as far as [`Drops`] needs them.
#[derive(Debug)]
pub(crate) struct Copies {
    drops: Drops,
    /// Streams of the attempts that wait, by set and attempt, and the set of each attempt.
    waiting: BTreeMap<(u64, u64), u16>,
    sets: HashMap<u64, u64>,
    /// Streams at which attempts of a set have begun.
    begun: HashMap<u64, Vec<u16>>,
}

impl Copies {
    pub(crate) fn new(drops: Drops) -> Self {
        Self {
            drops,
            waiting: BTreeMap::new(),
            sets: HashMap::new(),
            begun: HashMap::new(),
        }
    }

    /// Returns true if an attempt is dropped when it arrives.
    pub(crate) fn drops(&self, attempt: &SentAttempt) -> bool {
        let Drops::Tied {
            proxies,
            late: true,
        } = self.drops
        else {
            return false;
        };
        let begun = self.begun.get(&attempt.set);
        begun.is_some_and(|streams| {
            let mut streams = streams.iter();
            streams.any(|stream| stream % proxies == attempt.stream % proxies)
        })
    }

    /// Handles an attempt that waits.
    pub(crate) fn waits(&mut self, attempt: &SentAttempt) {
        if self.drops != Drops::Nothing {
            self.sets.insert(attempt.attempt, attempt.set);
            self.waiting
                .insert((attempt.set, attempt.attempt), attempt.stream);
        }
    }

    /// Handles an attempt that begins. Returns the attempts that are dropped, with their streams.
    pub(crate) fn begun(&mut self, attempt: &SentAttempt) -> Vec<(u64, u16)> {
        self.forget(attempt.attempt);
        let Drops::Tied { proxies, .. } = self.drops else {
            return Vec::new();
        };
        self.begun
            .entry(attempt.set)
            .or_default()
            .push(attempt.stream);
        let proxy = attempt.stream % proxies;
        let twins: Vec<_> = self
            .waiting
            .range((attempt.set, 0)..=(attempt.set, u64::MAX))
            .filter(|(_, stream)| *stream % proxies == proxy)
            .map(|((_, twin), stream)| (*twin, *stream))
            .collect();
        for (twin, _) in &twins {
            self.forget(*twin);
        }
        twins
    }

    /// Handles an attempt that the writer cancels. Returns its stream if it waits.
    pub(crate) fn cancelled(&mut self, attempt: u64) -> Option<u16> {
        self.forget(attempt)
    }

    fn forget(&mut self, attempt: u64) -> Option<u16> {
        let set = self.sets.remove(&attempt)?;
        self.waiting.remove(&(set, attempt))
    }
}
