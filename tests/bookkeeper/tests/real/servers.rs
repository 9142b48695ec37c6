//! The kit itself: what its faults do to the servers, as Java's client sees it.

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LedgerPeer;
use distributedlog_tests::process::STEP_TIMEOUT;

async fn client(cluster: &Cluster, settings: &[&str]) -> LedgerPeer {
    LedgerPeer::start(cluster.version(), &cluster.zk_servers(), settings).await
}

/// Waits until the client, which learns of bookies from ZooKeeper, finds fewer than three.
async fn until_too_few_bookies(client: &mut LedgerPeer) {
    let refused = async {
        loop {
            if let Err(error) = client.peer.command("create 3 3 2").await {
                return error;
            }
        }
    };
    let refused = tokio::time::timeout(STEP_TIMEOUT, refused).await;
    let error = refused.expect("the client learns of it");
    assert!(error.contains("NotEnoughBookies"), "{error}");
}

async fn started(cluster: Cluster) -> Cluster {
    println!("{:?} in {:?}", cluster.version(), cluster.started_in());
    cluster
}

async fn a_bookie_is_killed_restarted_and_wiped(version: Version) {
    let mut cluster = started(Cluster::start(version).await).await;
    let mut client = client(&cluster, &[]).await;
    let ledger = client.create([3, 3, 3], "").await;
    let added = client.add(ledger, 10, "").await;
    client.close(ledger).await;

    cluster.kill_bookie(0).await;
    assert_eq!(cluster.bookie_process(0), None);
    cluster.until_unregistered(0).await;
    until_too_few_bookies(&mut client).await;
    cluster.restart_bookie(0).await;
    cluster.kill_bookie(1).await;
    cluster.kill_bookie(2).await;
    // It has kept what it had.
    let (_, read) = client.read(ledger, "").await;
    assert_eq!(read.len(), added.len());

    cluster.restart_bookie(1).await;
    cluster.restart_bookie(2).await;
    cluster.wipe_bookie(0).await;
    cluster.restart_bookie(0).await;
    let ledger = client.create_when_possible([3, 3, 3], "").await;
    client.add(ledger, 10, "").await;
}

async fn a_bookie_is_read_only_by_setting_and_by_a_full_disk(version: Version) {
    let cluster = Cluster::builder(version).small_disk(1, 64).start().await;
    let mut cluster = started(cluster).await;
    let mut client = client(&cluster, &[]).await;
    cluster.make_read_only(0).await;
    until_too_few_bookies(&mut client).await;
    cluster.make_writable(0).await;

    let ledger = client.create_when_possible([3, 3, 3], "").await;
    client.add(ledger, 10, "").await;
    // An open one could not be recovered: that writes to all bookies.
    client.close(ledger).await;
    cluster.fill_disk(1).await;
    until_too_few_bookies(&mut client).await;
    // It still reads.
    let (end, _) = client.read(ledger, "").await;
    assert_eq!(end.lac, 9);
    cluster.free_disk(1).await;
    let ledger = client.create_when_possible([3, 3, 3], "").await;
    client.add(ledger, 10, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_bookie_of_4_17_is_killed_restarted_and_wiped() {
    a_bookie_is_killed_restarted_and_wiped(Version::V4_17).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_bookie_of_4_5_is_killed_restarted_and_wiped() {
    a_bookie_is_killed_restarted_and_wiped(Version::V4_5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_bookie_of_4_17_is_read_only_by_setting_and_by_a_full_disk() {
    a_bookie_is_read_only_by_setting_and_by_a_full_disk(Version::V4_17).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_bookie_of_4_5_is_read_only_by_setting_and_by_a_full_disk() {
    a_bookie_is_read_only_by_setting_and_by_a_full_disk(Version::V4_5).await;
}
