use core::time::Duration;

use hdrhistogram::Histogram;

/// Result of a scenario under a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Sets that arrived. Each of them ended once.
    pub sets: u64,
    /// Sets that were written.
    pub written: u64,
    /// Sets that failed.
    pub failed: u64,
    /// Attempts that were started.
    pub attempts: u64,
    /// Sets stored earlier_attempts, in any stream, after they were stored once.
    pub duplicates: u64,
    /// Attempts that proxies dropped before they stored them ([`Drops`](super::Drops)).
    pub dropped: u64,
    /// Counters of the merged reader.
    pub read: ReadCounters,
    /// Load in each second from the beginning on.
    pub seconds: Vec<LoadPerSecond>,
    latency: Histogram<u64>,
    operations: u64,
}

/// Counters of a merged reader of the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadCounters {
    /// Sets that were delivered at least once.
    pub delivered: u64,
    /// Deliveries of sets that were delivered before.
    pub repeated: u64,
    /// Sets that the writer acknowledged and the reader did not deliver.
    pub missing: u64,
}

/// Load in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadPerSecond {
    /// Sets that arrived.
    pub sets: u64,
    /// Attempts that were started.
    pub attempts: u64,
}

/// A quantile of the operations' latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Latency {
    /// The quantile is this latency.
    Within(Duration),
    /// The operation at the quantile failed: it counts as later than any latency.
    Failed,
}

impl Report {
    pub(crate) fn new(sets: u64) -> Self {
        let latency = Histogram::new_with_bounds(1, 1 << 36, 3).expect("the bounds are valid");
        let read = ReadCounters::default();
        Self {
            sets,
            written: 0,
            failed: 0,
            attempts: 0,
            duplicates: 0,
            dropped: 0,
            read,
            seconds: Vec::new(),
            latency,
            operations: 0,
        }
    }

    /// Records the latency of an operation in microseconds, or `None` if it failed.
    pub(crate) fn record(&mut self, latency: Option<u64>) {
        self.operations += 1;
        if let Some(latency) = latency {
            self.latency.saturating_record(latency.max(1));
        }
    }

    pub(crate) fn second(&mut self, now: u64) -> &mut LoadPerSecond {
        let index = (now / 1_000_000) as usize;
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, LoadPerSecond::default());
        }
        &mut self.seconds[index]
    }

    /// Returns the latency that this share of the operations, 0 to 1, does not exceed. An operation
    /// is a set, or all sets that are written at a time. A failed operation counts as slower than
    /// all others: a policy does not become faster by failing.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Latency {
        let rank = ((self.operations as f64 * quantile).ceil() as u64).max(1);
        if rank > self.latency.len() {
            return Latency::Failed;
        }
        // The quantile among the operations that did not fail which has this rank. Half a rank less
        // keeps rounding from selecting the next one.
        let among = (rank as f64 - 0.5) / self.latency.len() as f64;
        Latency::Within(Duration::from_micros(self.latency.value_at_quantile(among)))
    }

    /// Returns the number of operations.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Returns the number of attempts beyond one for each set, as a share of the sets.
    #[must_use]
    pub fn extra_load(&self) -> f64 {
        (self.attempts as f64 - self.sets as f64) / self.sets as f64
    }

    /// Returns the [`extra_load`](Self::extra_load) of the seconds for which `counts` returns true.
    #[must_use]
    pub fn extra_load_of(&self, counts: impl Fn(usize) -> bool) -> f64 {
        let counted = self
            .seconds
            .iter()
            .enumerate()
            .filter(|(second, _)| counts(*second));
        let (sets, attempts) = counted.fold((0, 0), |(sets, attempts), (_, second)| {
            (sets + second.sets, attempts + second.attempts)
        });
        if sets == 0 {
            0.0
        } else {
            (attempts as f64 - sets as f64) / sets as f64
        }
    }

    /// Returns the latencies of the operations that did not fail: a latency, and the number of
    /// operations above the one before and up to it.
    pub fn latencies(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.latency.iter_recorded().map(|step| {
            (
                Duration::from_micros(step.value_iterated_to()),
                step.count_since_last_iteration(),
            )
        })
    }

    /// Returns true if every set ended, and every acknowledged one was delivered.
    #[must_use]
    pub const fn is_accounted_for(&self) -> bool {
        self.written + self.failed == self.sets && self.read.missing == 0
    }
}
