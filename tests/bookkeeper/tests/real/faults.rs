//! Faults between clients and servers, as Java's client sees them.

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LedgerPeer;
use distributedlog_bookkeeper_tests::relay::Mode;

async fn relayed(bookies: usize) -> Cluster {
    let builder = Cluster::builder(Version::V4_17);
    builder.bookies(bookies).relays(true).start().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn clients_reach_bookies_through_relays_that_hold_and_cut() {
    let cluster = relayed(3).await;
    let mut client = LedgerPeer::start(cluster.version(), &cluster.zk_servers(), &[]).await;
    let ledger = client.create([3, 3, 3], "").await;
    client.add(ledger, 10, "").await;
    for index in 0..3 {
        assert_eq!(cluster.relay(index).accepted(), 1, "bookie {index}");
    }

    // Nothing is acknowledged by two of three, until the third answers.
    cluster.relay(0).set_replies(Mode::Hold);
    client.peer.send(&format!("add {ledger} 1")).await;
    let line = client.peer.next();
    let early = tokio::time::timeout(core::time::Duration::from_millis(500), line).await;
    assert!(early.is_err(), "{early:?}");
    cluster.relay(0).set_replies(Mode::Pass);
    assert_eq!(
        client.peer.rest().await.expect("it is acknowledged").len(),
        1
    );

    // One that is cut is replaced in a wider cluster only.
    cluster.relay(1).set(Mode::Cut);
    let failed = client.peer.command(&format!("add {ledger} 1")).await;
    assert!(failed.is_err_and(|error| error.contains("NotEnoughBookies")));
    cluster.relay(1).set(Mode::Pass);
    let (end, _) = client.read(ledger, "").await;
    assert_eq!(end.closed, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_stopped_or_swallowed_bookie_is_replaced() {
    let cluster = relayed(5).await;
    let settings = [
        "addEntryTimeoutSec=1",
        "readEntryTimeoutSec=1",
        "timeoutMonitorIntervalSec=1",
    ];
    let mut client = LedgerPeer::start(cluster.version(), &cluster.zk_servers(), &settings).await;
    // Two spares for an ensemble of three.
    let ledger = client.create([3, 3, 3], "").await;
    client.add(ledger, 10, "").await;
    let of_ensemble = |index: &usize| cluster.relay(*index).accepted() > 0;
    let ensemble: Vec<usize> = (0..5).filter(of_ensemble).collect();
    assert_eq!(ensemble.len(), 3);
    cluster.relay(ensemble[0]).set_requests(Mode::Swallow);
    client.add(ledger, 10, "").await;
    cluster.pause_bookie(ensemble[1]);
    client.add(ledger, 10, "").await;
    assert_eq!(client.close(ledger).await.lac, 29);
    cluster.resume_bookie(ensemble[1]).await;
    cluster.relay(ensemble[0]).set(Mode::Pass);
    let (_, read) = client.read(ledger, "").await;
    assert_eq!(read.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn registrations_end_with_sessions_while_zookeeper_is_stopped() {
    let builder = Cluster::builder(Version::V4_17).setting("zkTimeout", "2000");
    let cluster = builder.relays(true).start().await;
    let mut client = LedgerPeer::start(cluster.version(), &cluster.zk_servers(), &[]).await;
    let ledger = client.create([3, 3, 2], "").await;
    client.add(ledger, 10, "").await;

    // Entries need no ZooKeeper.
    cluster.pause_zookeeper().await;
    client.add(ledger, 10, "").await;
    // Beyond the session's timeout: time is what this is about.
    tokio::time::sleep(core::time::Duration::from_secs(4)).await;
    cluster.resume_zookeeper().await;
    for index in 0..3 {
        cluster.until_writable(index).await;
    }
    client.add(ledger, 10, "").await;
    assert_eq!(client.close(ledger).await.lac, 29);

    cluster.kill_zookeeper().await;
    cluster.restart_zookeeper().await;
    for index in 0..3 {
        cluster.until_writable(index).await;
    }
    let ledger = client.create_when_possible([3, 3, 2], "").await;
    client.add(ledger, 10, "").await;
}
