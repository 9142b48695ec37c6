//! Storage that streams share: its stalls, and where in a recording it is.

use distributedlog_testkit::Random;

use super::distribution::unit;
use super::world::micros;
use super::{Scenario, SharedStalls};

/// The storage domains of a scenario.
#[derive(Debug)]
pub(crate) struct Domains(Vec<Domain>);

#[derive(Debug)]
struct Domain {
    /// Begin and end of each stall, in order; none overlap.
    stalls: Vec<(u64, u64)>,
    /// Added to the time at which a recording is read, so that domains are at unrelated places.
    offset: u64,
}

impl Domains {
    /// Draws the stalls of each domain.
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let count = match scenario.domains {
            0 => scenario.streams,
            domains => domains,
        };
        let run = scenario.run_micros();
        let domain = |domain: u16| {
            let key = seed ^ u64::from(domain).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            // As for attempts: similar keys give unrelated sequences. Not the arrivals' sequence.
            let mut random = Random::new(Random::new(key.rotate_left(32)).bits());
            Domain {
                offset: random.bits() >> 16,
                stalls: scenario
                    .shared_stalls
                    .map_or_else(Vec::new, |stalls| draw(stalls, run, &mut random)),
            }
        };
        Self((0..count).map(domain).collect())
    }

    /// Returns the time at which the stream's storage reads a recording.
    pub(crate) fn recorded_at(&self, stream: u16, at: u64) -> u64 {
        at.wrapping_add(self.of(stream).offset)
    }

    /// Returns when work at the stream's storage, which would be done at `done`, is done with the
    /// stalls that it meets.
    pub(crate) fn done(&self, stream: u16, begun: u64, done: u64) -> u64 {
        let stalls = &self.of(stream).stalls;
        let first = stalls.partition_point(|&(_, until)| until <= begun);
        let mut done = done;
        for &(from, until) in &stalls[first..] {
            if from >= done {
                break;
            }
            done += until - begun.max(from);
        }
        done
    }

    fn of(&self, stream: u16) -> &Domain {
        &self.0[usize::from(stream) % self.0.len()]
    }
}

/// Draws the stalls of a run of this length: pauses and lengths are exponential.
fn draw(stalls: SharedStalls, run: u64, random: &mut Random) -> Vec<(u64, u64)> {
    let mut exponential = |mean: core::time::Duration| -unit(random).ln() * micros(mean) as f64;
    let (mut all, mut now) = (Vec::new(), 0.0);
    loop {
        let from = now + exponential(stalls.every);
        let until = from + exponential(stalls.length).max(1.0);
        if from >= run as f64 {
            return all;
        }
        all.push((from as u64, until.ceil() as u64));
        now = until.ceil();
    }
}
