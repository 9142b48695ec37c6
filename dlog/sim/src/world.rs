use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

use core::cmp::Reverse;

use super::distribution::{Sampler, unit};
use super::{Bursts, Capacity, FaultKind, Scenario};
use distributedlog_testkit::Random;

/// After which time a stream that has no room for a set says so.
const REFUSAL: u64 = 1_000;

/// What becomes of an attempt. Times are in microseconds from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// When the set is in the stream.
    pub(crate) stored: Option<u64>,
    /// When its writer is told, and whether it was stored or there was no room.
    pub(crate) answer: Option<(u64, bool)>,
}

/// The streams and what happens to them.
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
    /// From, until, what.
    faults: Vec<(u64, u64, FaultKind)>,
    servers: Option<Servers>,
}

#[derive(Debug)]
struct Servers {
    /// When each worker is free again, the earliest on top.
    free: BinaryHeap<Reverse<u64>>,
    /// When those who wait begin, in order.
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

    /// A set is sent to a stream, the `again`th time.
    pub(crate) fn send(&mut self, now: u64, set: u64, stream: u16, again: u32) -> Fate {
        let mut random = keyed(self.seed, set, stream, again);
        let latency = self.latency(&mut random);
        let lost = self.loss > 0.0 && random.chance(self.loss);
        let even = random.bits() & 1 == 0;
        let place = &mut self.streams[usize::from(stream)];
        if lost && even {
            return Fate {
                stored: None,
                answer: None,
            };
        }
        let begun = match &mut place.servers {
            None => now,
            Some(servers) => match servers.begin(now) {
                Some(begun) => begun,
                None => {
                    return Fate {
                        stored: None,
                        answer: Some((now + REFUSAL, false)),
                    };
                }
            },
        };
        let done = place.done(begun, latency);
        if let Some(servers) = &mut place.servers {
            servers.free.push(Reverse(done));
        }
        for &(from, until, kind) in &place.faults {
            if kind == FaultKind::Away && now < until && done > from {
                let stored = (now < from && even).then_some(from);
                return Fate {
                    stored,
                    answer: None,
                };
            }
        }
        Fate {
            stored: Some(done),
            answer: (!lost).then_some((done, true)),
        }
    }

    /// When a set that is sent now would be stored and its writer told; none if never. For streams
    /// without a capacity, nothing else matters.
    pub(crate) fn foresee(&self, now: u64, set: u64, stream: u16) -> Option<u64> {
        let mut random = keyed(self.seed, set, stream, 0);
        let latency = self.latency(&mut random);
        let lost = self.loss > 0.0 && random.chance(self.loss);
        let place = &self.streams[usize::from(stream)];
        let done = place.done(now, latency);
        let away = |&(from, until, kind): &(u64, u64, FaultKind)| {
            kind == FaultKind::Away && now < until && done > from
        };
        (!lost && !place.faults.iter().any(away)).then_some(done)
    }

    /// Whether nothing is the matter with a stream.
    pub(crate) fn is_well(&self, now: u64, stream: u16) -> bool {
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
    /// When what begins then is done.
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
    /// When the work at a set that comes now begins; none when there is no room for it.
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

/// The generator of one attempt.
fn keyed(seed: u64, set: u64, stream: u16, again: u32) -> Random {
    let key = seed
        ^ set.wrapping_mul(0xA24B_AED4_963E_E407)
        ^ (u64::from(stream) << 32 | u64::from(again)).wrapping_mul(0x9FB2_1C65_1E98_DF25);
    // One step of the generator: keys that are alike lie far apart.
    Random::new(Random::new(key).bits())
}

/// When operations begin: drawn from the seed.
#[derive(Debug)]
pub(crate) struct Clockwork {
    random: Random,
    /// Operations a microsecond.
    rate: f64,
    bursts: Option<(f64, f64, f64)>,
    now: f64,
    left: u64,
}

impl Clockwork {
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

    /// How many operations are still to come.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }
}

impl Iterator for Clockwork {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let mut work = -unit(&mut self.random).ln();
        // The rate changes at the edges of bursts: what is left of the pause is walked at the new
        // one.
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
