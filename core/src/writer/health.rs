//! Health of the streams (R9).

use core::time::Duration;

use super::Health;
use crate::random::Random;
use crate::{Advice, Cause, Failure, Instant};

/// Health of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamHealth {
    state: HealthState,
    /// Failed or slow attempts in a row.
    strikes: u32,
    /// Length of the next probation in microseconds; 0 for the shortest.
    backoff: u64,
    /// The stream asked for less load until this time (R8).
    cool_until: Instant,
    /// The stream named that time itself (R16).
    named: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthState {
    /// The stream is used in its turn.
    Good,
    /// The stream is skipped until this time.
    Probation { until: Instant },
    /// The stream's probation is over and an attempt for a copy of one set is outstanding, whose
    /// outcome decides.
    Probing,
}

/// Outcome of an attempt in terms of its stream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// The attempt succeeded.
    Success,
    /// A later attempt of the same set was faster, the set's deadline passed without an answer, or
    /// the answer took much longer than answers usually do; or the attempt was a probe, and the
    /// healthy stream was faster.
    Slow,
    /// The attempt failed.
    Failed(Failure),
}

/// Change of a stream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthChange {
    None,
    Entered,
    Left,
}

impl StreamHealth {
    pub(crate) const NEW: Self = Self {
        state: HealthState::Good,
        strikes: 0,
        backoff: 0,
        cool_until: Instant::ZERO,
        named: false,
    };

    /// Returns `true` if sets may start at the stream, and should rather continue here than
    /// elsewhere.
    pub(crate) fn is_available(&self, now: Instant) -> bool {
        self.state == HealthState::Good && self.cool_until <= now
    }

    /// Returns `true` if the stream gets no attempt, because it said for how long it takes none
    /// (R16). One that did not say is avoided, and tried if there is no other: in a burst that
    /// exceeds the capacity for an instant, waiting would cost more than trying.
    pub(crate) fn is_paused(&self, now: Instant) -> bool {
        self.named && self.cool_until > now
    }

    /// Returns the end of the latest pause.
    pub(crate) const fn pause_end(&self) -> Instant {
        self.cool_until
    }

    /// Returns the time of the next probe, or `None` if the stream is not on probation.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            HealthState::Good | HealthState::Probing => None,
            HealthState::Probation { until } => Some(until.max(self.cool_until)),
        }
    }

    /// Begins a probe: a copy of a set is sent to the stream.
    pub(crate) const fn begin_probe(&mut self) {
        self.state = HealthState::Probing;
    }

    /// Pauses the stream because its proxy asked for less load (R8): for the time that it asked for
    /// and up to a quarter more, so that writers which were turned away together do not return
    /// together. Without a time, for a random part of `usual`, in microseconds.
    pub(crate) fn cool_down(
        &mut self,
        now: Instant,
        asked: Option<Duration>,
        usual: u64,
        random: &mut Random,
    ) {
        self.named = asked.is_some() || self.named && self.cool_until > now;
        let pause = match asked {
            Some(asked) => {
                let asked = asked.as_micros() as u64;
                asked + random.below(asked / 4 + 1)
            }
            None => random.jittered(usual),
        };
        self.cool_until = self.cool_until.max(now.plus_micros(pause));
    }

    /// Updates the health from the end or the cancellation of an attempt.
    pub(crate) fn on_attempt_ended(
        &mut self,
        settings: Health,
        now: Instant,
        observation: Observation,
        random: &mut Random,
    ) -> HealthChange {
        let Health::Probation {
            strikes: allowed,
            first_backoff,
            max_backoff,
        } = settings
        else {
            return HealthChange::None;
        };
        let strikes = match observation {
            Observation::Success => return self.on_success(allowed),
            Observation::Slow => 1,
            Observation::Failed(failure) => match failure.advice {
                Advice::NextStreamAndProbation => allowed,
                Advice::NextStream
                    if !matches!(failure.cause, Cause::TransportFull | Cause::Closed) =>
                {
                    1
                }
                Advice::NextStream
                | Advice::NextStreamAndCoolDown(_)
                | Advice::FailOnThisStream
                | Advice::FailRecords => {
                    self.on_inconclusive(now);
                    return HealthChange::None;
                }
            },
        };
        self.strikes = self.strikes.saturating_add(strikes);
        let demoted = match self.state {
            HealthState::Good => self.strikes >= allowed,
            HealthState::Probation { .. } => return HealthChange::None,
            HealthState::Probing => true,
        };
        if !demoted {
            return HealthChange::None;
        }
        let entered = if self.state == HealthState::Good {
            HealthChange::Entered
        } else {
            HealthChange::None
        };
        let (first, max) = (
            first_backoff.as_micros() as u64,
            max_backoff.as_micros() as u64,
        );
        let backoff = self.backoff.clamp(first, max);
        self.state = HealthState::Probation {
            until: now.plus_micros(random.jittered(backoff)),
        };
        self.backoff = backoff.saturating_mul(2).min(max);
        self.strikes = 0;
        entered
    }

    /// A stream that returns is one strike away from the next probation until it has succeeded once
    /// more, and its backoff is only halved: if it fails again soon, it pauses for longer.
    const fn on_success(&mut self, allowed: u32) -> HealthChange {
        self.backoff /= 2;
        match self.state {
            HealthState::Good => {
                self.strikes = 0;
                HealthChange::None
            }
            HealthState::Probation { .. } | HealthState::Probing => {
                self.strikes = allowed - 1;
                self.state = HealthState::Good;
                HealthChange::Left
            }
        }
    }

    /// Handles an end that says nothing about the health. If it was a probe, the next set may probe
    /// the stream.
    pub(crate) fn on_inconclusive(&mut self, now: Instant) {
        if self.state == HealthState::Probing {
            self.state = HealthState::Probation { until: now };
        }
    }
}
