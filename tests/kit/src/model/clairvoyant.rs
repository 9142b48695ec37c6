use super::world::{Clockwork, World};
use super::{Report, Simulation};

/// What nobody can do better within a budget: who knows every latency in advance.
///
/// The definition. Each set begins at its stream in rotation, as everyone's does; streams of which the scenario says that something is the
/// matter with them at that time are passed over, at no cost, unless all are such. Of all sets, those whose stream takes longest are sent to
/// the one that is fastest for them too, at once, as many as `share` allows; none where that would not be faster. Both attempts count as
/// load. So for its extra load no policy has a lower latency at the quantiles beyond that share.
///
/// It means something only where latencies do not depend on the load: there is none for a scenario with a
/// [capacity](super::Scenario::capacity).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clairvoyant {
    /// Extra attempts for each set at most. `f64::INFINITY`: as many as help.
    pub share: f64,
}

impl Clairvoyant {
    /// The bound for a simulation; none when its latencies depend on the load.
    #[must_use]
    pub fn bound(self, simulation: &Simulation) -> Option<Report> {
        let scenario = simulation.scenario();
        if scenario.capacity.is_some() {
            return None;
        }
        let world = World::new(scenario, simulation.seed());
        let fan_out = u64::from(scenario.arrivals.fan_out);
        let began: Vec<u64> = Clockwork::new(scenario, simulation.seed()).collect();
        let sets = began.len() as u64 * fan_out;
        let mut seen: Vec<Foresight> =
            (0..sets).map(|set| foresee(&world, scenario.streams, set, began[(set / fan_out) as usize])).collect();
        let hedged = hedge(&mut seen, self.share);

        let mut report = Report::new(sets);
        report.attempts = sets + hedged;
        report.copies = hedged;
        for (index, &began) in began.iter().enumerate() {
            let own = &seen[index * fan_out as usize..][..fan_out as usize];
            report.second(began).sets += fan_out;
            report.second(began).attempts += own.iter().map(|set| 1 + u64::from(set.hedged)).sum::<u64>();
            let slowest = own.iter().map(|set| set.latency).max().expect("an operation has a set");
            report.record((slowest < u64::MAX).then_some(slowest));
        }
        report.written = seen.iter().filter(|set| set.latency < u64::MAX).count() as u64;
        report.failed = sets - report.written;
        report.read.delivered = report.written;
        Some(report)
    }
}

struct Foresight {
    latency: u64,
    /// What the fastest of the other streams takes.
    other: u64,
    hedged: bool,
}

fn foresee(world: &World, streams: u16, set: u64, now: u64) -> Foresight {
    let turn = (0..streams)
        .map(|step| ((set + u64::from(step)) % u64::from(streams)) as u16)
        .find(|stream| world.is_well(now, *stream))
        .unwrap_or_else(|| (set % u64::from(streams)) as u16);
    let latency = |stream| world.foresee(now, set, stream).map_or(u64::MAX, |done| done - now);
    let other = (0..streams).filter(|stream| *stream != turn).map(latency).min().unwrap_or(u64::MAX);
    Foresight { latency: latency(turn), other, hedged: false }
}

/// Hedges those that take longest; how many.
fn hedge(seen: &mut [Foresight], share: f64) -> u64 {
    let most = (seen.len() as f64 * share).min(seen.len() as f64) as usize;
    let mut gain: Vec<usize> = (0..seen.len()).filter(|set| seen[*set].other < seen[*set].latency).collect();
    gain.sort_unstable_by_key(|set| core::cmp::Reverse(seen[*set].latency));
    gain.truncate(most);
    for set in &gain {
        let set = &mut seen[*set];
        set.latency = set.other;
        set.hedged = true;
    }
    gain.len() as u64
}
