//! What is remembered of each stream (R9).

use core::time::Duration;

use super::Health;
use crate::random::Random;
use crate::{Advice, Cause, Failure, Instant};

/// What is remembered of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamHealth {
    state: HealthState,
    /// Failed or slow attempts in a row.
    strikes: u32,
    /// The next probation's length in microseconds, 0 for the shortest.
    backoff: u64,
    /// It asked for less load until then (R8).
    cool_until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthState {
    /// When it takes its turn.
    Good,
    /// When it is passed over until then.
    Probation { until: Instant },
    /// When its probation is over and a copy of one set was given to it, of whose fate it depends.
    Probing,
}

/// What an attempt says of its stream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// It was answered with success.
    Success,
    /// A later attempt of the same set was faster, the set's time passed without an answer, or the
    /// answer took much longer than answers usually do; or it was a probe, and the healthy
    /// stream was faster.
    Slow,
    /// It failed.
    Failed(Failure),
}

/// How a stream's state changed.
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
    };

    /// Whether a set may start here, and whether it should rather go on here than elsewhere.
    pub(crate) fn is_available(&self, now: Instant) -> bool {
        self.state == HealthState::Good && self.cool_until <= now
    }

    /// When the stream is to be probed, if it is on probation.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            HealthState::Good | HealthState::Probing => None,
            HealthState::Probation { until } => Some(until.max(self.cool_until)),
        }
    }

    /// A set is copied to the stream to see how it does.
    pub(crate) const fn begin_probe(&mut self) {
        self.state = HealthState::Probing;
    }

    /// The proxy asked for less load (R8): for as long as it said, and a little more, so that those
    /// who were turned down together do not come back together; for `usual` and less, if it did
    /// not say.
    pub(crate) fn cool_down(
        &mut self,
        now: Instant,
        asked: Option<Duration>,
        usual: Duration,
        random: &mut Random,
    ) {
        let pause = match asked {
            Some(asked) => {
                let asked = asked.min(LONGEST_COOL_DOWN).as_micros() as u64;
                asked + random.below(asked / 4 + 1)
            }
            None => random.jittered(usual.as_micros() as u64),
        };
        self.cool_until = self.cool_until.max(now.plus_micros(pause));
    }

    /// An attempt ended, or was given up.
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

    /// A stream that comes back is one strike away from the next probation until it has done well
    /// once more, and keeps half of its backoff in mind: one that is ill again soon pauses for
    /// longer.
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

    /// What ended the probe, if it was one, says nothing of the stream's health: the next set may
    /// probe it.
    pub(crate) fn on_inconclusive(&mut self, now: Instant) {
        if self.state == HealthState::Probing {
            self.state = HealthState::Probation { until: now };
        }
    }
}

/// A proxy may not send a stream away for longer than this at a time.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(60);
