use core::time::Duration;

use distributedlog::Instant;

use super::in_flight::{InFlightSets, TimerKind};
use super::{Actions, AttemptOutcome, Policy};

/// The algorithm of `DistributedLogMultiStreamWriter` in Apache DistributedLog 0.5.0, with its
/// defects:
///
/// - All sets share one speculative timeout, which grows with every attempt that has a timer and is
///   never reset.
/// - After a set was sent to every stream, the next timer or failure fails it, although attempts
///   are outstanding and time is left.
/// - The request timeout is checked only at timers and failures.
///
/// Not modelled: a loser that fails after its set was written sends the set once more.
#[derive(Debug)]
pub struct Original {
    in_flight: InFlightSets,
    settings: OriginalSettings,
    /// The shared speculative timeout.
    next_speculative: Duration,
}

#[derive(Clone, Copy, Debug)]
struct OriginalSettings {
    request_timeout: Duration,
    max: Duration,
    multiplier: f64,
}

impl Original {
    /// Creates a policy for this number of streams with these timeouts.
    #[must_use]
    pub fn new(
        streams: u16,
        request_timeout: Duration,
        first: Duration,
        max: Duration,
        multiplier: f64,
    ) -> Self {
        let settings = OriginalSettings {
            request_timeout,
            max,
            multiplier,
        };
        Self {
            in_flight: InFlightSets::new(streams),
            settings,
            next_speculative: first,
        }
    }

    /// `sendNextWrite`: sends the set to the next stream, or fails it. Returns true if it was sent.
    fn send_next(&mut self, now: Instant, set: u64, actions: &mut Actions) -> bool {
        let Some(in_flight_set) = self.in_flight.get(set) else {
            return false;
        };
        if now.since(in_flight_set.began) > self.settings.request_timeout
            || !self.in_flight.send(set, actions)
        {
            self.in_flight.end(set, false, actions);
            return false;
        }
        true
    }

    /// `issueSpeculativeRequest`: sends the set and sets the timer of its next attempt.
    fn speculate(&mut self, now: Instant, set: u64, actions: &mut Actions) {
        if self.send_next(now, set, actions) {
            self.in_flight
                .set_timer(now + self.next_speculative, set, TimerKind::Hedge);
            self.next_speculative = self
                .next_speculative
                .mul_f64(self.settings.multiplier)
                .min(self.settings.max);
        }
    }
}

impl Policy for Original {
    fn handle_set(&mut self, now: Instant, set: u64, actions: &mut Actions) {
        self.in_flight.begin(now, set);
        self.speculate(now, set, actions);
    }

    fn handle_outcome(&mut self, now: Instant, outcome: AttemptOutcome, actions: &mut Actions) {
        if outcome.stored {
            self.in_flight.end(outcome.set, true, actions);
        } else if self.in_flight.finish_attempt(outcome.set).is_some() {
            self.send_next(now, outcome.set, actions);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.in_flight.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        while let Some((set, timer)) = self.in_flight.next_due(now) {
            match timer {
                TimerKind::Hedge => self.speculate(now, set, actions),
                TimerKind::Deadline => {}
            }
        }
    }
}
