//! Streams that share a store stall with it, all at once: hedges go to the streams of another store
//! and win, at once where proxies say which streams share a store (R22), and otherwise where
//! silence shows it (R21). Where there is no other store, hardly any is sent. A store stalls while
//! its process is stopped.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use distributedlog::writer::{
    Adaptive, Budget, Counters, Health, Heap, Settings, SettingsBuilder, StreamCount, Writer,
};
use distributedlog::{FailureDomain, StreamIndex};
use distributedlog_tests::process::STEP_TIMEOUT;
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
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

/// Settings with which nothing but the rules decides how many hedges there are, and where they go.
fn settings(waits: bool) -> SettingsBuilder {
    Settings::builder()
        .buffer_size(0)
        .budget(Budget::Off)
        .health(Health::Off)
        .adaptive(Adaptive::Off)
        .wait_out_stalls(waits)
        .first_speculative_timeout(FIRST)
        .max_speculative_timeout(FIRST * 10)
        .request_timeout(Duration::from_secs(60))
}

async fn writer(
    proxies: &str,
    streams: &[String],
    settings: SettingsBuilder,
) -> Arc<MultiStreamWriter> {
    let writer = MultiStreamWriter::builder(streams.iter().cloned())
        .proxies(proxies)
        .settings(settings);
    Arc::new(writer.build().await.expect("it connects"))
}

/// Writes from this number of tasks until `end` completes. Returns the latencies, in their order.
async fn write_until(
    tasks: usize,
    writer: &Arc<MultiStreamWriter>,
    end: impl Future<Output = ()>,
) -> Vec<Duration> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (writer, stopped) = (Arc::clone(writer), stopped.clone());
        running.spawn(async move {
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
    let all = running.join_all().await;
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
        let writer = writer(&store.name(), &streams, settings(waits)).await;
        let stalls = async {
            for _ in 0..3 {
                store.process.signal(Signal::STOP);
                tokio::time::sleep(STALL).await;
                store.process.signal(Signal::CONT);
                tokio::time::sleep(STALL / 2).await;
            }
        };
        let latencies = write_until(TASKS, &writer, stalls).await;
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

/// Finds this number of streams of each proxy, with names that begin so: proxies own those whose
/// names the clients send there.
async fn streams_of<const PROXIES: usize>(
    prefix: &str,
    proxies: &[Proxy; PROXIES],
    each: usize,
) -> [Vec<String>; PROXIES] {
    // With 32 of them for two proxies one has fewer than three about once in four million runs, and
    // for four one has none about once in 25 million.
    let names: Vec<String> = (0..16 * PROXIES)
        .map(|number| format!("{prefix}-{number}"))
        .collect();
    let all = name_of(proxies);
    let scout = writer(&all, &names, settings(true)).await;
    scout.write_batch(&names).await;
    scout.close_within(Duration::from_secs(1)).await;
    let client = ProxyClient::builder().proxies(all);
    let client = client.build().await.expect("it connects");
    let mut owned = [(); PROXIES].map(|()| Vec::new());
    for name in names {
        let owner = client.owner(&name).await.expect("it was written to");
        let of = proxies
            .iter()
            .position(|proxy| proxy.address.port() == owner.port);
        let owned = &mut owned[of.expect("one of them")];
        if owned.len() < each {
            owned.push(name);
        }
    }
    assert!(owned.iter().all(|names| names.len() == each));
    owned
}

/// Returns the Finagle name of all of them.
fn name_of(proxies: &[Proxy]) -> String {
    let addresses: Vec<String> = proxies.iter().map(|it| it.address.to_string()).collect();
    format!("inet!{}", addresses.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_of_two_stores_stalls_sets_are_hedged_to_the_other_and_the_hedges_win() {
    let folders = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let stores = [
        Proxy::start(StoreOf::In(folders[0].path()), 0, &[]).await,
        Proxy::start(StoreOf::In(folders[1].path()), 0, &[]).await,
    ];
    let proxies = name_of(&stores);
    let owned = streams_of("placed", &stores, STREAMS).await;
    let streams = owned.concat();
    let run = async |waits| {
        let writer = writer(&proxies, &streams, settings(waits)).await;
        let stall = async {
            stores[0].process.signal(Signal::STOP);
            tokio::time::sleep(STALL * 3).await;
            stores[0].process.signal(Signal::CONT);
        };
        let latencies = write_until(TASKS, &writer, stall).await;
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

/// Returns a seed with which the rotation of four streams has them in their order.
fn ordering_seed() -> u64 {
    let count = StreamCount::new(4).expect("a valid number");
    let orders = |seed: &u64| {
        let settings = settings(true).seed(*seed).build().expect("valid");
        let writer = Writer::new(settings, count, Heap::new(&settings, count));
        let mut writer = writer.expect("the heap has what the settings ask for");
        let now = distributedlog::Instant::ZERO;
        (0..4).all(|stream| {
            writer.write(now, b"record").expect("there is room");
            let attempt = writer.poll_transmit(now).expect("it is sent at once");
            attempt.stream == StreamIndex(stream)
        })
    };
    (0..)
        .find(orders)
        .expect("one seed in 24, and there are many")
}

/// Starts four proxies, two of each store. What they say of failure domains is up to `flags`.
async fn four_proxies(stores: &[Local; 2], flags: impl Fn(usize) -> Vec<String>) -> [Proxy; 4] {
    let start = async |number: usize| {
        let (uri, flags) = (stores[number / 2].uri(), flags(number));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Proxy::start(StoreOf::At(&uri), 0, &flags).await
    };
    [
        start(0).await,
        start(1).await,
        start(2).await,
        start(3).await,
    ]
}

/// Writes one record after the other to a stream of each proxy, while the first of the stores
/// stalls.
async fn with_one_task(what: &str, stores: &[Local; 2], proxies: &[Proxy; 4]) -> Counters {
    let streams = streams_of(what, proxies, 1).await.concat();
    // The rotation has the streams of a store one behind the other. While one of them waits,
    // nothing is in flight at the next: silence shows nothing.
    let settings = settings(true).seed(ordering_seed());
    let writer = writer(&name_of(proxies), &streams, settings).await;
    for _ in 0..2 * streams.len() {
        writer.write(b"record").await.expect("every proxy answers");
    }
    let stall = async {
        stores[0].process.signal(Signal::STOP);
        tokio::time::sleep(STALL * 5).await;
        stores[0].process.signal(Signal::CONT);
    };
    let latencies = write_until(1, &writer, stall).await;
    let counters = report(what, &writer, &latencies);
    writer.close_within(Duration::from_secs(1)).await;
    counters
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_hedged_to_another_store_first_if_proxies_say_which_store_is_theirs() {
    let folders = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let stores = [
        Local::start(folders[0].path(), 0).await,
        Local::start(folders[1].path(), 0).await,
    ];
    let said = {
        let proxies = four_proxies(&stores, |_| Vec::new()).await;
        with_one_task("said", &stores, &proxies).await
    };
    let not_said = {
        // As if each had a store of its own.
        let name = |number| vec!["--failure-domain".into(), format!("proxy-{number}")];
        let proxies = four_proxies(&stores, name).await;
        with_one_task("not-said", &stores, &proxies).await
    };
    let won = |counters: &Counters| counters.hedges_won as f64 / counters.hedges_sent as f64;
    assert!(said.hedges_sent >= 8, "the stall was met: {said:?}");
    assert!(
        won(&said) >= 0.9 && won(&not_said) <= 0.8,
        "{said:?}, {not_said:?} if they do not say it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_says_the_identity_of_its_store_or_the_name_that_it_was_given() {
    let folders = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let store = Local::start(folders[0].path(), 0).await;
    let id = store
        .connect()
        .await
        .identity()
        .expect("it has an identity");
    let uri = store.uri();
    let mut said = Vec::new();
    for (keeps, flags) in [
        (StoreOf::At(&uri), &[""; 0][..]),
        (StoreOf::At(&uri), &["--failure-domain", "rack-1"]),
        (StoreOf::In(folders[1].path()), &[]),
    ] {
        let proxy = Proxy::start(keeps, 0, flags).await;
        let client = ProxyClient::builder().proxies(proxy.name());
        let client = client.build().await.expect("it connects");
        let replies = client.handshake().await;
        let reply = replies[0].result.as_ref().expect("it answers");
        said.push(reply.failure_domain.clone().expect("it says one"));
    }
    let [of_store, given, of_folder] = said.try_into().expect("three of them");
    assert_eq!((&*of_store, &*given), (&*id.to_string(), "rack-1"));
    assert_eq!(of_folder.len(), 32, "{of_folder}");
    assert_ne!(of_folder, of_store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_moves_to_a_proxy_of_another_failure_domain_is_in_that_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Local::start(folder.path(), 0).await;
    let (uri, names) = (store.uri(), ["disk-1", "disk-2"]);
    let start = async |name| Proxy::start(StoreOf::At(&uri), 0, &["--failure-domain", name]).await;
    let proxies = [start(names[0]).await, start(names[1]).await];
    let streams = streams_of("moves", &proxies, 1).await;
    let writer = writer(&name_of(&proxies), &streams[0], settings(true)).await;
    let after_two = async || {
        for _ in 0..2 {
            writer.write(b"record").await.expect("a proxy answers");
        }
        let status = writer.stream_status(StreamIndex(0));
        status.expect("it was written to").failure_domain
    };
    assert_eq!(after_two().await, Some(FailureDomain::of(names[0])));
    // It drains: the stream is free for the other one.
    proxies[0].process.signal(Signal::TERM);
    let moved = async { while after_two().await != Some(FailureDomain::of(names[1])) {} };
    let moved = tokio::time::timeout(STEP_TIMEOUT, moved).await;
    moved.expect("the other one owns it");
}
