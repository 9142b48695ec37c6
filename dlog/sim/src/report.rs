use core::time::Duration;

use hdrhistogram::Histogram;

/// What came of a scenario under a policy.
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
    /// Copies that lie in streams beyond each set's first.
    pub copies: u64,
    /// What the merged reader made of it.
    pub read: Read,
    /// For each second from the beginning on: how many sets arrived, and how many attempts were
    /// started.
    pub seconds: Vec<Second>,
    latency: Histogram<u64>,
    operations: u64,
}

/// What a merged reader of the streams made of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Sets that were delivered at least once.
    pub delivered: u64,
    /// Deliveries beyond each set's first.
    pub twice: u64,
    /// Sets that were written according to the writer, and not delivered.
    pub missing: u64,
}

/// What began in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Sets that arrived.
    pub sets: u64,
    /// Attempts that were started.
    pub attempts: u64,
}

/// A latency that so many of the operations do not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Latency {
    /// It is this.
    Within(Duration),
    /// More than the rest of them failed: later than any latency.
    Failed,
}

impl Report {
    pub(crate) fn new(sets: u64) -> Self {
        let latency = Histogram::new_with_bounds(1, 1 << 36, 3).expect("legal bounds");
        let read = Read::default();
        Self {
            sets,
            written: 0,
            failed: 0,
            attempts: 0,
            copies: 0,
            read,
            seconds: Vec::new(),
            latency,
            operations: 0,
        }
    }

    /// An operation ended after so many microseconds, or failed.
    pub(crate) fn record(&mut self, latency: Option<u64>) {
        self.operations += 1;
        if let Some(latency) = latency {
            self.latency.saturating_record(latency.max(1));
        }
    }

    pub(crate) fn second(&mut self, now: u64) -> &mut Second {
        let index = (now / 1_000_000) as usize;
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        &mut self.seconds[index]
    }

    /// The latency that this share of the operations, 0 to 1, does not exceed. An operation is a
    /// set, or as many as are written at a time. One that failed counts as one that took longer
    /// than all others: a policy does not become faster by failing.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Latency {
        let rank = ((self.operations as f64 * quantile).ceil() as u64).max(1);
        if rank > self.latency.len() {
            return Latency::Failed;
        }
        // The quantile of those that did not fail that has this rank; half a rank less is proof
        // against rounding.
        let among = (rank as f64 - 0.5) / self.latency.len() as f64;
        Latency::Within(Duration::from_micros(self.latency.value_at_quantile(among)))
    }

    /// How many operations there were.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Attempts beyond one for each set, as a share of the sets.
    #[must_use]
    pub fn extra_load(&self) -> f64 {
        (self.attempts as f64 - self.sets as f64) / self.sets as f64
    }

    /// [`extra_load`](Self::extra_load) of those seconds alone for which `counts` says so.
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

    /// The latencies of the operations that did not fail: a latency, and how many of them there
    /// were since the previous one.
    pub fn latencies(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.latency.iter_recorded().map(|step| {
            (
                Duration::from_micros(step.value_iterated_to()),
                step.count_since_last_iteration(),
            )
        })
    }

    /// Whether every set ended, and every one that was written was delivered.
    #[must_use]
    pub const fn is_accounted_for(&self) -> bool {
        self.written + self.failed == self.sets && self.read.missing == 0
    }
}
