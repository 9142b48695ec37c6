//! Check that a set is hedged in time, whatever the other streams do (R3, R21).

use std::collections::{BTreeMap, BTreeSet};

use distributedlog::writer::{Budget, MAX_OUTSTANDING, Order, Settings};
use distributedlog::{AttemptId, Instant, StreamIndex};

/// Checks after each turn that no set waits for its attempts longer than the max speculative
/// timeout while there is a stream where it has not been. A set whose attempt has failed or was
/// refused continues by other rules, and without a token of the budget it waits for one.
pub(super) struct Hedged {
    applies: bool,
    max_speculative_timeout: core::time::Duration,
    /// By the first record of each set in flight: begin of its last attempt, and attempts so far.
    last: BTreeMap<u64, (Instant, usize)>,
    /// First records of sets that the client refused.
    refused: BTreeSet<u64>,
}

impl Hedged {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            applies: settings.budget() == Budget::Off && settings.order() == Order::Any,
            max_speculative_timeout: settings.max_speculative_timeout(),
            last: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Handles an attempt that the client has taken.
    pub(super) fn started(&mut self, now: Instant, first: u64, earlier: u32) {
        self.last.insert(first, (now, earlier as usize + 1));
    }

    /// Handles an attempt that the client has refused.
    pub(super) fn refused(&mut self, first: u64) {
        self.refused.insert(first);
    }

    /// Checks the sets with outstanding attempts: their streams and records.
    pub(super) fn check(
        &mut self,
        now: Instant,
        streams: usize,
        attempts: &BTreeMap<AttemptId, (StreamIndex, Vec<u64>)>,
    ) {
        if !self.applies {
            return;
        }
        let mut tried: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, records) in attempts.values() {
            *tried.entry(records[0]).or_default() += 1;
        }
        self.last.retain(|first, _| tried.contains_key(first));
        self.refused.retain(|first| tried.contains_key(first));
        for (first, (began, made)) in &self.last {
            let all_outstanding = tried[first] == *made && !self.refused.contains(first);
            if !all_outstanding || *made >= streams.min(MAX_OUTSTANDING) {
                continue;
            }
            let waited = now.since(*began);
            assert!(
                waited <= self.max_speculative_timeout,
                "R21: a set has waited for {waited:?} and was not hedged; attempts: {made}"
            );
        }
    }
}
