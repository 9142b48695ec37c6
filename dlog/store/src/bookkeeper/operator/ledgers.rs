//! Single ledgers and bookies.

use distributedlog_bookkeeper::driver::{Entries, LedgerError, LedgerReader};
use distributedlog_bookkeeper::entry::Entry;
use distributedlog_bookkeeper::namespace::{EnvelopedEntry, LogSegment, RecordKind};
use distributedlog_bookkeeper::zookeeper::ZooKeeper;
use distributedlog_bookkeeper::{EntryId, LedgerId, metadata};
use serde::Serialize;

use super::{Operator, of_ledger, of_stream};
use crate::{StoreError, StreamName};

/// Entries of a ledger that are read ahead.
const READ_AHEAD: usize = 16;

/// Bookies of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Bookies {
    /// Bookies that take entries.
    pub writable: Vec<String>,
    /// Bookies that only answer reads.
    pub read_only: Vec<String>,
}

/// State of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// A writer may append.
    Open,
    /// A recovery has begun.
    InRecovery,
    /// Its end is final.
    Closed,
}

/// A ledger as its metadata describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundLedger {
    /// Number of the ledger.
    pub ledger: LedgerId,
    /// State.
    pub state: LedgerState,
    /// Last entry of a closed ledger, or `None` if it is empty or not closed.
    pub last_entry: Option<EntryId>,
    /// Bytes of a closed ledger's payloads.
    pub bytes: u64,
    /// Number of bookies, of copies, and of copies that confirm an entry.
    pub quorums: [usize; 3],
    /// First entry and bookies of each part.
    pub ensembles: Vec<(EntryId, Vec<String>)>,
    /// Time of creation in milliseconds since 1970, where the metadata has it.
    pub created_unix_ms: Option<i64>,
}

/// Entry of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Number of the entry.
    pub entry: EntryId,
    /// Last entry that was confirmed when it was written.
    pub last_confirmed: EntryId,
    /// Bytes of its payload.
    pub bytes: usize,
    /// Its records, or the reason why it has none that DistributedLog writes.
    pub records: Result<Vec<LedgerRecord>, String>,
}

/// Record of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerRecord {
    /// Kind: `record`, `record set`, `control` or `end of stream`.
    pub kind: &'static str,
    /// Transaction id.
    pub txid: i64,
    /// Number of the application's records of the log segment up to this one.
    pub position: u32,
    /// Payload.
    pub payload: bytes::Bytes,
}

impl<Z: ZooKeeper> Operator<Z> {
    /// Returns the bookies of the cluster, once they are known.
    pub async fn bookies(&self) -> Bookies {
        self.cluster.client.bookies_known().await;
        let set = self.cluster.client.registered_bookies();
        Bookies {
            writable: set.writable.iter().map(ToString::to_string).collect(),
            read_only: set.read_only.iter().map(ToString::to_string).collect(),
        }
    }

    /// Reads a ledger's metadata.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the ledger does not exist or its metadata cannot be read.
    pub async fn ledger(&self, ledger: LedgerId) -> Result<FoundLedger, StoreError> {
        let stored = self.cluster.client.metadata(ledger).await;
        let stored = stored.map_err(|error| missing_or(ledger, &error))?;
        Ok(found(ledger, &stored.metadata))
    }

    /// Returns the last entry of a ledger that may be read, or −1 if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the ledger does not exist or too few bookies answer.
    pub async fn last_confirmed(&self, ledger: LedgerId) -> Result<EntryId, StoreError> {
        let reader = self.reader(ledger).await?;
        let last = reader.last_confirmed().await;
        last.map_err(|error| of_ledger(ledger, &LedgerError::Read(ledger, error)))
    }

    /// Reads the entries of a ledger from one to another, at most to the last one that may be read.
    /// `take` gets each in order; reading ends when it returns false.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the ledger does not exist or an entry cannot be read.
    pub async fn entries(
        &self,
        ledger: LedgerId,
        from: EntryId,
        to: Option<EntryId>,
        mut take: impl FnMut(LedgerEntry) -> bool,
    ) -> Result<(), StoreError> {
        let failed = |error| of_ledger(ledger, &LedgerError::Read(ledger, error));
        let reader = self.reader(ledger).await?;
        let last = reader.last_confirmed().await.map_err(failed)?;
        let to = to.map_or(last, |to| to.min(last));
        if from > to {
            return Ok(());
        }
        let mut entries: Entries = reader.entries(from, to, READ_AHEAD).map_err(failed)?;
        while let Some(entry) = entries.next().await {
            if !take(described(&entry.map_err(failed)?)) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the log segments of a stream, those that are truncated as a whole too.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the stream does not exist or ZooKeeper fails.
    pub async fn segments(&self, stream: &StreamName) -> Result<Vec<LogSegment>, StoreError> {
        let segments = self.log(stream)?.segments().await;
        let segments = segments.map_err(|error| of_stream(stream, error))?;
        Ok(segments.segments.iter().map(|it| it.segment).collect())
    }

    /// Returns the log segments of a stream that have the ledger, by their numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the stream does not exist or ZooKeeper fails.
    pub async fn segments_of_ledger(
        &self,
        stream: &StreamName,
        ledger: LedgerId,
    ) -> Result<Vec<i64>, StoreError> {
        let segments = self.log(stream)?.segments().await;
        let segments = segments.map_err(|error| of_stream(stream, error))?.segments;
        let found = segments.iter().filter(|it| it.segment.ledger == ledger);
        Ok(found.map(|it| it.segment.sequence_number).collect())
    }

    async fn reader(&self, ledger: LedgerId) -> Result<LedgerReader, StoreError> {
        let opened = self.cluster.client.open(ledger, &self.cluster.access).await;
        opened.map_err(|error| missing_or(ledger, &error))
    }
}

/// An error of opening a ledger.
fn missing_or(ledger: LedgerId, error: &LedgerError) -> StoreError {
    let is_final = matches!(
        error,
        LedgerError::NotFound(_) | LedgerError::WrongPassword(_)
    );
    if !is_final {
        return of_ledger(ledger, error);
    }
    StoreError::Refused {
        address: "BookKeeper".to_owned(),
        detail: error.to_string(),
    }
}

pub(super) fn found(ledger: LedgerId, metadata: &metadata::LedgerMetadata) -> FoundLedger {
    let ensembles = metadata.segments.iter().map(|it| {
        let bookies = it.ensemble.iter().map(ToString::to_string).collect();
        (it.first_entry, bookies)
    });
    FoundLedger {
        ledger,
        state: match metadata.state {
            metadata::LedgerState::Open => LedgerState::Open,
            metadata::LedgerState::InRecovery => LedgerState::InRecovery,
            metadata::LedgerState::Closed => LedgerState::Closed,
        },
        last_entry: Some(metadata.last_entry).filter(|it| *it >= 0),
        bytes: metadata.length,
        quorums: [
            metadata.ensemble_size,
            metadata.write_quorum,
            metadata.ack_quorum,
        ],
        ensembles: ensembles.collect(),
        created_unix_ms: metadata.created_unix_ms,
    }
}

fn described(entry: &Entry) -> LedgerEntry {
    let records = EnvelopedEntry::decode(&entry.payload);
    let records = records.map_err(|error| error.to_string()).map(|decoded| {
        let records = decoded.records().map(|record| LedgerRecord {
            kind: match record.kind {
                RecordKind::User => "record",
                RecordKind::RecordSet => "record set",
                RecordKind::Control => "control",
                RecordKind::EndOfStream => "end of stream",
            },
            txid: record.txid,
            position: record.position,
            payload: record.payload,
        });
        records.collect()
    });
    LedgerEntry {
        entry: entry.entry,
        last_confirmed: entry.lac,
        bytes: entry.payload.len(),
        records,
    }
}
