use core::time::Duration;

use crate::wire::record_set::WriterId;

/// What happens after an attempt failed on every stream (R5): another round, after a pause that doubles and is jittered by up to a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, rename_all = "kebab-case"))]
pub struct Rounds {
    /// How often a set goes round all streams: 1 as the original's, none until its deadline.
    pub limit: Option<u32>,
    /// The pause after the first round.
    pub first_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { limit: None, first_backoff: Duration::from_millis(10), max_backoff: Duration::from_secs(1) }
    }
}

/// The budget of extra attempts (R8): hedges and retries take from it, sets pay into it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Budget {
    /// No budget, as the original's: when everything is slow, every set is written to every stream.
    Off,
    /// A token bucket.
    Share {
        /// Tokens that each set pays in: extra attempts for each set in the long run. Above 0, at most 1.
        share: f32,
        /// Tokens that each second pays in, so that a writer of few sets can hedge at all.
        per_second: u32,
        /// The most tokens that are saved up, and what the bucket starts with. At least 1.
        burst: u32,
    },
}

/// What is remembered of streams that stall or fail (R9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Health {
    /// Nothing, as the original's: a stalled stream keeps its turn.
    Off,
    /// A stream that stalls or fails loses its turn as first choice for a while.
    Probation {
        /// How many attempts in a row must fail, or be overtaken by a hedge, before the stream loses its turn. At least 1.
        strikes: u32,
        /// How long until it is probed for the first time.
        first_backoff: Duration,
        /// The longest until it is probed again.
        max_backoff: Duration,
    },
}

/// Whether the speculative timeout follows the latency of recent attempts (R10).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Adaptive {
    /// The first speculative timeout is what the settings say.
    Off,
    /// It is a quantile of the stream's recent latencies, between `floor` and the max speculative timeout.
    Quantile {
        /// Which quantile: 0.5 to 0.9999.
        quantile: f32,
        /// The shortest timeout.
        floor: Duration,
        /// How many attempts of a stream must have ended before its quantile is used; until then the fixed timeout is. At least 1.
        warm_up: u32,
    },
}

/// What tells the copies of a set (R12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Identity {
    /// Nothing, as the original's: readers deliver every copy.
    Off,
    /// A trailer that the original's readers skip.
    Trailer {
        /// The writer that the trailer names.
        writer: WriterId,
        /// The sequence of the first set; above the last one when a writer's name is used again.
        first_sequence: u64,
    },
}
