use core::time::Duration;

use super::{Adaptive, Budget, Health, Identity, Rounds, Settings, SettingsError, Window};
use crate::writer::{Codec, MAX_SET_BYTES, limits};

/// Collects settings; [`build`](Self::build) checks them. Each method's default stands behind
/// "Default".
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, rename_all = "kebab-case", deny_unknown_fields)
)]
#[must_use = "a builder does nothing until it is built"]
pub struct SettingsBuilder {
    pub(super) buffer_size: usize,
    pub(super) flush_interval: Duration,
    pub(super) flush_when_idle: bool,
    pub(super) codec: Codec,
    pub(super) request_timeout: Duration,
    pub(super) hedging: bool,
    pub(super) first_speculative_timeout: Duration,
    pub(super) max_speculative_timeout: Duration,
    pub(super) speculative_backoff_multiplier: f32,
    pub(super) seed: Option<u64>,
    pub(super) in_flight_sets: usize,
    pub(super) buffered_bytes: usize,
    pub(super) pending_records: usize,
    pub(super) rounds: Rounds,
    pub(super) budget: Budget,
    pub(super) health: Health,
    pub(super) window: Window,
    pub(super) adaptive: Adaptive,
    pub(super) identity: Identity,
    pub(super) attempt_reports: bool,
}

impl SettingsBuilder {
    pub(super) const fn new() -> Self {
        Self {
            buffer_size: 16 * 1024,
            flush_interval: Duration::from_millis(2),
            flush_when_idle: true,
            codec: Codec::None,
            request_timeout: Duration::from_millis(500),
            hedging: true,
            first_speculative_timeout: Duration::from_millis(50),
            max_speculative_timeout: Duration::from_millis(200),
            speculative_backoff_multiplier: 2.0,
            seed: None,
            in_flight_sets: 256,
            buffered_bytes: 32 * 1024 * 1024,
            pending_records: 16 * 1024,
            rounds: Rounds {
                limit: None,
                first_backoff: Duration::from_millis(10),
                max_backoff: Duration::from_secs(1),
            },
            budget: Budget::Off,
            health: Health::Off,
            window: Window::Share,
            adaptive: Adaptive::Off,
            identity: Identity::Off,
            attempt_reports: false,
        }
    }

    /// Switches on what the original does not have and what new users should: a budget of extra
    /// attempts (R8), health and windows of the streams (R9), speculative timeouts that follow
    /// the latency (R10). Everything else stays as it is: the timeouts are then what holds
    /// until enough latencies were seen, and the longest that they may become.
    pub const fn recommended(self) -> Self {
        self.budget(Budget::RECOMMENDED)
            .health(Health::RECOMMENDED)
            .window(Window::RECOMMENDED)
            .adaptive(Adaptive::RECOMMENDED)
    }

    /// Bytes at which a record set is transmitted, 0 for each record at once. More than the largest
    /// set ([`MAX_SET_BYTES`]) counts as that, as in the original. Default: 16 KiB.
    pub const fn buffer_size(mut self, bytes: usize) -> Self {
        self.buffer_size = bytes;
        self
    }

    /// How long the first record of a set waits for company; zero: no such timer. Below the request
    /// timeout. Default: 2 ms.
    pub const fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// Whether a set is transmitted at once while no other is in flight, and fills while one is.
    /// Default: yes.
    pub const fn flush_when_idle(mut self, yes: bool) -> Self {
        self.flush_when_idle = yes;
        self
    }

    /// How record sets are compressed. Default: not.
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// How long after it was accepted a record's write completes at the latest. Default: 500 ms.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Whether a set whose attempt takes long is tried at the next stream as well. Without it a set
    /// goes on only after a failure, and the speculative timeouts are not looked at. Default:
    /// yes.
    pub const fn hedging(mut self, yes: bool) -> Self {
        self.hedging = yes;
        self
    }

    /// How long a set waits for its first attempt before it is hedged: above zero, at most the max
    /// speculative timeout. Default: 50 ms.
    pub const fn first_speculative_timeout(mut self, timeout: Duration) -> Self {
        self.first_speculative_timeout = timeout;
        self
    }

    /// The longest a set waits before it is hedged again: below the request timeout. Default: 200
    /// ms.
    pub const fn max_speculative_timeout(mut self, timeout: Duration) -> Self {
        self.max_speculative_timeout = timeout;
        self
    }

    /// What a set's speculative timeout is multiplied by with each hedge: 1 to 1,000. Default: 2.
    pub const fn speculative_backoff_multiplier(mut self, multiplier: f32) -> Self {
        self.speculative_backoff_multiplier = multiplier;
        self
    }

    /// What the permutation of the streams and the jitter are made of. Default: the adapter chooses
    /// a random one.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many transmitted sets may be unfinished at a time, 1 to 65,000; the writer's memory may
    /// hold fewer. Default: 256.
    pub const fn in_flight_sets(mut self, sets: usize) -> Self {
        self.in_flight_sets = sets;
        self
    }

    /// How many bytes may be buffered, those in flight included: 64 bytes to 1 TiB. Bounds the
    /// largest record too. Default: 32 MiB.
    pub const fn buffered_bytes(mut self, bytes: usize) -> Self {
        self.buffered_bytes = bytes;
        self
    }

    /// How many records may be accepted and not yet asked for their result, 1 to 2^31; the writer's
    /// memory may hold fewer. Default: 16,384.
    pub const fn pending_records(mut self, records: usize) -> Self {
        self.pending_records = records;
        self
    }

    /// What happens after every stream was tried. Default: go round until the deadline, pausing 10
    /// ms, then twice as long, at most 1 s.
    pub const fn rounds(mut self, rounds: Rounds) -> Self {
        self.rounds = rounds;
        self
    }

    /// The budget of extra attempts. Default: off.
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// What is remembered of streams that stall or fail. Default: off.
    pub const fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// How many attempts may be outstanding at one stream. Default: twice its share of the sets in
    /// flight.
    pub const fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Whether the speculative timeout follows the latency. Default: off.
    pub const fn adaptive(mut self, adaptive: Adaptive) -> Self {
        self.adaptive = adaptive;
        self
    }

    /// What tells the copies of a set. Default: off.
    pub const fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Whether results carry the attempts that were made for them. Default: no.
    pub const fn attempt_reports(mut self, yes: bool) -> Self {
        self.attempt_reports = yes;
        self
    }

    /// Checks the settings against their bounds and against each other.
    ///
    /// # Errors
    ///
    /// The first refusal, naming the setting, its value and its bounds.
    pub const fn build(mut self) -> Result<Settings, SettingsError> {
        if self.buffer_size > MAX_SET_BYTES {
            self.buffer_size = MAX_SET_BYTES;
        }
        // Not `?`: settings can be constants, so that a device refuses illegal ones when it is
        // compiled, and does without these checks.
        if let Err(error) = self.check_timeouts() {
            return Err(error);
        }
        if let Err(error) = self.check_bounds() {
            return Err(error);
        }
        match self.check_policies() {
            Ok(()) => Ok(Settings(self)),
            Err(error) => Err(error),
        }
    }

    const fn check_timeouts(&self) -> Result<(), SettingsError> {
        use SettingsError as E;
        let (first, max, request) = (
            self.first_speculative_timeout,
            self.max_speculative_timeout,
            self.request_timeout,
        );
        if request.is_zero() || longer(request, limits::LONGEST) {
            return Err(E::RequestTimeout {
                value: request,
                max: limits::LONGEST,
            });
        }
        if self.hedging && !longer(request, max) {
            return Err(E::MaxSpeculativeTimeout {
                value: max,
                request_timeout: request,
            });
        }
        if self.hedging && (longer(limits::SHORTEST, first) || longer(first, max)) {
            return Err(E::FirstSpeculativeTimeout {
                value: first,
                max_speculative_timeout: max,
            });
        }
        if !(self.speculative_backoff_multiplier >= 1.0
            && self.speculative_backoff_multiplier <= limits::MAX_MULTIPLIER)
        {
            return Err(E::SpeculativeBackoffMultiplier {
                value: self.speculative_backoff_multiplier,
                max: limits::MAX_MULTIPLIER,
            });
        }
        if !longer(request, self.flush_interval) {
            return Err(E::FlushInterval {
                value: self.flush_interval,
                request_timeout: request,
            });
        }
        Ok(())
    }

    const fn check_bounds(&self) -> Result<(), SettingsError> {
        use SettingsError as E;
        if self.in_flight_sets < 1 || self.in_flight_sets > limits::MAX_IN_FLIGHT_SETS {
            return Err(E::InFlightSets {
                value: self.in_flight_sets,
                max: limits::MAX_IN_FLIGHT_SETS,
            });
        }
        if self.buffered_bytes < limits::MIN_BUFFERED_BYTES
            || self.buffered_bytes > limits::MAX_BUFFERED_BYTES
        {
            let (min, max) = (limits::MIN_BUFFERED_BYTES, limits::MAX_BUFFERED_BYTES);
            return Err(E::BufferedBytes {
                value: self.buffered_bytes,
                min,
                max,
            });
        }
        if self.pending_records < 1 || self.pending_records > limits::MAX_PENDING_RECORDS {
            return Err(E::PendingRecords {
                value: self.pending_records,
                max: limits::MAX_PENDING_RECORDS,
            });
        }
        if matches!(self.codec, Codec::Lz4) && cfg!(not(feature = "lz4")) {
            return Err(E::Codec { value: self.codec });
        }
        Ok(())
    }

    const fn check_policies(&self) -> Result<(), SettingsError> {
        use SettingsError as E;
        let Rounds {
            limit,
            first_backoff,
            max_backoff,
        } = self.rounds;
        if matches!(limit, Some(0)) {
            return Err(E::RoundsLimit);
        }
        if !are_pauses(first_backoff, max_backoff) {
            return Err(E::RetryBackoff {
                first: first_backoff,
                max: max_backoff,
                longest: limits::LONGEST,
            });
        }
        if let Budget::Share {
            share,
            per_second,
            burst,
        } = self.budget
        {
            let legal = share > 0.0
                && share <= 1.0
                && per_second <= limits::MAX_TOKENS
                && burst >= 1
                && burst <= limits::MAX_TOKENS;
            if !legal {
                return Err(E::Budget {
                    share,
                    per_second,
                    burst,
                    max_tokens: limits::MAX_TOKENS,
                });
            }
        }
        if let Health::Probation {
            strikes,
            first_backoff,
            max_backoff,
        } = self.health
            && (strikes == 0 || !are_pauses(first_backoff, max_backoff))
        {
            return Err(E::Health {
                strikes,
                first: first_backoff,
                max: max_backoff,
                longest: limits::LONGEST,
            });
        }
        if matches!(self.window, Window::Attempts(0)) {
            return Err(E::Window);
        }
        if let Adaptive::Quantile {
            quantile,
            floor,
            warm_up,
        } = self.adaptive
            && (!(quantile >= 0.5 && quantile <= 0.9999)
                || warm_up == 0
                || longer(floor, self.max_speculative_timeout))
        {
            return Err(E::Adaptive {
                quantile,
                floor,
                warm_up,
                max_speculative_timeout: self.max_speculative_timeout,
            });
        }
        Ok(())
    }
}

/// Whether `one` is longer than `other`. Durations cannot be compared in constants yet.
const fn longer(one: Duration, other: Duration) -> bool {
    one.as_secs() > other.as_secs()
        || one.as_secs() == other.as_secs() && one.subsec_nanos() > other.subsec_nanos()
}

/// Whether pauses can double from `first` to `longest`.
const fn are_pauses(first: Duration, longest: Duration) -> bool {
    !longer(limits::SHORTEST, first) && !longer(first, longest) && !longer(longest, limits::LONGEST)
}

impl Default for SettingsBuilder {
    fn default() -> Self {
        Self::new()
    }
}
