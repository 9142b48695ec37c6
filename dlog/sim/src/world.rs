use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

use core::cmp::Reverse;

use super::distribution::{Sampler, unit};
use super::{Bursts, Capacity, FaultKind, Scenario};
use distributedlog_testkit::Random;

/// Time after which a stream without room refuses a set, in microseconds.
const REFUSAL_US: u64 = 1_000;

/// Course of an attempt. Times are in microseconds from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Time at which the set is stored; `None` if it never is.
    pub(crate) stored: Option<u64>,
    /// Time at which the writer learns the outcome, and true if the set was stored, false if there
    /// was no room. `None` if there is no outcome.
    pub(crate) outcome: Option<(u64, bool)>,
}

/// The streams and their faults.
#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    sampler: Sampler,
    stragglers: (f64, f64),
    loss: f64,
    streams: Vec<Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Begin, end and kind of each fault.
    faults: Vec<(u64, u64, FaultKind)>,
    servers: Option<Servers>,
}

#[derive(Debug)]
struct Servers {
    /// Time at which each worker is free, the earliest on top.
    free: BinaryHeap<Reverse<u64>>,
    /// Time at which a worker begins each waiting set, in order.
    waiting: VecDeque<u64>,
    queue: usize,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let servers = |Capacity { workers, queue }| Servers {
            free: core::iter::repeat_n(Reverse(0), workers as usize).collect(),
            waiting: VecDeque::new(),
            queue: queue as usize,
        };
        let streams = (0..scenario.streams).map(|stream| {
            let ours = scenario
                .faults
                .iter()
                .filter(|fault| fault.stream.is_none_or(|of| of == stream));
            let faults = ours
                .map(|fault| {
                    (
                        micros(fault.from),
                        fault.until.map_or(u64::MAX, micros),
                        fault.kind,
                    )
                })
                .collect();
            Stream {
                faults,
                servers: scenario.capacity.map(servers),
            }
        });
        Self {
            seed,
            sampler: Sampler::new(&scenario.latency),
            stragglers: scenario.stragglers.map_or((0.0, 1.0), |stragglers| {
                (stragglers.share, stragglers.factor)
            }),
            loss: scenario.loss,
            streams: streams.collect(),
        }
    }

    /// Sends a set to a stream, after this number of earlier attempts there.
    pub(crate) fn send(
        &mut self,
        now: u64,
        set: u64,
        stream: u16,
        earlier_attempts: u32,
    ) -> Schedule {
        let mut random = keyed(self.seed, set, stream, earlier_attempts);
        let latency = self.latency(&mut random);
        let lost = self.loss > 0.0 && random.chance(self.loss);
        let even = random.bits() & 1 == 0;
        let place = &mut self.streams[usize::from(stream)];
        if lost && even {
            return Schedule {
                stored: None,
                outcome: None,
            };
        }
        let begun = match &mut place.servers {
            None => now,
            Some(servers) => match servers.begin(now) {
                Some(begun) => begun,
                None => {
                    return Schedule {
                        stored: None,
                        outcome: Some((now + REFUSAL_US, false)),
                    };
                }
            },
        };
        let done = place.done(begun, latency);
        if let Some(servers) = &mut place.servers {
            servers.free.push(Reverse(done));
        }
        for &(from, until, kind) in &place.faults {
            if kind == FaultKind::Failover && now < until && done > from {
                let stored = (now < from && even).then_some(from);
                return Schedule {
                    stored,
                    outcome: None,
                };
            }
        }
        Schedule {
            stored: Some(done),
            outcome: (!lost).then_some((done, true)),
        }
    }

    /// Returns the time at which a set that is sent now would be stored and acknowledged, or `None`
    /// if it would not. Correct for streams without a capacity, whose latencies depend on nothing
    /// else.
    pub(crate) fn foresee(&self, now: u64, set: u64, stream: u16) -> Option<u64> {
        let mut random = keyed(self.seed, set, stream, 0);
        let latency = self.latency(&mut random);
        let lost = self.loss > 0.0 && random.chance(self.loss);
        let place = &self.streams[usize::from(stream)];
        let done = place.done(now, latency);
        let away = |&(from, until, kind): &(u64, u64, FaultKind)| {
            kind == FaultKind::Failover && now < until && done > from
        };
        (!lost && !place.faults.iter().any(away)).then_some(done)
    }

    /// Returns true if the stream has no fault at this time.
    pub(crate) fn is_healthy(&self, now: u64, stream: u16) -> bool {
        self.streams[usize::from(stream)]
            .faults
            .iter()
            .all(|&(from, until, _)| now < from || now >= until)
    }

    fn latency(&self, random: &mut Random) -> f64 {
        let latency = self.sampler.draw(random);
        let (share, factor) = self.stragglers;
        if share > 0.0 && random.chance(share) {
            latency * factor
        } else {
            latency
        }
    }
}

impl Stream {
    /// Returns the time at which work that begins at this time is done.
    fn done(&self, begun: u64, latency: f64) -> u64 {
        let mut latency = latency;
        for &(from, until, kind) in &self.faults {
            if let FaultKind::Slow(factor) = kind
                && (from..until).contains(&begun)
            {
                latency *= factor;
            }
        }
        let mut done = begun.saturating_add((latency.round() as u64).max(1));
        for &(from, until, kind) in &self.faults {
            if kind == FaultKind::Stall && begun < until && done > from {
                done += until - begun.max(from);
            }
        }
        done
    }
}

impl Servers {
    /// Returns the time at which a worker begins a set that arrives now, or `None` if there is no
    /// room for it.
    fn begin(&mut self, now: u64) -> Option<u64> {
        while self.waiting.front().is_some_and(|begins| *begins <= now) {
            self.waiting.pop_front();
        }
        let Reverse(free) = *self.free.peek().expect("there is at least one worker");
        let begins = free.max(now);
        if begins > now {
            if self.waiting.len() >= self.queue {
                return None;
            }
            self.waiting.push_back(begins);
        }
        self.free.pop();
        Some(begins)
    }
}

/// Returns the random number generator of one attempt.
fn keyed(seed: u64, set: u64, stream: u16, earlier_attempts: u32) -> Random {
    let key = seed
        ^ set.wrapping_mul(0xA24B_AED4_963E_E407)
        ^ (u64::from(stream) << 32 | u64::from(earlier_attempts))
            .wrapping_mul(0x9FB2_1C65_1E98_DF25);
    // One step of the generator, so that similar keys give unrelated sequences.
    Random::new(Random::new(key).bits())
}

/// Iterator over the times at which operations begin, drawn from the seed.
#[derive(Debug)]
pub(crate) struct ArrivalTimes {
    random: Random,
    /// Operations per microsecond.
    rate: f64,
    bursts: Option<(f64, f64, f64)>,
    now: f64,
    left: u64,
}

impl ArrivalTimes {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let fan_out = f64::from(scenario.arrivals.fan_out);
        let burst = |Bursts {
                         every,
                         length,
                         factor,
                     }| (micros(every) as f64, micros(length) as f64, factor);
        Self {
            random: Random::new(Random::new(!seed).bits()),
            rate: scenario.arrivals.per_second / fan_out / 1e6,
            bursts: scenario.arrivals.bursts.map(burst),
            now: 0.0,
            left: scenario.sets / u64::from(scenario.arrivals.fan_out),
        }
    }

    /// Returns the number of operations that have not begun.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }
}

impl Iterator for ArrivalTimes {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let mut work = -unit(&mut self.random).ln();
        // The rate changes at the edges of bursts. An exponential pause has no memory, so the rest
        // of it is scaled to the new rate.
        loop {
            let (rate, edge) = match self.bursts {
                None => (self.rate, f64::INFINITY),
                Some((every, length, factor)) => {
                    let (cycle, phase) = ((self.now / every).floor(), self.now % every);
                    if cycle >= 1.0 && phase < length {
                        (self.rate * factor, cycle * every + length)
                    } else {
                        (self.rate, (cycle + 1.0) * every)
                    }
                }
            };
            let ends = self.now + work / rate;
            if ends <= edge {
                self.now = ends;
                return Some(ends as u64);
            }
            work -= (edge - self.now) * rate;
            self.now = edge;
        }
    }
}

pub(crate) const fn micros(length: Duration) -> u64 {
    length.as_micros() as u64
}
