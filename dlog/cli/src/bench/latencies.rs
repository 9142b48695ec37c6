use core::time::Duration;

use hdrhistogram::Histogram;

use super::super::latency;

/// Longest latency that is told apart from longer ones, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Latencies in microseconds to three digits, in memory that does not grow with their number.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_max(LONGEST_US, 3).expect("the bounds are valid"))
    }
}

impl Latencies {
    /// Adds a latency.
    pub(super) fn add(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_nanos().div_ceil(1000)).unwrap_or(LONGEST_US);
        self.0.saturating_record(us);
    }

    /// Adds the latencies of another writer.
    pub(super) fn merge(&mut self, others: &Self) {
        self.0.add(&others.0).expect("all have the same bounds");
    }

    /// Returns their number.
    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Returns the latency that the share `quantile` of them does not exceed; zero if there are
    /// none.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    /// Returns the longest.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Returns the arithmetic mean in microseconds.
    pub(super) fn mean_us(&self) -> f64 {
        self.0.mean()
    }

    /// Returns each latency with its count, shortest first.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.0.iter_recorded().map(|step| {
            (
                Duration::from_micros(step.value_iterated_to()),
                step.count_since_last_iteration(),
            )
        })
    }

    /// Returns them as `dlog sim --latency recorded:FILE` reads them.
    pub(super) fn recording(&self) -> String {
        let lines = self
            .counts()
            .map(|(latency, count)| format!("{} {count}\n", latency.as_micros()));
        lines.collect()
    }
}

/// Formats a latency with three digits, below a millisecond in microseconds.
pub(super) fn text(latency: Duration) -> String {
    let us = latency.as_secs_f64() * 1e6;
    if us < 999.5 {
        format!("{us:.0} µs")
    } else {
        latency::text(latency)
    }
}

#[cfg(test)]
mod tests {
    use distributedlog_sim::Recorded;

    use super::*;

    #[test]
    fn latencies_have_three_digits_and_a_unit() {
        for (us, expected) in [
            (0, "0 µs"),
            (412, "412 µs"),
            (1_234, "1.23 ms"),
            (9_996, "10.0 ms"),
            (103_400, "103 ms"),
            (30_000_000, "30.0 s"),
        ] {
            assert_eq!(text(Duration::from_micros(us)), expected);
        }
    }

    #[test]
    fn a_recording_is_what_the_simulator_reads() {
        let mut latencies = Latencies::default();
        for us in [300, 300, 1_200, 80_000] {
            latencies.add(Duration::from_micros(us));
        }
        latencies.add(Duration::from_secs(3 * 3600));
        let recorded = Recorded::parse(&latencies.recording()).expect("it is valid");
        assert_eq!((recorded.len(), latencies.len()), (5, 5));
        assert_eq!(latencies.quantile(0.5), Duration::from_micros(1_200));
    }
}
