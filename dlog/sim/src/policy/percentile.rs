use core::time::Duration;
use std::collections::HashMap;

use distributedlog::Instant;
use hdrhistogram::Histogram;

use super::races::{Bell, Races};
use super::{Answer, Policy, Todo};

/// One hedge after the 95th percentile of recent latencies, without a budget, as tower's `hedge`
/// middleware does it:
///
/// - Two histograms take turns, one is written while the other is read; latencies are rounded up to
///   whole milliseconds.
/// - Nothing is hedged before the one that is read holds enough latencies.
/// - What is dropped because another attempt was faster is not in the histogram, which hedging
///   makes too low by that.
/// - The first result counts, also when it is a failure.
#[derive(Debug)]
pub struct Percentile {
    races: Races,
    request_timeout: Duration,
    settings: PercentileSettings,
    read: Histogram<u64>,
    write: Histogram<u64>,
    rotated: Instant,
    /// When the hedges of sets that are on their way were sent.
    hedged: HashMap<u64, Instant>,
}

/// What [`Percentile`] goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PercentileSettings {
    /// Which percentile, as a share.
    pub quantile: f64,
    /// How many latencies there must be.
    pub min_data_points: u64,
    /// How long each histogram is written.
    pub period: Duration,
}

impl Default for PercentileSettings {
    /// The 95th percentile of at least 20 latencies of the last second or two.
    fn default() -> Self {
        Self {
            quantile: 0.95,
            min_data_points: 20,
            period: Duration::from_secs(1),
        }
    }
}

impl Percentile {
    /// One that writes to so many streams and gives a set up after `request_timeout`.
    #[must_use]
    pub fn new(streams: u16, request_timeout: Duration, settings: PercentileSettings) -> Self {
        let histogram = || Histogram::new_with_bounds(1, 1 << 40, 2).expect("legal bounds");
        let (read, write) = (histogram(), histogram());
        Self {
            races: Races::new(streams),
            request_timeout,
            settings,
            read,
            write,
            rotated: Instant::ZERO,
            hedged: HashMap::new(),
        }
    }

    fn rotate(&mut self, now: Instant) {
        let periods = now.since(self.rotated).as_micros() / self.settings.period.as_micros();
        if periods >= 1 {
            core::mem::swap(&mut self.read, &mut self.write);
            self.write.reset();
            self.rotated = now;
        }
        if periods >= 2 {
            self.read.reset();
        }
    }
}

impl Policy for Percentile {
    fn arrive(&mut self, now: Instant, set: u64, todo: &mut Todo) {
        self.rotate(now);
        self.races.begin(now, set);
        self.races.send(set, todo);
        if self.read.len() >= self.settings.min_data_points {
            let delay = Duration::from_millis(self.read.value_at_quantile(self.settings.quantile));
            self.races.arm(now + delay, set, Bell::Hedge);
        }
        self.races
            .arm(now + self.request_timeout, set, Bell::Deadline);
    }

    fn answered(&mut self, now: Instant, answer: Answer, todo: &mut Todo) {
        let Some(race) = self.races.settle(answer.set) else {
            return;
        };
        let hedged = self.hedged.remove(&answer.set);
        if answer.stored {
            let began = if answer.attempt == 0 {
                race.began
            } else {
                hedged.unwrap_or(race.began)
            };
            self.write
                .saturating_record((now.since(began).as_micros() as u64).div_ceil(1_000).max(1));
        }
        self.races.end(answer.set, answer.stored, todo);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.races.next_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, todo: &mut Todo) {
        while let Some((set, bell)) = self.races.ring(now) {
            match bell {
                Bell::Hedge => {
                    if self.races.send(set, todo) {
                        self.hedged.insert(set, now);
                    }
                }
                Bell::Deadline => {
                    self.hedged.remove(&set);
                    self.races.end(set, false, todo);
                }
            }
        }
    }
}
