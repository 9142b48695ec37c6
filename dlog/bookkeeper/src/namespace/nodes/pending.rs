use super::error::LogError;
use crate::LedgerId;
use crate::namespace::StoredSegment;
use crate::zookeeper::{MultiError, Op, ZooKeeper, ZooKeeperError, read_behind_sync};

/// Maximum tries of a change whose reply was lost and which was not applied.
const MAX_TRIES: u32 = 4;

/// A change of a log's nodes that was sent, or will be. It is kept until its outcome is known, also
/// when the future that sent it is dropped.
pub(super) struct PendingChange {
    pub(super) ops: Vec<Op>,
    /// What the nodes show only after the change.
    pub(super) witness: Witness,
    /// A node that the change needs at this version, or `None` if only the witness counts.
    pub(super) guard: Option<(String, i32)>,
    /// What is known of the log after the change.
    pub(super) effect: Effect,
}

/// What shows that a change was applied.
pub(super) enum Witness {
    /// The node has this data, which no other client writes.
    Data { path: String, data: Vec<u8> },
    /// The node does not exist.
    Absent { path: String },
}

/// What a change makes of a log.
pub(super) enum Effect {
    /// `allocation` names a ledger.
    Allocated(LedgerId),
    /// A segment was started.
    Started(StoredSegment),
    /// A segment was completed. Its node was this.
    Completed { started: String, by: StoredSegment },
    /// Segments' nodes were replaced.
    Replaced(Vec<StoredSegment>),
    /// A segment's node was deleted.
    Deleted(String),
}

/// Outcome of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Applied,
    NotApplied,
}

impl PendingChange {
    /// Sends the change, until its outcome is known.
    pub(super) async fn send<Z: ZooKeeper>(&self, zookeeper: &Z) -> Result<Outcome, LogError> {
        for _ in 0..MAX_TRIES {
            match zookeeper.multi(&self.ops).await {
                Ok(_) => return Ok(Outcome::Applied),
                Err(MultiError::Request(ZooKeeperError::Lost)) => {
                    let resolved = self.resolve(zookeeper).await;
                    if resolved.map_err(still_open)? == Outcome::Applied {
                        return Ok(Outcome::Applied);
                    }
                    // It was not applied, and never will be: it can be sent again.
                }
                Err(MultiError::Operation { index, error }) => {
                    let path = self.ops[index].path();
                    let is_conflict = matches!(
                        error,
                        ZooKeeperError::NoNode
                            | ZooKeeperError::NodeExists
                            | ZooKeeperError::BadVersion
                    );
                    return Err(if is_conflict {
                        LogError::Conflict {
                            path: path.to_owned(),
                        }
                    } else {
                        LogError::zookeeper(path, error)
                    });
                }
                Err(MultiError::Request(error)) => {
                    return Err(LogError::zookeeper(self.ops[0].path(), error));
                }
            }
        }
        Err(LogError::zookeeper(
            self.ops[0].path(),
            ZooKeeperError::Lost,
        ))
    }

    /// Finds out if the change was applied whose reply was lost.
    pub(super) async fn resolve<Z: ZooKeeper>(&self, zookeeper: &Z) -> Result<Outcome, LogError> {
        let (Witness::Data { path, .. } | Witness::Absent { path }) = &self.witness;
        let found = read_behind_sync(zookeeper, path).await;
        let found = found.map_err(|error| LogError::zookeeper(path, error))?;
        let is_applied = match (&self.witness, &found) {
            (Witness::Data { data, .. }, Some((stored, _))) => data == stored,
            (Witness::Data { .. }, None) => false,
            (Witness::Absent { .. }, found) => found.is_none(),
        };
        if is_applied {
            return Ok(Outcome::Applied);
        }
        let Some((path, version)) = &self.guard else {
            return Ok(Outcome::NotApplied);
        };
        let found = read_behind_sync(zookeeper, path).await;
        let found = found.map_err(|error| LogError::zookeeper(path, error))?;
        if found.is_some_and(|(_, stat)| stat.version == *version) {
            return Ok(Outcome::NotApplied);
        }
        // Another writer changed the log, before the change or after it.
        Err(LogError::Conflict { path: path.clone() })
    }

    /// Returns true if an error leaves the outcome open.
    pub(super) const fn is_open(error: &LogError) -> bool {
        match error {
            LogError::ZooKeeper { error, .. } => error.may_have_been_applied(),
            LogError::Name(_)
            | LogError::Binding { .. }
            | LogError::AlreadyBound { .. }
            | LogError::NotFound { .. }
            | LogError::Data { .. }
            | LogError::Segment { .. }
            | LogError::State(_)
            | LogError::Conflict { .. }
            | LogError::Unsteady { .. } => false,
        }
    }
}

/// Returns the error of a change whose reply was lost, and whose outcome could not be read: it is
/// open, whatever became of the reads.
fn still_open(mut error: LogError) -> LogError {
    if let LogError::ZooKeeper { error, .. } = &mut error
        && error.is_temporary()
    {
        *error = ZooKeeperError::Lost;
    }
    error
}
