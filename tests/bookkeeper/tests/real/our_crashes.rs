//! Our proxy is killed behind each of its requests to ZooKeeper while it starts, recovers, rolls or
//! completes a log segment. Another owner recovers the stream and goes on.

use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_bookkeeper_tests::peer::LogPeer;
use distributedlog_bookkeeper_tests::relay::Relay;
use distributedlog_bookkeeper_tests::shared::on_shared;

use crate::ours::within;
use crate::proxies::{Known, Load, OurProxy, placed, read, store};

/// Requests behind which a phase has ended, or the test is wrong.
const MAX_REQUESTS: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The proxy acquires the stream and starts its first segment.
    Start,
    /// It acquires a stream whose owner was killed, and completes the segment that it finds (T16).
    Recover,
    /// It starts a segment behind another, which it completes.
    Roll,
    /// It releases the stream.
    Complete,
}

/// Those who go on, in turns.
struct Successors {
    java: Vec<LogPeer>,
    ours: OurProxy,
}

/// A proxy that reaches ZooKeeper by a relay, and its stream.
struct Victim {
    relay: Relay,
    proxy: OurProxy,
    log: String,
}

impl Victim {
    async fn start(cluster: &Cluster, path: &str, log: &str) -> Self {
        let relay = Relay::start(cluster.zookeeper()).await;
        let uri = format!("distributedlog://{}{path}", relay.address());
        let flags = ["--session-timeout=1s", "--segment-bytes=1000"];
        Self {
            proxy: OurProxy::start(&uri, &flags).await,
            relay,
            log: log.to_owned(),
        }
    }

    /// Kills it behind this number of requests in a phase. Returns what its client knows, and true
    /// if the phase had ended before.
    async fn die(self, phase: Phase, requests: usize) -> (Known, bool) {
        let client = self.proxy.client().await;
        let load = |client| Load::start(client, &self.log, "record", 2);
        let (mut known, mut ended) = (Known::default(), false);
        let late = match phase {
            Phase::Start | Phase::Recover => {
                self.relay.hold_requests_after(requests);
                let load = load(&client);
                tokio::select! {
                    () = self.relay.holding() => {}
                    () = load.until_further(1) => ended = true,
                }
                Some(load)
            }
            Phase::Roll => {
                let load = load(&client);
                load.until_further(1).await;
                self.relay.hold_requests_after(requests);
                // The first segment is completed meanwhile.
                tokio::select! {
                    () = self.relay.holding() => {}
                    () = load.until_segment(3) => ended = true,
                }
                Some(load)
            }
            Phase::Complete => {
                let load = load(&client);
                load.until_further(5).await;
                known.extend(load.stop().await);
                self.relay.hold_requests_after(requests);
                tokio::select! {
                    () = self.relay.holding() => {}
                    released = client.release(&self.log) => {
                        released.unwrap_or_else(|error| panic!("{}: {error}", self.log));
                        ended = true;
                    }
                }
                None
            }
        };
        if let Some(load) = &late {
            load.halt();
        }
        self.proxy.kill_9().await;
        if let Some(load) = late {
            known.extend(load.stop().await);
        }
        (known, ended)
    }
}

impl Successors {
    async fn start(uri: &str) -> Self {
        let mut java = Vec::new();
        for (version, name) in [(Version::V4_17, "new"), (Version::V4_5, "old")] {
            let settings = ["bkc.ledgerMetadataVersion=2", "zkSessionTimeoutSeconds=2"];
            java.push(LogPeer::start(version, uri, name, &settings).await);
        }
        Self {
            java,
            ours: OurProxy::start(uri, &["--session-timeout=1s"]).await,
        }
    }

    /// Acquires the stream, writes three records and closes it.
    async fn go_on(&mut self, log: &str, turn: usize, known: &mut Known) {
        if let Some(peer) = self.java.get_mut(turn % 3) {
            peer.open(log).await;
            let written = peer.write(log, 3, "prefix=next").await;
            known.extend_java(&written);
            peer.close(log).await;
            return;
        }
        let client = self.ours.client().await;
        for number in 0..3 {
            let text = format!("next-{number}");
            let at = client.write(log, text.as_bytes()).await;
            let at = at.unwrap_or_else(|error| panic!("{log}: {error}"));
            known.acknowledged.push((at, text));
        }
        let released = client.release(log).await;
        released.unwrap_or_else(|error| panic!("{log}: {error}"));
    }

    /// Asserts that all read the same, which is what is known.
    async fn assert_read(&mut self, uri: &str, log: &str, known: &Known) {
        let by_us = read(&store(uri).await, log).await;
        known.assert_read(&by_us, |_| false);
        for peer in &mut self.java {
            let by_java = placed(&peer.read_count(log, by_us.len()).await);
            assert_eq!(by_java, by_us, "{log}");
            let segments = peer.segments(log).await;
            assert!(segments.iter().all(|it| !it.in_progress), "{segments:?}");
            let numbers = segments.iter().map(|it| it.sequence);
            assert!(numbers.eq(1..=segments.len() as i64), "{segments:?}");
        }
    }
}

/// Writes to a stream with a proxy that is killed then. Returns what its client knows.
async fn leave_open(uri: &str, log: &str) -> Known {
    let proxy = OurProxy::start(uri, &["--session-timeout=1s"]).await;
    let load = Load::start(&proxy.client().await, log, "left", 4);
    load.until_further(20).await;
    load.halt();
    proxy.kill_9().await;
    load.stop().await
}

/// Kills a proxy behind each request of a phase.
async fn each_request(cluster: &Cluster, phase: Phase) {
    let path = format!("/messaging/crash-{phase:?}");
    let uri = cluster.bind(&path).await;
    let mut successors = Successors::start(&uri).await;
    let (mut acknowledged, mut unknown) = (0, 0);
    for requests in 0..MAX_REQUESTS {
        let log = format!("log-{requests}");
        successors.java[0].create(&log).await;
        let lock = format!("{path}/{log}/<default>/lock");
        let mut known = Known::default();
        if matches!(phase, Phase::Recover) {
            known.extend(leave_open(&uri, &log).await);
            cluster.until_no_children(&lock).await;
        }
        let victim = Victim::start(cluster, &path, &log).await;
        let (its, ended) = within("the phase", victim.die(phase, requests)).await;
        known.extend(its);
        cluster.until_no_children(&lock).await;
        successors.go_on(&log, requests, &mut known).await;
        successors.assert_read(&uri, &log, &known).await;
        acknowledged += known.acknowledged.len();
        unknown += known.unknown.len();
        if ended {
            println!(
                "{phase:?}: killed behind each of {requests} requests; {acknowledged} records \
                 acknowledged, {unknown} unknown"
            );
            return;
        }
    }
    panic!("{phase:?} has not ended behind {MAX_REQUESTS} requests");
}

async fn phases(cluster: &Cluster) {
    tokio::join!(
        each_request(cluster, Phase::Start),
        each_request(cluster, Phase::Recover),
        each_request(cluster, Phase::Roll),
        each_request(cluster, Phase::Complete)
    );
}

#[test]
#[ignore = "needs Java: tests/run bookkeeper"]
fn others_go_on_behind_our_proxy_that_is_killed_behind_any_request_to_zookeeper() {
    on_shared(Version::V4_17, phases);
}
