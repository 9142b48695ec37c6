//! One of five streams does not answer: all writes succeed, hardly later than the first speculative
//! timeout.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use distributedlog_tests::stack::{Proxy, STREAMS, StoreOf};
use distributedlog_tests::stats;
use distributedlog_tokio::MultiStreamWriter;

/// Delay after which a set is sent to a second stream.
const FIRST_SPECULATIVE_TIMEOUT: Duration = Duration::from_millis(200);
/// Writers at the same time, each with one record in flight.
const WRITERS: usize = 16;
/// Records of each writer and phase.
const RECORDS: usize = 50;
/// Delay that a timer may have on two cores shared with the proxy and other tests.
const SCHEDULING: Duration = Duration::from_millis(100);

/// Latencies in their order.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent).div_ceil(100) - 1]
    }
}

impl core::fmt::Display for Latencies {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(
            f,
            "{} writes, p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.0.len(),
            ms(50),
            ms(90),
            ms(99),
            ms(100)
        )
    }
}

/// Writes from all writers; every write succeeds.
async fn write_all(writer: &Arc<MultiStreamWriter>) -> Latencies {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..WRITERS {
        let writer = Arc::clone(writer);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for record in 0..RECORDS {
                let began = Instant::now();
                let written = writer.write(format!("{task}-{record}").as_bytes()).await;
                written.unwrap_or_else(|error| panic!("writer {task}, record {record}: {error:?}"));
                latencies.push(began.elapsed());
            }
            latencies
        });
    }
    let mut all: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    Latencies(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_of_five_streams_stalled_every_write_succeeds_within_one_speculative_timeout() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut proxy = Proxy::start(
        StoreOf::In(folder.path()),
        0,
        &["-sp", "0", "--test-only-faults"],
    )
    .await;
    let stats = stats::address(&mut proxy.process).await;
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(proxy.name())
        .buffer_size(0)
        .request_timeout(Duration::from_secs(20))
        .speculative_timeouts(FIRST_SPECULATIVE_TIMEOUT, Duration::from_secs(2));
    let writer = Arc::new(writer.build().await.expect("connects"));
    let healthy = write_all(&writer).await;
    stats::put(stats, &format!("/faults/{}/stall", STREAMS[2])).await;
    let stalled = write_all(&writer).await;
    println!(
        "healthy: {healthy}\none of five streams stalled, first speculative timeout \
         {FIRST_SPECULATIVE_TIMEOUT:?}: {stalled}"
    );
    println!("{:?}", writer.counters());
    let bound = FIRST_SPECULATIVE_TIMEOUT + healthy.percentile(99) + SCHEDULING;
    assert!(
        stalled.percentile(99) <= bound,
        "p99 {:?} is more than {bound:?}",
        stalled.percentile(99)
    );
    writer.close_within(Duration::from_secs(1)).await;
}
