//! What is remembered of each stream (R9).

use core::time::Duration;

use super::Health;
use crate::random::Random;
use crate::{Advice, Cause, Failure, Instant};

/// What is remembered of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamHealth {
    standing: Standing,
    /// Failed or overtaken attempts in a row.
    strikes: u32,
    /// The next probation's length in microseconds, 0 for the shortest.
    backoff: u64,
    /// It asked for less load until then (R8).
    cool_until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// When it takes its turn.
    Good,
    /// When it is passed over until then.
    Probation { until: Instant },
    /// When its probation is over and one set was given to it, of whose fate it depends.
    Probing,
}

/// What an attempt says of its stream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It was answered with success.
    Success,
    /// A later attempt of the same set was faster, or the set's time passed without an answer.
    Overtaken,
    /// It failed.
    Failed(Failure),
}

/// How a stream's standing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Entered,
    Left,
}

impl StreamHealth {
    pub(crate) const NEW: Self = Self { standing: Standing::Good, strikes: 0, backoff: 0, cool_until: Instant::ZERO };

    /// Whether a set may start here: the stream is healthy, or it is time to probe it.
    pub(crate) fn may_start(&self, now: Instant) -> bool {
        let fit = match self.standing {
            Standing::Good => true,
            Standing::Probation { until } => until <= now,
            Standing::Probing => false,
        };
        fit && self.cool_until <= now
    }

    /// Whether the stream is fit for a set's second and later attempts, which probe nothing.
    pub(crate) fn is_fit(&self, now: Instant) -> bool {
        self.standing == Standing::Good && self.cool_until <= now
    }

    /// A set starts here. If it was time to probe, this is the probe.
    pub(crate) fn on_start(&mut self, now: Instant) {
        if matches!(self.standing, Standing::Probation { until } if until <= now) {
            self.standing = Standing::Probing;
        }
    }

    /// An attempt ended, or was given up.
    pub(crate) fn on_attempt_ended(&mut self, policy: Health, now: Instant, sign: Sign, random: &mut Random) -> Change {
        let Health::Probation { strikes: allowed, first_backoff, max_backoff } = policy else {
            return Change::None;
        };
        let strikes = match sign {
            Sign::Success => return self.on_success(),
            Sign::Overtaken => 1,
            Sign::Failed(failure) => match failure.advice {
                Advice::NextStreamAndProbation => allowed,
                Advice::NextStreamAndCoolDown(pause) => {
                    self.cool_until = now + jittered(pause.unwrap_or(first_backoff).min(max_backoff), random);
                    return self.probe_undecided(now);
                }
                Advice::NextStream if matches!(failure.cause, Cause::TransportFull | Cause::Closed) => return self.probe_undecided(now),
                Advice::NextStream => 1,
                Advice::FailOnThisStream | Advice::FailRecords => return self.probe_undecided(now),
            },
        };
        self.strikes = self.strikes.saturating_add(strikes);
        let condemned = match self.standing {
            Standing::Good => self.strikes >= allowed,
            Standing::Probation { .. } => return Change::None,
            Standing::Probing => true,
        };
        if !condemned {
            return Change::None;
        }
        let entered = if self.standing == Standing::Good { Change::Entered } else { Change::None };
        let (first, max) = (first_backoff.as_micros() as u64, max_backoff.as_micros() as u64);
        let backoff = self.backoff.clamp(first, max);
        self.standing = Standing::Probation { until: now.plus_micros(random.jittered(backoff)) };
        self.backoff = backoff.saturating_mul(2).min(max);
        self.strikes = 0;
        entered
    }

    /// A stream that comes back keeps half of its backoff in mind: one that is ill again soon pauses for longer.
    fn on_success(&mut self) -> Change {
        self.strikes = 0;
        self.backoff /= 2;
        let left = if self.standing == Standing::Good { Change::None } else { Change::Left };
        self.standing = Standing::Good;
        left
    }

    /// What ended the probe says nothing of the stream's health: the next set may probe it.
    fn probe_undecided(&mut self, now: Instant) -> Change {
        if self.standing == Standing::Probing {
            self.standing = Standing::Probation { until: now };
        }
        Change::None
    }

    /// The probe was given up before it could tell anything.
    pub(crate) fn on_abandoned(&mut self, now: Instant) {
        let _ = self.probe_undecided(now);
    }
}

fn jittered(length: Duration, random: &mut Random) -> Duration {
    crate::time::length(random.jittered(length.as_micros() as u64), 1_000_000)
}
