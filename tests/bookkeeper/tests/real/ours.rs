//! Our client, and what the tests do with it.

use core::future::Future;
use core::time::Duration;

use bytes::Bytes;
use distributedlog_bookkeeper::driver::zookeeper::{Session, SessionSettings};
use distributedlog_bookkeeper::driver::{
    Appended, Client, LedgerAccess, LedgerOptions, LedgerReader, LedgerWriter, Sessions, Settings,
};
use distributedlog_bookkeeper::entry::Entry;
use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::peer::LedgerEntry;
use distributedlog_tests::process::STEP_TIMEOUT;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Returns a client of ours, which knows the bookies.
pub(crate) async fn client(cluster: &Cluster) -> Client {
    let servers = cluster.zk_servers();
    let sessions = Sessions::start(move || {
        let servers = servers.clone();
        Box::pin(async move {
            let settings = SessionSettings {
                session_timeout: Duration::from_secs(5),
                ..SessionSettings::default()
            };
            Session::connect(&servers, &settings).await
        })
    });
    let sessions = sessions.await.expect("ZooKeeper is up");
    let client = Client::new(Settings::default(), sessions, "/ledgers").await;
    let client = client.expect("the cluster is formatted");
    until_bookies(&client, cluster.bookies()).await;
    client
}

/// Waits for a step, which takes this long only if it hangs.
pub(crate) async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(STEP_TIMEOUT, step).await;
    done.unwrap_or_else(|_| panic!("{what} does not end"))
}

/// Waits until the client knows so many bookies that take new ledgers.
pub(crate) async fn until_bookies(client: &Client, count: usize) {
    let known = async {
        while client.bookies().len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("learning of the bookies", known).await;
}

/// Access to a ledger with this password.
pub(crate) fn access(password: &'static str) -> LedgerAccess {
    LedgerAccess {
        password: Bytes::from_static(password.as_bytes()),
        ..LedgerAccess::default()
    }
}

/// Creates a ledger as DistributedLog's.
pub(crate) async fn create(client: &Client) -> LedgerWriter {
    let created = client.create(&LedgerOptions::default()).await;
    created.expect("there are three bookies")
}

/// Payload of the entry with this number.
pub(crate) fn payload(number: i64) -> Bytes {
    let mut payload = format!("ours-{number}-").into_bytes();
    let size = usize::try_from(number * 37 % 1000).expect("a number of an entry");
    payload.resize(payload.len() + size, b'.');
    payload.into()
}

/// Appends entries without waiting. Their outcomes come from the receiver.
pub(crate) fn append(
    writer: &LedgerWriter,
    entries: core::ops::Range<i64>,
) -> UnboundedReceiver<(i64, Appended)> {
    let (sender, outcomes) = unbounded_channel();
    for number in entries {
        let sender = sender.clone();
        let entry = writer.append_with(&payload(number), move |appended| {
            sender.send((number, appended)).ok();
        });
        assert_eq!(entry, Ok(number));
    }
    outcomes
}

/// Appends entries, and waits until all are confirmed.
pub(crate) async fn confirm(writer: &LedgerWriter, entries: core::ops::Range<i64>) {
    for (number, appended) in all(append(writer, entries)).await {
        assert_eq!(appended, Appended::Confirmed(number));
    }
}

/// Waits for all outcomes.
pub(crate) async fn all(mut outcomes: UnboundedReceiver<(i64, Appended)>) -> Vec<(i64, Appended)> {
    let mut all = Vec::new();
    while let Some(outcome) = within("an append", outcomes.recv()).await {
        all.push(outcome);
    }
    all
}

/// Appends entries, a hundred at the same time, until the ledger is closed. Returns all outcomes.
pub(crate) async fn append_until_closed(writer: &LedgerWriter) -> Vec<(i64, Appended)> {
    let (sender, mut outcomes) = unbounded_channel();
    let mut ended = Vec::new();
    for number in 0.. {
        let sender = sender.clone();
        let taken = writer.append_with(&payload(number), move |appended| {
            sender.send((number, appended)).ok();
        });
        if taken != Ok(number) {
            break;
        }
        if number >= 100 {
            ended.extend(within("an append", outcomes.recv()).await);
        }
    }
    drop(sender);
    ended.extend(all(outcomes).await);
    ended
}

/// Reads all entries of a closed ledger.
pub(crate) async fn read(reader: &LedgerReader) -> Vec<Entry> {
    read_to(reader, reader.metadata().metadata.last_entry).await
}

/// Reads the entries up to this one.
pub(crate) async fn read_to(reader: &LedgerReader, last: i64) -> Vec<Entry> {
    let mut entries = reader.entries(0, last, 16).expect("a small ensemble");
    let mut read = Vec::new();
    while let Some(entry) = entries.next().await {
        read.push(entry.expect("two bookies have it"));
    }
    read
}

/// Asserts that Java has read what ours has written.
pub(crate) fn assert_ours(read: &[LedgerEntry]) {
    for (number, entry) in (0..).zip(read) {
        assert_eq!(entry.entry, number);
        assert_eq!(entry.payload, payload(number), "entry {number}");
    }
}

/// Asserts that ours has read what Java has written, and as Java reads it.
pub(crate) fn assert_same(ours: &[Entry], java: &[LedgerEntry]) {
    assert_eq!(ours.len(), java.len());
    for (ours, java) in ours.iter().zip(java) {
        assert_eq!(ours.entry, java.entry);
        assert_eq!(ours.payload, java.payload, "entry {}", java.entry);
    }
}
