//! Checks what holds of every log between two changes.

use std::collections::BTreeMap;

use distributedlog_bookkeeper::driver::LedgerError;
use distributedlog_bookkeeper::ledger::Versioned;
use distributedlog_bookkeeper::namespace::nodes::{LogError, LogNodes};
use distributedlog_bookkeeper::namespace::plan::END_OF_STREAM_TXID;
use distributedlog_bookkeeper::namespace::{LogSegment, SegmentState, StoredSegment, retention};
use distributedlog_bookkeeper::zookeeper::{ZooKeeper, ZooKeeperError};
use distributedlog_bookkeeper::{LedgerId, NO_ENTRY};
use tokio::task::JoinSet;

use super::{Finding, FindingKind, Operator, of_ledger, of_stream};
use crate::{StoreError, StreamName};

/// Ledgers' metadata that is read at the same time.
const MAX_READS: usize = 32;

/// Maximum ledgers that are remembered, about 100 MB.
const MAX_LEDGERS: usize = 1 << 22;

/// Version of segments that have sequence ids.
const VERSION_WITH_SEQUENCE_IDS: u8 = 5;

/// Ledgers that log segments name, to find those that two have. The first four million are
/// remembered.
#[derive(Debug, Default)]
pub struct NamedLedgers(BTreeMap<LedgerId, (StreamName, i64)>);

/// What was found of one log.
struct Findings<'a> {
    stream: &'a StreamName,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, log_segment: Option<i64>, kind: FindingKind, detail: String) {
        self.found.push(Finding {
            stream: self.stream.to_string(),
            log_segment,
            kind,
            detail,
        });
    }
}

impl<Z: ZooKeeper> Operator<Z> {
    /// Checks a log's nodes and ledgers against each other. A writer may change the log meanwhile:
    /// only what two checks find is returned.
    ///
    /// `named` collects the ledgers of the logs that were checked with it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the stream does not exist or the cluster cannot be reached.
    pub async fn inspect(
        &self,
        stream: &StreamName,
        named: &mut NamedLedgers,
    ) -> Result<Vec<Finding>, StoreError> {
        let mut found = self.check(stream, named).await?;
        if found.is_empty() {
            return Ok(found);
        }
        let again = self.check(stream, named).await?;
        found.retain(|it| again.contains(it));
        Ok(found)
    }

    async fn check(
        &self,
        stream: &StreamName,
        named: &mut NamedLedgers,
    ) -> Result<Vec<Finding>, StoreError> {
        let log = self.log(stream)?;
        let mut findings = Findings {
            stream,
            found: Vec::new(),
        };
        // Before the segments: what these nodes say was started is among them then.
        let max_started = self
            .number(&log, &log.paths().segments(), &mut findings)
            .await?;
        let max_txid = self
            .number(&log, &log.paths().max_txid(), &mut findings)
            .await?;
        let segments = match log.segments().await {
            Ok(read) => read.segments,
            Err(error @ (LogError::Segment { .. } | LogError::Data { .. })) => {
                findings.add(None, FindingKind::DamagedNode, error.to_string());
                return Ok(findings.found);
            }
            Err(error) => return Err(of_stream(stream, error)),
        };
        check_numbers(&segments, &mut findings);
        check_ids(&segments, max_txid, &mut findings);
        if let Some(max_started) = max_started {
            let first = self.first_sequence_number;
            if let Err(error) = retention::next_sequence_number(&segments, max_started, first) {
                findings.add(None, FindingKind::MaxSequenceNumber, error.to_string());
            }
        }
        check_shared(stream, &segments, named, &mut findings);
        self.check_ledgers(&segments, &mut findings).await?;
        self.check_lock(&log, &mut findings).await?;
        Ok(findings.found)
    }

    /// Reads a node whose data is a number, or `None` if that is damaged.
    async fn number(
        &self,
        log: &LogNodes<Z>,
        path: &str,
        findings: &mut Findings<'_>,
    ) -> Result<Option<i64>, StoreError> {
        let stream = findings.stream;
        let data = match self.sessions.current().get(path).await {
            Ok((data, _)) => data,
            Err(ZooKeeperError::NoNode) => {
                // The log may have been deleted.
                log.life().await.map_err(|error| of_stream(stream, error))?;
                let detail = format!("{path} does not exist");
                findings.add(None, FindingKind::DamagedNode, detail);
                return Ok(None);
            }
            Err(error) => return Err(super::unreachable(path, &error)),
        };
        let text = String::from_utf8_lossy(&data);
        let number = text.parse().ok();
        if number.is_none() {
            let detail = format!("{path} is {text:?}, which is no number");
            findings.add(None, FindingKind::DamagedNode, detail);
        }
        Ok(number)
    }

    /// Checks the ledgers of the segments.
    async fn check_ledgers(
        &self,
        segments: &[StoredSegment],
        findings: &mut Findings<'_>,
    ) -> Result<(), StoreError> {
        for segments in segments.chunks(MAX_READS) {
            let mut reads = JoinSet::new();
            for (index, stored) in segments.iter().enumerate() {
                let (client, ledger) = (self.cluster.client.clone(), stored.segment.ledger);
                reads.spawn(async move { (index, client.metadata(ledger).await) });
            }
            let mut read = BTreeMap::new();
            while let Some(result) = reads.join_next().await {
                let (index, result) =
                    result.map_err(|error| super::unreachable("ledgers", &error))?;
                read.insert(index, result);
            }
            for (index, result) in read {
                let segment = &segments[index].segment;
                match result {
                    Ok(stored) => check_ledger(segment, &stored, findings),
                    Err(LedgerError::NotFound(ledger)) => findings.add(
                        Some(segment.sequence_number),
                        FindingKind::MissingLedger,
                        format!("ledger {ledger} does not exist"),
                    ),
                    Err(error) => return Err(of_ledger(segment.ledger, &error)),
                }
            }
        }
        Ok(())
    }

    /// Checks that the members of the write lock end with their sessions.
    async fn check_lock(
        &self,
        log: &LogNodes<Z>,
        findings: &mut Findings<'_>,
    ) -> Result<(), StoreError> {
        let (session, folder) = (self.sessions.current(), log.paths().lock());
        let names = match session.children(&folder).await {
            Ok((names, _)) => names,
            Err(ZooKeeperError::NoNode) => Vec::new(),
            Err(error) => return Err(super::unreachable(&folder, &error)),
        };
        for name in names {
            let path = format!("{folder}/{name}");
            let stat = session.exists(&path).await;
            let stat = stat.map_err(|error| super::unreachable(&path, &error))?;
            if stat.is_some_and(|it| it.ephemeral_owner == 0) {
                let detail = format!("{path} belongs to no session; delete it");
                findings.add(None, FindingKind::PermanentLock, detail);
            }
        }
        Ok(())
    }
}

/// Checks the order of the segments.
fn check_numbers(segments: &[StoredSegment], findings: &mut Findings<'_>) {
    for pair in segments.windows(2) {
        let (before, after) = (&pair[0].segment, &pair[1].segment);
        let number = after.sequence_number;
        if number != before.sequence_number + 1 {
            let detail = format!("log segment {number} follows {}", before.sequence_number);
            findings.add(Some(number), FindingKind::SequenceNumbers, detail);
        }
        if let (SegmentState::InProgress, SegmentState::Completed(_)) = (before.state, after.state)
        {
            let kind = FindingKind::InProgressBeforeCompleted;
            let detail = format!("log segment {number} behind it is completed");
            findings.add(Some(before.sequence_number), kind, detail);
        }
    }
    let in_progress = segments
        .iter()
        .filter(|it| it.segment.state == SegmentState::InProgress);
    let count = in_progress.count();
    // The next one is started before the one before is completed.
    if count > 2 {
        let detail = format!("{count}; a change of segments has 2");
        findings.add(None, FindingKind::TooManyInProgress, detail);
    }
}

/// Checks transaction ids and sequence ids.
fn check_ids(segments: &[StoredSegment], max_txid: Option<i64>, findings: &mut Findings<'_>) {
    let mut before: Option<(&LogSegment, i32)> = None;
    for stored in segments {
        let segment = &stored.segment;
        let number = Some(segment.sequence_number);
        let SegmentState::Completed(end) = segment.state else {
            before = None;
            continue;
        };
        if end.record_count > 0 && segment.first_txid > end.last_txid {
            let detail = format!(
                "the first is {}, the last {}",
                segment.first_txid, end.last_txid
            );
            findings.add(number, FindingKind::TransactionIds, detail);
        }
        if let Some(max) = max_txid
            && end.last_txid > max
            && end.last_txid != END_OF_STREAM_TXID
        {
            let detail = format!("it is {max}; the segment's last is {}", end.last_txid);
            findings.add(number, FindingKind::MaxTransactionId, detail);
        }
        if let Some((previous, count)) = before
            && segment.version >= VERSION_WITH_SEQUENCE_IDS
            && previous.version >= VERSION_WITH_SEQUENCE_IDS
        {
            let expected = previous.start_sequence_id + i64::from(count);
            if segment.start_sequence_id != expected {
                let detail = format!("{} follows, not {expected}", segment.start_sequence_id);
                findings.add(number, FindingKind::SequenceIds, detail);
            }
        }
        before = Some((segment, end.record_count));
    }
}

/// Checks that no two segments have the same ledger.
fn check_shared(
    stream: &StreamName,
    segments: &[StoredSegment],
    named: &mut NamedLedgers,
    findings: &mut Findings<'_>,
) {
    for stored in segments {
        let (number, ledger) = (stored.segment.sequence_number, stored.segment.ledger);
        match named.0.get(&ledger) {
            Some((other, other_number)) if (other, *other_number) != (stream, number) => {
                let detail = format!("ledger {ledger} is log segment {other_number} of {other}");
                findings.add(Some(number), FindingKind::SharedLedger, detail);
            }
            Some(_) => {}
            None if named.0.len() < MAX_LEDGERS => {
                named.0.insert(ledger, (stream.clone(), number));
            }
            None => {}
        }
    }
}

/// Checks the ledger of a segment.
fn check_ledger(segment: &LogSegment, stored: &Versioned, findings: &mut Findings<'_>) {
    let SegmentState::Completed(end) = segment.state else {
        return;
    };
    let (number, ledger) = (Some(segment.sequence_number), segment.ledger);
    let metadata = &stored.metadata;
    if !metadata.is_closed() {
        let detail = format!("ledger {ledger} is {:?}", metadata.state);
        findings.add(number, FindingKind::OpenLedger, detail);
    } else if metadata.last_entry < end.last.0 && metadata.last_entry != NO_ENTRY {
        let detail = format!(
            "ledger {ledger} ends with entry {}, the segment with {}",
            metadata.last_entry, end.last.0
        );
        findings.add(number, FindingKind::ShortLedger, detail);
    } else if metadata.last_entry == NO_ENTRY && end.record_count > 0 {
        let detail = format!(
            "ledger {ledger} is empty, the segment has {} records",
            end.record_count
        );
        findings.add(number, FindingKind::ShortLedger, detail);
    }
}
