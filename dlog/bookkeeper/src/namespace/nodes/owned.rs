use core::fmt;

use super::error::LogError;
use super::log::LogNodes;
use super::pending::{Effect, Outcome, PendingChange, Witness};
use crate::LedgerId;
use crate::namespace::plan::{self, VersionedValue, WriterNodes};
use crate::namespace::retention::{self, Position, StoredSegment};
use crate::namespace::{Completed, LogSegment, SegmentState};
use crate::zookeeper::{Op, ZooKeeper};

/// Maximum segments whose truncation changes in one request. Their texts are small beside
/// ZooKeeper's limit of 1 MiB.
const MAX_TRUNCATED: usize = 64;

/// A log as its writer knows it: the segments, and the nodes by whose versions writers exclude each
/// other.
///
/// Invariant: no change is sent before the outcome of the one before is known, or resolved by
/// reading. So a writer that lost the log meets [`LogError::Conflict`], whatever it missed before.
///
/// # Cancel safety
/// A call whose future is dropped is resolved by the next call, which may be the same once more.
pub struct OwnedLog<Z> {
    log: LogNodes<Z>,
    segments: Vec<StoredSegment>,
    nodes: WriterNodes,
    /// The change whose outcome is open.
    pending: Option<PendingChange>,
    first_sequence_number: i64,
    writes_max_txid: bool,
}

impl<Z: ZooKeeper> OwnedLog<Z> {
    /// Reads a log whose write lock is held. `first_sequence_number` is by the namespace's binding.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist, its nodes do not decode, or ZooKeeper fails.
    pub async fn read(log: LogNodes<Z>, first_sequence_number: i64) -> Result<Self, LogError> {
        // Versions before segments: a change in between makes the versions old, and ours fail.
        let max_sequence_number = required(&log, &log.paths.segments()).await?;
        let max_txid = required(&log, &log.paths.max_txid()).await?;
        let (value, version) = log.number(&log.paths.allocation()).await?;
        let nodes = WriterNodes {
            max_sequence_number,
            max_txid,
            allocation: VersionedValue { value, version },
        };
        let segments = log.segments().await?.segments;
        Ok(Self {
            log,
            segments,
            nodes,
            pending: None,
            first_sequence_number,
            writes_max_txid: false,
        })
    }

    /// Writes the largest transaction id at the start of a segment too, as DistributedLog 0.5.0.
    #[must_use]
    pub const fn with_max_txid_at_start(mut self) -> Self {
        self.writes_max_txid = true;
        self
    }

    /// Returns the segments, sorted.
    #[must_use]
    pub fn segments(&self) -> &[StoredSegment] {
        &self.segments
    }

    /// Returns the first segment that is in progress; segments are completed in order.
    #[must_use]
    pub fn in_progress(&self) -> Option<&StoredSegment> {
        let is_in_progress =
            |it: &&StoredSegment| matches!(it.segment.state, SegmentState::InProgress);
        self.segments.iter().find(is_in_progress)
    }

    /// Returns the nodes of the writers.
    #[must_use]
    pub const fn nodes(&self) -> &WriterNodes {
        &self.nodes
    }

    /// Names a ledger that was created as the next segment's, before anything else can fail, so
    /// that a crash leaves it where an audit and the next writer find it. Returns the ledger that
    /// an earlier writer left there, which is to be deleted.
    ///
    /// # Errors
    /// [`LogError::Conflict`] if another writer changed the log; [`LogError`] if ZooKeeper fails,
    /// and then the call can be repeated.
    pub async fn allocate(&mut self, ledger: LedgerId) -> Result<Option<LedgerId>, LogError> {
        self.settle().await?;
        let before = self.nodes.allocation.value;
        if before == Some(ledger) {
            return Ok(None);
        }
        let path = self.log.paths.allocation();
        let change = PendingChange {
            ops: vec![plan::allocate(&self.log.paths, &self.nodes, ledger)],
            witness: Witness::Data {
                path: path.clone(),
                data: ledger.to_string().into_bytes(),
            },
            guard: Some((path, self.nodes.allocation.version)),
            effect: Effect::Allocated(ledger),
        };
        self.commit(change).await?;
        // A segment's own ledger is never left there, but a hand may have put it there.
        let is_used = |left: &LedgerId| self.segments.iter().any(|it| it.segment.ledger == *left);
        Ok(before.filter(|left| !is_used(left)))
    }

    /// Starts the next segment, on the ledger that [`allocate`](Self::allocate) has named.
    ///
    /// # Errors
    /// [`LogError::State`] if the log's nodes contradict each other; else as
    /// [`allocate`](Self::allocate).
    pub async fn start(
        &mut self,
        ledger: LedgerId,
        first_txid: i64,
        region: u8,
    ) -> Result<StoredSegment, LogError> {
        self.settle().await?;
        if let Some(started) = self.segments.iter().find(|it| it.segment.ledger == ledger) {
            return Ok(started.clone());
        }
        let number = retention::next_sequence_number(
            &self.segments,
            self.nodes.max_sequence_number.value,
            self.first_sequence_number,
        )?;
        let mut segment = LogSegment::started(ledger, number, first_txid);
        segment.region = region;
        let started = stored(&segment);
        let (paths, access) = (&self.log.paths, self.log.access);
        let change = PendingChange {
            ops: plan::start_segment(paths, &self.nodes, &segment, access, self.writes_max_txid),
            witness: self.text_of(&started),
            guard: Some((paths.segments(), self.nodes.max_sequence_number.version)),
            effect: Effect::Started(started.clone()),
        };
        self.commit(change).await?;
        Ok(started)
    }

    /// Completes a segment that is in progress. Its ledger has been closed.
    ///
    /// # Errors
    /// [`LogError::State`] if the segment before is in progress; [`LogError::Conflict`] also if the
    /// segment is not there; else as [`allocate`](Self::allocate).
    pub async fn complete(
        &mut self,
        sequence_number: i64,
        end: Completed,
    ) -> Result<StoredSegment, LogError> {
        self.settle().await?;
        let started = self.find(sequence_number)?;
        let segment = started.segment;
        if segment.state == SegmentState::Completed(end) {
            return Ok(started.clone());
        }
        let started = started.node_name.clone();
        let completed = LogSegment {
            start_sequence_id: retention::start_sequence_id(&self.segments, sequence_number)?,
            state: SegmentState::Completed(end),
            ..segment
        };
        let by = stored(&completed);
        let (paths, access) = (&self.log.paths, self.log.access);
        let change = PendingChange {
            ops: plan::complete_segment(paths, &self.nodes, &started, &completed, access),
            witness: self.text_of(&by),
            guard: Some((paths.segments(), self.nodes.max_sequence_number.version)),
            effect: Effect::Completed {
                started,
                by: by.clone(),
            },
        };
        self.commit(change).await?;
        Ok(by)
    }

    /// Deletes a segment's node: one in progress whose ledger is empty, or one that retention lets
    /// go. Its ledger is deleted next. A segment that is not there is deleted already.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub async fn delete(&mut self, sequence_number: i64) -> Result<(), LogError> {
        self.settle().await?;
        let Ok(found) = self.find(sequence_number) else {
            return Ok(());
        };
        let path = self.log.paths.segment(&found.node_name);
        let change = PendingChange {
            ops: vec![Op::Delete {
                path: path.clone(),
                version: Some(found.version),
            }],
            witness: Witness::Absent { path },
            guard: None,
            effect: Effect::Deleted(found.node_name.clone()),
        };
        self.commit(change).await
    }

    /// Truncates the log before a position: completed segments only. Returns the segments that
    /// changed. Ledgers stay until [`retention::expired`] lets them go.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate). With many segments the oldest may be truncated then.
    pub async fn truncate(&mut self, before: Position) -> Result<Vec<StoredSegment>, LogError> {
        self.settle().await?;
        let changes: Vec<(StoredSegment, LogSegment)> =
            retention::truncation(&self.segments, before)
                .into_iter()
                .map(|(stored, changed)| (stored.clone(), changed))
                .collect();
        let mut all = Vec::with_capacity(changes.len());
        for changes in changes.chunks(MAX_TRUNCATED) {
            let (mut ops, mut replaced) = (Vec::new(), Vec::new());
            for (old, changed) in changes {
                let (paths, access) = (&self.log.paths, self.log.access);
                let (name, version) = (&old.node_name, old.version);
                ops.extend(plan::replace_segment(paths, name, version, changed, access));
                replaced.push(StoredSegment {
                    node_name: old.node_name.clone(),
                    version: 0,
                    segment: *changed,
                });
            }
            let Some((first, _)) = changes.first() else {
                continue;
            };
            let change = PendingChange {
                witness: self.text_of(&replaced[0]),
                guard: Some((self.log.paths.segment(&first.node_name), first.version)),
                ops,
                effect: Effect::Replaced(replaced.clone()),
            };
            self.commit(change).await?;
            all.append(&mut replaced);
        }
        Ok(all)
    }

    /// Sends a change and takes its effect.
    async fn commit(&mut self, change: PendingChange) -> Result<(), LogError> {
        let change = self.pending.insert(change);
        match change.send(&self.log.zookeeper).await {
            Ok(_) => {
                self.take_effect();
                Ok(())
            }
            Err(error) => {
                if !PendingChange::is_open(&error) {
                    self.pending = None;
                }
                Err(error)
            }
        }
    }

    /// Resolves the change before, if its outcome is open.
    async fn settle(&mut self) -> Result<(), LogError> {
        let Some(change) = &self.pending else {
            return Ok(());
        };
        match change.resolve(&self.log.zookeeper).await? {
            Outcome::Applied => self.take_effect(),
            Outcome::NotApplied => self.pending = None,
        }
        Ok(())
    }

    /// Takes the effect of the change, which was applied.
    fn take_effect(&mut self) {
        let Some(PendingChange { effect, .. }) = self.pending.take() else {
            return;
        };
        let nodes = &mut self.nodes;
        match effect {
            Effect::Allocated(ledger) => nodes.allocation.replace(Some(ledger)),
            Effect::Started(segment) => {
                nodes.allocation.replace(None);
                let number = segment.segment.sequence_number;
                nodes.max_sequence_number.replace(number);
                if self.writes_max_txid {
                    let txid = segment.segment.first_txid.max(nodes.max_txid.value);
                    nodes.max_txid.replace(txid);
                }
                self.segments.push(segment);
            }
            Effect::Completed { started, by } => {
                let number = by.segment.sequence_number;
                let number = number.max(nodes.max_sequence_number.value);
                nodes.max_sequence_number.replace(number);
                if let SegmentState::Completed(end) = by.segment.state {
                    let txid = end.last_txid.max(nodes.max_txid.value);
                    nodes.max_txid.replace(txid);
                }
                self.put(&started, by);
            }
            Effect::Replaced(segments) => {
                for segment in segments {
                    let name = segment.node_name.clone();
                    self.put(&name, segment);
                }
            }
            Effect::Deleted(name) => self.segments.retain(|it| it.node_name != name),
        }
    }

    fn put(&mut self, name: &str, segment: StoredSegment) {
        if let Some(known) = self.segments.iter_mut().find(|it| it.node_name == name) {
            *known = segment;
        }
    }

    fn find(&self, sequence_number: i64) -> Result<&StoredSegment, LogError> {
        let is_it = |it: &&StoredSegment| it.segment.sequence_number == sequence_number;
        let found = self.segments.iter().find(is_it);
        found.ok_or_else(|| LogError::Conflict {
            path: self.log.paths.segments(),
        })
    }

    fn text_of(&self, segment: &StoredSegment) -> Witness {
        Witness::Data {
            path: self.log.paths.segment(&segment.node_name),
            data: segment.segment.encode().into_bytes(),
        }
    }
}

/// Reads a node that has a number.
async fn required<Z: ZooKeeper>(
    log: &LogNodes<Z>,
    path: &str,
) -> Result<VersionedValue<i64>, LogError> {
    let (value, version) = log.number(path).await?;
    let value = value.ok_or_else(|| LogError::Data {
        path: path.to_owned(),
    })?;
    Ok(VersionedValue { value, version })
}

/// Returns a segment as it is stored when its node was just created.
fn stored(segment: &LogSegment) -> StoredSegment {
    StoredSegment {
        node_name: segment.node_name(),
        version: 0,
        segment: *segment,
    }
}

impl<Z> fmt::Debug for OwnedLog<Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLog")
            .field("segments", &self.segments.len())
            .field("nodes", &self.nodes)
            .field("is_settled", &self.pending.is_none())
            .finish_non_exhaustive()
    }
}
