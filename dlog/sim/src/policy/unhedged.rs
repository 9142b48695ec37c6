use core::time::Duration;

use distributedlog::Instant;

use super::in_flight::{InFlightSets, TimerKind};
use super::{Actions, AttemptOutcome, Policy};

/// No hedging: a set waits for its stream. If the stream has no room, the next one is tried, each
/// once.
#[derive(Debug)]
pub struct Unhedged {
    in_flight: InFlightSets,
    request_timeout: Duration,
}

impl Unhedged {
    /// Creates a policy for this number of streams that fails a set after `request_timeout`.
    #[must_use]
    pub fn new(streams: u16, request_timeout: Duration) -> Self {
        Self {
            in_flight: InFlightSets::new(streams),
            request_timeout,
        }
    }
}

impl Policy for Unhedged {
    fn handle_set(&mut self, now: Instant, set: u64, actions: &mut Actions) {
        self.in_flight.begin(now, set);
        self.in_flight.send(set, actions);
        self.in_flight
            .set_timer(now + self.request_timeout, set, TimerKind::Deadline);
    }

    fn handle_outcome(&mut self, _now: Instant, outcome: AttemptOutcome, actions: &mut Actions) {
        if outcome.stored {
            self.in_flight.end(outcome.set, true, actions);
        } else if self.in_flight.finish_attempt(outcome.set).is_some()
            && !self.in_flight.send(outcome.set, actions)
        {
            self.in_flight.end(outcome.set, false, actions);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.in_flight.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        while let Some((set, timer)) = self.in_flight.next_due(now) {
            match timer {
                TimerKind::Deadline => self.in_flight.end(set, false, actions),
                TimerKind::Hedge => {}
            }
        }
    }
}
