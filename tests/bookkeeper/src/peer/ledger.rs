//! Java's BookKeeper client.

use core::ops::RangeInclusive;

use distributedlog_tests::process::STEP_TIMEOUT;
use serde::Deserialize;

use super::{Peer, parse};
use crate::java::Version;

/// Java's BookKeeper client in a process of its own, which holds the ledgers that it created open.
pub struct LedgerPeer {
    /// The process, for commands that have no method here.
    pub peer: Peer,
}

/// An entry that was acknowledged or read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LedgerEntry {
    /// Id of the entry.
    pub entry: i64,
    /// Writer's last add confirmed when the entry was acknowledged. `None` of entries read.
    pub lac: Option<i64>,
    /// Bytes of the ledger up to the entry's end, as the entry says. `None` of entries written.
    pub length: Option<i64>,
    /// CRC-32 of the payload.
    pub crc32: u32,
    /// Size of the payload in bytes.
    pub size: usize,
    /// Payload. Empty if it has more than 4,096 bytes.
    #[serde(default, deserialize_with = "super::bytes")]
    pub payload: Vec<u8>,
}

/// The end of a ledger, as a handle sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LedgerEnd {
    /// Last add confirmed; of a closed ledger its last entry. -1 if there is none.
    pub lac: i64,
    /// Bytes of all entries.
    pub length: i64,
    /// State in the ledger's metadata. `None` where it was not asked for.
    pub closed: Option<bool>,
}

#[derive(Deserialize)]
struct Created {
    ledger: i64,
}

impl LedgerPeer {
    /// Starts the client of this version, with further settings `key=value` of its.
    pub async fn start(version: Version, zk_servers: &str, settings: &[&str]) -> Self {
        let arguments = [&[zk_servers], settings].concat();
        let mut peer = Peer::spawn(version, "Ledger", "ledger-peer", &[], &arguments);
        peer.until_ready().await;
        Self { peer }
    }

    /// Creates a ledger with this ensemble size, write quorum and ack quorum. `settings`:
    /// `digest=CRC32C password=x`, for example. Returns its id.
    pub async fn create(&mut self, [e, w, a]: [u32; 3], settings: &str) -> i64 {
        let command = format!("create {e} {w} {a} {settings}");
        let created: Vec<Created> = self.peer.expect(&command).await;
        created.first().expect("a created ledger").ledger
    }

    /// Creates a ledger as [`create`](Self::create), as soon as there are enough bookies: clients
    /// learn from ZooKeeper that one is back, a moment after it is.
    ///
    /// # Panics
    /// There are not enough within [`STEP_TIMEOUT`], or it fails otherwise.
    pub async fn create_when_possible(&mut self, [e, w, a]: [u32; 3], settings: &str) -> i64 {
        let command = format!("create {e} {w} {a} {settings}");
        let created = async {
            loop {
                match self.peer.command(&command).await {
                    Ok(mut lines) => break lines.pop().expect("a created ledger"),
                    Err(error) => assert!(error.contains("NotEnoughBookies"), "{error}"),
                }
            }
        };
        let created = tokio::time::timeout(STEP_TIMEOUT, created).await;
        parse::<Created>(created.expect("enough bookies")).ledger
    }

    /// Appends entries to a ledger that this process created, each `PREFIX-ID`. `settings`:
    /// `prefix=entry size=100 window=64`, for example.
    pub async fn add(&mut self, ledger: i64, count: usize, settings: &str) -> Vec<LedgerEntry> {
        self.peer
            .expect(&format!("add {ledger} {count} {settings}"))
            .await
    }

    /// Closes a ledger that this process created.
    pub async fn close(&mut self, ledger: i64) -> LedgerEnd {
        self.end(&format!("close {ledger}")).await
    }

    /// Opens a ledger with recovery and reads all of it.
    pub async fn read(&mut self, ledger: i64, settings: &str) -> (LedgerEnd, Vec<LedgerEntry>) {
        self.read_with(&format!("read {ledger} recovery=true {settings}"))
            .await
    }

    /// Opens a ledger without recovery and reads it up to its last add confirmed.
    pub async fn peek(&mut self, ledger: i64, settings: &str) -> (LedgerEnd, Vec<LedgerEntry>) {
        self.read_with(&format!("read {ledger} recovery=false {settings}"))
            .await
    }

    /// Reads these entries without recovery, also beyond the last add confirmed.
    pub async fn unconfirmed(
        &mut self,
        ledger: i64,
        entries: RangeInclusive<i64>,
    ) -> Vec<LedgerEntry> {
        let (from, to) = entries.into_inner();
        self.peer
            .expect(&format!("unconfirmed {ledger} {from} {to}"))
            .await
    }

    /// Recovers a ledger.
    pub async fn recover(&mut self, ledger: i64, settings: &str) -> LedgerEnd {
        self.end(&format!("recover {ledger} {settings}")).await
    }

    /// Deletes a ledger.
    pub async fn delete(&mut self, ledger: i64) {
        self.peer
            .expect::<serde_json::Value>(&format!("delete {ledger}"))
            .await;
    }

    /// Kills the process as `kill -9` does. Returns all entries that it has reported as
    /// acknowledged in its life, in all ledgers.
    pub async fn kill_9(mut self) -> Vec<LedgerEntry> {
        let lines = self.peer.kill_9().await.into_iter();
        let entries = lines.filter_map(|line| serde_json::from_value::<LedgerEntry>(line).ok());
        entries.filter(|entry| entry.lac.is_some()).collect()
    }

    /// Begins to append entries as [`add`](Self::add), and returns when `acknowledged` of them
    /// are, for a test that kills the writer next.
    ///
    /// # Panics
    /// An append fails.
    pub async fn begin_to_add(
        &mut self,
        ledger: i64,
        acknowledged: usize,
        settings: &str,
    ) -> Vec<LedgerEntry> {
        self.peer
            .send(&format!("add {ledger} 1000000000 {settings}"))
            .await;
        let mut entries = Vec::with_capacity(acknowledged);
        while entries.len() < acknowledged {
            match self.peer.next().await {
                Ok(Some(line)) => entries.push(parse(line)),
                other => panic!("no further entry is acknowledged: {other:?}"),
            }
        }
        entries
    }

    async fn end(&mut self, command: &str) -> LedgerEnd {
        let mut lines = self.peer.expect(command).await;
        lines.pop().expect("the ledger's end")
    }

    async fn read_with(&mut self, command: &str) -> (LedgerEnd, Vec<LedgerEntry>) {
        let mut lines = self
            .peer
            .expect::<serde_json::Value>(command)
            .await
            .into_iter();
        let end = parse(lines.next().expect("the ledger's end"));
        (end, lines.map(parse).collect())
    }
}
