//! Ledgers that Java's clients write and read: the peers that ours is compared with.

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LedgerPeer;
use distributedlog_bookkeeper_tests::shared::on_shared;

/// Ensemble size, write quorum and ack quorum of DistributedLog's ledgers.
const QUORUMS: [u32; 3] = [3, 3, 2];

/// Setting that makes the client of 4.17 write ledger metadata that the one of 4.5 can read.
const TEXT_METADATA: &str = "ledgerMetadataVersion=2";

fn client_settings(version: Version) -> &'static [&'static str] {
    match version {
        Version::V4_5 => &[],
        Version::V4_17 => &[TEXT_METADATA],
    }
}

/// Returns clients of both versions, the older first.
async fn clients(cluster: &Cluster) -> [LedgerPeer; 2] {
    let start = async |version| {
        let settings = client_settings(version);
        LedgerPeer::start(version, &cluster.zk_servers(), settings).await
    };
    [start(Version::V4_5).await, start(Version::V4_17).await]
}

async fn ledgers_of_each_client_are_read_by_the_other(cluster: &Cluster) {
    let [mut old, mut new] = clients(cluster).await;
    exchange(&mut old, &mut new).await;
    exchange(&mut new, &mut old).await;
}

async fn exchange(writer: &mut LedgerPeer, reader: &mut LedgerPeer) {
    let ledger = writer.create(QUORUMS, "password=secret").await;
    let added = writer.add(ledger, 100, "size=1000 window=10").await;
    let end = writer.close(ledger).await;
    assert_eq!((end.lac, end.length), (99, 100_000));

    let (end, read) = reader.read(ledger, "password=secret").await;
    assert_eq!((end.lac, end.length, end.closed), (99, 100_000, Some(true)));
    assert_eq!(read.len(), added.len());
    for (read, added) in read.iter().zip(&added) {
        assert_eq!((read.entry, &read.payload), (added.entry, &added.payload));
        assert_eq!(read.length, Some((added.entry + 1) * 1000));
    }
    reader.delete(ledger).await;
    assert!(
        writer
            .peer
            .command(&format!("read {ledger}"))
            .await
            .is_err()
    );
}

async fn a_killed_clients_ledger_is_recovered(cluster: &Cluster) {
    let [mut old, new] = clients(cluster).await;
    let mut writer = new;
    let ledger = writer.create(QUORUMS, "").await;
    writer.begin_to_add(ledger, 50, "window=20").await;
    let acknowledged = writer.kill_9().await;
    // Nobody has closed it: what its entries say is all that a reader without recovery knows.
    let (peeked, _) = old.peek(ledger, "").await;
    assert_eq!(peeked.closed, Some(false));
    let end = old.recover(ledger, "").await;
    let last = acknowledged.last().expect("50 of them").entry;
    assert!(
        peeked.lac <= end.lac && last <= end.lac,
        "{peeked:?}, {end:?}, {last}"
    );
    let (read_end, read) = old.read(ledger, "").await;
    assert_eq!((read_end.lac, read_end.closed), (end.lac, Some(true)));
    for entry in acknowledged {
        let index = usize::try_from(entry.entry).expect("an entry's id");
        assert_eq!(
            read.get(index).map(|read| &read.payload),
            Some(&entry.payload)
        );
    }
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn ledgers_of_each_java_client_are_read_by_the_other_on_4_17() {
    on_shared(Version::V4_17, ledgers_of_each_client_are_read_by_the_other);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn ledgers_of_each_java_client_are_read_by_the_other_on_4_5() {
    on_shared(Version::V4_5, ledgers_of_each_client_are_read_by_the_other);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn a_killed_java_clients_ledger_is_recovered_on_4_17() {
    on_shared(Version::V4_17, a_killed_clients_ledger_is_recovered);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn a_killed_java_clients_ledger_is_recovered_on_4_5() {
    on_shared(Version::V4_5, a_killed_clients_ledger_is_recovered);
}
