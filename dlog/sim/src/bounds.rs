use core::time::Duration;

use super::world::{Clockwork, World};
use super::{Report, Simulation};

/// The bound that nobody passes: who knows every latency in advance.
///
/// The definition. Each set begins at its stream in rotation, as everyone's does; streams of which
/// the scenario says that something is the matter with them at that time are passed over, at no
/// cost, unless all are such. Of all sets, those whose stream takes longest are sent to
/// the one that is fastest for them too, at once, as many as `share` allows; none where that would
/// not be faster. Both attempts count as load.
///
/// It means something only where latencies do not depend on the load: there is none for a scenario
/// with a [capacity](super::Scenario::capacity).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clairvoyant {
    /// Extra attempts for each set at most. `f64::INFINITY`: as many as help.
    pub share: f64,
}

/// The bound of those who cannot see ahead: who knows how latencies are distributed, but not which
/// one comes.
///
/// The definition. Each set begins as the [`Clairvoyant`]'s does, and is sent to the next stream
/// and the one behind that when it is as old as two delays say, which are the same for all sets. Of
/// all delays that cost no more than `share`, they are those with the lowest 99.9th percentile for
/// these very draws. What separates it from the clairvoyant is the price of not knowing. A policy
/// that learns while it runs does well to come near it; one that keeps its budget for the sets that
/// wait longest can be a little better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestDelays {
    /// Extra attempts for each set at most.
    pub share: f64,
}

impl Clairvoyant {
    /// The bound for a simulation; none when its latencies depend on the load.
    #[must_use]
    pub fn bound(self, simulation: &Simulation) -> Option<Report> {
        let draws = Draws::of(simulation)?;
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
    /// The bound for a simulation, and the two delays; none when its latencies depend on the load.
    #[must_use]
    pub fn bound(self, simulation: &Simulation) -> Option<(Report, [Duration; 2])> {
        let draws = Draws::of(simulation)?;
        let (own, others): (Vec<u64>, Vec<[u64; 2]>) = draws.each(|world, streams, set, now| {
            let own = latency(world, set, now, streams.next());
            (
                own,
                [streams.next(), streams.next()].map(|stream| latency(world, set, now, stream)),
            )
        });
        // Where there are many, as many of the operations as make this many sets are enough to
        // choose the delays by.
        let step = (own.len() / SEARCHED).max(1);
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
            .map(|(own, others)| raced(*own, *others, delays))
            .unzip();
        Some((
            draws.report(&latencies, &attempts),
            delays.map(Duration::from_micros),
        ))
    }
}

/// How many sets the delays are chosen by at most, whole operations aside.
const SEARCHED: usize = 100_000;

/// Of all pairs of delays that cost no more than `share`, those with the lowest 99.9th percentile.
fn best_delays(sets: &[(u64, [u64; 2])], fan_out: usize, share: f64) -> [u64; 2] {
    let mut sorted: Vec<u64> = sets.iter().map(|(own, _)| *own).collect();
    sorted.sort_unstable();
    let at =
        |quantile: f64| sorted[((sorted.len() as f64 * quantile) as usize).min(sorted.len() - 1)];
    // From the delay at which the first hedges alone cost the share to that at which they cost a
    // thirtieth of it; and from the first to the second as long as an attempt takes, from the
    // fastest third to the slowest hundredth, or for ever.
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
                .map(|(own, others)| raced(*own, *others, delays).1 - 1)
                .sum();
            if hedges as f64 <= sets.len() as f64 * share {
                let slowest = |operation: &[(u64, [u64; 2])]| {
                    operation
                        .iter()
                        .map(|(own, others)| raced(*own, *others, delays).0)
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

/// Later than anything, with room to add to it.
const NEVER: u64 = u64::MAX >> 2;

/// What a set takes, and how many attempts it makes, when it is sent on at these ages.
fn raced(own: u64, others: [u64; 2], delays: [u64; 2]) -> (u64, u64) {
    let (mut took, mut attempts) = (own, 1);
    for (other, delay) in others.into_iter().zip(delays) {
        if other < u64::MAX && took > delay {
            took = took.min(delay.saturating_add(other));
            attempts += 1;
        }
    }
    (took, attempts)
}

/// What an attempt at a stream takes; for ever if there is none, or no answer.
fn latency(world: &World, set: u64, now: u64, stream: Option<u16>) -> u64 {
    stream
        .and_then(|stream| world.foresee(now, set, stream))
        .map_or(u64::MAX, |done| done - now)
}

/// The streams as a set meets them: those that are well, from the one whose turn it is on; all if
/// none is well.
type Turns<'a> = dyn Iterator<Item = u16> + 'a;

/// All latencies of a simulation, to be looked up.
struct Draws {
    world: World,
    streams: u16,
    fan_out: u64,
    /// When each operation begins.
    began: Vec<u64>,
}

impl Draws {
    fn of(simulation: &Simulation) -> Option<Self> {
        let scenario = simulation.scenario();
        if scenario.capacity.is_some() {
            return None;
        }
        Some(Self {
            world: World::new(scenario, simulation.seed()),
            streams: scenario.streams,
            fan_out: u64::from(scenario.arrivals.fan_out),
            began: Clockwork::new(scenario, simulation.seed()).collect(),
        })
    }

    /// Two values for each set.
    fn each<A, B>(
        &self,
        mut look: impl FnMut(&World, &mut Turns<'_>, u64, u64) -> (A, B),
    ) -> (Vec<A>, Vec<B>) {
        let count = u64::from(self.streams);
        let all = self.began.iter().enumerate().flat_map(|(operation, &now)| {
            let first = operation as u64 * self.fan_out;
            (first..first + self.fan_out).map(move |set| (set, now))
        });
        all.map(|(set, now)| {
            let any = (0..self.streams).any(|stream| self.world.is_well(now, stream));
            let turn = (0..count).map(|step| ((set + step) % count) as u16);
            look(
                &self.world,
                &mut turn.filter(|stream| !any || self.world.is_well(now, *stream)),
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
        report.copies = report.attempts - report.sets;
        report.written = latencies
            .iter()
            .filter(|latency| **latency < u64::MAX)
            .count() as u64;
        report.failed = report.sets - report.written;
        report.read.delivered = report.written;
        report
    }
}
