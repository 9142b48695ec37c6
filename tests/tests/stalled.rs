//! One of five streams does not answer: all writes succeed, hardly later than writes that begin one
//! first speculative timeout late.

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
/// Rounds of the measurement.
const ROUNDS: usize = 5;
/// Records of each writer and round.
const RECORDS: usize = 10;

/// Latencies in their order.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self(latencies)
    }

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

/// Writes from all writers, each time after `pause`; every write succeeds. Returns the latencies,
/// with their pauses.
async fn write_all(
    writer: &Arc<MultiStreamWriter>,
    records: usize,
    pause: Option<Duration>,
) -> Vec<Duration> {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..WRITERS {
        let writer = Arc::clone(writer);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for record in 0..records {
                let began = Instant::now();
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
                let written = writer.write(format!("{task}-{record}").as_bytes()).await;
                written.unwrap_or_else(|error| panic!("writer {task}, record {record}: {error:?}"));
                latencies.push(began.elapsed());
            }
            latencies
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn connect(proxy: &Proxy, streams: &[&str]) -> Arc<MultiStreamWriter> {
    let writer = MultiStreamWriter::builder(streams.iter().copied())
        .proxies(proxy.name())
        .buffer_size(0)
        .request_timeout(Duration::from_secs(60))
        .speculative_timeouts(FIRST_SPECULATIVE_TIMEOUT, Duration::from_secs(2));
    Arc::new(writer.build().await.expect("connects"))
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
    let stalls = STREAMS[2];
    let healthy: Vec<&str> = STREAMS.into_iter().filter(|name| *name != stalls).collect();
    let (writer, other) = (
        connect(&proxy, &STREAMS).await,
        connect(&proxy, &healthy).await,
    );
    write_all(&writer, RECORDS, None).await;
    stats::put(stats, &format!("/faults/{stalls}/stall")).await;
    let (mut stalled, mut late) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // What a hedged write takes on this machine at this moment, however busy it is: a timer,
        // then a write to a stream that answers. At the same time, so that load affects both.
        let (written, compared) = tokio::join!(
            write_all(&writer, RECORDS, None),
            write_all(&other, 1, Some(FIRST_SPECULATIVE_TIMEOUT)),
        );
        stalled.extend(written);
        late.extend(compared);
    }
    let (stalled, late) = (Latencies::of(stalled), Latencies::of(late));
    println!(
        "one of five streams stalled, first speculative timeout {FIRST_SPECULATIVE_TIMEOUT:?}: \
         {stalled}\nall streams answer, writes begin that late: {late}"
    );
    let counters = writer.counters();
    println!("{counters:?}");
    assert!(counters.hedges_sent > 0, "no set met the stalled stream");
    // Without a hedge a write waits for the stream, and after a hedge that comes late for two
    // timeouts or more.
    let bound = late.percentile(99) * 3 / 2;
    assert!(
        stalled.percentile(99) <= bound,
        "p99 {:?} is more than {bound:?}",
        stalled.percentile(99)
    );
    for writer in [writer, other] {
        writer.close_within(Duration::from_secs(1)).await;
    }
}
