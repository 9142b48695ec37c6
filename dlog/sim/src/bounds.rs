use core::time::Duration;

use super::world::{ArrivalTimes, World};
use super::{Report, Simulation};

/// Lower bound of the latency under any policy: a policy that knows every latency in advance.
///
/// Each set begins at its stream in rotation, as under every policy. Streams that have a fault in
/// the scenario at that time are skipped, at no cost, unless all have one. The sets with the
/// slowest streams, as many as `share` allows, are sent at once to the stream that is fastest for
/// them as well, if that is faster. Both attempts count as load.
///
/// The bound exists only if latencies do not depend on the load: there is none for a scenario with
/// a [capacity](super::Scenario::capacity).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clairvoyant {
    /// Maximum extra attempts for each set, on average. `f64::INFINITY`: no limit.
    pub share: f64,
}

/// Bound for policies that do not know the future: a policy that knows the distribution of the
/// latencies, but not the next one.
///
/// Each set begins as under [`Clairvoyant`], and is sent to a second and a third stream after two
/// delays, which are the same for all sets. Of all pairs of delays that cost no more than `share`,
/// the bound has the pair with the lowest 99.9th percentile for the latencies of this run. Its
/// distance from the clairvoyant bound is the cost of not knowing the future. A policy that learns
/// the distribution while it runs can come close to it; a policy that saves its budget for the
/// slowest sets can be slightly better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestDelays {
    /// Maximum extra attempts for each set, on average.
    pub share: f64,
}

impl Clairvoyant {
    /// Returns the bound for a simulation, or `None` if its latencies depend on the load.
    #[must_use]
    pub fn bound(self, simulation: &Simulation) -> Option<Report> {
        let draws = Latencies::of(simulation)?;
        let (mut latencies, others): (Vec<u64>, Vec<u64>) =
            draws.each(|world, streams, set, now| {
                let own = latency(world, set, now, streams.next());
                (
                    own,
                    streams
                        .map(|stream| latency(world, set, now, Some(stream)))
                        .min()
                        .unwrap_or(u64::MAX),
                )
            });
        let most = (latencies.len() as f64 * self.share).min(latencies.len() as f64) as usize;
        let mut gain: Vec<usize> = (0..latencies.len())
            .filter(|set| others[*set] < latencies[*set])
            .collect();
        gain.sort_unstable_by_key(|set| core::cmp::Reverse(latencies[*set]));
        gain.truncate(most);
        let mut attempts = vec![1; latencies.len()];
        for set in gain {
            latencies[set] = others[set];
            attempts[set] += 1;
        }
        Some(draws.report(&latencies, &attempts))
    }
}

impl BestDelays {
    /// Returns the bound for a simulation and the two delays, or `None` if its latencies depend on
    /// the load.
    #[must_use]
    pub fn bound(self, simulation: &Simulation) -> Option<(Report, [Duration; 2])> {
        let draws = Latencies::of(simulation)?;
        let (own, others): (Vec<u64>, Vec<[u64; 2]>) = draws.each(|world, streams, set, now| {
            let own = latency(world, set, now, streams.next());
            (
                own,
                [streams.next(), streams.next()].map(|stream| latency(world, set, now, stream)),
            )
        });
        // A sample is enough to choose the delays: every `step`th operation, about `MAX_SAMPLE`
        // sets.
        let step = (own.len() / MAX_SAMPLE).max(1);
        let fan_out = draws.fan_out as usize;
        let sample: Vec<(u64, [u64; 2])> = (0..own.len() / fan_out)
            .step_by(step)
            .flat_map(|operation| operation * fan_out..(operation + 1) * fan_out)
            .map(|set| (own[set], others[set]))
            .collect();
        let delays = best_delays(&sample, fan_out, self.share);
        let (latencies, attempts): (Vec<u64>, Vec<u64>) = own
            .iter()
            .zip(&others)
            .map(|(own, others)| hedged(*own, *others, delays))
            .unzip();
        Some((
            draws.report(&latencies, &attempts),
            delays.map(Duration::from_micros),
        ))
    }
}

/// Maximum number of sets that the delays are chosen from, rounded up to whole operations.
const MAX_SAMPLE: usize = 100_000;

/// Returns the pair of delays with the lowest 99.9th percentile that costs no more than `share`.
fn best_delays(sets: &[(u64, [u64; 2])], fan_out: usize, share: f64) -> [u64; 2] {
    let mut sorted: Vec<u64> = sets.iter().map(|(own, _)| *own).collect();
    sorted.sort_unstable();
    let at =
        |quantile: f64| sorted[((sorted.len() as f64 * quantile) as usize).min(sorted.len() - 1)];
    // First delays: from the one at which first hedges alone cost the share to the one at which
    // they cost a thirtieth of it (0.885^28 = 0.03). Pauses between the delays: latencies from the
    // fastest third to the slowest hundredth (0.66 * 0.76^15 = 0.01), or no second hedge.
    let firsts = (0..28).map(|step| at(1.0 - share * 0.885_f64.powi(step)));
    let pauses: Vec<u64> = (0..16)
        .map(|step| at(1.0 - 0.66 * 0.76_f64.powi(step)))
        .chain([NEVER])
        .collect();
    let mut best = (u64::MAX, [NEVER, NEVER]);
    for first in firsts {
        for pause in &pauses {
            let delays = [first, first.saturating_add(*pause)];
            let hedges: u64 = sets
                .iter()
                .map(|(own, others)| hedged(*own, *others, delays).1 - 1)
                .sum();
            if hedges as f64 <= sets.len() as f64 * share {
                let slowest = |operation: &[(u64, [u64; 2])]| {
                    operation
                        .iter()
                        .map(|(own, others)| hedged(*own, *others, delays).0)
                        .max()
                        .unwrap_or(0)
                };
                let mut operations: Vec<u64> = sets.chunks(fan_out).map(slowest).collect();
                let rank = ((operations.len() as f64 * 0.999).ceil() as usize).max(1) - 1;
                best = best.min((*operations.select_nth_unstable(rank).1, delays));
            }
        }
    }
    best.1
}

/// A time later than any other, with room for a sum of four.
const NEVER: u64 = u64::MAX >> 2;

/// Returns the latency of a set and its number of attempts if it is hedged after these delays.
fn hedged(own: u64, others: [u64; 2], delays: [u64; 2]) -> (u64, u64) {
    let (mut took, mut attempts) = (own, 1);
    for (other, delay) in others.into_iter().zip(delays) {
        if other < u64::MAX && took > delay {
            took = took.min(delay.saturating_add(other));
            attempts += 1;
        }
    }
    (took, attempts)
}

/// Returns the latency of an attempt; `u64::MAX` if there is no stream, or no response.
fn latency(world: &World, set: u64, now: u64, stream: Option<u16>) -> u64 {
    stream
        .and_then(|stream| world.foresee(now, set, stream))
        .map_or(u64::MAX, |done| done - now)
}

/// The healthy streams in the order of a set's rotation; all streams if none is healthy.
type Rotation<'a> = dyn Iterator<Item = u16> + 'a;

/// The latencies of a simulation.
struct Latencies {
    world: World,
    streams: u16,
    fan_out: u64,
    /// Time at which each operation begins.
    began: Vec<u64>,
}

impl Latencies {
    fn of(simulation: &Simulation) -> Option<Self> {
        let scenario = simulation.scenario();
        if scenario.capacity.is_some() {
            return None;
        }
        Some(Self {
            world: World::new(scenario, simulation.seed()),
            streams: scenario.streams,
            fan_out: u64::from(scenario.arrivals.fan_out),
            began: ArrivalTimes::new(scenario, simulation.seed()).collect(),
        })
    }

    /// Computes two values for each set.
    fn each<A, B>(
        &self,
        mut look: impl FnMut(&World, &mut Rotation<'_>, u64, u64) -> (A, B),
    ) -> (Vec<A>, Vec<B>) {
        let count = u64::from(self.streams);
        let all = self.began.iter().enumerate().flat_map(|(operation, &now)| {
            let first = operation as u64 * self.fan_out;
            (first..first + self.fan_out).map(move |set| (set, now))
        });
        all.map(|(set, now)| {
            let any = (0..self.streams).any(|stream| self.world.is_healthy(now, stream));
            let turn = (0..count).map(|step| ((set + step) % count) as u16);
            look(
                &self.world,
                &mut turn.filter(|stream| !any || self.world.is_healthy(now, *stream)),
                set,
                now,
            )
        })
        .unzip()
    }

    fn report(&self, latencies: &[u64], attempts: &[u64]) -> Report {
        let mut report = Report::new(latencies.len() as u64);
        let operations = latencies
            .chunks(self.fan_out as usize)
            .zip(attempts.chunks(self.fan_out as usize));
        for ((latencies, attempts), &began) in operations.zip(&self.began) {
            let started = attempts.iter().sum::<u64>();
            report.second(began).sets += self.fan_out;
            report.second(began).attempts += started;
            report.attempts += started;
            let slowest = latencies.iter().copied().max().unwrap_or(0);
            report.record((slowest < u64::MAX).then_some(slowest));
        }
        report.duplicates = report.attempts - report.sets;
        report.written = latencies
            .iter()
            .filter(|latency| **latency < u64::MAX)
            .count() as u64;
        report.failed = report.sets - report.written;
        report.read.delivered = report.written;
        report
    }
}
