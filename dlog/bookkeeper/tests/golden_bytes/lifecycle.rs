//! The life of a log as Java's writers recorded it: our operations make the same nodes, with the
//! same versions.

use std::collections::BTreeMap;

use distributedlog_bookkeeper::namespace::plan::{FirstTxidError, VersionedValue, WriterNodes};
use distributedlog_bookkeeper::namespace::{
    Binding, LogPaths, LogSegment, SegmentState, StoredSegment, plan, retention,
};
use distributedlog_bookkeeper::zookeeper::{Access, CreateMode, Op};
use distributedlog_testkit::zookeeper::Ensemble;

use crate::recorded::{NodeLine, dl_nodes, dl_nodes_050};

/// Nodes after a step, by path: data, version and version of the children.
type Nodes = BTreeMap<String, (Vec<u8>, i32, i32)>;

struct Life {
    namespace: &'static str,
    recorded: Vec<NodeLine>,
    ensemble: Ensemble,
    /// True for 0.5.0, which writes `maxtxid` at the start too and leaves the next ledger's id.
    is_old: bool,
}

impl Life {
    fn new(namespace: &'static str, recorded: Vec<NodeLine>, is_old: bool) -> Self {
        let life = Self {
            namespace,
            recorded,
            ensemble: Ensemble::new(),
            is_old,
        };
        life.put("/messaging", b"");
        life.put(namespace, &life.recorded_at("bound")[namespace].0);
        life
    }

    fn put(&self, path: &str, data: &[u8]) {
        self.ensemble.apply(&[Op::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            mode: CreateMode::Persistent,
            access: Access::Anyone,
        }]);
    }

    fn recorded_at(&self, step: &str) -> Nodes {
        let nodes = self.recorded.iter().filter(|node| node.step == step);
        nodes
            .map(|node| {
                (
                    node.path.clone(),
                    (node.data(), node.version, node.cversion),
                )
            })
            .collect()
    }

    fn paths(&self, name: &str) -> LogPaths {
        LogPaths::new(self.namespace, name).expect("a valid name")
    }

    fn ours(&self) -> Nodes {
        let nodes = self.ensemble.nodes().into_iter();
        nodes
            .map(|(path, node)| {
                let stat = node.stat;
                (path, (node.data, stat.version, stat.children_version))
            })
            .collect()
    }

    /// Requires that the log's nodes are the recorded ones, without members of locks.
    fn check(&self, step: &str, name: &str) {
        let paths = self.paths(name);
        let of_log = |nodes: Nodes| -> Nodes {
            nodes
                .into_iter()
                .filter(|(path, _)| path.starts_with(paths.name()) && !path.contains("/member_"))
                .map(|(path, (data, version, children))| {
                    // Members of the lock count among the lock's children.
                    let children = if path == paths.lock() { 0 } else { children };
                    (path, (data, version, children))
                })
                .collect()
        };
        assert_eq!(
            of_log(self.ours()),
            of_log(self.recorded_at(step)),
            "{step}"
        );
    }

    fn create(&self, name: &str) {
        let nodes = self.ours();
        let ops = plan::create_log(self.namespace, &self.paths(name), Access::Anyone, |path| {
            nodes.contains_key(path)
        });
        self.ensemble.apply(&ops);
    }

    fn writer_nodes(&self, paths: &LogPaths) -> WriterNodes {
        let nodes = self.ours();
        let number = |path: &str| {
            let (data, version, _) = &nodes[path];
            let text = core::str::from_utf8(data).expect("a text");
            (text.parse::<i64>().ok(), *version)
        };
        let (max, version) = number(&paths.segments());
        let max_sequence_number = VersionedValue {
            value: max.expect("a number"),
            version,
        };
        let (max, version) = number(&paths.max_txid());
        let max_txid = VersionedValue {
            value: max.expect("a number"),
            version,
        };
        let (value, version) = number(&paths.allocation());
        let allocation = VersionedValue { value, version };
        WriterNodes {
            max_sequence_number,
            max_txid,
            allocation,
        }
    }

    fn segments(&self, paths: &LogPaths) -> Vec<StoredSegment> {
        let below = format!("{}/", paths.segments());
        let mut segments: Vec<StoredSegment> = self
            .ours()
            .into_iter()
            .filter_map(|(path, (data, version, _))| {
                Some(StoredSegment {
                    node_name: path.strip_prefix(&below)?.to_owned(),
                    version,
                    segment: LogSegment::decode(&data).expect("our own"),
                })
            })
            .collect();
        retention::sort(&mut segments);
        segments
    }

    /// Starts the segment that was in progress after a step.
    fn start(&self, step: &str, name: &str) {
        let paths = self.paths(name);
        let recorded = self.recorded_segment(step, &paths, "inprogress");
        let nodes = self.writer_nodes(&paths);
        let segments = self.segments(&paths);
        let max = nodes.max_sequence_number.value;
        let number = retention::next_sequence_number(&segments, max, 1).expect("in order");
        let segment = LogSegment::started(recorded.ledger, number, recorded.first_txid);
        assert_eq!(segment, recorded);
        self.ensemble
            .apply(&[plan::allocate(&paths, &nodes, segment.ledger)]);
        let nodes = self.writer_nodes(&paths);
        assert_eq!(nodes.allocation.value, Some(segment.ledger));
        let ops = plan::start_segment(&paths, &nodes, &segment, Access::Anyone, self.is_old);
        self.ensemble.apply(&ops);
        if self.is_old {
            // It allocates the next ledger at once. We do not, and 4.17 does not either.
            let next = self.recorded_at(step)[&paths.allocation()].0.clone();
            self.ensemble.apply(&[Op::Set {
                path: paths.allocation(),
                data: next,
                version: Some(nodes.allocation.version + 1),
            }]);
        }
    }

    /// Completes the segment that was completed in a step.
    fn complete(&self, step: &str, name: &str) {
        let paths = self.paths(name);
        let segments = self.segments(&paths);
        let started = segments.last().expect("one is in progress").clone();
        assert_eq!(started.segment.state, SegmentState::InProgress);
        let recorded = self.recorded_segment(step, &paths, "logrecs");
        let number = started.segment.sequence_number;
        let completed = LogSegment {
            start_sequence_id: retention::start_sequence_id(&segments, number).expect("in order"),
            state: recorded.state,
            ..started.segment
        };
        assert_eq!(completed, recorded);
        let nodes = self.writer_nodes(&paths);
        let ops = plan::complete_segment(
            &paths,
            &nodes,
            &started.node_name,
            &completed,
            Access::Anyone,
        );
        self.ensemble.apply(&ops);
    }

    fn truncate(&self, name: &str, before: retention::Position) {
        let paths = self.paths(name);
        let segments = self.segments(&paths);
        let changes = retention::truncation(&segments, before);
        assert_eq!(changes.len(), 1);
        for (stored, changed) in changes {
            let (node_name, version) = (&stored.node_name, stored.version);
            let ops = plan::replace_segment(&paths, node_name, version, &changed, Access::Anyone);
            self.ensemble.apply(&ops);
        }
    }

    /// The last segment in a state, after a step.
    fn recorded_segment(&self, step: &str, paths: &LogPaths, prefix: &str) -> LogSegment {
        let prefix = paths.segment(prefix);
        let nodes = self.recorded_at(step);
        let (_, (data, ..)) = nodes
            .iter()
            .rfind(|(path, _)| path.starts_with(&prefix))
            .expect("it was recorded");
        LogSegment::decode(data).expect("a recorded segment")
    }
}

fn live(life: &Life) {
    life.create("s1");
    life.check("created", "s1");
    if !life.is_old {
        // 0.5.0 fails to create them.
        life.create("dir/inner");
        life.check("created-nested", "dir/inner");
    }
    life.check("writer-open", "s1");
    let started = |step: &str, name: &str| {
        life.start(step, name);
        life.check(step, name);
    };
    let completed = |step: &str, name: &str| {
        life.complete(step, name);
        life.check(step, name);
    };
    started("written-3", "s1");
    completed("closed", "s1");
    life.create("s2");
    started("lz4-entry-written", "s2");
    completed("buffered-and-periodic-flush", "s2");
    life.create("s3");
    started("buffered-and-periodic-flush", "s3");
    completed("second-segment-open", "s3");
    started("second-segment-open", "s1");
    // Another writer recovers it.
    completed("second-writer-took-over-before-write", "s1");
    started("second-writer-wrote", "s1");
    life.check("old-writer-tried", "s1");
    life.truncate("s1", (2, 0, 0));
    life.check("truncated-at-2-0-0", "s1");
    life.truncate("s1", (2, 0, 1));
    life.check("truncated-again", "s1");
    completed("second-writer-closed", "s1");
    started("end-of-stream", "s1");
    completed("end-of-stream-closed", "s1");
    let s1 = life.paths("s1");
    let nodes = life.writer_nodes(&s1);
    assert_eq!(nodes.max_txid.value, plan::END_OF_STREAM_TXID);
    let ended = Err(FirstTxidError::EndOfStream);
    assert_eq!(nodes.check_first_txid(i64::MAX, false), ended);
    let nodes = life.writer_nodes(&life.paths("s3"));
    assert_eq!(nodes.check_first_txid(12, true), Ok(()));
    let refused = Err(FirstTxidError::TooSmall { txid: 11, max: 12 });
    assert_eq!(nodes.check_first_txid(11, true), refused);
    assert_eq!(nodes.check_first_txid(11, false), Ok(()));
}

#[test]
fn our_operations_make_the_nodes_of_distributedlog_4_17() {
    live(&Life::new("/messaging/dl", dl_nodes(), false));
}

#[test]
fn our_operations_make_the_nodes_of_distributedlog_0_5() {
    live(&Life::new("/messaging/dl2", dl_nodes_050(), true));
}

#[test]
fn the_recorded_bindings_are_understood_and_written_alike() {
    for (recorded, servers) in [
        (dl_nodes(), "127.0.0.1:22000"),
        (dl_nodes_050(), "127.0.0.1:22100"),
    ] {
        let root = recorded.first().expect("the step `bound` has the root");
        assert_eq!(root.step, "bound");
        let binding = Binding::decode(&root.data()).expect("a binding");
        assert_eq!(binding, Binding::new(servers, "/ledgers"));
        assert_eq!(binding.encode().as_bytes(), root.data());
    }
}
