use core::time::Duration;
use std::collections::VecDeque;

use super::distribution::{Sampler, unit};
use super::domains::Domains;
use super::{Bursts, Capacity, FaultKind, Scenario};
use distributedlog::wire::record_set::SetIdentity;
use distributedlog_testkit::Random;

/// Time after which a stream without room refuses a set, in microseconds.
const REFUSAL_US: u64 = 1_000;

/// Course of an attempt that has begun. Times are in microseconds from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Time at which the set is stored; `None` if it never is.
    pub(crate) stored: Option<u64>,
    /// `true` if the writer learns that it is stored, at the same time.
    pub(crate) has_outcome: bool,
    /// Time at which the worker is free again; `None` if the stream has no workers.
    pub(crate) free: Option<u64>,
}

/// The streams and their faults.
#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    sampler: Sampler,
    stragglers: (f64, f64),
    loss: f64,
    streams: Vec<Stream>,
    domains: Domains,
}

#[derive(Debug, Default)]
struct Stream {
    /// Begin, end and kind of each fault.
    faults: Vec<(u64, u64, FaultKind)>,
    servers: Option<Servers>,
}

#[derive(Debug)]
struct Servers {
    workers: u32,
    busy: u32,
    /// Sets that wait for a worker, in order.
    waiting: VecDeque<(SentAttempt, Drawn)>,
    queue: usize,
}

/// An attempt on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SentAttempt {
    pub(crate) set: u64,
    pub(crate) stream: u16,
    pub(crate) attempt: u64,
    pub(crate) earlier_attempts: u32,
    pub(crate) sent: u64,
    pub(crate) identity: Option<SetIdentity>,
}

/// Random part of an attempt's course.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    /// Latency in microseconds.
    latency: f64,
    is_lost: bool,
    /// `true` for one half of the attempts: those that never arrive if they are lost, and that the
    /// old owner of a stream has stored.
    is_even: bool,
}

/// Reception of an attempt by its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reception {
    /// It was lost on the way.
    Lost,
    /// The stream works on it.
    Begun(Schedule),
    /// It waits for a worker.
    Waits,
    /// There is no room; the writer learns it at this time.
    Refused(u64),
}

impl World {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let servers = |Capacity { workers, queue }| Servers {
            workers,
            busy: 0,
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
            domains: Domains::new(scenario, seed),
        }
    }

    /// Sends an attempt to its stream.
    pub(crate) fn send(&mut self, attempt: SentAttempt) -> Reception {
        let drawn = self.draw(&attempt);
        if drawn.is_lost && drawn.is_even {
            return Reception::Lost;
        }
        if let Some(servers) = &mut self.streams[usize::from(attempt.stream)].servers {
            if servers.busy >= servers.workers {
                if servers.waiting.len() >= servers.queue {
                    return Reception::Refused(attempt.sent + REFUSAL_US);
                }
                servers.waiting.push_back((attempt, drawn));
                return Reception::Waits;
            }
            servers.busy += 1;
        }
        Reception::Begun(self.begin(attempt.sent, &attempt, drawn))
    }

    /// Frees a worker of a stream. Returns the next attempt that waited, which it begins.
    pub(crate) fn next(&mut self, now: u64, stream: u16) -> Option<(SentAttempt, Schedule)> {
        let servers = self.streams[usize::from(stream)].servers.as_mut()?;
        let Some((attempt, drawn)) = servers.waiting.pop_front() else {
            servers.busy -= 1;
            return None;
        };
        Some((attempt, self.begin(now, &attempt, drawn)))
    }

    /// Drops an attempt if it waits. Returns true if it did.
    pub(crate) fn drop_waiting(&mut self, attempt: u64, stream: u16) -> bool {
        let Some(servers) = &mut self.streams[usize::from(stream)].servers else {
            return false;
        };
        let waiting = servers.waiting.iter();
        let index = waiting
            .map(|(waiting, _)| waiting.attempt)
            .position(|it| it == attempt);
        index.is_some_and(|index| servers.waiting.remove(index).is_some())
    }

    /// Returns the course of an attempt that begins at this time.
    fn begin(&self, now: u64, attempt: &SentAttempt, drawn: Drawn) -> Schedule {
        let place = &self.streams[usize::from(attempt.stream)];
        let done = self.done(attempt.stream, now, drawn.latency);
        let free = place.servers.is_some().then_some(done);
        for &(from, until, kind) in &place.faults {
            if kind == FaultKind::Failover && attempt.sent < until && done > from {
                return Schedule {
                    stored: (attempt.sent < from && drawn.is_even).then_some(from),
                    has_outcome: false,
                    free,
                };
            }
        }
        Schedule {
            stored: Some(done),
            has_outcome: !drawn.is_lost,
            free,
        }
    }

    /// Draws the course of an attempt.
    fn draw(&self, attempt: &SentAttempt) -> Drawn {
        let mut random = keyed(
            self.seed,
            attempt.set,
            attempt.stream,
            attempt.earlier_attempts,
        );
        Drawn {
            latency: self.latency(&mut random, attempt.stream, attempt.sent),
            is_lost: self.loss > 0.0 && random.chance(self.loss),
            is_even: random.bits() & 1 == 0,
        }
    }

    /// Returns the time at which a set that is sent now would be stored and acknowledged, or `None`
    /// if it would not. Correct for streams without a capacity, whose latencies depend on nothing
    /// else.
    pub(crate) fn foresee(&self, now: u64, set: u64, stream: u16) -> Option<u64> {
        let mut random = keyed(self.seed, set, stream, 0);
        let latency = self.latency(&mut random, stream, now);
        let lost = self.loss > 0.0 && random.chance(self.loss);
        let place = &self.streams[usize::from(stream)];
        let done = self.done(stream, now, latency);
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

    /// Returns the time at which work that begins at this time is done: faults of the stream come
    /// on top of stalls of its storage.
    fn done(&self, stream: u16, begun: u64, latency: f64) -> u64 {
        let done = self.streams[usize::from(stream)].done(begun, latency);
        self.domains.done(stream, begun, done)
    }

    fn latency(&self, random: &mut Random, stream: u16, at: u64) -> f64 {
        let recorded_at = self.domains.recorded_at(stream, at);
        let latency = self.sampler.draw(random, recorded_at);
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
