use core::time::Duration;

use distributedlog::Instant;

/// Length of one of the two windows that a rate is made of: it covers the last 5 to 10 seconds.
const WINDOW: Duration = Duration::from_secs(5);
const WINDOW_US: u64 = WINDOW.as_micros() as u64;

/// Rate of a stream's appends over the last seconds. Two counts of 5 seconds each: no timer and no
/// pass over the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecentRate {
    /// Number of the present window, since the clock's zero.
    window: u64,
    present: Amount,
    /// Those of the window before.
    past: Amount,
}

/// Records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    records: u64,
    bytes: u64,
}

/// A rate in records and bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct WriteRate {
    pub(crate) records_per_s: f64,
    pub(crate) bytes_per_s: f64,
}

impl RecentRate {
    pub(super) const NONE: Self = Self {
        window: 0,
        present: Amount {
            records: 0,
            bytes: 0,
        },
        past: Amount {
            records: 0,
            bytes: 0,
        },
    };

    /// Counts what was written.
    pub(super) fn count(&mut self, now: Instant, records: u64, bytes: u64) {
        *self = self.at(now);
        self.present.records += records;
        self.present.bytes += bytes;
    }

    /// Returns the rate: what was written in the last window and in as much of the one before as
    /// makes 5 seconds.
    pub(crate) fn rate(&self, now: Instant) -> WriteRate {
        let this = self.at(now);
        let into = (now.as_micros() % WINDOW_US) as f64 / WINDOW_US as f64;
        let seconds = WINDOW.as_secs_f64();
        let per_second = |past: u64, present: u64| {
            // A page shows it: more than one decimal is noise.
            let rate = (past as f64 * (1.0 - into) + present as f64) / seconds;
            (rate * 10.0).round() / 10.0
        };
        WriteRate {
            records_per_s: per_second(this.past.records, this.present.records),
            bytes_per_s: per_second(this.past.bytes, this.present.bytes),
        }
    }

    /// Returns the counts as the windows are at this time.
    fn at(mut self, now: Instant) -> Self {
        let window = now.as_micros() / WINDOW_US;
        match window.saturating_sub(self.window) {
            0 => {}
            1 => (self.past, self.present) = (self.present, Amount::default()),
            _ => (self.past, self.present) = Default::default(),
        }
        self.window = self.window.max(window);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_what_was_written_and_falls_to_nothing() {
        let at = |ms| Instant::from_millis(ms);
        let mut recent = RecentRate::NONE;
        for ms in (0..10_000).step_by(10) {
            recent.count(at(ms), 1, 50);
        }
        let rate = recent.rate(at(9_990));
        assert!((95.0..105.0).contains(&rate.records_per_s), "{rate:?}");
        assert!((4_750.0..5_250.0).contains(&rate.bytes_per_s), "{rate:?}");
        let half = recent.rate(at(12_500));
        assert!((45.0..55.0).contains(&half.records_per_s), "{half:?}");
        assert_eq!(recent.rate(at(15_000)), WriteRate::default());
        assert_eq!(recent.rate(at(90_000)), WriteRate::default());
    }
}
