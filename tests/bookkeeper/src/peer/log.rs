//! DistributedLog's core in Java.

use core::time::Duration;

use serde::Deserialize;

use super::{Peer, parse};
use crate::java::Version;

/// DistributedLog's core in a process of its own, which owns the logs that it opened.
pub struct LogPeer {
    /// The process, for commands that have no method here.
    pub peer: Peer,
    version: Version,
    /// Namespace, client id and settings.
    arguments: Vec<String>,
}

/// A record that was acknowledged or read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LogRecord {
    /// Log segment, entry and slot.
    pub dlsn: [i64; 3],
    /// Transaction id.
    pub txid: i64,
    /// The record is a record set, and the payload all of it.
    pub set: bool,
    /// Number among the log's records. `None` of records written.
    pub sequence_id: Option<i64>,
    /// Number of records in the log segment up to it. `None` of records written.
    pub position: Option<i64>,
    /// CRC-32 of the payload.
    pub crc32: u32,
    /// Size of the payload in bytes.
    pub size: usize,
    /// Payload. Empty if it has more than 4,096 bytes.
    #[serde(default, deserialize_with = "super::bytes")]
    pub payload: Vec<u8>,
}

impl LogRecord {
    /// Returns the payload as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// A log segment's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LogSegment {
    /// Log segment sequence number.
    pub sequence: i64,
    /// Id of its ledger.
    pub ledger: i64,
    /// It has no end yet.
    pub in_progress: bool,
    /// Transaction id of its first record.
    pub first_txid: i64,
    /// Transaction id of its last record.
    pub last_txid: i64,
    /// Number of records.
    pub records: i64,
    /// Last entry with a record of a user.
    pub last_entry: i64,
    /// Last slot of that entry.
    pub last_slot: i64,
    /// Sequence id of its first record.
    pub start_sequence_id: i64,
    /// All of it is truncated.
    pub truncated: bool,
    /// A first part of it is truncated.
    pub partially_truncated: bool,
}

#[derive(Deserialize)]
struct Named {
    log: String,
}

impl LogPeer {
    /// Starts the core of this version on a namespace, as this client id, with the settings of a
    /// write proxy and these `key=value`.
    pub async fn start(version: Version, uri: &str, client_id: &str, settings: &[&str]) -> Self {
        let arguments = [&[uri, client_id], settings].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let mut peer = Self::spawn(version, &arguments);
        peer.until_ready().await;
        Self {
            peer,
            version,
            arguments,
        }
    }

    fn spawn(version: Version, arguments: &[String]) -> Peer {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Peer::spawn(version, "Log", arguments[1], &[], &arguments)
    }

    /// Creates a log.
    pub async fn create(&mut self, log: &str) {
        self.run(&format!("create {log}")).await;
    }

    /// Deletes a log.
    pub async fn delete(&mut self, log: &str) {
        self.run(&format!("delete {log}")).await;
    }

    /// Returns the names of the namespace's logs, sorted.
    pub async fn list(&mut self) -> Vec<String> {
        let logs: Vec<Named> = self.peer.expect("list").await;
        let mut names: Vec<String> = logs.into_iter().map(|named| named.log).collect();
        names.sort_unstable();
        names
    }

    /// Returns the log's segments.
    pub async fn segments(&mut self, log: &str) -> Vec<LogSegment> {
        self.peer.expect(&format!("segments {log}")).await
    }

    /// Makes this process the log's owner, which recovers what the owner before has left.
    ///
    /// # Panics
    /// Java refuses it.
    pub async fn open(&mut self, log: &str) {
        const MAX_TRIES: usize = 100;
        const STALL: Duration = Duration::from_secs(20);
        let mut was_restarted = false;
        for _ in 0..MAX_TRIES {
            let opened = tokio::time::timeout(STALL, self.try_open(log)).await;
            match opened {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    // The recovery of 4.5.0 may read two entries at once, and then loses count
                    // ("Unexpected to recovery add entry 34 as entry 36"). Its next try is another
                    // one.
                    let lost_count = self.version == Version::V4_5 && error.ends_with(": -10");
                    // The lock of a process that was killed ends with its session.
                    let is_locked = was_restarted && error.contains("OwnershipAcquireFailed");
                    assert!(lost_count || is_locked, "{log}: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                // Or it waits for nothing at all: all of its threads are idle. Its operator would
                // start it again.
                Err(_) => {
                    assert_eq!(self.version, Version::V4_5, "{log}: Java does not open it");
                    println!("{log}: the recovery of 4.5.0 has stalled; another process goes on");
                    was_restarted = true;
                    let next = Self::spawn(self.version, &self.arguments);
                    drop(core::mem::replace(&mut self.peer, next).kill_9().await);
                    self.peer.until_ready().await;
                }
            }
        }
        panic!("{log}: Java failed {MAX_TRIES} times");
    }

    /// Makes this process the log's owner, or returns the error of Java that says why not.
    ///
    /// # Errors
    /// Another owns the log, for example.
    pub async fn try_open(&mut self, log: &str) -> Result<(), String> {
        self.peer.command(&format!("open {log}")).await.map(drop)
    }

    /// Closes the log, which it owns.
    pub async fn close(&mut self, log: &str) {
        self.run(&format!("close {log}")).await;
    }

    /// Writes records one at a time, each `PREFIX-NUMBER`. `settings`: `prefix=record first=0
    /// size=100 window=64 txid=1`, for example.
    pub async fn write(&mut self, log: &str, count: usize, settings: &str) -> Vec<LogRecord> {
        self.peer
            .expect(&format!("write {log} {count} {settings}"))
            .await
    }

    /// Begins to write records as [`write`](Self::write), and returns when `acknowledged` of them
    /// are, for a test that kills the writer next.
    ///
    /// # Panics
    /// A write fails.
    pub async fn begin_to_write(
        &mut self,
        log: &str,
        acknowledged: usize,
        settings: &str,
    ) -> Vec<LogRecord> {
        self.peer
            .send(&format!("write {log} 1000000000 {settings}"))
            .await;
        self.acknowledged(acknowledged).await
    }

    /// Returns the next records that the write or the read which was begun reports.
    ///
    /// # Panics
    /// It fails.
    pub async fn acknowledged(&mut self, count: usize) -> Vec<LogRecord> {
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            match self.peer.next().await {
                Ok(Some(line)) => records.push(parse(line)),
                other => panic!("no further record is reported: {other:?}"),
            }
        }
        records
    }

    /// Writes records in one call.
    pub async fn bulk(&mut self, log: &str, count: usize, settings: &str) -> Vec<LogRecord> {
        self.peer
            .expect(&format!("bulk {log} {count} {settings}"))
            .await
    }

    /// Writes records as one record set. `settings`: `codec=LZ4 prefix=record`, for example.
    /// Returns the set.
    pub async fn set(&mut self, log: &str, count: usize, settings: &str) -> LogRecord {
        let mut lines = self
            .peer
            .expect(&format!("set {log} {count} {settings}"))
            .await;
        lines.pop().expect("the acknowledged set")
    }

    /// Truncates a log that it owns.
    pub async fn truncate(&mut self, log: &str, [segment, entry, slot]: [i64; 3]) {
        self.run(&format!("truncate {log} {segment},{entry},{slot}"))
            .await;
    }

    /// Reads this many records from the start of a log, those of sets one by one. Unlike
    /// [`read`](Self::read) it knows the end: Java's blocking reader may take the end of one
    /// segment of several for the end of the log.
    ///
    /// # Panics
    /// Java cannot read them.
    pub async fn read_count(&mut self, log: &str, count: usize) -> Vec<LogRecord> {
        let mut read = Vec::with_capacity(count);
        self.begin_to_tail(log, count).await;
        self.tailed(log, count, count, &mut read).await;
        assert_eq!(self.peer.next().await, Ok(None));
        read
    }

    /// Begins to read this many records from the start of a log, as they come, for
    /// [`tailed`](Self::tailed).
    pub async fn begin_to_tail(&mut self, log: &str, count: usize) {
        self.peer.send(&format!("tail {log} {count}")).await;
    }

    /// Takes records of the `count` that it began to read, until `until` of them are in `read`.
    /// Another reader goes on where Java's gives up: from one segment to the next it may cancel a
    /// read of its own, or stop without an error.
    ///
    /// # Panics
    /// Java cannot read them.
    pub async fn tailed(
        &mut self,
        log: &str,
        count: usize,
        until: usize,
        read: &mut Vec<LogRecord>,
    ) {
        const MAX_FAILURES: usize = 3;
        let mut failures = 0;
        while read.len() < until {
            match self.peer.next().await {
                Ok(Some(line)) => read.push(parse(line)),
                Ok(None) => panic!(
                    "{log}: {} records are all that Java was asked for",
                    read.len()
                ),
                Err(error) => {
                    failures += 1;
                    let last = read.last().map(|it| it.dlsn);
                    println!(
                        "{log}: {error} behind {last:?}, record {} of {count}",
                        read.len()
                    );
                    assert!(failures < MAX_FAILURES, "Java cannot read {log}");
                    let [segment, entry, slot] = last.unwrap_or([0, 0, -1]);
                    let (left, slot) = (count - read.len(), slot + 1);
                    let from = format!("from={segment},{entry},{slot}");
                    self.peer.send(&format!("tail {log} {left} {from}")).await;
                }
            }
        }
    }

    /// Reads all records of a log, those of sets one by one.
    pub async fn read(&mut self, log: &str) -> Vec<LogRecord> {
        self.peer.expect(&format!("read {log}")).await
    }

    /// Reads all records of a log, sets as they are.
    pub async fn read_sets(&mut self, log: &str) -> Vec<LogRecord> {
        self.peer.expect(&format!("read {log} sets=plain")).await
    }

    /// Reads the log's next records from this position on, as they come.
    pub async fn tail(
        &mut self,
        log: &str,
        [segment, entry, slot]: [i64; 3],
        count: usize,
    ) -> Vec<LogRecord> {
        self.peer
            .expect(&format!("tail {log} {count} from={segment},{entry},{slot}"))
            .await
    }

    /// Opens the log as its owner, which completes what another has left, and closes it.
    pub async fn recover(&mut self, log: &str) {
        self.run(&format!("recover {log}")).await;
    }

    /// Kills the process as `kill -9` does. Returns all records that it has reported as
    /// acknowledged in its life, in all logs.
    pub async fn kill_9(mut self) -> Vec<LogRecord> {
        let lines = self.peer.kill_9().await.into_iter();
        let records = lines.filter_map(|line| serde_json::from_value::<LogRecord>(line).ok());
        records
            .filter(|record| record.sequence_id.is_none())
            .collect()
    }

    async fn run(&mut self, command: &str) {
        self.peer.expect::<serde_json::Value>(command).await;
    }
}
