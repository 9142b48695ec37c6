use core::time::Duration;
use std::collections::HashMap;

use distributedlog::Instant;
use hdrhistogram::Histogram;

use super::in_flight::{InFlightSets, TimerKind};
use super::{Actions, AttemptOutcome, Policy};

/// One hedge after the 95th percentile of recent latencies, without a budget, as tower's `hedge`
/// middleware does it:
///
/// - Of two histograms, one is written while the other is read, and they take turns. Latencies are
///   rounded up to whole milliseconds.
/// - No set is hedged before the histogram that is read has enough latencies.
/// - An attempt that was dropped because another one was faster is not in the histogram, so hedging
///   lowers the percentile that it uses.
/// - The first outcome counts, also if it is a failure.
#[derive(Debug)]
pub struct Percentile {
    in_flight: InFlightSets,
    request_timeout: Duration,
    settings: PercentileSettings,
    read: Histogram<u64>,
    write: Histogram<u64>,
    rotated: Instant,
    /// Time at which the hedge of each set in flight was sent.
    hedged: HashMap<u64, Instant>,
}

/// Settings of [`Percentile`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PercentileSettings {
    /// The quantile after which a set is hedged, 0 to 1. Default: 0.95.
    pub quantile: f64,
    /// Minimum number of latencies in the histogram. Default: 20.
    pub min_data_points: u64,
    /// Time for which each histogram is written. Default: 1 s.
    pub period: Duration,
}

impl Default for PercentileSettings {
    fn default() -> Self {
        Self {
            quantile: 0.95,
            min_data_points: 20,
            period: Duration::from_secs(1),
        }
    }
}

impl Percentile {
    /// Creates a policy for this number of streams that fails a set after `request_timeout`.
    #[must_use]
    pub fn new(streams: u16, request_timeout: Duration, settings: PercentileSettings) -> Self {
        let histogram = || Histogram::new_with_bounds(1, 1 << 40, 2).expect("the bounds are valid");
        let (read, write) = (histogram(), histogram());
        Self {
            in_flight: InFlightSets::new(streams),
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
    fn handle_set(&mut self, now: Instant, set: u64, actions: &mut Actions) {
        self.rotate(now);
        self.in_flight.begin(now, set);
        self.in_flight.send(set, actions);
        if self.read.len() >= self.settings.min_data_points {
            let delay = Duration::from_millis(self.read.value_at_quantile(self.settings.quantile));
            self.in_flight.set_timer(now + delay, set, TimerKind::Hedge);
        }
        self.in_flight
            .set_timer(now + self.request_timeout, set, TimerKind::Deadline);
    }

    fn handle_outcome(&mut self, now: Instant, outcome: AttemptOutcome, actions: &mut Actions) {
        let Some(in_flight_set) = self.in_flight.finish_attempt(outcome.set) else {
            return;
        };
        let hedged = self.hedged.remove(&outcome.set);
        if outcome.stored {
            let began = if outcome.attempt == 0 {
                in_flight_set.began
            } else {
                hedged.unwrap_or(in_flight_set.began)
            };
            self.write
                .saturating_record((now.since(began).as_micros() as u64).div_ceil(1_000).max(1));
        }
        self.in_flight.end(outcome.set, outcome.stored, actions);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.in_flight.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        while let Some((set, timer)) = self.in_flight.next_due(now) {
            match timer {
                TimerKind::Hedge => {
                    if self.in_flight.send(set, actions) {
                        self.hedged.insert(set, now);
                    }
                }
                TimerKind::Deadline => {
                    self.hedged.remove(&set);
                    self.in_flight.end(set, false, actions);
                }
            }
        }
    }
}
