//! Failure domains of the streams of a run, and the hedges that follow from them (R22).

use std::collections::{HashMap, HashSet};

use distributedlog::writer::Writer;
use distributedlog::{AttemptId, FailureDomain, StreamIndex};
use distributedlog_testkit::Random;

use super::capped::Capped;

/// Names of the domains that streams are in.
const NAMES: [&str; 3] = ["disk-1", "disk-2", "disk-3"];

/// Checks that no set is hedged within a failure domain where it waits, if a stream of another one
/// is healthy, has nothing in flight (so that it cannot be silent, R21) and was never asked to take
/// the set.
pub(super) struct Domains {
    random: Random,
    /// Domains of the streams in this run; with none, the rule has no effect.
    names: usize,
    /// Streams that were asked to take the set of a slot. Kept across sets if the transport refuses
    /// the first attempt of one: then it may be the same set.
    asked: HashMap<u16, HashSet<StreamIndex>>,
    refused: HashSet<u16>,
}

impl Domains {
    pub(super) fn new(seed: u64, streams: usize, writer: &mut Writer<Capped>) -> Self {
        let mut random = Random::new(!seed);
        let names = random.below(NAMES.len() as u64 + 1) as usize;
        let mut new = Self {
            random,
            names,
            asked: HashMap::new(),
            refused: HashSet::new(),
        };
        for stream in 0..streams {
            new.place(StreamIndex(stream as u16), writer);
        }
        new
    }

    /// Puts a stream into a random domain, or an unknown one.
    pub(super) fn place(&mut self, stream: StreamIndex, writer: &mut Writer<Capped>) {
        let drawn = self.random.below(self.names as u64 + 1) as usize;
        let name = NAMES[..self.names].get(drawn);
        writer.set_failure_domain(stream, name.map(|name| FailureDomain::of(name)));
    }

    /// Handles an attempt that the transport has taken or refused, of those that are outstanding
    /// without it. Sometimes its stream turns out to be in another domain.
    pub(super) fn started(
        &mut self,
        writer: &mut Writer<Capped>,
        (attempt, stream, earlier): (AttemptId, StreamIndex, u32),
        taken: bool,
        is_hedge: bool,
        outstanding: &HashMap<AttemptId, StreamIndex>,
    ) {
        let set = attempt.0 as u16;
        if earlier == 0 && !self.refused.remove(&set) {
            self.asked.remove(&set);
        }
        if earlier == 0 && !taken {
            self.refused.insert(set);
        }
        let asked = self.asked.entry(set).or_default();
        if is_hedge && writer.settings().wait_out_stalls() {
            check(writer, set, stream, asked, outstanding);
        }
        asked.insert(stream);
        if self.random.chance(0.1) {
            self.place(stream, writer);
        }
    }
}

fn check(
    writer: &Writer<Capped>,
    set: u16,
    stream: StreamIndex,
    asked: &HashSet<StreamIndex>,
    outstanding: &HashMap<AttemptId, StreamIndex>,
) {
    let status = |stream: StreamIndex| writer.stream_status(stream).expect("it has a row");
    let of_set = outstanding.iter().filter(|(id, _)| id.0 as u16 == set);
    let domains: HashSet<FailureDomain> = of_set
        .filter_map(|(_, stream)| status(*stream).failure_domain)
        .collect();
    let shares = |stream: StreamIndex| {
        let domain = status(stream).failure_domain;
        domain.is_some_and(|domain| domains.contains(&domain))
    };
    if !shares(stream) {
        return;
    }
    let rows = (0..).map(StreamIndex);
    let mut others = rows.take_while(|row| writer.stream_status(*row).is_some());
    let better = others.find(|other| {
        let status = status(*other);
        let is_free = status.healthy && status.outstanding == 0;
        is_free && *other != stream && !asked.contains(other) && !shares(*other)
    });
    assert_eq!(
        better, None,
        "R22: {stream:?} is in a failure domain where the set waits"
    );
}
