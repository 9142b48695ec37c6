use core::time::Duration;

use crate::FailureDomain;
use crate::named_counters::named_counters;

named_counters! {
    /// Counts of a writer's work since its construction. Every counter wraps around.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[non_exhaustive]
    pub struct Counters {
        /// Records accepted.
        pub records: u64,
        /// Bytes of the records accepted, without headers and lengths.
        pub bytes: u64,
        /// Records completed with a position.
        pub records_written: u64,
        /// Records completed with an error.
        pub records_failed: u64,
        /// Sets transmitted.
        pub sets: u64,
        /// Sets that an attempt completed.
        pub sets_written: u64,
        /// Attempts handed to the transport and not refused by it.
        pub attempts: u64,
        /// Attempts started because an earlier one had failed.
        pub retries: u64,
        /// Attempts started because an earlier one took too long.
        pub hedges_sent: u64,
        /// Attempts started to find out if a stream on probation has recovered (R9).
        pub probes_sent: u64,
        /// Hedges whose answer completed their set.
        pub hedges_won: u64,
        /// Hedges whose set was completed by another attempt.
        pub hedges_wasted: u64,
        /// Attempts cancelled at the transport before they had ended.
        pub cancelled: u64,
        /// Answers to cancelled or unknown attempts, which have no effect (R11).
        pub late_answers: u64,
        /// Attempts that failed.
        pub failures: u64,
        /// Attempts that the transport had no room for.
        pub transport_full: u64,
        /// Hedges and retries put off because the budget was spent (R8).
        pub budget_exhausted: u64,
        /// Hedges put off because every stream was silent (R21).
        pub silences: u64,
        /// Hedges not sent because a proxy asked for less load (R8).
        pub pushbacks: u64,
        /// Sets that started at another stream because the window of the stream in turn was full
        /// (R9).
        pub window_full: u64,
        /// Sets that started at another stream than the one in turn, which was more loaded (R19).
        pub turns_passed: u64,
        /// Streams put on probation (R9).
        pub probation_entries: u64,
        /// Streams back from probation (R9).
        pub probation_exits: u64,
        /// Records refused because there was no room (R7).
        pub refused_full: u64,
    }
}

named_counters! {
    /// Counts of a writer's work with one stream since its construction. Every counter wraps
    /// around.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[non_exhaustive]
    pub struct StreamCounters {
        /// Attempts that the transport accepted.
        pub attempts: u64,
        /// Attempts whose answer completed their set.
        pub won: u64,
        /// Attempts that failed.
        pub failed: u64,
        /// Attempts that were given up before they ended.
        pub given_up: u64,
    }
}

/// Health, load and counters of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StreamStatus {
    /// `true` if sets start at the stream in its turn: it is not on probation, not being probed,
    /// and did not ask for less load (R8, R9).
    pub healthy: bool,
    /// `true` if the stream was removed: no further attempt is made there (R17).
    pub removed: bool,
    /// The configured quantile of its recent latencies; `None` before the warm-up is over and
    /// without adaptive timeouts (R10).
    pub latency: Option<Duration>,
    /// Attempts outstanding at the stream (R9).
    pub outstanding: usize,
    /// Failure domain of its storage, as far as it is known (R22).
    pub failure_domain: Option<FailureDomain>,
    /// Counts of the work with the stream.
    pub counters: StreamCounters,
}
