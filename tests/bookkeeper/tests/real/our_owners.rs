//! Java's writers and our proxies follow each other as owners of the same streams, each killed.

use core::time::Duration;
use std::time::Instant;

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LogPeer;
use distributedlog_bookkeeper_tests::shared::on_shared;

use crate::proxies::{Known, Load, OurProxy, placed, read, store};

/// Number of owners that follow each other, unless `BOOKKEEPER_ROUNDS` says another.
const ROUNDS: usize = 12;

const STREAMS: [&str; 3] = ["a", "b", "c"];

/// Segments of a few dozen records, so that kills meet starts, rolls and completions.
const OUR_SETTINGS: [&str; 2] = ["--segment-bytes=2500", "--session-timeout=1s"];

fn rounds() -> usize {
    let variable = std::env::var("BOOKKEEPER_ROUNDS").ok();
    variable.map_or(ROUNDS, |text| text.parse().expect("a number of rounds"))
}

/// Milliseconds until an owner is killed: other ones in each round, the same in each run.
fn life(round: usize) -> Duration {
    let mixed = (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_millis(50 + mixed % 500)
}

/// Starts a writer of Java's, in both versions by turns.
async fn java(uri: &str, round: usize) -> LogPeer {
    let version = Version::ALL[round / 2 % Version::ALL.len()];
    let settings = [
        "bkc.ledgerMetadataVersion=2",
        "zkSessionTimeoutSeconds=1",
        "maxLogSegmentBytes=2500",
        "logSegmentRollingMinutes=0",
        "logSegmentRollingConcurrency=3",
        "compressionType=lz4",
    ];
    LogPeer::start(version, uri, &format!("java-{round}"), &settings).await
}

/// One of our proxies writes to all streams, and is killed.
async fn our_round(uri: &str, round: usize, known: &mut [Known]) {
    let proxy = OurProxy::start(uri, &OUR_SETTINGS).await;
    let client = proxy.client().await;
    let prefix = format!("ours-{round}");
    let first = format!("{prefix}-first");
    for (stream, known) in STREAMS.iter().zip(known.iter_mut()) {
        let at = client.write(stream, first.as_bytes()).await;
        let at = at.unwrap_or_else(|error| panic!("{stream}: {error}"));
        known.acknowledged.push((at, first.clone()));
    }
    let loads: Vec<Load> = STREAMS
        .map(|it| Load::start(&client, it, &prefix, 8))
        .into();
    tokio::time::sleep(life(round)).await;
    loads.iter().for_each(Load::halt);
    proxy.kill_9().await;
    for (load, known) in loads.into_iter().zip(known) {
        known.extend(load.stop().await);
    }
}

/// A writer of Java's recovers all streams, writes to them, and is killed.
async fn java_round(mut peer: LogPeer, round: usize, known: &mut [Known]) {
    for (index, stream) in STREAMS.iter().enumerate() {
        peer.open(stream).await;
        let settings = format!("prefix=java-{round}-{stream} window=4");
        let written = peer.write(stream, 40, &settings).await;
        known[index].extend_java(&written);
    }
    // Killed while it writes to one of them.
    let index = round / 2 % STREAMS.len();
    let stream = STREAMS[index];
    let settings = format!("prefix=java-{round}-{stream} first=40 window=8");
    peer.begin_to_write(stream, 1, &settings).await;
    tokio::time::sleep(life(round) / 4).await;
    let prefix = format!("java-{round}-{stream}-");
    let all = peer.kill_9().await;
    let late: Vec<_> = all
        .into_iter()
        .filter(|record| {
            let text = record.text();
            let number = text
                .strip_prefix(&prefix)
                .and_then(|it| it.parse::<u64>().ok());
            number.is_some_and(|number| number >= 40)
        })
        .collect();
    known[index].extend_java(&late);
}

async fn until_free(cluster: &Cluster, path: &str) {
    for stream in STREAMS {
        let lock = format!("{path}/{stream}/<default>/lock");
        cluster.until_no_children(&lock).await;
    }
}

async fn java_and_our_proxies_alternate(cluster: &Cluster) {
    let path = "/messaging/alternate";
    let uri = cluster.bind(path).await;
    let mut known = vec![Known::default(); STREAMS.len()];
    let began = Instant::now();
    let rounds = rounds();
    let mut next = None;
    for round in 0..rounds {
        if round % 2 == 0 {
            // Java's virtual machine starts meanwhile.
            let (_, peer) = tokio::join!(our_round(&uri, round, &mut known), java(&uri, round + 1));
            next = Some(peer);
        } else {
            let peer = next.take().expect("started in the round before");
            java_round(peer, round, &mut known).await;
        }
        until_free(cluster, path).await;
    }
    let took = began.elapsed();
    let mut last = java(&uri, rounds).await;
    let ours = store(&uri).await;
    for (stream, known) in STREAMS.iter().zip(&known) {
        last.recover(stream).await;
        let by_us = read(&ours, stream).await;
        // A killed writer of Java's says nothing of what it had in flight.
        known.assert_read(&by_us, |text| text.starts_with("java-"));
        let by_java = placed(&last.read_count(stream, by_us.len()).await);
        assert_eq!(by_java, by_us, "{stream}");
        let segments = last.segments(stream).await;
        let numbers: Vec<i64> = segments.iter().map(|it| it.sequence).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
        assert!(segments.iter().all(|it| !it.in_progress), "{segments:?}");
        println!(
            "{stream}: {} records in {} segments; {} acknowledged, {} not written, {} unknown",
            by_us.len(),
            segments.len(),
            known.acknowledged.len(),
            known.not_written.len(),
            known.unknown.len()
        );
    }
    println!("{rounds} rounds in {took:?}");
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn java_and_our_proxies_that_are_killed_follow_each_other() {
    on_shared(Version::V4_17, java_and_our_proxies_alternate);
}
