//! Faults of bookies, ZooKeeper and proxies under our write proxies. What they have acknowledged is
//! read by Java's core, and what they have refused is nowhere.

use core::time::Duration;
use std::time::Instant;

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LogPeer;
use distributedlog_bookkeeper_tests::relay::{Mode, Relay};
use rustix::process::Signal;

use crate::proxies::{Known, Load, OurProxy, placed, read, store};

/// Short sessions, so that streams move soon.
const SHORT_SESSION: &str = "--session-timeout=2s";

/// Growth of memory that is taken for none: buffers, and what the allocator keeps.
const FLAT_BYTES: u64 = 20 << 20;

/// Asserts that Java reads what is known of a stream, once its owners are gone.
async fn assert_java_reads(cluster: &Cluster, stream: &str, known: &Known) {
    let lock = format!("/messaging/dl/{stream}/<default>/lock");
    cluster.until_no_children(&lock).await;
    let mut java = LogPeer::start(Version::V4_17, &cluster.namespace(), "java", &[]).await;
    java.recover(stream).await;
    let read = read(&store(&cluster.namespace()).await, stream).await;
    known.assert_read(&read, |_| false);
    let by_java = placed(&java.read_count(stream, read.len()).await);
    assert_eq!(by_java, read);
    let segments = java.segments(stream).await;
    assert!(segments.iter().all(|it| !it.in_progress), "{segments:?}");
    println!(
        "{} records in {} segments; {} acknowledged, {} not written, {} unknown",
        read.len(),
        segments.len(),
        known.acknowledged.len(),
        known.not_written.len(),
        known.unknown.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn our_proxy_goes_on_while_one_bookie_of_four_has_a_fault() {
    let builder = Cluster::builder(Version::V4_17).bookies(4).relays(true);
    let mut cluster = builder.small_disk(3, 64).start().await;
    let settings = ["--segment-bytes=200000", SHORT_SESSION];
    let proxy = OurProxy::start(&cluster.namespace(), &settings).await;
    let client = proxy.client().await;
    let load = Load::paced(&client, "log", "record", 4, Duration::from_millis(2));
    load.until_further(200).await;
    cluster.kill_bookie(0).await;
    load.until_further(1000).await;
    cluster.restart_bookie(0).await;
    load.until_further(200).await;
    for mode in [Mode::Swallow, Mode::Hold, Mode::Cut] {
        cluster.relay(1).set(mode);
        load.until_further(1000).await;
        cluster.relay(1).set(Mode::Pass);
        load.until_further(200).await;
    }
    cluster.make_read_only(2).await;
    load.until_further(1000).await;
    cluster.make_writable(2).await;
    load.until_further(200).await;
    cluster.fill_disk(3).await;
    load.until_further(1000).await;
    cluster.free_disk(3).await;
    load.until_further(200).await;
    let known = load.stop().await;
    assert_eq!(
        known.errors,
        Vec::<String>::new(),
        "two bookies were always there"
    );
    client.close().await;
    proxy.kill_9().await;
    assert_java_reads(&cluster, "log", &known).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_bookie_that_is_stopped_for_a_minute_costs_our_proxy_no_memory() {
    const STOPPED: Duration = Duration::from_secs(60);
    let cluster = Cluster::builder(Version::V4_17).relays(true).start().await;
    let proxy = OurProxy::start(&cluster.namespace(), &[SHORT_SESSION]).await;
    let client = proxy.client().await;
    let load = Load::start(&client, "log", "record", 32);
    load.until_further(20_000).await;
    let before = proxy.resident_bytes();
    cluster.pause_bookie(2);
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < STOPPED {
        load.until_further(500).await;
        most = most.max(proxy.resident_bytes());
    }
    cluster.resume_bookie(2).await;
    load.until_further(5_000).await;
    let after = proxy.resident_bytes();
    let known = load.stop().await;
    println!("{before} bytes before, at most {most} while a bookie is stopped, {after} after");
    assert_eq!(known.errors, Vec::<String>::new());
    assert!(after.saturating_sub(before) < FLAT_BYTES);
    assert!(
        most.saturating_sub(before) < FLAT_BYTES + (32 << 20),
        "{most}"
    );
    client.close().await;
    proxy.kill_9().await;
    assert_java_reads(&cluster, "log", &known).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn our_proxy_goes_on_when_zookeeper_was_stopped_beyond_the_session() {
    let cluster = Cluster::start(Version::V4_17).await;
    let settings = [
        "--segment-bytes=20000",
        SHORT_SESSION,
        "--append-timeout=2s",
    ];
    let proxy = OurProxy::start(&cluster.namespace(), &settings).await;
    let client = proxy.client().await;
    let load = Load::start(&client, "log", "record", 4);
    for stopped in [1, 4, 8] {
        load.until_further(500).await;
        cluster.pause_zookeeper().await;
        tokio::time::sleep(Duration::from_secs(stopped)).await;
        cluster.resume_zookeeper().await;
        let began = Instant::now();
        load.until_further(500).await;
        println!(
            "500 records {:?} after {stopped} s without ZooKeeper",
            began.elapsed()
        );
    }
    let known = load.stop().await;
    client.close().await;
    proxy.kill_9().await;
    assert_java_reads(&cluster, "log", &known).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_proxy_that_was_stopped_for_a_minute_finds_its_streams_taken() {
    const STOPPED: Duration = Duration::from_secs(60);
    let cluster = Cluster::start(Version::V4_17).await;
    let uri = cluster.namespace();
    let settings = ["--segment-bytes=20000", SHORT_SESSION];
    let paused = OurProxy::start(&uri, &settings).await;
    let paused_client = paused.client().await;
    let load = Load::start(&paused_client, "log", "paused", 16);
    load.until_further(1000).await;
    paused.process.signal(Signal::STOP);
    // Requests wait in the sockets: the proxy finds them when it goes on.
    let lock = "/messaging/dl/log/<default>/lock";
    cluster.until_no_children(lock).await;
    let began = Instant::now();
    load.halt();
    let other = OurProxy::start(&uri, &settings).await;
    let other_client = other.client().await;
    let other_load = Load::paced(&other_client, "log", "other", 4, Duration::from_millis(5));
    other_load.until_further(100).await;
    tokio::time::sleep(STOPPED.saturating_sub(began.elapsed())).await;
    paused.process.signal(Signal::CONT);
    let mut known = load.stop().await;
    // It sends its clients to the owner: this one knows no other proxy.
    let late = paused_client
        .write("log", b"late")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    known.acknowledged.push((late, "late".to_owned()));
    other_load.until_further(100).await;
    known.extend(other_load.stop().await);
    assert_eq!(
        paused_client.owner("log").await.map(|it| it.port).ok(),
        Some(other.address.port())
    );
    for proxy in [paused, other] {
        proxy.kill_9().await;
    }
    assert_java_reads(&cluster, "log", &known).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn a_proxy_that_is_cut_from_zookeeper_stops_before_another_begins() {
    let cluster = Cluster::start(Version::V4_17).await;
    let relay = Relay::start(cluster.zookeeper()).await;
    let uri = cluster.namespace();
    let cut_uri = format!("distributedlog://{}/messaging/dl", relay.address());
    let settings = [
        "--segment-bytes=20000",
        SHORT_SESSION,
        "--append-timeout=2s",
    ];
    let cut = OurProxy::start(&cut_uri, &settings).await;
    let other = OurProxy::start(&uri, &settings).await;
    let (cut_client, other_client) = (cut.client().await, other.client().await);
    let mut known = Known::default();
    for (round, mode) in [Mode::Hold, Mode::Cut].into_iter().enumerate() {
        let load = Load::start(&cut_client, "log", &format!("cut-{round}"), 8);
        load.until_further(500).await;
        relay.set(mode);
        cluster
            .until_no_children("/messaging/dl/log/<default>/lock")
            .await;
        let other_load = Load::start(&other_client, "log", &format!("other-{round}"), 8);
        other_load.until_further(500).await;
        known.extend(load.stop().await);
        relay.set(Mode::Pass);
        other_load.until_further(500).await;
        known.extend(other_load.stop().await);
        other_client
            .release("log")
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }
    println!("{} errors: {:?}", known.errors.len(), known.errors.last());
    for proxy in [cut, other] {
        proxy.kill_9().await;
    }
    assert_java_reads(&cluster, "log", &known).await;
}
