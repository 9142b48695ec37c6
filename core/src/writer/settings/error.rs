use core::fmt;
use core::time::Duration;

use crate::wire::record_set::Codec;

/// Why settings are refused. The caller's to mend; each says the setting, its value and what it may
/// be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SettingsError {
    /// No stream to write to, or more than a writer can tell apart.
    Streams {
        /// How many there are.
        value: usize,
        /// How many there may be.
        max: usize,
    },
    /// The request timeout is zero or beyond what a timer can hold.
    RequestTimeout {
        /// The setting.
        value: Duration,
        /// The longest.
        max: Duration,
    },
    /// The max speculative timeout is not below the request timeout: the last hedge could never
    /// help.
    MaxSpeculativeTimeout {
        /// The setting.
        value: Duration,
        /// What it must be below.
        request_timeout: Duration,
    },
    /// The first speculative timeout is below a microsecond or above the max one.
    FirstSpeculativeTimeout {
        /// The setting.
        value: Duration,
        /// The most it may be.
        max_speculative_timeout: Duration,
    },
    /// The multiplier is below 1 (hedges would come ever faster), too large, or not a number.
    SpeculativeBackoffMultiplier {
        /// The setting.
        value: f32,
        /// The most it may be.
        max: f32,
    },
    /// The flush interval is not below the request timeout: a record would expire before it is
    /// transmitted.
    FlushInterval {
        /// The setting.
        value: Duration,
        /// What it must be below.
        request_timeout: Duration,
    },
    /// No set may be in flight, or more than a writer can tell apart.
    InFlightSets {
        /// The setting.
        value: usize,
        /// The most it may be.
        max: usize,
    },
    /// The bound of buffered bytes leaves no room for a record, or bounds nothing.
    BufferedBytes {
        /// The setting.
        value: usize,
        /// The least it may be.
        min: usize,
        /// The most it may be.
        max: usize,
    },
    /// No record may be pending, or more than a writer can tell apart.
    PendingRecords {
        /// The setting.
        value: usize,
        /// The most it may be.
        max: usize,
    },
    /// The codec is not compiled in: it needs the feature of its name.
    Codec {
        /// The setting.
        value: Codec,
    },
    /// A limit of no round at all: no attempt could be made.
    RoundsLimit,
    /// The pauses between rounds are too short, too long, or the first is above the longest.
    RetryBackoff {
        /// The pause after the first round.
        first: Duration,
        /// The longest pause.
        max: Duration,
        /// The most either may be.
        longest: Duration,
    },
    /// The budget's share is not above 0 and at most 1, or its tokens are out of bounds.
    Budget {
        /// Tokens that each set pays in.
        share: f32,
        /// Tokens that each second pays in.
        per_second: u32,
        /// The most tokens saved up, at least 1.
        burst: u32,
        /// The most that `per_second` and `burst` may be.
        max_tokens: u32,
    },
    /// The probation's strikes are none, or its pauses out of bounds.
    Health {
        /// How many strikes, at least 1.
        strikes: u32,
        /// The pause before the first probe.
        first: Duration,
        /// The longest pause.
        max: Duration,
        /// The most either may be.
        longest: Duration,
    },
    /// A window of no attempt at all: no set could start within it.
    Window,
    /// The quantile is not within 0.5 to 0.9999, the warm-up none, or the floor above the max
    /// speculative timeout.
    Adaptive {
        /// Which quantile.
        quantile: f32,
        /// The shortest timeout.
        floor: Duration,
        /// How many attempts until it counts.
        warm_up: u32,
        /// The most the floor may be.
        max_speculative_timeout: Duration,
    },
}

impl SettingsError {
    /// The setting that is refused, by the name of its builder's method.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Streams { .. } => "streams",
            Self::RequestTimeout { .. } => "request_timeout",
            Self::MaxSpeculativeTimeout { .. } => "max_speculative_timeout",
            Self::FirstSpeculativeTimeout { .. } => "first_speculative_timeout",
            Self::SpeculativeBackoffMultiplier { .. } => "speculative_backoff_multiplier",
            Self::FlushInterval { .. } => "flush_interval",
            Self::InFlightSets { .. } => "in_flight_sets",
            Self::BufferedBytes { .. } => "buffered_bytes",
            Self::PendingRecords { .. } => "pending_records",
            Self::Codec { .. } => "codec",
            Self::RoundsLimit | Self::RetryBackoff { .. } => "rounds",
            Self::Budget { .. } => "budget",
            Self::Health { .. } => "health",
            Self::Window => "window",
            Self::Adaptive { .. } => "adaptive",
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Streams { value, max } => {
                write!(f, "streams: there are {value}, there must be 1 to {max}")
            }
            Self::RequestTimeout { value, max } => write!(
                f,
                "request timeout: {value:?} must be above zero and at most {max:?}"
            ),
            Self::MaxSpeculativeTimeout {
                value,
                request_timeout,
            } => {
                write!(
                    f,
                    "max speculative timeout: {value:?} must be below the request timeout of \
                     {request_timeout:?}"
                )
            }
            Self::FirstSpeculativeTimeout {
                value,
                max_speculative_timeout,
            } => write!(
                f,
                "first speculative timeout: {value:?} must be at least 1µs and at most the max \
                 speculative timeout of {max_speculative_timeout:?}"
            ),
            Self::SpeculativeBackoffMultiplier { value, max } => {
                write!(
                    f,
                    "speculative backoff multiplier: {value} must be within 1 to {max}"
                )
            }
            Self::FlushInterval {
                value,
                request_timeout,
            } => {
                write!(
                    f,
                    "flush interval: {value:?} must be below the request timeout of \
                     {request_timeout:?} (zero for no timer)"
                )
            }
            Self::InFlightSets { value, max } => {
                write!(f, "sets in flight: {value} must be within 1 to {max}")
            }
            Self::BufferedBytes { value, min, max } => {
                write!(f, "buffered bytes: {value} must be within {min} to {max}")
            }
            Self::PendingRecords { value, max } => {
                write!(f, "pending records: {value} must be within 1 to {max}")
            }
            Self::Codec { value } => {
                write!(f, "codec: {value:?} is not compiled in (feature \"lz4\")")
            }
            Self::RoundsLimit => {
                f.write_str("rounds: the limit is 0, it must be at least 1 (or none)")
            }
            Self::RetryBackoff {
                first,
                max,
                longest,
            } => {
                write!(
                    f,
                    "rounds: pauses of {first:?} to {max:?} must be at least 1µs, at most \
                     {longest:?}, the first not above the longest"
                )
            }
            Self::Budget {
                share,
                per_second,
                burst,
                max_tokens,
            } => write!(
                f,
                "budget: a share of {share} must be above 0 and at most 1, {per_second} tokens a \
                 second at most {max_tokens}, a burst of {burst} within 1 to {max_tokens}"
            ),
            Self::Health {
                strikes,
                first,
                max,
                longest,
            } => write!(
                f,
                "health: {strikes} strikes must be at least 1, pauses of {first:?} to {max:?} at \
                 least 1µs, at most {longest:?}, the first not above the longest"
            ),
            Self::Window => f.write_str("window: 0 attempts, it must be at least 1"),
            Self::Adaptive {
                quantile,
                floor,
                warm_up,
                max_speculative_timeout,
            } => write!(
                f,
                "adaptive timeout: a quantile of {quantile} must be within 0.5 to 0.9999, a \
                 warm-up of {warm_up} at least 1, a floor of {floor:?} at most the max \
                 speculative timeout of {max_speculative_timeout:?}"
            ),
        }
    }
}

impl core::error::Error for SettingsError {}
