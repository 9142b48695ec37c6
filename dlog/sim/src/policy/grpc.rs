use core::time::Duration;

use distributedlog::Instant;

use super::races::{Bell, Races};
use super::{Answer, Policy, Todo};

/// Hedging as gRPC's proposal A6 specifies it: a further attempt after each fixed delay, at once
/// after a failure, up to a number of attempts; throttled by a token bucket that failures empty and
/// successes fill. Slowness alone empties nothing.
///
/// "No room" counts as a failure that is not fatal. Each attempt goes to another stream.
#[derive(Debug)]
pub struct Grpc {
    races: Races,
    request_timeout: Duration,
    settings: GrpcSettings,
    tokens: f64,
}

/// The service config's `hedgingPolicy` and `retryThrottling`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrpcSettings {
    /// `hedgingDelay`.
    pub hedging_delay: Duration,
    /// `maxAttempts`, the first one included. Clients allow 5 at most.
    pub max_attempts: u16,
    /// `maxTokens`. Hedges are sent while there are more than half of them.
    pub max_tokens: f64,
    /// `tokenRatio`: what a success puts back of the token that a failure takes.
    pub token_ratio: f64,
}

impl Default for GrpcSettings {
    /// A delay of 10 ms, as The Tail at Scale's, and the rest as in the proposal's examples: 4
    /// attempts, 10 tokens, a ratio of 0.1.
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
    /// One that writes to so many streams and gives a set up after `request_timeout`.
    #[must_use]
    pub fn new(streams: u16, request_timeout: Duration, settings: GrpcSettings) -> Self {
        Self {
            races: Races::new(streams),
            request_timeout,
            settings,
            tokens: settings.max_tokens,
        }
    }

    fn hedge(&mut self, now: Instant, set: u64, todo: &mut Todo) {
        let left = self
            .races
            .get(set)
            .is_some_and(|race| race.tried < self.settings.max_attempts);
        if left && self.tokens > self.settings.max_tokens / 2.0 && self.races.send(set, todo) {
            self.races
                .arm(now + self.settings.hedging_delay, set, Bell::Hedge);
        }
    }
}

impl Policy for Grpc {
    fn arrive(&mut self, now: Instant, set: u64, todo: &mut Todo) {
        self.races.begin(now, set);
        self.races.send(set, todo);
        self.races
            .arm(now + self.settings.hedging_delay, set, Bell::Hedge);
        self.races
            .arm(now + self.request_timeout, set, Bell::Deadline);
    }

    fn answered(&mut self, now: Instant, answer: Answer, todo: &mut Todo) {
        // What is answered after the end was cancelled: it counts for nothing.
        if self.races.settle(answer.set).is_none() {
            return;
        }
        if answer.stored {
            self.tokens = (self.tokens + self.settings.token_ratio).min(self.settings.max_tokens);
            return self.races.end(answer.set, true, todo);
        }
        self.tokens = (self.tokens - 1.0).max(0.0);
        self.hedge(now, answer.set, todo);
        if self
            .races
            .get(answer.set)
            .is_some_and(|race| race.outstanding == 0)
        {
            self.races.end(answer.set, false, todo);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.races.next_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, todo: &mut Todo) {
        while let Some((set, bell)) = self.races.ring(now) {
            match bell {
                Bell::Hedge => self.hedge(now, set, todo),
                Bell::Deadline => self.races.end(set, false, todo),
            }
        }
    }
}
