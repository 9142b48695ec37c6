use core::time::Duration;

use crate::wire::record_set::WriterId;

/// What happens after an attempt failed on every stream (R5): another round, after a pause that
/// doubles and is jittered by up to a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, rename_all = "kebab-case")
)]
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
        Self {
            limit: None,
            first_backoff: Duration::from_millis(10),
            max_backoff: Duration::from_secs(1),
        }
    }
}

/// The budget of extra attempts (R8): hedges and retries take from it, sets pay into it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Budget {
    /// No budget, as the original's: when everything is slow, every set is written to every stream.
    Off,
    /// A token bucket.
    Share {
        /// Tokens that each set pays in: extra attempts for each set in the long run. Above 0, at
        /// most 1.
        share: f32,
        /// Tokens that each second pays in at least, so that a writer of few sets can hedge at
        /// all: what its sets did not pay in.
        per_second: u32,
        /// The most tokens that are saved up. At least 1. A quarter of it is kept for retries and
        /// probes; half of the rest is there when the writer begins, 62 of 100, and one at
        /// least.
        burst: u32,
    },
}

impl Budget {
    /// What [`SettingsBuilder::recommended`](super::SettingsBuilder::recommended) sets: one extra
    /// attempt for twenty sets in the long run, one a second for writers of few sets, and up to
    /// 75 hedges at once when a stream falls silent, 37 of them from the beginning on.
    pub const RECOMMENDED: Self = Self::Share {
        share: 0.05,
        per_second: 1,
        burst: 100,
    };
}

/// What is remembered of streams that stall or fail (R9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Health {
    /// Nothing, as the original's: a stalled stream keeps its turn.
    Off,
    /// A stream that stalls or fails loses its turn as first choice for a while.
    Probation {
        /// How many attempts in a row must fail, be overtaken by a hedge, or take more than twice
        /// what attempts at the other streams usually take (R10), before the stream loses
        /// its turn. At least 1.
        strikes: u32,
        /// How long until it is probed for the first time: by a copy of a set that a healthy
        /// stream gets first, so that a probe costs the stream and the budget an attempt,
        /// and nobody waits for it.
        first_backoff: Duration,
        /// The longest until it is probed again.
        max_backoff: Duration,
    },
}

impl Health {
    /// What [`SettingsBuilder::recommended`](super::SettingsBuilder::recommended) sets: three
    /// strikes, a probe after 100 ms, then after twice as long, at least every second.
    pub const RECOMMENDED: Self = Self::Probation {
        strikes: 3,
        first_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
    };
}

/// How many attempts may be outstanding at one stream (R9): one that stalls does not take the sets
/// that may be in flight for itself.
///
/// A set starts at the next stream of the rotation that is healthy and whose window has room. Where
/// no healthy stream's has, windows give way: a set never waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Window {
    /// As many as there are, as the original's: whoever stalls collects all sets in flight.
    Off,
    /// A fair share and as much again: with n streams, 2 / (n + 1) of the sets that may be in
    /// flight, rounded up. Two streams get two thirds each, three a half, five a third: one may
    /// stall, and more than a full window is left for the others.
    Share,
    /// So many attempts. At least 1.
    Attempts(u16),
}

impl Window {
    /// What [`SettingsBuilder::recommended`](super::SettingsBuilder::recommended) sets, and the
    /// default.
    pub const RECOMMENDED: Self = Self::Share;

    /// The attempts that one of `streams` streams may have outstanding when `sets` sets may be in
    /// flight.
    pub(crate) const fn attempts(self, sets: u16, streams: u16) -> u16 {
        match self {
            Self::Off => u16::MAX,
            // At most `sets`, which is a u16: 2 / (n + 1) is at most 1.
            Self::Share => (2 * sets as u32).div_ceil(streams as u32 + 1) as u16,
            Self::Attempts(attempts) => attempts,
        }
    }
}

/// Whether the speculative timeout follows the latency of recent attempts (R10).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Adaptive {
    /// The first speculative timeout is what the settings say.
    Off,
    /// It is a quantile of the stream's recent latencies, between `floor` and the max speculative
    /// timeout; with each hedge of a set, one that is half as rare, and at most twice the
    /// median: stragglers are slow, and whether a hedge is one shows as soon as it takes longer
    /// than most.
    ///
    /// With a [`Budget`] it follows what the budget sustains: while the bucket is half full, it is
    /// the quantile named here; the fuller the bucket, the sooner sets are hedged (up to twice
    /// as many), and the emptier, the later, so that what is left goes to the slowest.
    Quantile {
        /// Which quantile: 0.5 to 0.9999.
        quantile: f32,
        /// The shortest timeout.
        floor: Duration,
        /// How many attempts of a stream must have ended before its quantile is used; until then
        /// the fixed timeout is. At least 1.
        warm_up: u32,
    },
}

impl Adaptive {
    /// What [`SettingsBuilder::recommended`](super::SettingsBuilder::recommended) sets.
    pub const RECOMMENDED: Self = Self::Quantile {
        quantile: 0.97,
        floor: Duration::from_millis(1),
        warm_up: 20,
    };
}

/// What tells the copies of a set (R12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
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
