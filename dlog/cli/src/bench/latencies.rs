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
    #[cfg(feature = "plots")]
    pub(super) fn counts(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.0.iter_recorded().map(|step| {
            (
                Duration::from_micros(step.value_iterated_to()),
                step.count_since_last_iteration(),
            )
        })
    }
}

/// Maximum number of attempts that are recorded: 16 MB of them.
pub(super) const MAX_RECORDED: usize = 1 << 20;

/// When attempts began, since the start of the load, and how long they took, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    attempts: Vec<(u64, u64)>,
    /// Attempts for which there was no room.
    left_out: u64,
}

impl Recording {
    /// Adds an attempt, if there are fewer than `most`.
    pub(super) fn add(&mut self, began: Duration, took: Duration, most: usize) {
        if self.attempts.len() >= most {
            self.left_out += u64::from(most > 0);
            return;
        }
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(LONGEST_US);
        self.attempts.push((us(began), us(took)));
    }

    /// Adds the attempts of another writer.
    pub(super) fn merge(&mut self, other: &Self) {
        self.attempts.extend_from_slice(&other.attempts);
        self.left_out += other.left_out;
    }

    /// Returns the number of attempts for which there was no room.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Returns it as `dlog sim --latency recorded:FILE` reads it.
    pub(super) fn text(&mut self) -> String {
        self.attempts.sort_unstable();
        let lines = self.attempts.iter();
        lines
            .map(|(began, took)| format!("@{began} {took}\n"))
            .collect()
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
    fn a_recording_is_what_the_simulator_reads_with_the_time_of_each_attempt() {
        let us = Duration::from_micros;
        let (mut recording, mut other) = (Recording::default(), Recording::default());
        for (began, took) in [(5_000, 300), (0, 1_200), (7_000, 80_000)] {
            recording.add(us(began), us(took), 3);
        }
        other.add(us(2_000), us(400), 3);
        recording.merge(&other);
        let text = recording.text();
        assert_eq!(text, "@0 1200\n@2000 400\n@5000 300\n@7000 80000\n");
        let recorded = Recorded::parse(&text).expect("it is valid");
        assert_eq!((recorded.len(), recorded.is_in_time()), (4, true));
    }

    #[test]
    fn a_recording_is_bounded_and_says_what_it_left_out() {
        let mut recording = Recording::default();
        for _ in 0..5 {
            recording.add(Duration::ZERO, Duration::from_micros(1), 2);
        }
        assert_eq!(
            (recording.text().lines().count(), recording.left_out()),
            (2, 3)
        );
        let mut none = Recording::default();
        none.add(Duration::ZERO, Duration::from_micros(1), 0);
        assert_eq!((none.text().lines().count(), none.left_out()), (0, 0));
    }
}
