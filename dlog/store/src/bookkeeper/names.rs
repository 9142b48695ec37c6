//! Streams of a namespace, by their names.

use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_bookkeeper::driver::Sessions;
use distributedlog_bookkeeper::namespace::nodes::{
    Acquired, LogError as NodesError, LogNodes, Namespace, OwnedLog, WriteLock,
};
use distributedlog_bookkeeper::namespace::{SegmentState, retention};
use distributedlog_bookkeeper::zookeeper::ZooKeeper;
use tokio::time::timeout;

use super::log::{Cluster, Log, LogError, purge, unreachable};
use super::view::Segments;
use crate::{Owner, StoreError, StreamName};

/// Streams that are listed at most.
const MAX_LISTED: usize = 1 << 20;

/// Time in which the registered bookies are found out.
const BOOKIES_KNOWN: Duration = Duration::from_secs(1);

/// Maximum tries of a truncation that the stream's writer gets in the way of.
const MAX_TRIES: u32 = 5;

/// Client id under which a deletion holds the write lock.
const DELETION: &str = "a deletion";

/// The streams of a namespace.
pub(super) struct Names<Z: ZooKeeper> {
    sessions: Sessions<Z>,
    namespace: Namespace<Z>,
    cluster: Cluster,
    first_sequence_number: i64,
}

/// Result of an acquisition.
pub(super) enum Acquiring<Z: ZooKeeper> {
    /// The stream is this process's.
    Held(Box<Log<Z>>),
    /// Another proxy owns it.
    OwnedBy(Owner),
}

impl<Z: ZooKeeper> Names<Z> {
    pub(super) const fn new(
        sessions: Sessions<Z>,
        namespace: Namespace<Z>,
        cluster: Cluster,
        first_sequence_number: i64,
    ) -> Self {
        Self {
            sessions,
            namespace,
            cluster,
            first_sequence_number,
        }
    }

    pub(super) const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn log(&self, stream: &StreamName) -> Result<LogNodes<Z>, StoreError> {
        self.log_in(self.sessions.current(), stream)
    }

    fn log_in(&self, session: Z, stream: &StreamName) -> Result<LogNodes<Z>, StoreError> {
        let log = self.namespace.in_session(session).log(stream.as_str());
        log.map_err(|error| of(stream, error))
    }

    /// Creates a stream.
    pub(super) async fn create(&self, stream: &StreamName) -> Result<(), StoreError> {
        let log = self.log(stream)?;
        if log.exists().await.map_err(|error| of(stream, error))? {
            return Err(StoreError::StreamExists(stream.clone()));
        }
        match log.create().await {
            Ok(()) => Ok(()),
            // Not the stream is missing, but what it would lie in.
            Err(NodesError::NotFound { path }) => {
                Err(unreachable(stream, format!("{path} does not exist")))
            }
            Err(error) => Err(of(stream, error)),
        }
    }

    /// Deletes a stream with its ledgers, under its write lock. If that fails the lock may be left:
    /// see [`leave_deletion`](Self::leave_deletion).
    pub(super) async fn delete(&self, stream: &StreamName) -> Result<(), StoreError> {
        let log = self.log(stream)?;
        let failed = |error| of(stream, error);
        if !log.exists().await.map_err(failed)? {
            return Err(StoreError::StreamNotFound(stream.clone()));
        }
        let lock = WriteLock::new(log.clone(), DELETION.to_owned());
        match lock.acquire().await {
            Ok(Acquired::Held(_)) => {}
            Ok(Acquired::OwnedBy(owner)) => return Err(held(stream, &owner.client_id)),
            Ok(Acquired::OwnSession { .. }) => return Err(held(stream, "another deletion")),
            // Java's deletion ended halfway, and took the folder of the lock: nobody can own it.
            Err(NodesError::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        self.delete_parts(&log).await.map_err(failed)
    }

    /// Releases the write lock that a deletion which failed left. No deletion of the stream is
    /// under way in this process.
    pub(super) async fn leave_deletion(&self, stream: &StreamName) -> Result<(), StoreError> {
        let lock = WriteLock::new(self.log(stream)?, DELETION.to_owned());
        match lock.release().await {
            Ok(()) | Err(NodesError::NotFound { .. }) => Ok(()),
            Err(error) => Err(of(stream, error)),
        }
    }

    /// Deletes a log's nodes and ledgers.
    ///
    /// Wherever that ends, what is left is a valid log. The oldest segments go first, each before
    /// its ledger, as retention lets them go; the newest completed one, behind which a next owner
    /// continues, goes with all other nodes at once.
    async fn delete_parts(&self, log: &LogNodes<Z>) -> Result<(), NodesError> {
        let segments = log.segments().await?.segments;
        let mut ledgers = log.ledgers().await?;
        for stored in &segments {
            if matches!(stored.segment.state, SegmentState::InProgress) {
                self.cluster.stop_writer(stored.segment.ledger).await;
            }
        }
        for stored in retention::expired(&segments, i64::MAX) {
            let ledger = stored.segment.ledger;
            #[cfg(seeded_bugs)]
            if super::seeded_bugs::is_on(super::seeded_bugs::Bug::LedgerGoesFirst) {
                self.cluster.delete(ledger).await;
            }
            log.delete_segment(&stored.node_name).await?;
            self.cluster.delete(ledger).await;
            ledgers.retain(|it| *it != ledger);
        }
        // The lock's node is one of the log's.
        log.delete().await?;
        for ledger in ledgers {
            self.cluster.delete(ledger).await;
        }
        Ok(())
    }

    /// Checks that ZooKeeper answers, and that enough bookies are registered for a log segment to
    /// be written: as many as acknowledge an entry.
    pub(super) async fn check_health(&self, ack_quorum: usize) -> Result<(), StoreError> {
        let failed = |detail| StoreError::Unreachable {
            address: self.namespace.root().to_owned(),
            detail,
        };
        let namespace = self.namespace.in_session(self.sessions.current());
        let bound = namespace.binding().await;
        bound.map_err(|error| failed(error.to_string()))?;
        // None may be known yet, which does not mean that there are none.
        let _known = timeout(BOOKIES_KNOWN, self.cluster.client.bookies_known()).await;
        let bookies = self.cluster.client.registered_bookies();
        let (writable, read_only) = (bookies.writable.len(), bookies.read_only.len());
        if writable < ack_quorum {
            return Err(failed(format!(
                "{writable} of the {ack_quorum} bookies are there that must store an entry \
                 ({read_only} more are read-only)"
            )));
        }
        Ok(())
    }

    /// Lists all streams, sorted.
    pub(super) async fn list(&self) -> Result<Vec<StreamName>, StoreError> {
        let namespace = self.namespace.in_session(self.sessions.current());
        let found = namespace.find_logs(None, MAX_LISTED).await;
        let names = found.map_err(|error| StoreError::Unreachable {
            address: self.namespace.root().to_owned(),
            detail: error.to_string(),
        })?;
        // Names that this crate does not allow are other programs' business.
        let mut names: Vec<StreamName> = names
            .into_iter()
            .filter_map(|name| StreamName::new(&name).ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a stream's segments.
    pub(super) async fn segments(&self, stream: &StreamName) -> Result<Arc<Segments>, StoreError> {
        let log = self.log(stream)?;
        let failed = |error| of(stream, error);
        let mut life = log.life().await.map_err(failed)?;
        let read = loop {
            let read = log.segments().await.map_err(failed)?;
            let after = log.life().await.map_err(failed)?;
            // Bounded: each further turn is a deletion and a creation in between.
            if after.created_zxid == life.created_zxid {
                break read;
            }
            life = after;
        };
        let segments = read.segments.iter().map(|it| it.segment).collect();
        let created_unix_ms = u64::try_from(life.created_unix_ms).unwrap_or(0);
        Ok(Segments::new(created_unix_ms, segments, read.watch))
    }

    /// Returns the owner of a stream, if it is a write proxy.
    pub(super) async fn owner(&self, stream: &StreamName) -> Result<Option<Owner>, StoreError> {
        let lock = WriteLock::new(self.log(stream)?, String::new());
        let owner = lock.owner().await.map_err(|error| of(stream, error))?;
        Ok(owner.and_then(|it| Owner::of_client_id(&it.client_id)))
    }

    /// Acquires a stream's write lock, if nobody has it.
    pub(super) async fn acquire(
        &self,
        stream: &StreamName,
        owner: &Owner,
    ) -> Result<Acquiring<Z>, StoreError> {
        let session = self.sessions.current();
        let number = session.session();
        let nodes = self.log_in(session, stream)?;
        let write_lock = WriteLock::new(nodes.clone(), owner.client_id());
        let lock = match write_lock
            .acquire()
            .await
            .map_err(|error| of(stream, error))?
        {
            Acquired::Held(lock) => lock,
            Acquired::OwnedBy(other) => {
                return match Owner::of_client_id(&other.client_id) {
                    Some(owner) => Ok(Acquiring::OwnedBy(owner)),
                    None => Err(held(stream, &other.client_id)),
                };
            }
            Acquired::OwnSession { session, .. } => {
                return Err(StoreError::NotReady {
                    stream: stream.clone(),
                    detail: format!(
                        "an earlier life of this proxy owns it until its session {session:#x} with \
                         ZooKeeper ends"
                    ),
                });
            }
        };
        let first = self.first_sequence_number;
        let cluster = self.cluster.clone();
        match Log::read(cluster, nodes, write_lock, lock.clone(), number, first).await {
            Ok(log) => Ok(Acquiring::Held(Box::new(log))),
            Err(error) => {
                // A lock that nobody uses must not keep others out.
                if let Err(error) = lock.release().await {
                    tracing::warn!(%stream, %error, "a write lock is left to its session");
                }
                Err(error.of(stream))
            }
        }
    }

    /// Truncates a stream before a position, and deletes what is truncated as a whole. Segments in
    /// progress are kept.
    pub(super) async fn truncate(
        &self,
        stream: &StreamName,
        before: Dlsn,
        retention_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        let position = (
            before.log_segment_sequence_no,
            before.entry_id,
            before.slot_id,
        );
        #[cfg(seeded_bugs)]
        let position = if super::seeded_bugs::is_on(super::seeded_bugs::Bug::TruncatesWholeSegment)
        {
            (position.0 + 1, 0, 0)
        } else {
            position
        };
        let first = self.first_sequence_number;
        for _ in 0..MAX_TRIES {
            let nodes = self.log(stream)?;
            let read = OwnedLog::read(nodes.clone(), first).await;
            let mut log = read.map_err(|error| of(stream, error))?;
            match log.truncate(position).await {
                Ok(_) => {}
                // Its writer completed a segment meanwhile, or another client truncated it.
                Err(NodesError::Conflict { .. }) => continue,
                Err(error) => return Err(of(stream, error)),
            }
            let purged = purge(&self.cluster, &nodes, first, retention_ms).await;
            return match purged {
                // What is left is deleted with the next segment.
                Ok(()) | Err(LogError::Lost(_)) => Ok(()),
                Err(error) => Err(error.of(stream)),
            };
        }
        let detail = "its segments changed with every try to truncate them".to_owned();
        Err(unreachable(stream, detail))
    }
}

/// A stream that is owned by something that no client can be sent to.
fn held(stream: &StreamName, client_id: &str) -> StoreError {
    let detail = match Owner::of_client_id(client_id) {
        Some(owner) => format!("write proxy {} owns it", owner.address),
        None => format!("{client_id:?}, which is no write proxy, holds its write lock"),
    };
    StoreError::NotReady {
        stream: stream.clone(),
        detail,
    }
}

fn of(stream: &StreamName, error: NodesError) -> StoreError {
    let is_damaged = matches!(
        error,
        NodesError::Data { .. } | NodesError::Segment { .. } | NodesError::State(_)
    );
    if matches!(error, NodesError::NotFound { .. }) {
        StoreError::StreamNotFound(stream.clone())
    } else if is_damaged {
        StoreError::Corrupt {
            path: format!("log stream {stream}"),
            detail: error.to_string(),
        }
    } else {
        unreachable(stream, error.to_string())
    }
}
