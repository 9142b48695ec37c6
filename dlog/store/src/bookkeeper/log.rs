//! One stream's log under a write lock: its segments are started, completed and recovered.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use distributedlog_bookkeeper::driver::{
    Client, LedgerAccess, LedgerError, LedgerOptions, LedgerReader, LedgerWriter,
};
use distributedlog_bookkeeper::namespace::nodes::{
    HeldLock, LogError as NodesError, LogNodes, OwnedLog, WriteLock,
};
use distributedlog_bookkeeper::namespace::plan::END_OF_STREAM_TXID;
use distributedlog_bookkeeper::namespace::{Completed, LogSegment, SegmentState, retention};
use distributedlog_bookkeeper::zookeeper::ZooKeeper;
use distributedlog_bookkeeper::{LedgerId, NO_ENTRY};
use tokio::time::sleep;

use super::entries::decode;
use super::gathering::UnixClock;
use super::segment_writer::SegmentEnd;
use crate::{StoreError, StreamName};

/// Tries to delete a ledger that is not used, about half a minute.
const MAX_DELETIONS: u32 = 10;

/// Pause between two tries, and the maximum to which it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A log whose write lock this process acquired.
pub(super) struct Log<Z: ZooKeeper> {
    pub(super) cluster: Cluster,
    nodes: LogNodes<Z>,
    write_lock: WriteLock<Z>,
    lock: HeldLock<Z>,
    /// Session with ZooKeeper in which the lock was acquired.
    session: i64,
    owned: tokio::sync::Mutex<OwnedLog<Z>>,
    first_sequence_number: i64,
}

/// Ledgers of streams: where and how they are made.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) access: LedgerAccess,
    pub(super) options: Arc<LedgerOptions>,
    pub(super) unix_ms: UnixClock,
}

impl Cluster {
    /// Deletes a ledger that no log names any more. If that fails it is tried again later.
    ///
    /// A segment's node is always deleted before its ledger. If the process dies in between, a
    /// ledger is left that nobody reads, and `dlog tool audit` lists it. In the other order, which
    /// is Java's, a segment without a ledger is left: to readers, Java's too, the stream is damaged
    /// until somebody repeats the deletion.
    pub(super) async fn delete(&self, ledger: LedgerId) {
        if let Err(error) = self.client.delete(ledger, &self.access).await {
            tracing::info!(ledger, %error, "a ledger that is not used is deleted later");
            self.delete_later(ledger);
        }
    }

    /// Deletes a ledger that no log names any more, on a task of its own.
    pub(super) fn delete_later(&self, ledger: LedgerId) {
        let (client, access) = (self.client.clone(), self.access.clone());
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            for _ in 1..MAX_DELETIONS {
                if client.delete(ledger, &access).await.is_ok() {
                    return;
                }
                sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            if let Err(error) = client.delete(ledger, &access).await {
                tracing::warn!(ledger, %error, "a ledger that is not used is left");
            }
        });
    }

    /// Closes the ledger of a segment in progress that is about to be deleted, so that a writer
    /// that lost the log has nothing acknowledged any more.
    pub(super) async fn stop_writer(&self, ledger: LedgerId) {
        if let Err(error) = self.client.recover(ledger, &self.access).await {
            // It is deleted nevertheless: its bookies may be gone for good.
            tracing::warn!(ledger, %error, "a ledger is deleted that could not be closed");
        }
    }
}

/// A segment that was just started.
pub(super) struct StartedSegment {
    pub(super) segment: LogSegment,
    pub(super) ledger: LedgerWriter,
}

/// Failure of a change of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogError {
    /// Another writer owns the log.
    Lost(String),
    /// The same may succeed later.
    Failed(String),
    /// The log does not exist.
    NotFound,
    /// The log's writer ended it.
    Ended,
}

impl LogError {
    pub(super) fn lost(reason: &str) -> Self {
        Self::Lost(reason.to_owned())
    }

    pub(super) const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::NotFound)
    }

    pub(super) fn of(self, stream: &StreamName) -> StoreError {
        match self {
            Self::Lost(_) => StoreError::Fenced(stream.clone()),
            Self::NotFound => StoreError::StreamNotFound(stream.clone()),
            Self::Failed(detail) => unreachable(stream, detail),
            Self::Ended => StoreError::Ended(stream.clone()),
        }
    }
}

/// Error of an operation that changed nothing and may succeed later.
pub(super) fn unreachable(stream: &StreamName, detail: String) -> StoreError {
    StoreError::Unreachable {
        address: format!("log stream {stream}"),
        detail,
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(reason) | Self::Failed(reason) => f.write_str(reason),
            Self::NotFound => f.write_str("the log stream was deleted"),
            Self::Ended => f.write_str("the log stream was ended by its writer"),
        }
    }
}

impl From<NodesError> for LogError {
    fn from(error: NodesError) -> Self {
        if matches!(error, NodesError::NotFound { .. }) {
            Self::NotFound
        } else if matches!(error, NodesError::Conflict { .. }) {
            Self::Lost(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}

impl From<LedgerError> for LogError {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl<Z: ZooKeeper> Log<Z> {
    /// Reads a log whose write lock was just acquired.
    pub(super) async fn read(
        cluster: Cluster,
        nodes: LogNodes<Z>,
        write_lock: WriteLock<Z>,
        lock: HeldLock<Z>,
        session: i64,
        first_sequence_number: i64,
    ) -> Result<Self, LogError> {
        let owned = OwnedLog::read(nodes.clone(), first_sequence_number).await?;
        Ok(Self {
            cluster,
            nodes,
            write_lock,
            lock,
            session,
            owned: tokio::sync::Mutex::new(owned),
            first_sequence_number,
        })
    }

    /// Starts the next segment. No record of it has a transaction id below `last_txid`.
    ///
    /// A segment in progress behind the number `behind` is one whose start failed here, but was
    /// applied: nothing was written to it, and it is deleted, or else it would leave a gap.
    pub(super) async fn start(
        &self,
        last_txid: i64,
        behind: i64,
    ) -> Result<StartedSegment, LogError> {
        let mut owned = self.owned.lock().await;
        let max_txid = owned.nodes().max_txid.value;
        if max_txid == END_OF_STREAM_TXID {
            return Err(LogError::Ended);
        }
        let now = (self.cluster.unix_ms)();
        let first_txid = last_txid.max(max_txid).max(now);
        let client = &self.cluster.client;
        let ledger = client.create(&self.cluster.options).await?;
        let left = match owned.allocate(ledger.ledger()).await {
            Ok(left) => left,
            Err(error) => {
                self.cluster.delete_later(ledger.ledger());
                return Err(error.into());
            }
        };
        // From here on the next owner finds the ledger, whatever happens.
        #[cfg(seeded_bugs)]
        let left =
            left.filter(|_| !super::seeded_bugs::is_on(super::seeded_bugs::Bug::AllocationLeaks));
        if let Some(left) = left {
            self.cluster.delete_later(left);
        }
        // The change before is resolved by now, so all segments are known.
        while let Some(number) = Self::left_behind(&owned, behind) {
            self.delete_empty(&mut owned, number).await?;
        }
        let started = owned.start(ledger.ledger(), first_txid, 0).await?;
        Ok(StartedSegment {
            segment: started.segment,
            ledger,
        })
    }

    /// Returns the number of a segment in progress behind a number.
    fn left_behind(owned: &OwnedLog<Z>, behind: i64) -> Option<i64> {
        let segments = owned.segments().iter().map(|it| it.segment);
        let mut left = segments.filter(|it| {
            it.sequence_number > behind && matches!(it.state, SegmentState::InProgress)
        });
        left.next().map(|it| it.sequence_number)
    }

    /// Completes a segment whose ledger its writer closed with everything in it.
    pub(super) async fn complete(&self, number: i64, end: &SegmentEnd) -> Result<(), LogError> {
        let last_entry = end.ledger.last_entry.unwrap_or(NO_ENTRY);
        let mut owned = self.owned.lock().await;
        if last_entry == NO_ENTRY {
            return self.delete_empty(&mut owned, number).await;
        }
        let completed = Completed {
            last_txid: end.last_txid,
            completed_unix_ms: (self.cluster.unix_ms)(),
            record_count: i32::try_from(end.record_count).unwrap_or(i32::MAX),
            last: end.last_record.unwrap_or((last_entry, 0)),
        };
        owned.complete(number, completed).await?;
        Ok(())
    }

    /// Deletes a segment without entries. Its number is used again.
    async fn delete_empty(&self, owned: &mut OwnedLog<Z>, number: i64) -> Result<(), LogError> {
        let found = owned.segments().iter();
        let found = found
            .map(|it| it.segment)
            .find(|it| it.sequence_number == number);
        owned.delete(number).await?;
        if let Some(segment) = found {
            self.cluster.delete(segment.ledger).await;
        }
        Ok(())
    }

    /// Completes the segments that are in progress, up to one: closes their ledgers, and takes the
    /// end from there.
    pub(super) async fn recover(&self, up_to: Option<i64>) -> Result<(), LogError> {
        let mut owned = self.owned.lock().await;
        loop {
            let next = owned.in_progress().map(|it| it.segment);
            let next = next.filter(|it| up_to.is_none_or(|last| it.sequence_number <= last));
            let Some(segment) = next else {
                return Ok(());
            };
            self.recover_segment(&mut owned, &segment).await?;
        }
    }

    async fn recover_segment(
        &self,
        owned: &mut OwnedLog<Z>,
        segment: &LogSegment,
    ) -> Result<(), LogError> {
        let Cluster { client, access, .. } = &self.cluster;
        let number = segment.sequence_number;
        let reader = match client.recover(segment.ledger, access).await {
            Ok(reader) => reader,
            Err(LedgerError::NotFound(ledger)) => {
                tracing::warn!(ledger, number, "a log segment whose ledger was deleted");
                return self.delete_empty(owned, number).await;
            }
            Err(error) => return Err(error.into()),
        };
        let last_entry = reader.metadata().metadata.last_entry;
        if last_entry == NO_ENTRY {
            return self.delete_empty(owned, number).await;
        }
        let completed = self.end_of(segment, &reader, last_entry).await?;
        owned.complete(number, completed).await?;
        tracing::info!(
            number,
            last_entry,
            "completed a log segment that was left in progress"
        );
        Ok(())
    }

    /// Takes the end of a segment from the last entry of its ledger.
    async fn end_of(
        &self,
        segment: &LogSegment,
        reader: &LedgerReader,
        last_entry: i64,
    ) -> Result<Completed, LogError> {
        let ledger = segment.ledger;
        let failed = |reason: String| {
            LogError::Failed(format!("the last entry of ledger {ledger}: {reason}"))
        };
        let entries = reader.entries(last_entry, last_entry, 1);
        let mut entries = entries.map_err(|error| failed(error.to_string()))?;
        let entry = match entries.next().await {
            Some(entry) => entry.map_err(|error| failed(error.to_string()))?,
            None => return Err(failed("it cannot be read".to_owned())),
        };
        let decoded = decode(segment.sequence_number, 0, &entry);
        let decoded = decoded.map_err(|error| failed(error.to_string()))?;
        Ok(Completed {
            last_txid: decoded.last_txid,
            completed_unix_ms: (self.cluster.unix_ms)(),
            record_count: i32::try_from(decoded.last_position).unwrap_or(i32::MAX),
            last: (last_entry, decoded.last_slot),
        })
    }

    /// Returns the largest transaction id of the completed segments.
    pub(super) async fn last_txid(&self) -> i64 {
        let owned = self.owned.lock().await;
        let completed = owned
            .segments()
            .iter()
            .filter_map(|it| match it.segment.state {
                SegmentState::Completed(end) if end.last_txid != END_OF_STREAM_TXID => {
                    Some(end.last_txid)
                }
                SegmentState::Completed(_) | SegmentState::InProgress => None,
            });
        completed.max().unwrap_or(0)
    }

    /// Deletes the segments that retention lets go, and those that are truncated as a whole.
    pub(super) async fn purge(&self, retention_ms: Option<i64>) -> Result<(), LogError> {
        purge(
            &self.cluster,
            &self.nodes,
            self.first_sequence_number,
            retention_ms,
        )
        .await
    }

    /// Returns true while no other process can own the log, by what is known here.
    pub(super) fn is_surely_owned(&self) -> bool {
        self.lock.is_held()
    }

    /// Asks ZooKeeper if this process still owns the log.
    pub(super) async fn is_still_owned(&self) -> bool {
        // Without an answer the next change of the log tells.
        match self.write_lock.owner().await {
            Ok(owner) => owner.is_some_and(|it| it.session == self.session),
            Err(_) => true,
        }
    }

    /// Waits until the write lock is lost.
    pub(super) async fn lost(&self) -> String {
        format!("{:?}", self.lock.lost().await)
    }

    /// Releases the write lock.
    pub(super) async fn release(&self) -> Result<(), LogError> {
        Ok(self.lock.release().await?)
    }
}

/// Deletes the segments of a log that are truncated as a whole, and those that were completed
/// longer ago than the retention, if there is one.
pub(super) async fn purge<Z: ZooKeeper>(
    cluster: &Cluster,
    nodes: &LogNodes<Z>,
    first_sequence_number: i64,
    retention_ms: Option<i64>,
) -> Result<(), LogError> {
    // A copy of its own: deleting nodes needs their versions alone, not those of the writers.
    let mut log = OwnedLog::read(nodes.clone(), first_sequence_number).await?;
    let now = (cluster.unix_ms)();
    #[cfg(seeded_bugs)]
    let retention_ms = if super::seeded_bugs::is_on(super::seeded_bugs::Bug::RetentionIgnoresAge) {
        retention_ms.map(|_| 0)
    } else {
        retention_ms
    };
    #[cfg(seeded_bugs)]
    if super::seeded_bugs::is_on(super::seeded_bugs::Bug::NothingExpires) {
        return Ok(());
    }
    let cutoff = retention_ms.map_or(i64::MIN, |age| now - age);
    for segment in retention::expired(log.segments(), cutoff).to_vec() {
        let LogSegment {
            ledger,
            sequence_number,
            ..
        } = segment.segment;
        #[cfg(seeded_bugs)]
        if super::seeded_bugs::is_on(super::seeded_bugs::Bug::LedgerGoesFirst) {
            cluster.delete(ledger).await;
        }
        log.delete(sequence_number).await?;
        cluster.delete(ledger).await;
        tracing::info!(ledger, sequence_number, "deleted a log segment");
    }
    Ok(())
}
