use core::time::Duration;

use distributedlog::Instant;

use super::in_flight::{InFlightSets, TimerKind};
use super::{Actions, AttemptOutcome, Policy};

/// Hedging as gRPC's proposal A6 specifies it: a further attempt after each fixed delay, at once
/// after a failure, up to a number of attempts; throttled by a token bucket that failures empty and
/// successes fill. Slowness alone empties nothing.
///
/// "No room" counts as a failure that is not fatal. Each attempt goes to another stream.
#[derive(Debug)]
pub struct Grpc {
    in_flight: InFlightSets,
    request_timeout: Duration,
    settings: GrpcSettings,
    tokens: f64,
}

/// The service config's `hedgingPolicy` and `retryThrottling`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrpcSettings {
    /// `hedgingDelay`. Default: 10 ms, as in The Tail at Scale.
    pub hedging_delay: Duration,
    /// `maxAttempts`, the first one included; gRPC clients allow at most 5. Default: 4.
    pub max_attempts: u16,
    /// `maxTokens`. Hedges are sent while more than half of the tokens are left. Default: 10.
    pub max_tokens: f64,
    /// `tokenRatio`: tokens that a success adds; a failure takes one. Default: 0.1.
    pub token_ratio: f64,
}

impl Default for GrpcSettings {
    fn default() -> Self {
        Self {
            hedging_delay: Duration::from_millis(10),
            max_attempts: 4,
            max_tokens: 10.0,
            token_ratio: 0.1,
        }
    }
}

impl Grpc {
    /// Creates a policy for this number of streams that fails a set after `request_timeout`.
    #[must_use]
    pub fn new(streams: u16, request_timeout: Duration, settings: GrpcSettings) -> Self {
        Self {
            in_flight: InFlightSets::new(streams),
            request_timeout,
            settings,
            tokens: settings.max_tokens,
        }
    }

    fn hedge(&mut self, now: Instant, set: u64, actions: &mut Actions) {
        let left = self
            .in_flight
            .get(set)
            .is_some_and(|in_flight_set| in_flight_set.tried < self.settings.max_attempts);
        if left && self.tokens > self.settings.max_tokens / 2.0 && self.in_flight.send(set, actions)
        {
            self.in_flight
                .set_timer(now + self.settings.hedging_delay, set, TimerKind::Hedge);
        }
    }
}

impl Policy for Grpc {
    fn handle_set(&mut self, now: Instant, set: u64, actions: &mut Actions) {
        self.in_flight.begin(now, set);
        self.in_flight.send(set, actions);
        self.in_flight
            .set_timer(now + self.settings.hedging_delay, set, TimerKind::Hedge);
        self.in_flight
            .set_timer(now + self.request_timeout, set, TimerKind::Deadline);
    }

    fn handle_outcome(&mut self, now: Instant, outcome: AttemptOutcome, actions: &mut Actions) {
        // Attempts are cancelled when their set ends: later outcomes do not count.
        if self.in_flight.finish_attempt(outcome.set).is_none() {
            return;
        }
        if outcome.stored {
            self.tokens = (self.tokens + self.settings.token_ratio).min(self.settings.max_tokens);
            return self.in_flight.end(outcome.set, true, actions);
        }
        self.tokens = (self.tokens - 1.0).max(0.0);
        self.hedge(now, outcome.set, actions);
        if self
            .in_flight
            .get(outcome.set)
            .is_some_and(|in_flight_set| in_flight_set.outstanding == 0)
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
                TimerKind::Hedge => self.hedge(now, set, actions),
                TimerKind::Deadline => self.in_flight.end(set, false, actions),
            }
        }
    }
}
