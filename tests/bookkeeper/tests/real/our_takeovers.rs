//! Ledgers whose writer lives while another client recovers or deletes them.

use distributedlog_bookkeeper::driver::{Appended, Client, LedgerAccess, LedgerWriter};
use distributedlog_bookkeeper::ledger::CloseReason;
use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::{LedgerEnd, LedgerPeer};
use distributedlog_bookkeeper_tests::shared::on_shared;

use crate::ours::{
    access, all, append, append_until_closed, assert_ours, client, create, read, within,
};

async fn java(cluster: &Cluster) -> LedgerPeer {
    LedgerPeer::start(Version::V4_17, &cluster.zk_servers(), &[]).await
}

/// Asserts that each outcome says where the entry is in the ledger with this end.
fn assert_outcomes(outcomes: &[(i64, Appended)], last: i64) {
    for &(number, appended) in outcomes {
        match appended {
            Appended::Confirmed(_) | Appended::Written(_) => assert!(number <= last, "{number}"),
            Appended::NotWritten => assert!(number > last, "{number} of {last}"),
            Appended::Unknown => panic!("the ledger is closed: {number} is known"),
        }
    }
}

/// Asserts that another client has closed the writer's ledger at this entry.
async fn assert_taken(writer: &LedgerWriter, last: i64) {
    let end = within("the writer", writer.ended()).await;
    assert_eq!((end.last_entry, end.lost_confirmed), (Some(last), false));
    let taken = matches!(end.reason, CloseReason::Refused(_) | CloseReason::TakenOver);
    assert!(taken, "{:?}", end.reason);
}

async fn java_takes_a_ledger_from_our_writer(cluster: &Cluster) {
    let ours = client(cluster).await;
    let mut peer = java(cluster).await;
    let writer = create(&ours).await;
    let ledger = writer.ledger();
    let (outcomes, taken) = tokio::join!(append_until_closed(&writer), peer.recover(ledger, ""));
    assert_outcomes(&outcomes, taken.lac);
    assert_taken(&writer, taken.lac).await;
    let (_, read) = peer.read(ledger, "").await;
    assert_eq!(i64::try_from(read.len()), Ok(taken.lac + 1));
    assert_ours(&read);
}

async fn we_take_a_ledger_from_javas_writer(cluster: &Cluster) {
    let ours = client(cluster).await;
    let mut peer = java(cluster).await;
    let ledger = peer.create([3, 3, 2], "").await;
    peer.begin_to_add(ledger, 100, "window=20").await;
    let taken = ours.recover(ledger, &LedgerAccess::default()).await;
    let entries = read(&taken.expect("three bookies")).await;
    let refused = peer.peer.rest().await;
    assert!(refused.is_err_and(|error| error.contains("LedgerFenced")));
    let acknowledged = peer.kill_9().await;
    assert!(entries.len() >= acknowledged.len());
    for (entry, acknowledged) in entries.iter().zip(&acknowledged) {
        assert_eq!(
            (entry.entry, &entry.payload[..]),
            (acknowledged.entry, &acknowledged.payload[..])
        );
    }
}

/// Last entry of a ledger that this client recovers.
async fn end(client: Client, ledger: i64) -> i64 {
    let recovered = client.recover(ledger, &LedgerAccess::default()).await;
    recovered
        .expect("three bookies")
        .metadata()
        .metadata
        .last_entry
}

async fn three_recoverers_and_the_writer_agree(cluster: &Cluster) {
    let ours = client(cluster).await;
    let mut peer = java(cluster).await;
    for _ in 0..5 {
        let writer = create(&ours).await;
        let ledger = writer.ledger();
        let (first, second) = (client(cluster).await, client(cluster).await);
        // Java's recovery gives up when another has closed the ledger elsewhere; it is tried again.
        let java = async {
            loop {
                if let Ok(lines) = peer.peer.command(&format!("recover {ledger}")).await {
                    break lines.into_iter().next().expect("the ledger's end");
                }
            }
        };
        let (outcomes, first, second, java) = tokio::join!(
            append_until_closed(&writer),
            end(first, ledger),
            end(second, ledger),
            java
        );
        let java: LedgerEnd = distributedlog_bookkeeper_tests::peer::parse(java);
        assert_eq!((first, second), (java.lac, java.lac));
        assert_outcomes(&outcomes, first);
        assert_taken(&writer, first).await;
    }
}

async fn a_deleted_ledgers_writer_is_stopped(cluster: &Cluster) {
    let ours = client(cluster).await;
    let mut peer = java(cluster).await;
    let ledger = peer.create([3, 3, 2], "password=x").await;
    peer.add(ledger, 10, "").await;
    ours.delete(ledger, &access("x")).await.expect("deleted");
    let refused = peer.peer.command(&format!("add {ledger} 1")).await;
    assert!(refused.is_err(), "{refused:?}");

    let writer = create(&ours).await;
    crate::ours::confirm(&writer, 0..10).await;
    peer.recover(writer.ledger(), "").await;
    peer.delete(writer.ledger()).await;
    let outcomes = all(append(&writer, 10..11)).await;
    assert_ne!(outcomes, [(10, Appended::Confirmed(10))]);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_takes_a_ledger_from_our_living_writer() {
    on_shared(Version::V4_17, java_takes_a_ledger_from_our_writer);
    on_shared(Version::V4_5, java_takes_a_ledger_from_our_writer);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn we_take_a_ledger_from_a_living_java_writer() {
    on_shared(Version::V4_17, we_take_a_ledger_from_javas_writer);
    on_shared(Version::V4_5, we_take_a_ledger_from_javas_writer);
}

/// T17.
#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn three_recoverers_and_the_living_writer_agree() {
    on_shared(Version::V4_17, three_recoverers_and_the_writer_agree);
}

/// T14.
#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn the_writer_of_a_deleted_ledger_is_stopped() {
    on_shared(Version::V4_17, a_deleted_ledgers_writer_is_stopped);
}
