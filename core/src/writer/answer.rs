//! The consequences of finished attempts for their sets.

use core::time::Duration;

use super::adaptive::Tail;
use super::health::{HealthChange, Observation};
use super::machine::Writer;
use super::slots::{AttemptKind, AttemptSlot, AttemptState, SetPhase, StreamSet};
use super::{Adaptive, Budget, Health, MAX_OUTSTANDING, Reason, Storage, WriterFeatures};
use crate::{Advice, AttemptId, Cause, Dlsn, Failure, Instant, Outcome, StreamIndex, WriteState};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Handles the end of an attempt. Answers to cancelled attempts have no effect (R11).
    pub fn handle_finished(&mut self, now: Instant, attempt: AttemptId, outcome: Outcome) {
        let now = self.advance_clock(now);
        let Some((set, attempt_index)) = self.find_outstanding(attempt) else {
            self.counters.late_answers = self.counters.late_answers.wrapping_add(1);
            return;
        };
        match outcome {
            Ok(dlsn) => self.on_success(set, attempt_index, dlsn, now),
            Err(failure) => self.on_failure(set, attempt_index, failure, now),
        }
    }

    /// Handles the transport's refusal of the attempt that was polled last: it counts as not made.
    /// The set continues with the next stream; a round in which the transport took no attempt does
    /// not count.
    pub fn handle_refused(&mut self, now: Instant, attempt: AttemptId) {
        let now = self.advance_clock(now);
        let Some((set, attempt_index)) = self.find_outstanding(attempt) else {
            return;
        };
        let slot = &mut self.storage.tables().sets[set as usize];
        let AttemptSlot { stream, kind, .. } = slot.attempts[attempt_index];
        slot.attempts[attempt_index].state = AttemptState::Unused;
        slot.outstanding -= 1;
        slot.attempts_made -= 1;
        slot.attempts_in_round -= 1;
        let bytes = slot.stored;
        // Any failure before says more.
        slot.last_cause = slot.last_cause.or(Some(Cause::TransportFull));
        // A probe is always an extra attempt, also where it comes first (R20).
        let extra = slot.attempts_made > 0 || F::ORDER && kind == AttemptKind::Probe;
        self.counters.attempts = self.counters.attempts.wrapping_sub(1);
        self.counters.transport_full = self.counters.transport_full.wrapping_add(1);
        if extra {
            self.refund_token();
            match kind {
                AttemptKind::First => {}
                AttemptKind::Retry => self.counters.retries = self.counters.retries.wrapping_sub(1),
                AttemptKind::Hedge => {
                    self.counters.hedges_sent = self.counters.hedges_sent.wrapping_sub(1)
                }
                AttemptKind::Probe => {
                    self.counters.probes_sent = self.counters.probes_sent.wrapping_sub(1)
                }
            }
        }
        let counters = &mut self.storage.tables().streams[stream.0 as usize].counters;
        counters.attempts = counters.attempts.wrapping_sub(1);
        self.unload_stream(stream, bytes);
        self.note_inconclusive(stream, now);
        if kind != AttemptKind::Probe || self.storage.sets()[set as usize].outstanding == 0 {
            self.try_next_stream(set, now);
        }
    }

    /// Returns the slots of the set and of the attempt, if the attempt is outstanding.
    fn find_outstanding(&self, attempt: AttemptId) -> Option<(u16, usize)> {
        let set = attempt.0 as u16;
        let slot = self.storage.sets().get(set as usize)?;
        if slot.phase != SetPhase::InFlight {
            return None;
        }
        let named = |candidate: &AttemptSlot| {
            candidate.id == attempt && candidate.state == AttemptState::Outstanding
        };
        #[cfg(seeded_bugs)]
        let named = |candidate: &AttemptSlot| {
            let any = crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::LateAnswerTaken);
            named(candidate) || any && candidate.state == AttemptState::Outstanding
        };
        slot.attempts
            .iter()
            .position(named)
            .map(|attempt_index| (set, attempt_index))
    }

    fn on_success(&mut self, set: u16, attempt_index: usize, dlsn: Dlsn, now: Instant) {
        let slot = &mut self.storage.tables().sets[set as usize];
        let winner = &mut slot.attempts[attempt_index];
        winner.state = AttemptState::Won;
        winner.ended = now;
        slot.outstanding -= 1;
        let AttemptSlot {
            stream,
            kind,
            started,
            ..
        } = *winner;
        let bytes = slot.stored;
        self.unload_stream(stream, bytes);
        let took = now.micros_since(started);
        let slow = self.is_slow(took) && {
            let took_alone = self.took_alone(stream, started, now);
            self.is_slow(took_alone)
        };
        self.note_answer(stream, now);
        let observation = if slow {
            Observation::Slow
        } else {
            Observation::Success
        };
        // A hedge or a retry that won was fast, or it would not have won: only first attempts are
        // an unbiased sample of the latency.
        self.observe(
            stream,
            observation,
            (kind == AttemptKind::First).then_some(took),
            now,
        );
        self.count_stream(stream, |counters| &mut counters.won);
        self.counters.sets_written = self.counters.sets_written.wrapping_add(1);
        if kind == AttemptKind::Hedge {
            self.counters.hedges_won = self.counters.hedges_won.wrapping_add(1);
        }
        self.win_set(set, attempt_index, stream, dlsn, now);
    }

    fn on_failure(&mut self, set: u16, attempt_index: usize, failure: Failure, now: Instant) {
        let slot = &mut self.storage.tables().sets[set as usize];
        let attempt = &mut slot.attempts[attempt_index];
        attempt.state = AttemptState::Failed {
            cause: failure.cause,
            known: failure.known,
        };
        attempt.ended = now;
        let AttemptSlot { stream, kind, .. } = *attempt;
        slot.outstanding -= 1;
        let waits = slot.outstanding > 0;
        // A proxy's reply says more than that no proxy could be reached afterwards.
        let is_reply = |cause: Cause| matches!(cause, Cause::Status(_) | Cause::Exception);
        if is_reply(failure.cause) || !slot.last_cause.is_some_and(is_reply) {
            slot.last_cause = Some(failure.cause);
        }
        slot.may_be_written |= failure.known == WriteState::Unknown;
        let bytes = slot.stored;
        self.unload_stream(stream, bytes);
        self.note_answer(stream, now);
        self.counters.failures = self.counters.failures.wrapping_add(1);
        self.observe(stream, Observation::Failed(failure), None, now);
        self.count_stream(stream, |counters| &mut counters.failed);
        let slot = &mut self.storage.tables().sets[set as usize];
        match failure.advice {
            Advice::FailRecords => {
                slot.rejected = true;
                return self.fail_set(set, Reason::Refused, now);
            }
            Advice::FailOnThisStream => slot.refused_by.insert(stream.0.into()),
            Advice::NextStreamAndCoolDown(asked) => {
                slot.pushed_back = true;
                self.cool_down(stream, asked, now);
            }
            Advice::NextStream | Advice::NextStreamAndProbation => {}
        }
        // A failed probe costs its set nothing: the set still waits for the healthy stream.
        if kind != AttemptKind::Probe || !waits {
            self.try_next_stream(set, now);
        }
    }

    /// Stops using a stream whose proxy asked for less load, for as long as the proxy says. If it
    /// does not say how long, as over Thrift, a writer with a budget or health avoids the stream
    /// for a default time; the original does not.
    fn cool_down(&mut self, stream: StreamIndex, asked: Option<Duration>, now: Instant) {
        if !self.backs_off() && (asked.is_none() || !(F::HEALTH || F::BUDGET)) {
            return;
        }
        let asked = asked.map(|asked| asked.min(self.settings.max_cool_down()));
        crate::report!(info, "stream {} asked for less load", stream.0);
        let usual = match self.health() {
            Health::Probation { first_backoff, .. } => first_backoff,
            Health::Off => self.settings.rounds().first_backoff,
        };
        self.storage.tables().streams[stream.0 as usize]
            .health
            .cool_down(now, asked, micros(usual), &mut self.random);
    }

    /// Returns `true` if sets that were asked for less load go on more slowly than others (R16):
    /// with a budget or health.
    const fn backs_off(&self) -> bool {
        !matches!((self.health(), self.budget()), (Health::Off, Budget::Off))
    }

    /// Returns `true` if an answer took more than twice as long as answers of the streams usually
    /// take: such a set would have been hedged, had the budget allowed it.
    const fn is_slow(&self, took: u64) -> bool {
        match self.median_latency {
            Some(usual) => F::ADAPTIVE && !self.keeps_order() && took > usual.saturating_mul(2),
            None => false,
        }
    }

    /// Continues a set after a failure: at once with the next stream (R5), if there is one and the
    /// budget allows it (R8). A set that was asked for less load does so in its first round only
    /// (R16).
    pub(super) fn try_next_stream(&mut self, set: u16, now: Instant) {
        let slot = &self.storage.sets()[set as usize];
        let pauses = self.backs_off() && slot.pushed_back && slot.round > 0;
        if slot.queued {
            return;
        }
        if self.following_row(set, now).is_err() {
            if !self.end_round(set, now) {
                return;
            }
        } else if !pauses {
            return self.retry(set, now);
        }
        self.schedule_retry(set, self.retry_pause(set), now);
    }

    /// Ends a round, in which every stream was tried, refused the set permanently or is paused.
    /// Returns `true` if the next round is to begin after a pause; `false` if the settings allow
    /// none: the set fails as soon as no attempt is outstanding (R2).
    fn end_round(&mut self, set: u16, now: Instant) -> bool {
        let limit = self.settings.rounds().limit;
        let refused = self.all_refused(set);
        let slot = &mut self.storage.tables().sets[set as usize];
        let reason = if refused {
            Reason::Refused
        } else {
            if slot.attempts_in_round > 0 {
                slot.attempts_in_round = 0;
                slot.round += 1;
            }
            if limit.is_none_or(|limit| slot.round < limit) {
                return true;
            }
            if slot.outstanding > 0 {
                return false;
            }
            Reason::Exhausted
        };
        self.fail_set(set, reason, now);
        false
    }

    /// Returns `true` if every stream of the writer refused the set permanently.
    fn all_refused(&self, set: u16) -> bool {
        let refused_by = &self.storage.sets()[set as usize].refused_by;
        if F::CHANGES {
            let rows = &self.storage.streams()[..self.members as usize];
            rows.iter()
                .all(|row| refused_by.contains(row.turn.0.into()))
        } else {
            refused_by.len() >= self.streams as usize
        }
    }

    /// Returns the pause before a set is tried again, in microseconds: doubled after each round
    /// that counted, and after each attempt behind the first round if a proxy asked for less load
    /// (R16).
    fn retry_pause(&self, set: u16) -> u64 {
        let (rounds, slot) = (self.settings.rounds(), &self.storage.sets()[set as usize]);
        let doublings = if self.backs_off() && slot.pushed_back {
            slot.attempts_made.saturating_sub(self.members().into())
        } else {
            slot.round.saturating_sub(1)
        };
        // The shift is limited to 20: beyond 2^20 times the first pause, the maximum is reached
        // long before.
        (micros(rounds.first_backoff) << doublings.min(20)).min(micros(rounds.max_backoff))
    }

    /// Handles the end of a pause: begins the next round, or asks the budget again.
    pub(super) fn on_retry_timer(&mut self, set: u16, now: Instant) {
        let slot = &mut self.storage.tables().sets[set as usize];
        slot.retry_at = Instant::MAX;
        if slot.queued || slot.outstanding as usize >= MAX_OUTSTANDING {
            return;
        }
        if self.following_row(set, now).is_err() {
            let slot = &mut self.storage.tables().sets[set as usize];
            slot.tried = StreamSet::NONE;
            slot.attempts_in_round = 0;
            for attempt in slot
                .attempts
                .iter()
                .filter(|attempt| attempt.state == AttemptState::Outstanding)
            {
                slot.tried.insert(attempt.stream.0.into());
            }
        }
        // If all other streams have outstanding attempts, there is nothing to try: the set
        // continues when one of them ends, or at the end of a stream's pause.
        match self.following_row(set, now) {
            Ok(_) => self.retry(set, now),
            Err(pause_end) => self.storage.tables().sets[set as usize].retry_at = pause_end,
        }
    }

    fn retry(&mut self, set: u16, now: Instant) {
        let costs = self.storage.sets()[set as usize].attempts_made > 0;
        #[cfg(seeded_bugs)]
        let costs = costs && !crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::RetriesAreFree);
        if costs && F::BUDGET && !self.budget.take(now) {
            self.counters.budget_exhausted = self.counters.budget_exhausted.wrapping_add(1);
            return self.schedule_retry(set, micros(self.settings.rounds().first_backoff), now);
        }
        self.enqueue(set, AttemptKind::Retry);
    }

    fn schedule_retry(&mut self, set: u16, length: u64, now: Instant) {
        let length = self.random.jittered(length).max(1);
        // The sooner one: a set may wait for the end of a stream's pause, and another stream's
        // failure begins a round of its own.
        let slot = &mut self.storage.tables().sets[set as usize];
        slot.retry_at = slot.retry_at.min(now.plus_micros(length));
        self.rearm(set);
    }

    /// Handles the speculative timeout: hedges the set (R3), if a stream is left in this round, no
    /// proxy asked for less load, not all streams are silent (R21), and the budget allows it (R8).
    pub(super) fn on_speculative_timer(&mut self, set: u16, now: Instant) {
        let slot = &mut self.storage.tables().sets[set as usize];
        slot.speculate_at = Instant::MAX;
        let outstanding = slot.outstanding as usize;
        if slot.queued && slot.kind != AttemptKind::Probe
            || outstanding == 0
            || outstanding >= MAX_OUTSTANDING
        {
            return;
        }
        if slot.pushed_back {
            self.counters.pushbacks = self.counters.pushbacks.wrapping_add(1);
            return;
        }
        if let Err(pause_end) = self.following_row(set, now) {
            self.storage.tables().sets[set as usize].speculate_at = pause_end;
            return;
        }
        if let Some(at) = self.wait_for_answers(set, now) {
            self.storage.tables().sets[set as usize].speculate_at = at;
            self.counters.silences = self.counters.silences.wrapping_add(1);
            return;
        }
        let granted = !F::BUDGET || self.budget.take_for_hedge(now);
        // The multiplier is in 65,536ths, hence the shift below.
        let (multiplier, max) = (self.bounds.multiplier, self.bounds.max_speculative_timeout);
        let slot = &mut self.storage.tables().sets[set as usize];
        if granted {
            slot.speculative_timeout =
                (slot.speculative_timeout.saturating_mul(multiplier) >> 16).clamp(1, max.max(1));
            if slot.queued {
                // The writer was not polled between a probe's queueing and this timeout. The hedge
                // has priority over the probe.
                slot.kind = AttemptKind::Hedge;
            } else {
                self.enqueue(set, AttemptKind::Hedge);
            }
        } else {
            slot.speculate_at = now.plus_micros(slot.speculative_timeout);
            crate::report!(debug, "a set is not hedged: the budget is spent");
            self.counters.budget_exhausted = self.counters.budget_exhausted.wrapping_add(1);
        }
    }

    /// Updates the stream's health and latency from the end of an attempt (R9, R10). The latency is
    /// in microseconds.
    pub(super) fn observe(
        &mut self,
        stream: StreamIndex,
        observation: Observation,
        latency: Option<u64>,
        now: Instant,
    ) {
        // What a removed stream does concerns no further set.
        if self.is_removed(stream) {
            return;
        }
        let settings = self.health_for(observation);
        if !matches!(settings, Health::Off) {
            let health = &mut self.storage.tables().streams[stream.0 as usize].health;
            match health.on_attempt_ended(settings, now, observation, &mut self.random) {
                HealthChange::None => {}
                HealthChange::Entered => {
                    crate::report!(warn, "stream {} is on probation", stream.0);
                    self.counters.probation_entries =
                        self.counters.probation_entries.wrapping_add(1)
                }
                HealthChange::Left => {
                    crate::report!(info, "stream {} is healthy again", stream.0);
                    self.counters.probation_exits = self.counters.probation_exits.wrapping_add(1)
                }
            }
            self.update_next_probe(stream);
        }
        if let Some(latency) = latency
            && self.chooses_by_load()
        {
            self.storage.tables().streams[stream.0 as usize]
                .load
                .record(latency);
        }
        if let (Some(latency), Adaptive::Quantile { warm_up, .. }) = (latency, self.adaptive()) {
            let tail = self.tail(now);
            let histogram = &mut self.storage.tables().streams[stream.0 as usize].latency;
            if histogram.record(latency, tail) {
                self.median_latency = self.compute_median_latency(warm_up);
            }
        }
    }

    /// Returns the share of latencies to hedge: the configured one when the budget is half spent,
    /// twice that when it is full, and less and less as it empties (R8, R10).
    pub(super) fn tail(&mut self, now: Instant) -> Tail {
        if F::BUDGET {
            Tail(self.bounds.tail.0 * self.budget.fullness(now) / 128)
        } else {
            self.bounds.tail
        }
    }

    /// Returns the token of an extra attempt that was not made.
    pub(super) fn refund_token(&mut self) {
        if F::BUDGET {
            self.budget.refund();
        }
    }

    /// Returns the lower median of the streams' quantiles. Quadratic in the number of streams,
    /// which is small, and runs once per 16 answers.
    fn compute_median_latency(&self, warm_up: u32) -> Option<u64> {
        let quantiles = || {
            self.rotation()
                .filter_map(|stream| stream.latency.quantile(warm_up))
        };
        let half = quantiles().count().div_ceil(2);
        quantiles().find(|&candidate| {
            let (below, equal) = quantiles().fold((0, 0), |(below, equal), other| {
                (
                    below + usize::from(other < candidate),
                    equal + usize::from(other == candidate),
                )
            });
            below < half && below + equal >= half
        })
    }
}

/// Converts a pause of the settings to microseconds.
const fn micros(pause: Duration) -> u64 {
    pause.as_micros() as u64
}
