//! Faults of bookies and ZooKeeper under our client. What it has confirmed is read by Java's.

use core::time::Duration;
use std::time::Instant;

use distributedlog_bookkeeper::driver::{Appended, Client, LedgerAccess, LedgerWriter};
use distributedlog_bookkeeper::ledger::CloseReason;
use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LedgerPeer;
use distributedlog_bookkeeper_tests::relay::Mode;

use crate::ours::{
    all, append, assert_ours, client, confirm, create, payload, read, until_bookies, within,
};

async fn relayed(bookies: usize) -> (Cluster, Client) {
    let builder = Cluster::builder(Version::V4_17);
    let cluster = builder.bookies(bookies).relays(true).start().await;
    let client = client(&cluster).await;
    (cluster, client)
}

/// Closes the ledger, and asserts that Java reads these entries.
async fn close_and_read(cluster: &Cluster, writer: &LedgerWriter, entries: i64) {
    writer.close();
    let end = within("closing", writer.ended()).await;
    assert_eq!(
        (end.reason, end.last_entry),
        (CloseReason::Finished, Some(entries - 1))
    );
    java_reads(cluster, writer.ledger(), entries).await;
}

async fn java_reads(cluster: &Cluster, ledger: i64, entries: i64) {
    let mut java = LedgerPeer::start(Version::V4_17, &cluster.zk_servers(), &[]).await;
    let (end, read) = java.read(ledger, "").await;
    assert_eq!((end.lac, end.closed), (entries - 1, Some(true)));
    assert_eq!(i64::try_from(read.len()), Ok(entries));
    assert_ours(&read);
}

/// Index of the bookie at this place of the writer's last ensemble.
fn member(cluster: &Cluster, writer: &LedgerWriter, place: usize) -> usize {
    let stored = writer.metadata();
    let id = stored.metadata.last_segment().ensemble[place].to_string();
    let mut bookies = 0..cluster.bookies();
    bookies
        .find(|&index| cluster.bookie(index).to_string() == id)
        .expect("a bookie")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn our_writer_goes_on_with_two_bookies_of_three() {
    let (cluster, ours) = relayed(3).await;
    let writer = create(&ours).await;
    confirm(&writer, 0..100).await;
    cluster.relay(0).set(Mode::Cut);
    confirm(&writer, 100..300).await;
    assert_eq!(writer.failed_bookies(), 1);
    // What it missed was written by nobody; now it is a member again.
    cluster.relay(0).set(Mode::Pass);
    let back = async {
        let mut next = 300;
        while writer.failed_bookies() > 0 {
            confirm(&writer, next..next + 1).await;
            next += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        next
    };
    let next = within("trying it again", back).await;
    cluster.relay(1).set(Mode::Cut);
    confirm(&writer, next..next + 100).await;
    cluster.relay(1).set(Mode::Pass);
    close_and_read(&cluster, &writer, next + 100).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn our_writer_replaces_bookies_that_are_killed_stopped_or_silent() {
    let (mut cluster, ours) = relayed(6).await;
    let writer = create(&ours).await;
    confirm(&writer, 0..100).await;
    let killed = member(&cluster, &writer, 0);
    cluster.kill_bookie(killed).await;
    confirm(&writer, 100..200).await;
    // T5: another fails while the change is under way.
    let (silent, stopped) = (member(&cluster, &writer, 1), member(&cluster, &writer, 2));
    cluster.relay(silent).set_replies(Mode::Swallow);
    cluster.pause_bookie(stopped);
    confirm(&writer, 200..1000).await;
    let replaced = async {
        let named = |index: usize| {
            let stored = writer.metadata();
            let id = cluster.bookie(index).to_string();
            let ensemble = &stored.metadata.last_segment().ensemble;
            ensemble.iter().any(|bookie| bookie.to_string() == id)
        };
        while named(killed) || named(silent) || named(stopped) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("replacing all three", replaced).await;
    confirm(&writer, 1000..1100).await;
    cluster.resume_bookie(stopped).await;
    cluster.relay(silent).set(Mode::Pass);
    cluster.restart_bookie(killed).await;
    close_and_read(&cluster, &writer, 1100).await;
}

/// T3, T1: replies of one bookie do not come, and requests to one do not arrive.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn our_recovery_waits_for_no_silent_bookie() {
    let (cluster, ours) = relayed(3).await;
    for round in 0..3 {
        let writer = create(&ours).await;
        confirm(&writer, 0..50).await;
        let other = client(&cluster).await;
        match round {
            0 => cluster.relay(round).set_replies(Mode::Hold),
            _ => cluster.relay(round).set_requests(Mode::Hold),
        }
        let began = Instant::now();
        let recovered = other
            .recover(writer.ledger(), &LedgerAccess::default())
            .await;
        let took = began.elapsed();
        let recovered = recovered.expect("two bookies answer");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert_eq!(recovered.metadata().metadata.last_entry, 49);
        let late = all(append(&writer, 50..51)).await;
        assert_eq!(late, [(50, Appended::NotWritten)]);
        cluster.relay(round).set(Mode::Pass);
        assert_eq!(read(&recovered).await.len(), 50);
        java_reads(&cluster, writer.ledger(), 50).await;
    }
}

/// T11: a wiped bookie knows nothing of a ledger that is open.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_wiped_bookie_hides_nothing_from_our_client() {
    let (mut cluster, ours) = relayed(3).await;
    let writer = create(&ours).await;
    confirm(&writer, 0..49).await;
    // Its header says that those before it are confirmed.
    confirm(&writer, 49..50).await;
    let ledger = writer.ledger();
    drop(writer);
    cluster.wipe_bookie(1).await;
    cluster.restart_bookie(1).await;
    until_bookies(&ours, 3).await;
    let reader = ours
        .open(ledger, &LedgerAccess::default())
        .await
        .expect("it is there");
    let known = reader.last_confirmed().await.expect("two bookies know it");
    assert!(known >= 48, "{known}");
    let recovered = ours.recover(ledger, &LedgerAccess::default()).await;
    assert_eq!(read(&recovered.expect("two bookies")).await.len(), 50);
    java_reads(&cluster, ledger, 50).await;
}

/// T4: nothing is confirmed beyond what the metadata names.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn bookies_fail_one_by_one_while_zookeeper_is_stopped() {
    let (cluster, ours) = relayed(5).await;
    let writer = create(&ours).await;
    confirm(&writer, 0..50).await;
    let members = [0, 1].map(|place| member(&cluster, &writer, place));
    cluster.pause_zookeeper().await;
    for member in members {
        cluster.relay(member).set(Mode::Cut);
    }
    let mut outcomes = append(&writer, 50..100);
    let early = tokio::time::timeout(Duration::from_secs(1), outcomes.recv()).await;
    assert!(
        early.is_err(),
        "confirmed by bookies that the metadata does not name: {early:?}"
    );
    cluster.resume_zookeeper().await;
    for (number, appended) in all(outcomes).await {
        assert_eq!(appended, Appended::Confirmed(number));
    }
    close_and_read(&cluster, &writer, 100).await;
}

/// Bookies that stay in the ensemble confirm while ZooKeeper does not store its change.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn our_writer_goes_on_when_a_bookie_fails_while_zookeeper_is_stopped() {
    let (cluster, ours) = relayed(4).await;
    let writer = create(&ours).await;
    confirm(&writer, 0..50).await;
    let failing = member(&cluster, &writer, 0);
    cluster.pause_zookeeper().await;
    cluster.relay(failing).set(Mode::Cut);
    confirm(&writer, 50..500).await;
    let segments = writer.metadata().metadata.segments.len();
    assert_eq!(segments, 1, "ZooKeeper is stopped");
    cluster.resume_zookeeper().await;
    let replaced = async {
        while writer.metadata().metadata.segments.len() == 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("replacing the bookie", replaced).await;
    confirm(&writer, 500..600).await;
    close_and_read(&cluster, &writer, 600).await;
    // The new bookie has what was confirmed meanwhile.
    for place in [1, 2] {
        cluster
            .relay(member(&cluster, &writer, place))
            .set(Mode::Cut);
    }
    let opened = ours.open(writer.ledger(), &LedgerAccess::default()).await;
    let reader = opened.expect("it is there");
    for number in 50..600 {
        let arrived = async {
            loop {
                let mut entries = reader.entries(number, number, 1).expect("a small ensemble");
                if let Some(Ok(entry)) = entries.next().await {
                    break entry;
                }
            }
        };
        let entry = within("the new bookie's copy", arrived).await;
        assert_eq!(entry.payload, payload(number));
    }
}

/// T18: one bookie is stopped under load.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_stopped_bookie_costs_no_memory_and_no_progress() {
    const FOR: Duration = Duration::from_secs(10);
    let (cluster, ours) = relayed(3).await;
    let writer = create(&ours).await;
    confirm(&writer, 0..100).await;
    let before = resident_bytes();
    cluster.pause_bookie(2);
    let (began, mut next) = (Instant::now(), 100);
    while began.elapsed() < FOR {
        confirm(&writer, next..next + 500).await;
        next += 500;
    }
    assert_eq!(writer.failed_bookies(), 1);
    let grown = resident_bytes().saturating_sub(before);
    println!("{next} entries with a stopped bookie, memory grown by {grown} bytes");
    // The window of entries, and what is unanswered by one bookie, are 16 and 32 MiB.
    assert!(grown < 96 << 20, "{grown}");
    cluster.resume_bookie(2).await;
    writer.close();
    let end = within("closing", writer.ended()).await;
    assert_eq!(
        (end.reason, end.last_entry),
        (CloseReason::Finished, Some(next - 1))
    );
}

/// Memory of this process that is in use.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}
