//! Changes of a log's nodes, as lists of operations that are applied all or none.

use core::fmt;

use super::{LogPaths, LogSegment, SegmentState};
use crate::LedgerId;
use crate::zookeeper::{Access, CreateMode, Op};

/// Text of the largest transaction id of a log that was ended: no record follows.
pub const END_OF_STREAM_TXID: i64 = i64::MAX;

/// A value in a node, with the node's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionedValue<T> {
    /// The value.
    pub value: T,
    /// Version of the node, which a change names.
    pub version: i32,
}

impl<T> VersionedValue<T> {
    /// Takes a new value, which the node has after one change.
    pub(super) fn replace(&mut self, value: T) {
        self.value = value;
        self.version += 1;
    }
}

/// Nodes by whose versions the writers of one log exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterNodes {
    /// Largest log segment sequence number that was ever started; 0 for none.
    pub max_sequence_number: VersionedValue<i64>,
    /// Largest transaction id of completed segments; [`END_OF_STREAM_TXID`] if the log was ended.
    /// Only a lower bound of the next: DistributedLog 0.5.0 writes it at a segment's start too.
    pub max_txid: VersionedValue<i64>,
    /// Ledger that was created and is not a segment's yet.
    pub allocation: VersionedValue<Option<LedgerId>>,
}

/// Reason for which no segment can start with a transaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstTxidError {
    /// The log was ended: no record follows.
    EndOfStream,
    /// The log has larger ones.
    TooSmall {
        /// The transaction id.
        txid: i64,
        /// The log's largest.
        max: i64,
    },
}

impl fmt::Display for FirstTxidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfStream => f.write_str("the log was ended"),
            Self::TooSmall { txid, max } => {
                write!(f, "transaction id {txid} is below the log's largest, {max}")
            }
        }
    }
}

impl core::error::Error for FirstTxidError {}

impl WriterNodes {
    /// Checks the transaction id that a segment would start with. Inside a segment a smaller one is
    /// accepted, as by Java. `checks_order` is by the namespace's binding
    /// ([`Binding::check_txids`](super::Binding::check_txids)); an ended log is refused without it
    /// too.
    ///
    /// # Errors
    /// [`FirstTxidError`].
    pub const fn check_first_txid(
        &self,
        txid: i64,
        checks_order: bool,
    ) -> Result<(), FirstTxidError> {
        let max = self.max_txid.value;
        if max == END_OF_STREAM_TXID {
            return Err(FirstTxidError::EndOfStream);
        }
        if checks_order && txid < max {
            return Err(FirstTxidError::TooSmall { txid, max });
        }
        Ok(())
    }
}

/// Nodes of a log that do not exist yet, in the order of their creation, and their data.
///
/// `exists` says of each path if it exists. The path of the namespace is taken as existing.
#[must_use]
pub fn create_log(
    namespace: &str,
    paths: &LogPaths,
    access: Access,
    mut exists: impl FnMut(&str) -> bool,
) -> Vec<Op> {
    let create = |(path, data): (String, &[u8])| Op::Create {
        path,
        data: data.to_vec(),
        mode: CreateMode::Persistent,
        access,
    };
    let nodes = log_nodes(namespace, paths).into_iter();
    nodes
        .filter(|(path, _)| !exists(path))
        .map(create)
        .collect()
}

/// Paths that a log needs, in the order of their creation, and their data.
#[must_use]
pub fn log_nodes(namespace: &str, paths: &LogPaths) -> Vec<(String, &'static [u8])> {
    let above = namespace.trim_end_matches('/').len();
    let name = paths.name();
    let folders = name.match_indices('/').map(|(end, _)| end);
    let mut nodes: Vec<(String, &[u8])> = folders
        .filter(|end| *end > above)
        .map(|end| (name[..end].to_owned(), &b""[..]))
        .collect();
    nodes.push((name.to_owned(), b""));
    nodes.push((paths.root().to_owned(), b""));
    nodes.push((paths.max_txid(), b"0"));
    // -1, which never changes.
    nodes.push((paths.version(), &[0xff; 4]));
    nodes.push((paths.lock(), b""));
    nodes.push((paths.read_lock(), b""));
    nodes.push((paths.segments(), b"0"));
    nodes.push((paths.allocation(), b""));
    nodes
}

/// Names a created ledger as the next segment's.
#[must_use]
pub fn allocate(paths: &LogPaths, nodes: &WriterNodes, ledger: LedgerId) -> Op {
    set(
        paths.allocation(),
        ledger.to_string(),
        Some(nodes.allocation.version),
    )
}

/// Starts a log segment, whose ledger [`allocate`] has named. With `writes_max_txid` as
/// DistributedLog 0.5.0 does.
#[must_use]
pub fn start_segment(
    paths: &LogPaths,
    nodes: &WriterNodes,
    segment: &LogSegment,
    access: Access,
    writes_max_txid: bool,
) -> Vec<Op> {
    let mut ops = vec![
        set(
            paths.allocation(),
            String::new(),
            Some(nodes.allocation.version),
        ),
        create_segment(paths, segment, access),
        set(
            paths.segments(),
            segment.sequence_number.to_string(),
            Some(nodes.max_sequence_number.version),
        ),
    ];
    if writes_max_txid {
        let txid = segment.first_txid.max(nodes.max_txid.value);
        let version = Some(nodes.max_txid.version);
        ops.push(set(paths.max_txid(), txid.to_string(), version));
    }
    ops
}

/// Completes a log segment. `started` is its node until then.
#[must_use]
pub fn complete_segment(
    paths: &LogPaths,
    nodes: &WriterNodes,
    started: &str,
    completed: &LogSegment,
    access: Access,
) -> Vec<Op> {
    let last_txid = match completed.state {
        SegmentState::Completed(end) => end.last_txid,
        SegmentState::InProgress => completed.first_txid,
    };
    let number = completed
        .sequence_number
        .max(nodes.max_sequence_number.value);
    vec![
        create_segment(paths, completed, access),
        Op::Delete {
            path: paths.segment(started),
            version: None,
        },
        set(
            paths.segments(),
            number.to_string(),
            Some(nodes.max_sequence_number.version),
        ),
        set(
            paths.max_txid(),
            last_txid.max(nodes.max_txid.value).to_string(),
            Some(nodes.max_txid.version),
        ),
    ]
}

/// Replaces a completed segment's node by one with another truncation.
#[must_use]
pub fn replace_segment(
    paths: &LogPaths,
    node_name: &str,
    version: i32,
    segment: &LogSegment,
    access: Access,
) -> Vec<Op> {
    let delete = Op::Delete {
        path: paths.segment(node_name),
        version: Some(version),
    };
    let create = Op::Create {
        path: paths.segment(node_name),
        data: segment.encode().into_bytes(),
        mode: CreateMode::Persistent,
        access,
    };
    vec![delete, create]
}

fn create_segment(paths: &LogPaths, segment: &LogSegment, access: Access) -> Op {
    Op::Create {
        path: paths.segment(&segment.node_name()),
        data: segment.encode().into_bytes(),
        mode: CreateMode::Persistent,
        access,
    }
}

fn set(path: String, text: String, version: Option<i32>) -> Op {
    Op::Set {
        path,
        data: text.into_bytes(),
        version,
    }
}
