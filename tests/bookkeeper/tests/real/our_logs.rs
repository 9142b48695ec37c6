//! What our write proxies acknowledge is what DistributedLog's core in Java reads, in two versions.

use core::time::Duration;

use distributedlog::Dlsn;
use distributedlog::writer::Codec;
use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::{LogPeer, LogRecord};
use distributedlog_bookkeeper_tests::shared::on_shared;
use distributedlog_reader::{LogReader, ReadEvent};
use distributedlog_tokio::{MultiStreamWriter, ProxyClient};

use crate::ours::within;
use crate::proxies::{OurProxy, placed, read, store};

type Written = Vec<(Dlsn, String)>;

/// Writes records one by one, this many at the same time.
async fn singles(client: &ProxyClient, stream: &str, prefix: &str, count: usize) -> Written {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let (client, stream) = (client.clone(), stream.to_owned());
        let text = format!("{prefix}-{number}");
        tasks.spawn(async move {
            let at = client.write(&stream, text.as_bytes()).await;
            (at.unwrap_or_else(|error| panic!("{error}")), text)
        });
    }
    let mut written = tasks.join_all().await;
    written.sort_unstable();
    written
}

async fn bulk(client: &ProxyClient, stream: &str, count: usize) -> Written {
    let records: Vec<String> = (0..count).map(|number| format!("bulk-{number}")).collect();
    let replies = client.write_bulk(stream, &records).await;
    let replies = replies.unwrap_or_else(|error| panic!("{error}"));
    let positions = replies.into_iter().map(|it| it.expect("it is written"));
    positions.zip(records).collect()
}

/// Writes record sets with this codec.
async fn sets(proxy: &OurProxy, stream: &str, codec: Codec, count: usize) -> Written {
    let settings = distributedlog::writer::Settings::builder().codec(codec);
    let writer = MultiStreamWriter::builder([stream])
        .proxies(format!("inet!{}", proxy.address))
        .settings(settings)
        .buffer_size(2048)
        .flush_interval(Duration::from_millis(5))
        .request_timeout(Duration::from_secs(30))
        // A set in a stream twice is no failure, but another test's.
        .speculative_timeouts(Duration::from_secs(20), Duration::from_secs(20))
        .build()
        .await
        .expect("the proxy listens");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let (writer, text) = (
            writer.clone(),
            format!("{codec:?}-{number}-{}", "x".repeat(40)),
        );
        tasks.spawn(async move {
            let written = writer.write(text.as_bytes()).await;
            (
                written.unwrap_or_else(|error| panic!("{error:?}")).dlsn,
                text,
            )
        });
    }
    let mut written = tasks.join_all().await;
    written.sort_unstable();
    writer.close().await;
    written
}

/// Asserts what a reader may expect of the log beyond positions and payloads.
fn assert_numbers(read: &[LogRecord]) {
    let ascend = read.is_sorted_by_key(|it| it.txid);
    assert!(ascend, "transaction ids do not ascend");
    let numbers: Vec<i64> = read.iter().filter_map(|it| it.sequence_id).collect();
    assert_eq!(numbers.len(), read.len());
    assert!(
        numbers.is_sorted(),
        "sequence ids do not ascend: {numbers:?}"
    );
}

async fn java_reads_what_our_proxy_acknowledges(cluster: &Cluster) {
    let uri = cluster.bind("/messaging/our-proxy").await;
    let mut old = LogPeer::start(Version::V4_5, &uri, "old", &[]).await;
    let mut new = LogPeer::start(Version::V4_17, &uri, "new", &[]).await;
    for (log, settings) in [
        ("plain", &["--segment-bytes=1500"][..]),
        (
            "compressed",
            &["--segment-bytes=1500", "--compress-entries"],
        ),
    ] {
        old.create(log).await;
        let proxy = OurProxy::start(&uri, settings).await;
        let client = proxy.client().await;
        let count = 1 + 300 + 40 + 200 + 200;
        // Read while it is written, by both, and once the log is closed. The readers begin
        // first: one that begins while the first segments are completed may miss them. It lists
        // the nodes, reads each, and takes one that was renamed in between for a deleted one.
        for peer in [&mut old, &mut new] {
            peer.begin_to_tail(log, count).await;
        }
        let mut written = singles(&client, log, "one", 1).await;
        let [mut by_old, mut by_new] = [Vec::new(), Vec::new()];
        old.tailed(log, count, 1, &mut by_old).await;
        new.tailed(log, count, 1, &mut by_new).await;
        let write = async {
            let mut written = Vec::new();
            for part in 0..10 {
                written.extend(singles(&client, log, &format!("many-{part}"), 30).await);
            }
            written.extend(bulk(&client, log, 40).await);
            written.extend(sets(&proxy, log, Codec::None, 200).await);
            written.extend(sets(&proxy, log, Codec::Lz4, 200).await);
            written
        };
        let (rest, (), ()) = tokio::join!(
            write,
            old.tailed(log, count, count, &mut by_old),
            new.tailed(log, count, count, &mut by_new)
        );
        written.extend(rest);
        for (peer, tailed) in [(&mut old, by_old), (&mut new, by_new)] {
            assert_eq!(placed(&tailed), written, "{log}");
            assert_eq!(peer.peer.next().await, Ok(None));
        }
        client.release(log).await.expect("it is the owner");
        for peer in [&mut old, &mut new] {
            let read = peer.read_count(log, count).await;
            assert_eq!(placed(&read), written, "{log}");
            assert_numbers(&read);
            let segments = peer.segments(log).await;
            assert!(segments.len() > 2, "{segments:?}");
            let ended = segments.iter().all(|segment| !segment.in_progress);
            assert!(ended, "{segments:?}");
            let mut start = None;
            for segment in &segments {
                let expected = start.unwrap_or(segment.start_sequence_id);
                assert_eq!(segment.start_sequence_id, expected, "{segments:?}");
                start = Some(segment.start_sequence_id + segment.records);
            }
            let records: i64 = segments.iter().map(|segment| segment.records).sum();
            assert_eq!(usize::try_from(records), Ok(count), "{segments:?}");
        }
        let ours = read(&store(&uri).await, log).await;
        assert_eq!(ours, written, "{log}");
        println!("{log}: {count} records read by 0.5.0 and 4.17.3");
    }
}

/// After a change of segments with no further record, Java's readers find nothing wrong: they give
/// up on a ledger that no bookie knows for ten seconds.
async fn java_tails_a_log_that_rests_behind_a_change_of_segments(cluster: &Cluster) {
    const REST: Duration = Duration::from_secs(13);
    let uri = cluster.bind("/messaging/our-rest").await;
    let mut old = LogPeer::start(Version::V4_5, &uri, "old", &[]).await;
    let mut new = LogPeer::start(Version::V4_17, &uri, "new", &[]).await;
    old.create("log").await;
    let proxy = OurProxy::start(&uri, &["--segment-bytes=1"]).await;
    let client = proxy.client().await;
    for peer in [&mut old, &mut new] {
        peer.begin_to_tail("log", 10).await;
    }
    let mut written = Vec::new();
    let mut tailed = [Vec::new(), Vec::new()];
    for number in 0..10 {
        written.extend(singles(&client, "log", &format!("one-{number}"), 1).await);
        for (peer, tailed) in [&mut old, &mut new].into_iter().zip(&mut tailed) {
            tailed.extend(peer.acknowledged(1).await);
        }
        if number == 8 {
            tokio::time::sleep(REST).await;
        }
    }
    for tailed in &tailed {
        assert_eq!(placed(tailed), written);
    }
}

/// Our reader follows a writer of Java's over its segments, its death, and a proxy of ours.
async fn our_reader_tails_java(cluster: &Cluster, version: Version) {
    const RECORDS: usize = 400;
    let uri = cluster.bind(&format!("/messaging/tail-{version:?}")).await;
    let settings = [
        "bkc.ledgerMetadataVersion=2",
        "zkSessionTimeoutSeconds=2",
        "maxLogSegmentBytes=2500",
        "logSegmentRollingMinutes=0",
        "logSegmentRollingConcurrency=3",
        "compressionType=lz4",
    ];
    let mut java = LogPeer::start(version, &uri, "java", &settings).await;
    java.create("log").await;
    let name = "log".parse().expect("a valid name");
    let mut reader = LogReader::new(store(&uri).await, name, Dlsn::INITIAL);
    java.open("log").await;
    java.begin_to_write("log", 1, "window=8").await;
    let mut tailed = Vec::new();
    tail(&mut reader, RECORDS, &mut tailed).await;
    let acknowledged = java.kill_9().await;
    cluster
        .until_no_children(&format!("/messaging/tail-{version:?}/log/<default>/lock"))
        .await;
    let proxy = OurProxy::start(&uri, &[]).await;
    let late = singles(&proxy.client().await, "log", "ours", 10).await;
    let last = late.last().expect("ten records").0;
    while tailed.last().is_none_or(|(at, _)| *at < last) {
        let goal = tailed.len() + 1;
        tail(&mut reader, goal, &mut tailed).await;
    }
    assert!(tailed.is_sorted_by(|one, next| one.0 < next.0));
    let acknowledged = placed(&acknowledged);
    assert_eq!(acknowledged, tailed[..acknowledged.len()]);
    assert_eq!(late, tailed[tailed.len() - late.len()..]);
    println!(
        "{version:?}: {} acknowledged by Java and {} by us, {} records tailed in segments 1 to {}",
        acknowledged.len(),
        late.len(),
        tailed.len(),
        last.log_segment_sequence_no
    );
}

/// Reads on until it has this many records.
async fn tail(reader: &mut LogReader, count: usize, tailed: &mut Written) {
    while tailed.len() < count {
        let event = within("a record", reader.next()).await;
        let ReadEvent::Record(record) = event.expect("it is readable") else {
            panic!("a set that Java wrote is malformed");
        };
        let text = String::from_utf8_lossy(&record.payload).into_owned();
        tailed.push((record.dlsn, text));
    }
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn our_reader_tails_what_java_writes() {
    on_shared(Version::V4_17, async |cluster| {
        our_reader_tails_java(cluster, Version::V4_17).await;
        our_reader_tails_java(cluster, Version::V4_5).await;
    });
    on_shared(Version::V4_5, async |cluster| {
        our_reader_tails_java(cluster, Version::V4_5).await;
    });
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_reads_what_our_proxy_acknowledges_on_4_17() {
    on_shared(Version::V4_17, java_reads_what_our_proxy_acknowledges);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_reads_what_our_proxy_acknowledges_on_4_5() {
    on_shared(Version::V4_5, java_reads_what_our_proxy_acknowledges);
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_tails_our_log_that_rests_behind_a_change_of_segments() {
    on_shared(
        Version::V4_17,
        java_tails_a_log_that_rests_behind_a_change_of_segments,
    );
}
