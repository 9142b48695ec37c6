//! One of two proxies is killed under the multi stream writer: what its users notice.

use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

use distributedlog::Dlsn;
use distributedlog_bookkeeper_tests::cluster::Cluster;
use distributedlog_bookkeeper_tests::java::Version;
use distributedlog_reader::{MergeSettings, MultiReader, ReadEvent};
use distributedlog_tests::stack::STREAMS;
use distributedlog_tokio::MultiStreamWriter;

use crate::proxies::{OurProxy, store};

/// Records in a second.
const RATE: u32 = 300;
/// Seconds before the kill, and behind it: longer than the session of the killed proxy lasts.
const BEFORE_S: u32 = 5;
const AFTER_S: u32 = 15;
const RUNS: usize = 3;

/// Latencies of one run, sorted, in milliseconds.
struct Latencies(Vec<f64>);

impl Latencies {
    fn quantile(&self, quantile: f64) -> f64 {
        let last = self.0.len() - 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let index = (last as f64 * quantile).round() as usize;
        self.0[index]
    }
}

/// Writes at [`RATE`] and kills a proxy in the middle. Returns the latencies, and the records.
async fn run(uri: &str, run: usize) -> (Latencies, Vec<String>) {
    let (killed, other) = (
        OurProxy::start(uri, &[]).await,
        OurProxy::start(uri, &[]).await,
    );
    // Three streams are the killed one's, two the other's.
    for (index, stream) in STREAMS.iter().enumerate() {
        let owner = if index < 3 { &killed } else { &other };
        let first = owner.client().await.write(stream, b"first").await;
        first.unwrap_or_else(|error| panic!("{stream}: {error}"));
    }
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(format!("inet!{},{}", killed.address, other.address))
        .buffer_size(0)
        .speculative_timeouts(Duration::from_millis(50), Duration::from_millis(200))
        .build()
        .await
        .expect("both proxies listen");
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut tasks = tokio::task::JoinSet::new();
    let mut killed = Some(killed);
    for number in 0..(BEFORE_S + AFTER_S) * RATE {
        ticks.tick().await;
        if number == BEFORE_S * RATE {
            tokio::spawn(killed.take().expect("once").kill_9());
        }
        let (writer, text) = (
            writer.clone(),
            format!("run-{run}-{number}-{}", ".".repeat(80)),
        );
        tasks.spawn(async move {
            let began = Instant::now();
            let written = writer.write(text.as_bytes()).await;
            (text, began.elapsed(), written)
        });
    }
    let mut latencies = Vec::new();
    let mut texts = Vec::new();
    let mut failed = Vec::new();
    let mut most_attempts = 0;
    for (text, took, written) in tasks.join_all().await {
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                failed.push((text, took, error));
                continue;
            }
        };
        most_attempts = most_attempts.max(written.attempts);
        latencies.push(took.as_secs_f64() * 1000.0);
        texts.push(text);
    }
    println!("at most {most_attempts} attempts; {:?}", writer.counters());
    assert!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        failed.first()
    );
    writer.close().await;
    // Readers see the last entries that a dead owner has confirmed when the next one has recovered
    // its log segment, which begins with a write: the writer may keep away from a stream that was
    // unavailable.
    for stream in STREAMS {
        let last = other.client().await.write(stream, b"last").await;
        last.unwrap_or_else(|error| panic!("{stream}: {error}"));
    }
    other.kill_9().await;
    latencies.sort_by(f64::total_cmp);
    (Latencies(latencies), texts)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java: tests/run bookkeeper"]
async fn users_of_the_multi_stream_writer_do_not_notice_that_a_proxy_is_killed() {
    let cluster = Cluster::start(Version::V4_17).await;
    for number in 0..RUNS {
        let uri = cluster.bind(&format!("/messaging/failover-{number}")).await;
        let (latencies, texts) = run(&uri, number).await;
        println!(
            "{} records: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, at most {:.1} ms",
            texts.len(),
            latencies.quantile(0.5),
            latencies.quantile(0.99),
            latencies.quantile(0.999),
            latencies.quantile(1.0)
        );
        assert_each_once(&uri, &texts).await;
        let most = latencies.quantile(1.0);
        assert!(most < 1000.0, "{most} ms");
    }
}

/// Asserts that a merged reader delivers each record once.
async fn assert_each_once(uri: &str, texts: &[String]) {
    let store = store(uri).await;
    let starts = STREAMS.map(|stream| (stream.parse().expect("a name"), Dlsn::INITIAL));
    let mut reader = MultiReader::new(&store, starts, MergeSettings::default());
    let mut counts: HashMap<String, usize> = HashMap::new();
    while counts.len() < texts.len() {
        let next = tokio::time::timeout(Duration::from_secs(60), reader.next()).await;
        let merged = next.expect("all of them are there");
        let merged = merged
            .expect("no stream is deleted")
            .expect("it is readable");
        let ReadEvent::Record(record) = merged.event else {
            panic!("{merged:?}")
        };
        let text = String::from_utf8_lossy(&record.payload).into_owned();
        if text.starts_with("run-") {
            *counts.entry(text).or_default() += 1;
        }
    }
    for text in texts {
        assert_eq!(counts.get(text), Some(&1), "{text}");
    }
}
