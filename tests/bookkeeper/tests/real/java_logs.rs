//! Logs that DistributedLog's core in Java writes and reads, in two versions.

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::{LogPeer, LogRecord};
use distributedlog_bookkeeper_tests::shared::on_shared;

/// Settings of the core of this version, and these.
async fn core(version: Version, uri: &str, name: &str, settings: &[&str]) -> LogPeer {
    // What makes BookKeeper 4.17 write ledger metadata that 4.5 can read.
    let shared: &[&str] = match version {
        Version::V4_5 => &[],
        Version::V4_17 => &["bkc.ledgerMetadataVersion=2"],
    };
    LogPeer::start(version, uri, name, &[shared, settings].concat()).await
}

/// Position and payload of each record.
fn placed(records: &[LogRecord]) -> Vec<([i64; 3], String)> {
    let placed = records.iter().map(|record| (record.dlsn, record.text()));
    placed.collect()
}

async fn logs_of_each_core_are_read_by_the_other(cluster: &Cluster) {
    let uri = cluster.bind("/messaging/each-other").await;
    let mut old = core(Version::V4_5, &uri, "old", &[]).await;
    let mut new = core(Version::V4_17, &uri, "new", &["compressionType=lz4"]).await;
    exchange("a", &mut old, &mut new).await;
    exchange("b", &mut new, &mut old).await;
    assert_eq!(old.list().await, ["a", "b"]);
    old.delete("a").await;
    assert_eq!(new.list().await, ["b"]);
}

async fn exchange(log: &str, writer: &mut LogPeer, reader: &mut LogPeer) {
    writer.create(log).await;
    writer.open(log).await;
    let refused = reader.try_open(log).await;
    assert!(refused.is_err_and(|error| error.contains("OwnershipAcquireFailed")));

    let mut written = writer.write(log, 3, "prefix=single").await;
    written.extend(writer.bulk(log, 4, "prefix=bulk").await);
    assert_eq!(written.iter().map(|record| record.dlsn[2]).max(), Some(3));
    let plain = writer.set(log, 5, "prefix=plain").await;
    let lz4 = writer.set(log, 6, "prefix=lz4 codec=LZ4").await;

    // The set's records are at the slots of its entry.
    let expanded = |set: &LogRecord, prefix: &str, count: i64| {
        let [segment, entry, slot] = set.dlsn;
        let records = (0..count).map(|n| ([segment, entry, slot + n], format!("{prefix}-{n}")));
        records.collect::<Vec<_>>()
    };
    let mut expected = placed(&written);
    expected.extend(expanded(&plain, "plain", 5));
    expected.extend(expanded(&lz4, "lz4", 6));
    // While its writer lives, and once it has closed the log.
    let tailed = reader.tail(log, [0, 0, 0], expected.len()).await;
    assert_eq!(placed(&tailed), expected);
    writer.close(log).await;
    assert_eq!(placed(&reader.read(log).await), expected);

    let sets = reader.read_sets(log).await;
    let sets: Vec<&LogRecord> = sets.iter().filter(|record| record.set).collect();
    assert_eq!(
        sets.iter().map(|set| set.dlsn).collect::<Vec<_>>(),
        [plain.dlsn, lz4.dlsn]
    );
    let payloads = sets.iter().map(|set| &set.payload).collect::<Vec<_>>();
    assert_eq!(payloads, [&plain.payload, &lz4.payload]);
}

async fn owners_that_are_killed_follow_each_other(cluster: &Cluster) {
    let uri = cluster.bind("/messaging/owners").await;
    let mut acknowledged = Vec::new();
    for (round, version) in [Version::V4_5, Version::V4_17, Version::V4_5]
        .into_iter()
        .enumerate()
    {
        let name = format!("owner-{round}");
        let mut owner = core(version, &uri, &name, &["zkSessionTimeoutSeconds=2"]).await;
        owner.open("log").await;
        owner
            .begin_to_write("log", 20, &format!("prefix={name} window=5"))
            .await;
        acknowledged.extend(owner.kill_9().await);
        // The killed owner's lock ends with its session.
        cluster
            .until_no_children("/messaging/owners/log/<default>/lock")
            .await;
    }
    let mut last = core(Version::V4_17, &uri, "last", &[]).await;
    last.recover("log").await;
    let recovered = last.segments("log").await;
    assert_eq!(
        recovered
            .iter()
            .map(|segment| segment.sequence)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(
        recovered.iter().all(|segment| !segment.in_progress),
        "{recovered:?}"
    );
    let read = placed(&last.read("log").await);
    for record in placed(&acknowledged) {
        assert!(read.contains(&record), "{record:?} is lost");
    }

    last.open("log").await;
    last.truncate("log", [2, 0, 0]).await;
    last.close("log").await;
    let segments = last.segments("log").await;
    assert!(
        segments.first().is_some_and(|segment| segment.truncated),
        "{segments:?}"
    );
    let kept: Vec<_> = read.into_iter().filter(|(dlsn, _)| dlsn[0] > 1).collect();
    assert_eq!(placed(&last.read("log").await), kept);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn logs_of_each_java_core_are_read_by_the_other_on_4_17() {
    on_shared(Version::V4_17, logs_of_each_core_are_read_by_the_other);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn logs_of_each_java_core_are_read_by_the_other_on_4_5() {
    on_shared(Version::V4_5, logs_of_each_core_are_read_by_the_other);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_owners_that_are_killed_follow_each_other_on_4_17() {
    on_shared(Version::V4_17, owners_that_are_killed_follow_each_other);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_owners_that_are_killed_follow_each_other_on_4_5() {
    on_shared(Version::V4_5, owners_that_are_killed_follow_each_other);
}
