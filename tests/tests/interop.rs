//! Our writer and client against software that we did not write: Finagle's ThriftMux server over
//! DistributedLog's own log, ZooKeeper and bookies. The reader that judges is DistributedLog's, in
//! two versions. Run by tests/parts/interop.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog::writer::{Budget, Codec, Settings, SettingsBuilder};
use distributedlog_tests::java::{Original, java, logs};
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::{From, Process};
use distributedlog_tests::stack::STREAMS;
use distributedlog_tokio::{MultiStreamWriter, ProxyClient, Tls};
use rustix::process::Signal;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Records that all writers write together.
const RECORDS: usize = 100_000;

/// Records that are written before a proxy is killed, and further ones before it is started again.
const BEFORE: usize = RECORDS / 3;
const WITHOUT: usize = RECORDS / 3;

/// Writes that each writer has in flight.
const IN_FLIGHT: usize = 1_000;

/// Timeout of one write: a killed proxy's streams are free when its session with ZooKeeper is
/// over, and these machines are busy.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// The local cluster of DistributedLog 0.5.0, and the URI of its namespace.
async fn cluster() -> (Process, String) {
    let reserved = ReservedPort::new();
    let port = reserved.number().to_string();
    let mut process = java(Original::V0_5, "interop.Cluster", &[&port]).start();
    let namespace = process
        .until_line("its namespace", |_, line| {
            Some(line.strip_prefix("namespace ")?.to_owned())
        })
        .await;
    (process, namespace)
}

/// Finagle's server over DistributedLog's writers, on this port.
async fn proxy(namespace: &str, port: u16, shard: i32) -> Process {
    proxy_with(namespace, port, shard, &[]).await
}

async fn proxy_with(namespace: &str, port: u16, shard: i32, more: &[&str]) -> Process {
    let (port, shard) = (port.to_string(), shard.to_string());
    let arguments = [&[namespace, &port, &shard], more].concat();
    let mut process = java(Original::V0_5, "interop.WriteProxy", &arguments).start();
    process.until_listening().await;
    process
}

/// Results that the writers reported.
#[derive(Debug, Default)]
struct Reported {
    /// Lines for the reader: stream, the three numbers of the position, text.
    lines: String,
    /// Writes that ended with an error.
    failed: Vec<String>,
    /// Records whose sets took more than one attempt.
    hedged: usize,
}

fn writer_settings(codec: Codec) -> SettingsBuilder {
    Settings::builder()
        .original_features()
        .codec(codec)
        .request_timeout(STEP_TIMEOUT)
        .first_speculative_timeout(Duration::from_millis(200))
        .max_speculative_timeout(Duration::from_secs(2))
        .budget(Budget::Off)
}

/// A line for the reader.
fn line(stream: &str, dlsn: Dlsn, text: &str) -> String {
    format!(
        "{stream}\t{}\t{}\t{}\t{text}\n",
        dlsn.log_segment_sequence_no, dlsn.entry_id, dlsn.slot_id
    )
}

/// State that the writers share.
#[derive(Clone)]
struct Pace {
    /// Number of records that all writers together may begin.
    allowed: Arc<Semaphore>,
    /// Number of acknowledged records.
    done: watch::Sender<usize>,
}

/// Writes `count` records through a writer of its own.
async fn write_all(
    name: String,
    prefix: &'static str,
    codec: Codec,
    identity: bool,
    count: usize,
    pace: Pace,
) -> Reported {
    let writer = MultiStreamWriter::builder(STREAMS)
        .settings(writer_settings(codec))
        .identity(identity)
        .proxies(name)
        .client_id(prefix);
    let writer = Arc::new(writer.build().await.expect("two proxies"));
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let hedged = Arc::new(AtomicUsize::new(0));
    let mut writes = JoinSet::new();
    for number in 0..count {
        pace.allowed
            .acquire()
            .await
            .expect("it is never closed")
            .forget();
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .expect("it is never closed");
        let (writer, done, hedged) = (Arc::clone(&writer), pace.done.clone(), Arc::clone(&hedged));
        writes.spawn(async move {
            let text = format!("{prefix} {number:06} of a writer in Rust");
            let result = writer.write(text.as_bytes()).await;
            drop(permit);
            done.send_modify(|done| *done += 1);
            result.map(|written| {
                hedged.fetch_add(usize::from(written.attempts > 1), Ordering::Relaxed);
                line(STREAMS[usize::from(written.stream.0)], written.dlsn, &text)
            })
        });
    }
    let mut reported = Reported::default();
    for result in writes.join_all().await {
        match result {
            Ok(line) => reported.lines += &line,
            Err(error) => reported.failed.push(format!("{prefix}: {error}")),
        }
    }
    writer.close().await;
    reported.hedged = hedged.load(Ordering::Relaxed);
    reported
}

/// Returns the number of streams that each proxy owns, by its port.
async fn owned(name: &str, ports: [u16; 2]) -> [usize; 2] {
    let client = ProxyClient::builder()
        .proxies(name)
        .request_timeout(STEP_TIMEOUT)
        .attempt_timeout(STEP_TIMEOUT)
        .build()
        .await
        .expect("two proxies");
    let replies = client.handshake().await;
    client.close().await;
    ports.map(|port| {
        let reply = replies.iter().find(|reply| reply.host.port() == port);
        let result = &reply.expect("it is known").result;
        result.as_ref().expect("a handshake").streams
    })
}

/// Writes one record to each stream, which moves the streams of a dead owner to another. Returns
/// the number of streams that have begun another log segment.
async fn write_to_each(name: &str, reported: &mut Reported) -> usize {
    let client = ProxyClient::builder()
        .proxies(name)
        .request_timeout(STEP_TIMEOUT)
        .attempt_timeout(STEP_TIMEOUT)
        .build()
        .await
        .expect("two proxies");
    let mut moved = 0;
    for stream in STREAMS {
        let text = format!("each {stream}");
        // While the dead owner's lock holds, proxies send clients to it; the next owner may
        // fail first to close its log segment.
        let taken_over = async {
            loop {
                match client.write(stream, text.as_bytes()).await {
                    Ok(dlsn) => return dlsn,
                    Err(error) => println!("{stream} is not taken over yet: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let dlsn = tokio::time::timeout(STEP_TIMEOUT, taken_over)
            .await
            .expect("the stream is taken over");
        moved += usize::from(dlsn.log_segment_sequence_no > 1);
        reported.lines += &line(stream, dlsn, &text);
    }
    client.close().await;
    moved
}

/// Reads everything back with DistributedLog's own reader and compares it with what is in the file.
async fn read_back(original: Original, namespace: &str, reported: &Path) {
    let reader = java(
        original,
        "interop.ReadBack",
        &[namespace, reported.to_str().expect("a plain path")],
    )
    .start();
    let ended = reader.until_exit_within(STEP_TIMEOUT).await.with_code(0);
    println!("{original:?}:\n{}", ended.text(From::Stdout));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn what_is_acknowledged_through_finagle_is_read_by_the_original_where_it_was_said_to_be() {
    let (_cluster, namespace) = cluster().await;
    let reserved = [ReservedPort::new(), ReservedPort::new()];
    let ports = reserved.each_ref().map(ReservedPort::number);
    let proxies = [
        proxy(&namespace, ports[0], 1).await,
        proxy(&namespace, ports[1], 2).await,
    ];
    let name = format!("inet!127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);

    let (done, mut progress) = watch::channel(0);
    let pace = Pace {
        allowed: Arc::new(Semaphore::new(BEFORE + WITHOUT)),
        done,
    };
    let allowed = Arc::clone(&pace.allowed);
    let kinds = [
        ("plain-identity", Codec::None, true),
        ("lz4-identity", Codec::Lz4, true),
        ("plain", Codec::None, false),
        ("lz4", Codec::Lz4, false),
    ];
    let mut writers = JoinSet::new();
    for (prefix, codec, identity) in kinds {
        writers.spawn(write_all(
            name.clone(),
            prefix,
            codec,
            identity,
            RECORDS / kinds.len(),
            pace.clone(),
        ));
    }
    // With this one gone, `progress` ends when the writers do.
    drop(pace);
    progress
        .wait_for(|done| *done >= BEFORE)
        .await
        .expect("the writers live");
    // Owners follow from the ports, by the hash ring: the proxy that owns more is killed, so that
    // it owns at least three of the five.
    let owned = owned(&name, ports).await;
    let victim = usize::from(owned[1] > owned[0]);
    let [first, second] = proxies;
    let (goes, stays) = if victim == 0 {
        (first, second)
    } else {
        (second, first)
    };
    goes.kill_9().await;
    progress
        .wait_for(|done| *done >= BEFORE + WITHOUT)
        .await
        .expect("the writers live");
    let shard = [1, 2][victim];
    let back = proxy(&namespace, ports[victim], shard).await;
    let mut all = Reported::default();
    let moved = write_to_each(&name, &mut all).await;
    assert!(
        owned[victim] > 0 && moved >= owned[victim],
        "{moved} streams moved; the proxies owned {owned:?}, and number {victim} died"
    );
    allowed.add_permits(RECORDS - BEFORE - WITHOUT);

    for reported in writers.join_all().await {
        all.lines += &reported.lines;
        all.failed.extend(reported.failed);
        all.hedged += reported.hedged;
    }
    assert!(
        all.failed.is_empty(),
        "{} writes failed: {:?}",
        all.failed.len(),
        &all.failed[..all.failed.len().min(10)]
    );
    assert_eq!(all.lines.lines().count(), RECORDS + STREAMS.len());
    println!(
        "{RECORDS} records acknowledged, {} of them after more than one attempt; {moved} streams \
         moved",
        all.hedged
    );

    // They finish what they do and complete their log segments.
    for proxy in [stays, back] {
        proxy.signal(Signal::TERM);
        let ended = proxy.until_exit().await;
        println!(
            "{}",
            ended.text(From::Stdout).lines().last().unwrap_or_default()
        );
    }
    let reported = logs().join("told");
    std::fs::write(&reported, all.lines).expect("the logs' folder can be written");
    read_back(Original::V0_5, &namespace, &reported).await;
    read_back(Original::V4_17, &namespace, &reported).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run interop"]
async fn the_clients_operations_are_carried_out_by_the_originals_log() {
    let (_cluster, namespace) = cluster().await;
    let reserved = [ReservedPort::new(), ReservedPort::new()];
    let ports = reserved.each_ref().map(ReservedPort::number);
    let _one = proxy(&namespace, ports[0], 1).await;
    let _two = proxy(&namespace, ports[1], 2).await;
    let client = |port: u16| {
        ProxyClient::builder()
            .proxies(format!("inet!127.0.0.1:{port}"))
            .request_timeout(STEP_TIMEOUT)
            .attempt_timeout(STEP_TIMEOUT)
    };
    let one = client(ports[0]).build().await.expect("a proxy");
    let both = ProxyClient::builder().proxies(format!(
        "inet!127.0.0.1:{},127.0.0.1:{}",
        ports[0], ports[1]
    ));
    let both = both
        .request_timeout(STEP_TIMEOUT)
        .attempt_timeout(STEP_TIMEOUT)
        .build()
        .await
        .expect("two proxies");

    one.create("a").await.expect("a new stream");
    one.create("a")
        .await
        .expect("the original's log does not mind that it exists");
    // Each write is followed by a control record, which has an entry of its own.
    assert_eq!(
        one.write("a", b"one").await.expect("a write"),
        Dlsn::new(1, 0, 0)
    );
    assert_eq!(
        one.write("a", b"two").await.expect("a write"),
        Dlsn::new(1, 2, 0)
    );
    let bulk = one
        .write_bulk("a", &[b"three".as_slice(), b"four"])
        .await
        .expect("a bulk write");
    assert_eq!(
        bulk.into_iter()
            .collect::<Result<Vec<_>, _>>()
            .expect("two records"),
        [Dlsn::new(1, 4, 0), Dlsn::new(1, 4, 1)]
    );
    one.check("a").await.expect("the owner answers");
    one.truncate("a", Dlsn::new(1, 2, 0))
        .await
        .expect("a truncation");

    let mut streams: Vec<_> = both
        .handshake()
        .await
        .into_iter()
        .map(|reply| reply.result.expect("a handshake").streams)
        .collect();
    streams.sort_unstable();
    assert_eq!(streams, [0, 1], "what each proxy owns");
    // Both of the two report the owner.
    let owner = both.owner("a").await.expect("an owner");
    assert_eq!(
        (&*owner.host, owner.port, owner.shard),
        ("127.0.0.1", ports[0], 1)
    );
    assert_eq!(
        both.write("a", b"five")
            .await
            .expect("a write")
            .log_segment_sequence_no,
        1
    );

    one.release("a").await.expect("the owner gives it up");
    let next = both.write("a", b"six").await.expect("a write");
    assert_eq!((next.log_segment_sequence_no, next.slot_id), (2, 0));
    both.delete("a").await.expect("the stream goes");
    both.close().await;
    one.close().await;
    over_tls(&namespace).await;
}

/// Finagle's server with TLS, and our client's check of its certificate.
async fn over_tls(namespace: &str) {
    let certificate = |end: &str| {
        format!(
            "{}.{end}",
            std::env::var("INTEROP_TLS").expect("INTEROP_TLS is not set: run tests/run interop")
        )
    };
    let reserved = ReservedPort::new();
    let port = reserved.number();
    let _three = proxy_with(namespace, port, 3, &[&certificate("p12")]).await;
    let builder = || {
        ProxyClient::builder()
            .proxies(format!("inet!127.0.0.1:{port}"))
            .request_timeout(STEP_TIMEOUT)
            .attempt_timeout(STEP_TIMEOUT)
    };
    let pem = std::fs::read(certificate("pem")).expect("the part has made it");
    let trusting = Tls::only_roots().add_root(&pem).expect("a certificate");
    let client = builder().tls(trusting).build().await.expect("a proxy");
    assert_eq!(
        client.write("b", b"one").await.expect("a write"),
        Dlsn::new(1, 0, 0)
    );
    let large = vec![7; 1_000_000];
    assert_eq!(
        client.write("b", &large).await.expect("a write"),
        Dlsn::new(1, 2, 0)
    );
    client.close().await;
    let error = builder()
        .tls(Tls::native_roots())
        .build()
        .await
        .expect_err("no trusted authority has signed it");
    assert!(error.to_string().contains("certificate"), "{error}");
}
