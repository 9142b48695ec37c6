//! What is to be started and given up at the transport.

use super::adaptive::Tail;
use super::machine::Writer;
use super::slots::{AttemptSlot, AttemptState, Intent, NO_SET, SetPhase};
use super::{Adaptive, SetBuffer, Storage, StreamCounters, WriterFeatures};
use crate::{Attempt, AttemptId, Instant, StreamIndex};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// The next attempt to start. If the transport has no room for it, say so by
    /// [`handle_refused`](Self::handle_refused) before the next call.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Attempt<'_>> {
        let now = self.tell(now);
        let (set, place) = loop {
            self.seal_if_due();
            let set = self.dequeue()?;
            if self.storage.sets()[set as usize].phase != SetPhase::InFlight {
                self.free_if_over(set);
                continue;
            }
            if let Some(place) = self.start(set, now) {
                break (set, place);
            }
        };
        let slot = &self.storage.sets()[set as usize];
        let attempt = &slot.attempts[place];
        Some(Attempt {
            id: attempt.id,
            stream: attempt.stream,
            record_set: &self.storage.buffers()[set as usize].as_slice()[..slot.stored],
            record_count: slot.content.record_count(),
            earlier_attempts: slot.made - 1,
            deadline: slot.deadline,
        })
    }

    /// The next attempt to give up at the transport (R11).
    pub fn poll_cancel(&mut self) -> Option<AttemptId> {
        while self.ending_first != NO_SET {
            let set = self.ending_first;
            let slot = &mut self.storage.tables().sets[set as usize];
            if let Some(attempt) = slot
                .attempts
                .iter_mut()
                .find(|attempt| attempt.state == AttemptState::ToCancel)
            {
                attempt.state = AttemptState::Unused;
                slot.outstanding -= 1;
                self.counters.cancelled = self.counters.cancelled.wrapping_add(1);
                return Some(attempt.id);
            }
            self.ending_first = slot.links.ending;
            self.free_if_over(set);
        }
        None
    }

    /// Whether there is something to transmit or to cancel.
    pub fn has_work(&self) -> bool {
        self.queue_first != NO_SET || self.ending_first != NO_SET || {
            let filling = self.filling != NO_SET && self.may_fly();
            filling
                && (self.storage.sets()[self.filling as usize].due
                    || (self.settings.flush_when_idle() && self.flying == 0))
        }
    }

    /// Begins the attempt that a set was queued for; its place among the set's attempts. None when
    /// there is no stream for it any more.
    fn start(&mut self, set: u16, now: Instant) -> Option<usize> {
        let (intent, made, outstanding) = {
            let slot = &self.storage.sets()[set as usize];
            (slot.intent, slot.made, slot.outstanding)
        };
        if F::HEALTH && intent == Intent::Probe {
            return self.start_probe(set, outstanding > 0, now);
        }
        let row = if made == 0 && intent == Intent::First {
            Some(self.first_row(now))
        } else {
            self.following_row(set, now)
        };
        let Some(row) = row else {
            // What the streams answered since the set was queued left none to try.
            if made > 0 {
                self.give_token_back();
            }
            self.go_on(set, now);
            return None;
        };
        if self.storage.sets()[set as usize].stored == 0 {
            self.prepare(set);
        }
        let stream = self.storage.streams()[row as usize].turn;
        self.storage.tables().sets[set as usize].row = row;
        let place = self.enter_attempt(set, stream, now);
        self.set_patience(set, intent, stream, now);
        self.count_attempt(intent, made);
        self.rearm(set);
        if F::HEALTH && intent == Intent::First && self.next_probe <= now {
            self.enqueue(set, Intent::Probe);
        }
        Some(place)
    }

    /// Begins the copy of a set that probes a stream, if one is still to be probed. A set whose
    /// first attempt has ended meanwhile is no use for that: it goes on as it would have done
    /// at once, had it not been queued.
    fn start_probe(&mut self, set: u16, waits: bool, now: Instant) -> Option<usize> {
        if !waits {
            self.go_on(set, now);
            return None;
        }
        let row = self.probe_row(set, now)?;
        let stream = self.storage.streams()[row as usize].turn;
        let place = self.enter_attempt(set, stream, now);
        self.count_attempt(Intent::Probe, 1);
        Some(place)
    }

    fn enter_attempt(&mut self, set: u16, stream: StreamIndex, now: Instant) -> usize {
        // The slot is told by the lower 16 bits. 2^48 attempts later the rest repeats itself.
        let id = AttemptId(self.next_attempt << 16 | u64::from(set));
        self.next_attempt = self.next_attempt.wrapping_add(1);
        let slot = &mut self.storage.tables().sets[set as usize];
        let place = free_place(&slot.attempts);
        slot.attempts[place] = AttemptSlot {
            id,
            stream,
            intent: slot.intent,
            started: now,
            ended: now,
            state: AttemptState::Outstanding,
        };
        slot.tried.insert(stream);
        slot.outstanding += 1;
        slot.made += 1;
        slot.made_in_round += 1;
        self.storage.tables().streams[stream.0 as usize].outstanding += 1;
        self.count_for(stream, |counters| &mut counters.attempts);
        place
    }

    /// When the set is hedged next (R3). The schedule runs on when a retry joins an attempt that is
    /// outstanding.
    fn set_patience(&mut self, set: u16, intent: Intent, stream: StreamIndex, now: Instant) {
        if !self.settings.hedging() {
            return;
        }
        let slot = &self.storage.sets()[set as usize];
        let begins = intent == Intent::First || slot.patience == 0;
        let delay = if begins {
            Some(self.speculative_delay(stream))
        } else {
            self.further_delay(stream, intent, slot.made, now)
        };
        let slot = &mut self.storage.tables().sets[set as usize];
        slot.patience = delay.unwrap_or(slot.patience);
        if slot.outstanding == 1 || intent == Intent::Hedge {
            slot.speculate_at = now.plus_micros(slot.patience);
        }
    }

    /// How long a set waits for its first attempt before it is hedged: what the settings say, or
    /// what the stream's latency says (R10).
    ///
    /// A stream that is much slower than the others is hedged when twice the others' usual latency
    /// has passed: its own would let a stalled stream stretch its timeout without end.
    fn speculative_delay(&self, stream: StreamIndex) -> u64 {
        let Adaptive::Quantile { floor, warm_up, .. } = self.adaptive() else {
            return self.bounds.first_patience;
        };
        let own = self.storage.streams()[stream.0 as usize]
            .latency
            .quantile(warm_up);
        let usual = match (own, self.usual_latency) {
            (Some(own), Some(median)) => own.min(median.saturating_mul(2)),
            // A stream of which little is known yet is expected to be like the others.
            (Some(usual), None) | (None, Some(usual)) => usual,
            (None, None) => return self.bounds.first_patience,
        };
        usual
            .clamp(floor.as_micros() as u64, self.bounds.max_patience)
            .max(1)
    }

    /// How long a set that was hedged waits before it is hedged again, where the latency says so
    /// (R10): a quantile half as rare with each hedge, and no more than twice the median. Few
    /// sets come so far, so that it costs little, and those are the ones that took longest.
    ///
    /// Where more attempts straggle than are hedged, the quantile is how long a straggler takes;
    /// that the hedge is one as well shows much earlier.
    fn further_delay(
        &mut self,
        stream: StreamIndex,
        intent: Intent,
        made: u32,
        now: Instant,
    ) -> Option<u64> {
        let Adaptive::Quantile { floor, warm_up, .. } = self.adaptive() else {
            return None;
        };
        let slot = &self.storage.streams()[stream.0 as usize];
        if intent != Intent::Hedge || slot.latency.quantile(warm_up).is_none() {
            return None;
        }
        let tail = self.tail(now).doubled(made - 1);
        let latency = &self.storage.streams()[stream.0 as usize].latency;
        let micros = u64::from(latency.beyond(tail).min(2 * latency.beyond(Tail::HALF)));
        Some(
            micros
                .clamp(floor.as_micros() as u64, self.bounds.max_patience)
                .max(1),
        )
    }

    pub(super) fn count_for(
        &mut self,
        stream: StreamIndex,
        which: impl FnOnce(&mut StreamCounters) -> &mut u64,
    ) {
        let counter = which(&mut self.storage.tables().streams[stream.0 as usize].counters);
        *counter = counter.wrapping_add(1);
    }

    fn count_attempt(&mut self, intent: Intent, earlier: u32) {
        self.counters.attempts = self.counters.attempts.wrapping_add(1);
        if earlier == 0 {
            return;
        }
        match intent {
            Intent::First => {}
            Intent::Retry => self.counters.retries = self.counters.retries.wrapping_add(1),
            Intent::Hedge => self.counters.hedges_sent = self.counters.hedges_sent.wrapping_add(1),
            Intent::Probe => self.counters.probes_sent = self.counters.probes_sent.wrapping_add(1),
        }
    }

    /// Puts a set into the queue of those to transmit.
    pub(super) fn enqueue(&mut self, set: u16, intent: Intent) {
        let sets = self.storage.tables().sets;
        let slot = &mut sets[set as usize];
        debug_assert!(!slot.queued, "a set waits for one attempt at a time");
        slot.queued = true;
        slot.intent = intent;
        slot.links.queue = NO_SET;
        match self.queue_last {
            NO_SET => self.queue_first = set,
            last => sets[last as usize].links.queue = set,
        }
        self.queue_last = set;
    }

    fn dequeue(&mut self) -> Option<u16> {
        let set = self.queue_first;
        if set == NO_SET {
            return None;
        }
        let slot = &mut self.storage.tables().sets[set as usize];
        slot.queued = false;
        self.queue_first = slot.links.queue;
        if self.queue_first == NO_SET {
            self.queue_last = NO_SET;
        }
        Some(set)
    }
}

/// The place for one more attempt: an unused one, or that of the oldest that has ended. There is
/// one while fewer than all are outstanding.
fn free_place(attempts: &[AttemptSlot]) -> usize {
    let mut oldest: Option<usize> = None;
    for (place, attempt) in attempts.iter().enumerate() {
        match attempt.state {
            AttemptState::Unused => return place,
            AttemptState::Outstanding | AttemptState::ToCancel => {}
            AttemptState::Won | AttemptState::Failed { .. } => {
                if oldest.is_none_or(|oldest| attempt.id.0 < attempts[oldest].id.0) {
                    oldest = Some(place);
                }
            }
        }
    }
    oldest.expect("a set with all places outstanding is neither hedged nor retried")
}
