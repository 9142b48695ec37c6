//! Checks of what ZooKeeper and the bookies have.

use std::collections::{BTreeMap, BTreeSet};

use distributedlog::Dlsn;
use distributedlog_bookkeeper::LedgerId;
use distributedlog_bookkeeper::metadata::{Layout, LedgerMetadata, LedgerState};
use distributedlog_bookkeeper::namespace::{LogPaths, LogSegment, SegmentState, Truncation};
use distributedlog_store::StreamName;
use distributedlog_testkit::bookies::{ModelCluster, ROOT};
use distributedlog_testkit::zookeeper::ModelNode;

use super::process::NAMESPACE;

pub(super) fn paths(stream: &StreamName) -> LogPaths {
    LogPaths::new(NAMESPACE, stream.as_str()).expect("a valid name")
}

fn ledger_of(cluster: &ModelCluster, ledger: LedgerId) -> Option<LedgerMetadata> {
    let below = Layout::Hierarchical.path(ledger)?;
    let node = cluster.ensemble.node(&format!("{ROOT}/{below}"))?;
    Some(LedgerMetadata::decode(&node.data).expect("I10 metadata decodes"))
}

/// The bookies that the stored metadata names have an acknowledged entry, as many as must. `lost`
/// bookies may have lost it.
pub(super) fn check_copies(cluster: &ModelCluster, stream: &StreamName, at: Dlsn, lost: usize) {
    let number = at.log_segment_sequence_no;
    let paths = paths(stream);
    let names = [
        format!("inprogress_{number:018}"),
        format!("logrecs_{number:018}"),
    ];
    let found = names
        .iter()
        .find_map(|name| cluster.ensemble.node(&paths.segment(name)));
    // It was truncated meanwhile, or a deletion begins.
    let Some(node) = found else { return };
    let segment = LogSegment::decode(&node.data).expect("I7 a segment decodes");
    let Some(metadata) = ledger_of(cluster, segment.ledger) else {
        return;
    };
    let entry = at.entry_id;
    let copies = cluster.bookies.copies(segment.ledger, entry);
    let ensemble = &metadata.segment_of(entry).ensemble;
    let first = usize::try_from(entry).expect("a position") % ensemble.len();
    let write_set = (0..metadata.write_quorum).map(|it| &ensemble[(first + it) % ensemble.len()]);
    let durable = write_set.filter(|it| copies.contains_key(*it)).count();
    assert!(
        durable + lost >= metadata.ack_quorum,
        "I5 {at:?} of {stream} is acknowledged, and {durable} bookies have it: {metadata:?}"
    );
}

/// A stream's segments in their order.
fn segments_of(nodes: &BTreeMap<String, ModelNode>, stream: &StreamName) -> Vec<LogSegment> {
    let below = format!("{}/", paths(stream).segments());
    let segments = nodes
        .range(below.clone()..)
        .take_while(|it| it.0.starts_with(&below));
    let mut segments: Vec<LogSegment> = segments
        .map(|(path, node)| {
            let segment = LogSegment::decode(&node.data).expect("I7 a segment decodes");
            assert_eq!(*path, format!("{below}{}", segment.node_name()), "I7");
            segment
        })
        .collect();
    segments.sort_by_key(|it| it.sequence_number);
    segments
}

/// Segments that are truncated as a whole, or were completed before that time, are gone. The newest
/// completed one stays.
pub(super) fn check_purged(cluster: &ModelCluster, stream: &StreamName, cutoff: i64) {
    let segments = segments_of(&cluster.ensemble.nodes(), stream);
    let completed = segments.iter().filter_map(|it| match it.state {
        SegmentState::Completed(end) => Some((it, end.completed_unix_ms)),
        SegmentState::InProgress => None,
    });
    // They go in their order: the first one is looked at.
    let completed: Vec<_> = completed.collect();
    if let [(segment, time), _, ..] = completed[..] {
        assert!(
            segment.truncation != Truncation::Whole && time >= cutoff,
            "I8 a segment of {stream} is left that is truncated, or was completed before {cutoff}: \
             {segment:?}"
        );
    }
}

/// At the end each log is a valid one, and no ledger is left that no log names, beyond `may_leave`.
///
/// `counts` are the numbers of records of each stream's segments that are known.
pub(super) fn check_end(
    cluster: &ModelCluster,
    streams: &[StreamName],
    counts: &[BTreeMap<i64, i32>],
    may_leave: u64,
) {
    let nodes = cluster.ensemble.nodes();
    let mut named = BTreeMap::new();
    for (stream, counts) in streams.iter().zip(counts) {
        let folder = paths(stream).segments();
        let Some(max) = nodes.get(&folder) else {
            continue;
        };
        let max: i64 = text(&max.data).parse().expect("I7 the largest number");
        let segments = segments_of(&nodes, stream);
        check_log(cluster, stream, &segments, max);
        for segment in &segments {
            if let Some(&count) = counts.get(&segment.sequence_number)
                && let SegmentState::Completed(end) = segment.state
            {
                assert_eq!(end.record_count, count, "I7 {segment:?} of {stream}");
            }
        }
        for segment in segments {
            let other = named.insert(segment.ledger, stream);
            assert_eq!(
                other, None,
                "I7 two segments have ledger {}",
                segment.ledger
            );
        }
        let allocated = nodes.get(&paths(stream).allocation());
        if let Some(ledger) = allocated.and_then(|it| number(&it.data)) {
            named.entry(ledger).or_insert(stream);
        }
    }
    let ledgers: BTreeSet<LedgerId> = nodes.keys().filter_map(|it| ledger_at(it)).collect();
    let left: Vec<_> = ledgers
        .iter()
        .filter(|it| !named.contains_key(it))
        .collect();
    assert!(
        left.len() as u64 <= may_leave,
        "I12 no log names ledgers {left:?}, and {may_leave} may be left"
    );
}

/// Ledgers that an owner allocated and did not use were deleted.
pub(super) fn check_gone(cluster: &ModelCluster, ledgers: &[LedgerId]) {
    let mut left = ledgers
        .iter()
        .filter(|it| ledger_of(cluster, **it).is_some());
    let left = left.next();
    assert_eq!(left, None, "I12 a ledger that was allocated is left");
}

fn check_log(cluster: &ModelCluster, stream: &StreamName, segments: &[LogSegment], max: i64) {
    for pair in segments.windows(2) {
        assert_eq!(
            pair[0].sequence_number + 1,
            pair[1].sequence_number,
            "I7 segments of {stream} follow each other: {segments:?}"
        );
    }
    let last = segments.last().map(|it| it.sequence_number);
    // The number of an empty segment that was deleted is used again.
    assert!(
        last.is_none_or(|it| it == max || it + 1 == max),
        "I7 the largest number of {stream} is {max}: {segments:?}"
    );
    for segment in segments {
        let SegmentState::Completed(end) = segment.state else {
            panic!("I7 a segment of {stream} is in progress: {segments:?}");
        };
        let Some(ledger) = ledger_of(cluster, segment.ledger) else {
            panic!("I7 the ledger of {segment:?} of {stream} exists");
        };
        assert_eq!(ledger.state, LedgerState::Closed, "I7 {segment:?}");
        assert!(
            end.last.0 <= ledger.last_entry,
            "I7 {segment:?} ends behind its ledger: {ledger:?}"
        );
    }
}

fn text(data: &[u8]) -> &str {
    core::str::from_utf8(data).expect("I7 a text")
}

/// Number that a node has, or `None` if it is empty.
pub(super) fn number(data: &[u8]) -> Option<LedgerId> {
    text(data).parse().ok()
}

/// Number of the ledger whose node this is.
fn ledger_at(path: &str) -> Option<LedgerId> {
    let (folders, last) = path.strip_prefix(ROOT)?.rsplit_once("/L")?;
    let digits: String = folders.split('/').chain([last]).collect();
    digits.parse().ok()
}
