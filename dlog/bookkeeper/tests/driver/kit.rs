use core::time::Duration;

use bytes::Bytes;
use distributedlog_bookkeeper::LedgerId;
use distributedlog_bookkeeper::driver::{
    Client, LedgerAccess, LedgerOptions, LedgerReader, LedgerWriter, Settings,
};
use distributedlog_testkit::bookies::ModelCluster;

/// A cluster with a client.
pub(crate) struct Kit {
    pub(crate) cluster: ModelCluster,
    pub(crate) client: Client,
}

impl Kit {
    pub(crate) async fn new(seed: u64, bookies: u16) -> Self {
        let cluster = ModelCluster::new(seed, bookies);
        let client = client_of(&cluster).await;
        Self { cluster, client }
    }

    /// A client of another process.
    pub(crate) async fn another_client(&self) -> Client {
        client_of(&self.cluster).await
    }

    pub(crate) async fn create(&self) -> LedgerWriter {
        let created = self.client.create(&LedgerOptions::default()).await;
        created.expect("three bookies are there")
    }

    /// Reads a closed ledger whose payloads are [`payload`]s; their number.
    pub(crate) async fn read_all(&self, ledger: LedgerId) -> i64 {
        let opened = self.client.open(ledger, &LedgerAccess::default()).await;
        count(opened.expect("it is there")).await
    }

    /// As [`read_all`](Self::read_all), by another client that recovers it first.
    pub(crate) async fn read_all_recovered(&self, ledger: LedgerId) -> i64 {
        let other = self.another_client().await;
        let recovered = other.recover(ledger, &LedgerAccess::default()).await;
        count(recovered.expect("enough bookies answer")).await
    }
}

async fn client_of(cluster: &ModelCluster) -> Client {
    let Ok(sessions) = cluster.sessions(Duration::from_secs(10)).await;
    let client = cluster.client(Settings::default(), sessions).await;
    let client = client.expect("the cluster is formatted");
    client.bookies_known().await;
    client
}

async fn count(reader: LedgerReader) -> i64 {
    let last = reader.metadata().metadata.last_entry;
    let mut entries = reader.entries(0, last, 16).expect("a small ensemble");
    let mut count = 0;
    while let Some(entry) = entries.next().await {
        let entry = entry.expect("it is readable");
        assert_eq!((entry.entry, entry.payload), (count, payload(count)));
        count += 1;
    }
    count
}

/// Payload of the entry with this number, of different lengths.
pub(crate) fn payload(number: i64) -> Bytes {
    let length = 10 + number as usize * 7 % 300;
    let mut payload = format!("entry {number} ").into_bytes();
    payload.resize(length.max(payload.len()), b'.');
    payload.into()
}
