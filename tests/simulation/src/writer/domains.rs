//! Check that hedges go to another failure domain first (R22).

use std::collections::{BTreeMap, BTreeSet};

use distributedlog::writer::{Heap, Writer};
use distributedlog::{AttemptId, FailureDomain, StreamIndex};

/// Checks that no set is hedged within a failure domain where it waits, if a stream of another one
/// is healthy, has nothing in flight (so that it cannot be silent, R21) and was never asked to take
/// the set.
#[derive(Default)]
pub(super) struct Domains {
    /// Streams that were asked to take each set, by its first record. One for each set of a run, a
    /// few thousand.
    asked: BTreeMap<u64, BTreeSet<StreamIndex>>,
}

impl Domains {
    /// Handles an attempt that the client has taken or refused. `attempts` are those that are
    /// outstanding without it: their streams and records.
    pub(super) fn started(
        &mut self,
        writer: &Writer<Heap>,
        (stream, first): (StreamIndex, u64),
        is_hedge: bool,
        attempts: &BTreeMap<AttemptId, (StreamIndex, Vec<u64>)>,
    ) {
        let asked = self.asked.entry(first).or_default();
        if is_hedge && writer.settings().wait_out_stalls() {
            let of_set = attempts.values().filter(|(_, records)| records[0] == first);
            let outstanding: Vec<StreamIndex> = of_set.map(|(stream, _)| *stream).collect();
            check(writer, stream, asked, &outstanding);
        }
        asked.insert(stream);
    }
}

fn check(
    writer: &Writer<Heap>,
    stream: StreamIndex,
    asked: &BTreeSet<StreamIndex>,
    outstanding: &[StreamIndex],
) {
    let status = |stream: StreamIndex| writer.stream_status(stream).expect("it has a row");
    let shares = |stream: StreamIndex| {
        let domain: Option<FailureDomain> = status(stream).failure_domain;
        domain.is_some()
            && outstanding
                .iter()
                .any(|other| status(*other).failure_domain == domain)
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
    assert!(
        better.is_none(),
        "R22: a set was hedged to {stream:?}, in a failure domain where it waits, and {better:?} \
         is in another"
    );
}
