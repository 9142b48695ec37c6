//! `kill -9` at random moments: every acknowledged record is read back at its DLSN.
//!
//! `DLOG_CRASH_ROUNDS` sets the number of rounds, `DLOG_CRASH_SEED` the seed of the moments; a
//! failure's message has the seed.

use core::time::Duration;
use std::env;
use std::sync::Arc;
use std::time::Instant;

use distributedlog_store::LogStore;
use distributedlog_store::remote::{ClientSettings, RemoteStore};
use distributedlog_store::uri::Uri;
use distributedlog_tests::load::{Loaded, write_until_the_end};
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::STEP_TIMEOUT;
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};

/// Records that the client keeps in flight.
const IN_FLIGHT: u32 = 64;

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Random moments from a seed.
struct Moments(u64);

impl Moments {
    fn new(salt: u64) -> (Self, u64) {
        let seed = number("DLOG_CRASH_SEED", 1);
        (
            Self((seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1),
            seed,
        )
    }

    /// From the first write to a fifth of a second later: in the middle of the load.
    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % 200_000)
    }
}

/// Totals of all rounds.
#[derive(Default)]
struct Total {
    acknowledged: Vec<Acknowledged>,
    failed: usize,
    unknown: usize,
}

impl Total {
    fn add(&mut self, loaded: Loaded) {
        self.acknowledged.extend(loaded.acknowledged);
        self.failed += loaded.failed.values().sum::<usize>();
        self.unknown += loaded.unknown;
    }

    async fn check(
        &self,
        what: &str,
        rounds: u64,
        seed: u64,
        store: &Arc<dyn LogStore>,
        began: Instant,
    ) {
        assert!(
            !self.acknowledged.is_empty(),
            "nothing was acknowledged (seed {seed})"
        );
        let held = assert_read_back(store, &self.acknowledged).await;
        println!(
            "{what}: {rounds} kills (seed {seed}), {} records acknowledged and each read back at \
             its DLSN, {} refused, {} unanswered, {held} records held, {:.1} s",
            self.acknowledged.len(),
            self.failed,
            self.unknown,
            began.elapsed().as_secs_f64()
        );
    }
}

/// Loads the proxy until it is killed at the next moment. Returns the acknowledged records.
async fn load_and_kill(proxy: Proxy, round: u64, moments: &mut Moments) -> Loaded {
    let address = proxy.address;
    let load = tokio::spawn(async move {
        write_until_the_end(
            address,
            &STREAMS,
            &format!("round {round}"),
            IN_FLIGHT,
            usize::MAX,
        )
        .await
    });
    tokio::time::sleep(moments.next()).await;
    proxy.process.kill_9().await;
    load.await.expect("the load does not panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_its_own_store_loses_nothing_acknowledged_by_kill_9() {
    let (mut moments, seed) = Moments::new(1);
    let (rounds, began) = (number("DLOG_CRASH_ROUNDS", 50), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let mut total = Total::default();
    let reserved = ReservedPort::new();
    for round in 0..rounds {
        let proxy = Proxy::start(StoreOf::In(folder.path()), reserved.number(), &[]).await;
        total.add(load_and_kill(proxy, round, &mut moments).await);
    }
    let local = Local::start(folder.path(), 0).await;
    total
        .check("proxy --data", rounds, seed, &local.connect().await, began)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_over_a_served_store_loses_nothing_acknowledged_by_kill_9() {
    let (mut moments, seed) = Moments::new(2);
    let (rounds, began) = (number("DLOG_CRASH_ROUNDS", 50), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let mut total = Total::default();
    let reserved = ReservedPort::new();
    for round in 0..rounds {
        let proxy = Proxy::start(StoreOf::At(&local.uri()), reserved.number(), &[]).await;
        total.add(load_and_kill(proxy, round, &mut moments).await);
    }
    total
        .check(
            "proxy over dlog local",
            rounds,
            seed,
            &local.connect().await,
            began,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_store_loses_nothing_acknowledged_by_kill_9_and_its_proxy_goes_on() {
    let (mut moments, seed) = Moments::new(3);
    let (rounds, began) = (number("DLOG_CRASH_ROUNDS", 50), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let reserved = ReservedPort::new();
    let port = reserved.number();
    let mut local = Local::start(folder.path(), port).await;
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let mut total = Total::default();
    for round in 0..rounds {
        let address = proxy.address;
        let prefix = format!("round {round}");
        // Enough that the store is killed in the middle; the rest is refused and written again by
        // the next round's load.
        let load = tokio::spawn(async move {
            write_until_the_end(address, &STREAMS, &prefix, IN_FLIGHT, 2000).await
        });
        tokio::time::sleep(moments.next()).await;
        local.process.kill_9().await;
        local = Local::start(folder.path(), port).await;
        total.add(load.await.expect("the load does not panic"));
    }
    let client = RemoteStore::connect(&Uri::local("127.0.0.1", port), ClientSettings::default())
        .await
        .expect("the store answers");
    let store: Arc<dyn LogStore> = Arc::new(client);
    total.check("dlog local", rounds, seed, &store, began).await;
    // The proxy connects again by itself, some time after the store is back.
    let goes_on = async {
        loop {
            let last = write_until_the_end(proxy.address, &STREAMS, "afterwards", 1, 5).await;
            if last.acknowledged.len() == 5 {
                return;
            }
        }
    };
    let goes_on = tokio::time::timeout(STEP_TIMEOUT, goes_on).await;
    assert!(goes_on.is_ok(), "the proxy refuses writes");
}
