//! Streams that share a store stall with it, all at once (R21): hedges go to the streams of another
//! store and win, and where there is none, hardly any is sent. A store stalls while its process is
//! stopped.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use distributedlog::writer::{Adaptive, Budget, Counters, Health, Settings};
use distributedlog_tests::stack::{Proxy, StoreOf};
use distributedlog_tokio::{MultiStreamWriter, ProxyClient};
use rustix::process::Signal;
use tokio::task::JoinSet;

/// Time after which a set is hedged for the first time.
const FIRST: Duration = Duration::from_millis(200);
/// Length of a stall: longer than that, and shorter than what a set waits while all are silent.
const STALL: Duration = Duration::from_millis(600);
/// Writers at the same time, each with one record in flight.
const TASKS: usize = 16;
/// Streams of each store.
const STREAMS: usize = 3;

async fn writer(proxies: &str, streams: &[String], waits: bool) -> Arc<MultiStreamWriter> {
    // Nothing but the rule decides how many hedges there are, and where they go.
    let settings = Settings::builder()
        .buffer_size(0)
        .budget(Budget::Off)
        .health(Health::Off)
        .adaptive(Adaptive::Off)
        .wait_out_stalls(waits)
        .first_speculative_timeout(FIRST)
        .max_speculative_timeout(FIRST * 10)
        .request_timeout(Duration::from_secs(60));
    let writer = MultiStreamWriter::builder(streams.iter().cloned())
        .proxies(proxies)
        .settings(settings);
    Arc::new(writer.build().await.expect("it connects"))
}

/// Writes from all tasks until `end` completes. Returns the latencies, in their order.
async fn write_until(
    writer: &Arc<MultiStreamWriter>,
    end: impl Future<Output = ()>,
) -> Vec<Duration> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (writer, stopped) = (Arc::clone(writer), stopped.clone());
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while !*stopped.borrow() {
                let began = Instant::now();
                let written = writer.write(b"record").await;
                written.expect("every record is written");
                latencies.push(began.elapsed());
            }
            latencies
        });
    }
    end.await;
    stop.send(true).expect("the tasks listen");
    let all = tasks.join_all().await;
    let mut latencies: Vec<Duration> = all.into_iter().flatten().collect();
    latencies.sort_unstable();
    latencies
}

/// What a run came to, for people, and its counters.
fn report(what: &str, writer: &MultiStreamWriter, latencies: &[Duration]) -> Counters {
    let counters = writer.counters();
    let slow = latencies.iter().filter(|took| **took >= FIRST / 2).count();
    let slowest = latencies.last().expect("records were written");
    println!(
        "{what}: {} records, {slow} slower than {:?}, at most {slowest:.1?}; {} hedges, of which \
         {} won",
        latencies.len(),
        FIRST / 2,
        counters.hedges_sent,
        counters.hedges_won,
    );
    counters
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_only_store_stalls_hardly_any_set_is_hedged() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let streams: Vec<String> = (0..2 * STREAMS).map(|n| format!("shared-{n}")).collect();
    let run = async |waits| {
        let writer = writer(&store.name(), &streams, waits).await;
        let stalls = async {
            for _ in 0..3 {
                store.process.signal(Signal::STOP);
                tokio::time::sleep(STALL).await;
                store.process.signal(Signal::CONT);
                tokio::time::sleep(STALL / 2).await;
            }
        };
        let latencies = write_until(&writer, stalls).await;
        let counters = report(&format!("one store, waits: {waits}"), &writer, &latencies);
        writer.close_within(Duration::from_secs(1)).await;
        counters
    };
    let (hedging, waiting) = (run(false).await, run(true).await);
    assert!(
        hedging.hedges_sent as usize >= 2 * TASKS,
        "the stalls were met: {hedging:?}"
    );
    assert!(
        waiting.hedges_sent * 10 <= hedging.hedges_sent,
        "{} hedges, and {} without the rule",
        waiting.hedges_sent,
        hedging.hedges_sent
    );
}

/// Finds `STREAMS` streams of each store: proxies own those whose names the clients send there.
async fn streams_of(proxies: &str, stores: &[Proxy; 2]) -> [Vec<String>; 2] {
    // With 32 of them one store has fewer than three about once in four million runs.
    let names: Vec<String> = (0..32).map(|number| format!("placed-{number}")).collect();
    let scout = writer(proxies, &names, true).await;
    scout.write_batch(&names).await;
    scout.close_within(Duration::from_secs(1)).await;
    let client = ProxyClient::builder().proxies(proxies);
    let client = client.build().await.expect("it connects");
    let mut owned = [Vec::new(), Vec::new()];
    for name in names {
        let owner = client.owner(&name).await.expect("it was written to");
        let of = stores
            .iter()
            .position(|store| store.address.port() == owner.port);
        let owned = &mut owned[of.expect("one of the two")];
        if owned.len() < STREAMS {
            owned.push(name);
        }
    }
    assert!(owned.iter().all(|names| names.len() == STREAMS));
    owned
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_of_two_stores_stalls_sets_are_hedged_to_the_other_and_the_hedges_win() {
    let folders = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let stores = [
        Proxy::start(StoreOf::In(folders[0].path()), 0, &[]).await,
        Proxy::start(StoreOf::In(folders[1].path()), 0, &[]).await,
    ];
    let [first, second] = [0, 1].map(|store: usize| stores[store].address);
    let proxies = format!("inet!{first},{second}");
    let owned = streams_of(&proxies, &stores).await;
    let streams = owned.concat();
    let run = async |waits| {
        let writer = writer(&proxies, &streams, waits).await;
        let stall = async {
            stores[0].process.signal(Signal::STOP);
            tokio::time::sleep(STALL * 3).await;
            stores[0].process.signal(Signal::CONT);
        };
        let latencies = write_until(&writer, stall).await;
        let counters = report(&format!("two stores, waits: {waits}"), &writer, &latencies);
        writer.close_within(Duration::from_secs(1)).await;
        counters
    };
    let (hedging, waiting) = (run(false).await, run(true).await);
    let won = |counters: &Counters| counters.hedges_won as f64 / counters.hedges_sent as f64;
    assert!(
        waiting.hedges_sent as usize >= TASKS,
        "the stall was met: {waiting:?}"
    );
    assert!(
        won(&waiting) >= 0.9,
        "{waiting:?}, and {:.2} win without the rule",
        won(&hedging)
    );
}
