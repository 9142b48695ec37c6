use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use distributedlog::Instant;

/// Length of a slot.
const SLOT_US: u64 = 10_000_000;
/// Number of slots that are complete and kept: ten minutes.
const SLOTS: usize = 60;
/// Number of slots that percentiles are taken from: the present one and a minute.
const SUMMARISED: u64 = 6;
/// Classes of latencies: four for each doubling, from 16 µs to 17 s. A percentile is right within
/// 19 %.
const CLASSES: usize = 80;
const FIRST_CLASS_LOG2: u32 = 4;

/// Latencies and rates of the writes of the last ten minutes. One lock, for about 20 ns a write.
#[derive(Debug)]
pub(crate) struct RecentWrites(Mutex<Box<[Slot; SLOTS + 1]>>);

/// Writes of ten seconds.
#[derive(Clone, Debug)]
struct Slot {
    /// Its number since the clock's zero.
    number: u64,
    first: Attempts,
    repeated: Attempts,
    bytes: u64,
}

/// Latencies of writes, those that failed apart.
#[derive(Clone, Debug)]
struct Attempts {
    classes: [u32; CLASSES],
    failed: u32,
}

/// A write that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteSample {
    /// True if its client had tried the same records elsewhere before.
    pub(crate) is_repeated: bool,
    pub(crate) is_written: bool,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

/// Writes of the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct WritesSummary {
    pub(crate) first: AttemptSummary,
    pub(crate) repeated: AttemptSummary,
    /// Length of that minute, in seconds: less after the start.
    pub(crate) seconds: f64,
}

/// Writes of one kind of attempt. Percentiles in microseconds, `None` without writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AttemptSummary {
    pub(crate) written: u64,
    pub(crate) failed: u64,
    pub(crate) p50_us: Option<u64>,
    pub(crate) p90_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) p999_us: Option<u64>,
}

/// Ten seconds of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HistoryPoint {
    pub(crate) writes_per_s: f64,
    pub(crate) bytes_per_s: f64,
    pub(crate) repeated_per_s: f64,
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
}

impl Default for RecentWrites {
    fn default() -> Self {
        Self(Mutex::new(Box::new([const { Slot::new(0) }; SLOTS + 1])))
    }
}

impl RecentWrites {
    /// Counts a write.
    pub(crate) fn note(&self, now: Instant, sample: WriteSample) {
        let number = now.as_micros() / SLOT_US;
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut slots[place(number)];
        if slot.number != number {
            *slot = Slot::new(number);
        }
        let attempts = if sample.is_repeated {
            &mut slot.repeated
        } else {
            &mut slot.first
        };
        if sample.is_written {
            slot.bytes += sample.bytes as u64;
            let count = &mut attempts.classes[class(sample.took)];
            *count = count.saturating_add(1);
        } else {
            attempts.failed = attempts.failed.saturating_add(1);
        }
    }

    /// Returns the percentiles of the last minute.
    pub(crate) fn summary(&self, now: Instant) -> WritesSummary {
        let number = now.as_micros() / SLOT_US;
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = number.saturating_sub(SUMMARISED);
        let (mut first, mut repeated) = (Attempts::NONE, Attempts::NONE);
        for slot in slots
            .iter()
            .filter(|slot| (oldest..=number).contains(&slot.number))
        {
            first.add(&slot.first);
            repeated.add(&slot.repeated);
        }
        WritesSummary {
            first: first.summary(),
            repeated: repeated.summary(),
            seconds: (now.as_micros() - oldest * SLOT_US) as f64 / 1e6,
        }
    }

    /// Returns the complete slots of the last ten minutes, the oldest first.
    pub(crate) fn history(&self, now: Instant) -> Vec<HistoryPoint> {
        let number = now.as_micros() / SLOT_US;
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = number.saturating_sub(SLOTS as u64);
        let point = |number| {
            let slot = &slots[place(number)];
            if slot.number == number {
                slot.point()
            } else {
                Slot::new(number).point()
            }
        };
        (oldest..number).map(point).collect()
    }
}

const fn place(number: u64) -> usize {
    (number % (SLOTS as u64 + 1)) as usize
}

/// Returns the class of a latency: its logarithm, in quarters.
fn class(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(log2) = micros
        .checked_ilog2()
        .filter(|log2| *log2 >= FIRST_CLASS_LOG2)
    else {
        return 0;
    };
    let quarter = (micros >> (log2 - 2)) & 3;
    let class = (log2 - FIRST_CLASS_LOG2) as usize * 4 + quarter as usize;
    class.min(CLASSES - 1)
}

/// Returns the latency in the middle of a class.
const fn class_us(class: usize) -> u64 {
    let log2 = FIRST_CLASS_LOG2 + class as u32 / 4;
    let quarter = 1 << (log2 - 2);
    (1 << log2) + quarter * (class as u64 % 4) + quarter / 2
}

impl Slot {
    const fn new(number: u64) -> Self {
        Self {
            number,
            first: Attempts::NONE,
            repeated: Attempts::NONE,
            bytes: 0,
        }
    }

    fn point(&self) -> HistoryPoint {
        let seconds = SLOT_US as f64 / 1e6;
        let mut all = self.first.clone();
        all.add(&self.repeated);
        let summary = all.summary();
        HistoryPoint {
            writes_per_s: summary.written as f64 / seconds,
            bytes_per_s: self.bytes as f64 / seconds,
            repeated_per_s: self.repeated.written() as f64 / seconds,
            p50_us: summary.p50_us,
            p99_us: summary.p99_us,
        }
    }
}

impl Attempts {
    const NONE: Self = Self {
        classes: [0; CLASSES],
        failed: 0,
    };

    fn add(&mut self, other: &Self) {
        for (sum, count) in self.classes.iter_mut().zip(other.classes) {
            *sum = sum.saturating_add(count);
        }
        self.failed = self.failed.saturating_add(other.failed);
    }

    fn written(&self) -> u64 {
        self.classes.iter().map(|count| u64::from(*count)).sum()
    }

    fn summary(&self) -> AttemptSummary {
        let written = self.written();
        // The latency that this share of the writes, in thousandths, do not exceed.
        let percentile = |thousandths: u64| {
            let mut left = (written * thousandths).div_ceil(1000);
            let found = self.classes.iter().position(|count| {
                left = left.saturating_sub(u64::from(*count));
                left == 0
            });
            found.filter(|_| written > 0).map(class_us)
        };
        AttemptSummary {
            written,
            failed: self.failed.into(),
            p50_us: percentile(500),
            p90_us: percentile(900),
            p99_us: percentile(990),
            p999_us: percentile(999),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(took: Duration) -> WriteSample {
        WriteSample {
            is_repeated: false,
            is_written: true,
            bytes: 100,
            took,
        }
    }

    #[test]
    fn percentiles_are_those_of_the_last_minute_within_a_class() {
        let recent = RecentWrites::default();
        let at = Instant::from_millis;
        recent.note(at(1_000), written(Duration::from_secs(9)));
        for micros in 1..=1_000 {
            recent.note(at(100_000), written(Duration::from_micros(micros * 10)));
        }
        let summary = recent.summary(at(101_000));
        assert_eq!(summary.first.written, 1_000, "the first one is too old");
        assert_eq!(summary.repeated, AttemptSummary::default());
        for (found, right) in [
            (summary.first.p50_us, 5_000.0),
            (summary.first.p90_us, 9_000.0),
            (summary.first.p99_us, 9_900.0),
        ] {
            let found = found.expect("there are writes") as f64;
            assert!((found / right - 1.0).abs() < 0.19, "{found} for {right}");
        }
    }

    #[test]
    fn repetitions_and_failures_are_told_apart() {
        let recent = RecentWrites::default();
        let at = Instant::from_millis;
        let sample = written(Duration::from_millis(2));
        for (is_repeated, is_written) in [(true, true), (true, false), (false, false)] {
            let sample = WriteSample {
                is_repeated,
                is_written,
                ..sample
            };
            recent.note(at(5_000), sample);
        }
        let summary = recent.summary(at(9_000));
        let counts = |it: AttemptSummary| (it.written, it.failed);
        assert_eq!(counts(summary.first), (0, 1));
        assert_eq!(counts(summary.repeated), (1, 1));
        assert_eq!(summary.first.p50_us, None);
        let history = recent.history(at(31_000));
        let rates: Vec<_> = history.iter().map(|it| it.writes_per_s).collect();
        assert_eq!(rates, [0.1, 0.0, 0.0]);
        assert_eq!(recent.history(at(3_600_000)).len(), SLOTS);
    }

    #[test]
    fn every_latency_has_a_class_and_a_class_holds_its_own_middle() {
        assert_eq!(class(Duration::ZERO), 0);
        assert_eq!(class(Duration::MAX), CLASSES - 1);
        for at in 0..CLASSES {
            assert_eq!(class(Duration::from_micros(class_us(at))), at);
        }
    }
}
