//! Attempts to start and to cancel at the transport.

use super::adaptive::Tail;
use super::machine::Writer;
use super::slots::{AttemptKind, AttemptSlot, AttemptState, NO_SET, SetPhase};
use super::{Adaptive, SetBuffer, Storage, StreamCounters, WriterFeatures};
use crate::{Attempt, AttemptId, Instant, StreamIndex};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the next attempt to start. If the transport has no room for it, call
    /// [`handle_refused`](Self::handle_refused) before the next call.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Attempt<'_>> {
        let now = self.advance_clock(now);
        let (set, attempt_index) = loop {
            self.seal_if_due();
            let set = self.dequeue()?;
            if self.storage.sets()[set as usize].phase != SetPhase::InFlight {
                self.free_if_unused(set);
                continue;
            }
            if let Some(attempt_index) = self.start(set, now) {
                break (set, attempt_index);
            }
        };
        let slot = &self.storage.sets()[set as usize];
        let attempt = &slot.attempts[attempt_index];
        Some(Attempt {
            id: attempt.id,
            stream: attempt.stream,
            record_set: &self.storage.buffers()[set as usize].as_slice()[..slot.stored],
            record_count: slot.content.record_count(),
            earlier_attempts: slot.attempts_made - 1,
            others_outstanding: u32::from(slot.outstanding - 1),
            deadline: slot.deadline,
        })
    }

    /// Returns the next attempt to cancel at the transport (R11).
    pub fn poll_cancel(&mut self) -> Option<AttemptId> {
        while let Some(set) = self.ending_sets.first() {
            let slot = &mut self.storage.tables().sets[set];
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
            self.ending_sets.pop_front(self.storage.tables().sets);
            self.free_if_unused(set as u16);
        }
        None
    }

    /// Returns `true` if there is an attempt to start or to cancel.
    pub fn has_work(&self) -> bool {
        !self.transmit_queue.is_empty() || !self.ending_sets.is_empty() || {
            let filling = self.filling != NO_SET && self.has_in_flight_room();
            filling
                && (self.storage.sets()[self.filling as usize].due
                    || (self.settings.flush_when_idle() && self.in_flight == 0))
        }
    }

    /// Begins the attempt for which a set was queued. Returns the index of its slot, or `None` if
    /// there is no stream left for it.
    fn start(&mut self, set: u16, now: Instant) -> Option<usize> {
        let (kind, made, outstanding) = {
            let slot = &self.storage.sets()[set as usize];
            (slot.kind, slot.attempts_made, slot.outstanding)
        };
        if F::HEALTH && kind == AttemptKind::Probe {
            return self.start_probe(set, outstanding > 0, now);
        }
        let row = if kind == AttemptKind::First && (made == 0 || self.keeps_order()) {
            self.first_row(set, now)
        } else if F::STALLS && kind == AttemptKind::Hedge {
            self.hedge_row(set, now).map_or_else(|silent| silent, Some)
        } else {
            self.following_row(set, now).ok()
        };
        let Some(row) = row else {
            // The answers since the set was queued left no stream to try, or every stream is
            // paused.
            if made > 0 {
                self.refund_token();
            }
            self.try_next_stream(set, now);
            return None;
        };
        if self.storage.sets()[set as usize].stored == 0 {
            self.prepare(set);
        }
        let stream = self.storage.streams()[row as usize].turn;
        self.storage.tables().sets[set as usize].row = row;
        if self.keeps_order() && kind == AttemptKind::First && made == 0 && self.next_probe <= now {
            let probe = self.start_probe_first(set, now);
            if probe.is_some() {
                return probe;
            }
        }
        let attempt_index = self.add_attempt(set, stream, now);
        self.schedule_hedge(set, kind, stream, now);
        self.count_attempt(kind, made);
        self.rearm(set);
        if F::HEALTH && kind == AttemptKind::First && self.next_probe <= now && !self.keeps_order()
        {
            self.enqueue(set, AttemptKind::Probe);
        }
        Some(attempt_index)
    }

    /// Begins the copy that probes a stream before the set's first attempt at the stream that takes
    /// its place, which follows at once (R20): of two streams that are equally fast, the one that
    /// was asked first is the first to answer, and is to have its records back.
    fn start_probe_first(&mut self, set: u16, now: Instant) -> Option<usize> {
        let row = self.probe_row(set, now)?;
        let stream = self.storage.streams()[row as usize].turn;
        self.storage.tables().sets[set as usize].kind = AttemptKind::Probe;
        let attempt_index = self.add_attempt(set, stream, now);
        self.count_attempt(AttemptKind::Probe, 1);
        self.enqueue(set, AttemptKind::First);
        Some(attempt_index)
    }

    /// Begins the copy of a set that probes a stream, if a stream is still due for a probe. If the
    /// set's first attempt has ended since, the set cannot serve a probe: it continues as it would
    /// have done had it not been queued.
    fn start_probe(&mut self, set: u16, waits: bool, now: Instant) -> Option<usize> {
        if !waits {
            self.try_next_stream(set, now);
            return None;
        }
        let row = self.probe_row(set, now)?;
        let stream = self.storage.streams()[row as usize].turn;
        let attempt_index = self.add_attempt(set, stream, now);
        self.count_attempt(AttemptKind::Probe, 1);
        Some(attempt_index)
    }

    fn add_attempt(&mut self, set: u16, stream: StreamIndex, now: Instant) -> usize {
        // The lower 16 bits identify the set's slot. The serial number in the rest repeats after
        // 2^48 attempts.
        let id = AttemptId(self.next_attempt << 16 | u64::from(set));
        self.next_attempt = self.next_attempt.wrapping_add(1);
        let slot = &mut self.storage.tables().sets[set as usize];
        let attempt_index = free_attempt_index(&slot.attempts);
        slot.attempts[attempt_index] = AttemptSlot {
            id,
            stream,
            kind: slot.kind,
            started: now,
            ended: now,
            state: AttemptState::Outstanding,
        };
        slot.tried.insert(stream.0.into());
        slot.outstanding += 1;
        slot.attempts_made += 1;
        slot.attempts_in_round += 1;
        let bytes = slot.stored;
        self.note_waiting(stream, now);
        self.load_stream(stream, bytes);
        self.count_stream(stream, |counters| &mut counters.attempts);
        attempt_index
    }

    /// Sets the time of the set's next hedge (R3). The schedule continues if a retry joins an
    /// outstanding attempt.
    fn schedule_hedge(&mut self, set: u16, kind: AttemptKind, stream: StreamIndex, now: Instant) {
        if !self.settings.hedging() {
            return;
        }
        let slot = &self.storage.sets()[set as usize];
        let begins = kind == AttemptKind::First || slot.speculative_timeout == 0;
        let delay = if begins {
            Some(self.speculative_delay(stream))
        } else {
            self.further_delay(stream, kind, slot.attempts_made, now)
        };
        let slot = &mut self.storage.tables().sets[set as usize];
        slot.speculative_timeout = delay.unwrap_or(slot.speculative_timeout);
        if slot.outstanding == 1 || kind == AttemptKind::Hedge {
            slot.speculate_at = now.plus_micros(slot.speculative_timeout);
        }
    }

    /// Returns the time that a set waits for its first attempt before it is hedged, in
    /// microseconds: the configured one, or one that follows the stream's latency (R10).
    ///
    /// For a stream that is much slower than the others it is twice their usual latency: with the
    /// stream's own latency, a stalled stream would extend its timeout without limit.
    ///
    /// If records keep their order, it is the longest time: a hedge that wins moves them to another
    /// stream (R20).
    pub(super) fn speculative_delay(&self, stream: StreamIndex) -> u64 {
        if self.keeps_order() {
            return self.bounds.max_speculative_timeout;
        }
        let Adaptive::Quantile { floor, warm_up, .. } = self.adaptive() else {
            return self.bounds.first_speculative_timeout;
        };
        let own = self.storage.streams()[stream.0 as usize]
            .latency
            .quantile(warm_up);
        let usual = match (own, self.median_latency) {
            (Some(own), Some(median)) => own.min(median.saturating_mul(2)),
            // A stream with few answers so far is expected to be like the others.
            (Some(usual), None) | (None, Some(usual)) => usual,
            (None, None) => return self.bounds.first_speculative_timeout,
        };
        usual
            .clamp(
                floor.as_micros() as u64,
                self.bounds.max_speculative_timeout,
            )
            .max(1)
    }

    /// Returns the time that a hedged set waits before it is hedged again, in microseconds, if
    /// adaptive timeouts set it (R10): a quantile that is half as rare with each hedge, and at most
    /// twice the median. Few sets are hedged twice, so this costs little, and they are those that
    /// took longest.
    ///
    /// Where more attempts are slow than may be hedged, the quantile is the latency of a slow
    /// attempt; that the hedge is slow as well shows much earlier, hence the limit.
    fn further_delay(
        &mut self,
        stream: StreamIndex,
        kind: AttemptKind,
        made: u32,
        now: Instant,
    ) -> Option<u64> {
        let Adaptive::Quantile { floor, warm_up, .. } = self.adaptive() else {
            return None;
        };
        let slot = &self.storage.streams()[stream.0 as usize];
        if kind != AttemptKind::Hedge
            || self.keeps_order()
            || slot.latency.quantile(warm_up).is_none()
        {
            return None;
        }
        let tail = self.tail(now).doubled(made - 1);
        let latency = &self.storage.streams()[stream.0 as usize].latency;
        let micros = u64::from(latency.beyond(tail).min(2 * latency.beyond(Tail::HALF)));
        Some(
            micros
                .clamp(
                    floor.as_micros() as u64,
                    self.bounds.max_speculative_timeout,
                )
                .max(1),
        )
    }

    pub(super) fn count_stream(
        &mut self,
        stream: StreamIndex,
        which: impl FnOnce(&mut StreamCounters) -> &mut u64,
    ) {
        let counter = which(&mut self.storage.tables().streams[stream.0 as usize].counters);
        *counter = counter.wrapping_add(1);
    }

    fn count_attempt(&mut self, kind: AttemptKind, earlier: u32) {
        self.counters.attempts = self.counters.attempts.wrapping_add(1);
        if earlier == 0 {
            return;
        }
        match kind {
            AttemptKind::First => {}
            AttemptKind::Retry => self.counters.retries = self.counters.retries.wrapping_add(1),
            AttemptKind::Hedge => {
                crate::report!(debug, "a set is hedged; attempts before: {}", earlier);
                self.counters.hedges_sent = self.counters.hedges_sent.wrapping_add(1)
            }
            AttemptKind::Probe => {
                self.counters.probes_sent = self.counters.probes_sent.wrapping_add(1)
            }
        }
    }

    /// Appends a set to the queue of sets to transmit.
    pub(super) fn enqueue(&mut self, set: u16, kind: AttemptKind) {
        let sets = self.storage.tables().sets;
        let slot = &mut sets[set as usize];
        debug_assert!(!slot.queued, "a set waits for one attempt at a time");
        slot.queued = true;
        slot.kind = kind;
        self.transmit_queue.push_back(sets, set.into());
    }

    fn dequeue(&mut self) -> Option<u16> {
        let sets = self.storage.tables().sets;
        let set = self.transmit_queue.pop_front(sets)?;
        sets[set].queued = false;
        Some(set as u16)
    }
}

/// Returns the slot for one more attempt: an unused one, or that of the oldest attempt that has
/// ended. There is one as long as fewer than [`MAX_OUTSTANDING`](super::MAX_OUTSTANDING) are
/// outstanding.
fn free_attempt_index(attempts: &[AttemptSlot]) -> usize {
    let mut oldest: Option<usize> = None;
    for (attempt_index, attempt) in attempts.iter().enumerate() {
        match attempt.state {
            AttemptState::Unused => return attempt_index,
            AttemptState::Outstanding | AttemptState::ToCancel => {}
            AttemptState::Won | AttemptState::Failed { .. } => {
                if oldest.is_none_or(|oldest| attempt.id.0 < attempts[oldest].id.0) {
                    oldest = Some(attempt_index);
                }
            }
        }
    }
    oldest.expect("a set with the maximum of outstanding attempts is neither hedged nor retried")
}
