//! Deletions, truncations and retention that end halfway, as readers and next owners see them.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_bookkeeper::zookeeper::ZooKeeper;
use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_store::{LogStore, ReadLimit, StoreError};
use distributedlog_testkit::zookeeper::Delivery;
use tokio::time::{sleep, timeout};

use crate::kit::{Kit, Process, name};

const START: Dlsn = Dlsn::new(1, 0, 0);

/// What deletes log segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Deletion,
    Truncation,
    Retention,
}

impl Act {
    async fn run(self, process: &Process, last: Dlsn) -> Result<(), StoreError> {
        let stream = name("s");
        match self {
            Self::Deletion => process.store.delete(&stream).await,
            Self::Truncation => process.store.truncate(&stream, last).await,
            Self::Retention => process.store.truncate(&stream, START).await,
        }
    }

    fn settings(self) -> BookKeeperSettings {
        BookKeeperSettings {
            retention: (self == Self::Retention).then_some(Duration::from_secs(60)),
            ..BookKeeperSettings::default()
        }
    }
}

/// Session of a process with ZooKeeper.
fn session(process: &Process) -> i64 {
    process.sessions.current().session()
}

/// Ends a process at this moment: ZooKeeper hears nothing of it any more.
fn kill(kit: &Kit, process: &Process) {
    let session = session(process);
    kit.cluster.ensemble.partition(session);
    kit.cluster.ensemble.expire(session);
}

/// Numbers of the log segments and numbers of the ledgers that exist.
fn left(kit: &Kit) -> (usize, usize) {
    let nodes = kit.cluster.ensemble.nodes();
    let count = |wanted: &str| nodes.keys().filter(|it| it.contains(wanted)).count();
    (count("/logrecs_") + count("/inprogress_"), count("/L0"))
}

/// Reads to the end. Returns the position behind it, or `None` if the stream was deleted.
async fn read(process: &Process, from: Dlsn, what: &str) -> Option<Dlsn> {
    let mut next = from;
    loop {
        let limit = ReadLimit {
            max_bytes: 1,
            wait: Duration::ZERO,
            created_unix_ms: None,
        };
        match process.store.read(&name("s"), next, limit).await {
            Ok(batch) if batch.entries.is_empty() => return Some(batch.next),
            Ok(batch) => next = batch.next,
            Err(StoreError::StreamNotFound(_)) => return None,
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

/// A process dies at each request of `act`, one after the other. Returns the most ledgers that were
/// left without a log segment: an audit lists them.
async fn with_each_death(act: Act) -> usize {
    let mut most = 0;
    for served in 0.. {
        let what = format!("{act:?} after {served} requests");
        let kit = Kit::new(80, 3);
        let process = kit.process_with(1, act.settings()).await;
        let mut last = START;
        for text in ["one", "two", "three", "four"] {
            let lease = process.own("s").await;
            last = process.append(&lease, text).await.expect("stored");
            process.store.release(&lease).await.expect("released");
        }
        // The last segment is left in progress.
        let dead = kit.process(2).await;
        let lease = dead.own("s").await;
        dead.append(&lease, "five").await.expect("stored");
        sleep(Duration::from_secs(90)).await;
        kill(&kit, &dead);
        let tailer = kit.process(3).await;
        let end = read(&tailer, START, &what).await.expect("it is there");

        let (mut requests, of) = (0, session(&process));
        kit.cluster.ensemble.deliver_by(move |request| {
            requests += u32::from(request.session == of);
            if request.session == of && requests > served {
                Delivery::Unavailable
            } else {
                Delivery::Answered
            }
        });
        // Some requests are repeated as long as ZooKeeper does not answer.
        let result = timeout(Duration::from_secs(60), act.run(&process, last)).await;
        let is_done = matches!(result, Ok(Ok(())));
        kill(&kit, &process);
        let audit = kit.operator().await.audit(|_, _| ()).await;
        let audit = audit.unwrap_or_else(|error| panic!("{what}: {error}"));
        let (segments, ledgers) = left(&kit);
        assert_eq!(audit.unnamed.len(), ledgers - segments, "{what}: {audit:?}");
        assert_eq!(audit.missing, [], "{what}");
        most = most.max(audit.unnamed.len());

        let other = kit.process(4).await;
        for reader in [&tailer, &other] {
            read(reader, START, &what).await;
            read(reader, end, &what).await;
            match reader.store.describe(&name("s")).await {
                Ok(_) | Err(StoreError::StreamNotFound(_)) => {}
                Err(error) => panic!("{what}: {error}"),
            }
        }
        match other.acquire("s").await {
            Ok(lease) => {
                let at = other.append(&lease, "six").await;
                let at = at.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(at > end, "{what}");
                let payloads = other.payloads("s").await;
                assert_eq!(payloads.last(), Some(&(at, "six".into())), "{what}");
                // A control record confirms it to other processes.
                sleep(Duration::from_secs(1)).await;
                let seen = read(&tailer, end, &what).await;
                assert!(seen > Some(at), "{what}: {seen:?} of {at:?}");
            }
            Err(StoreError::StreamNotFound(_)) => assert_eq!(act, Act::Deletion, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
        if is_done {
            assert!(served > 10, "{what}");
            return most;
        }
    }
    unreachable!("it is done once");
}

/// A segment's node goes before its ledger: one ledger is left at most.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_it_truncates_leaves_no_damage() {
    assert_eq!(with_each_death(Act::Truncation).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_retention_deletes_leaves_no_damage() {
    assert_eq!(with_each_death(Act::Retention).await, 1);
}

/// The newest completed segment and the one in progress go at once.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_it_deletes_a_stream_leaves_no_damage() {
    assert_eq!(with_each_death(Act::Deletion).await, 2);
}

/// The stream is not kept from others for as long as the process lives.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_fails_releases_the_write_lock() {
    let kit = Kit::new(81, 3);
    let (process, other) = (kit.process(1).await, kit.process(2).await);
    let lease = process.own("s").await;
    process.append(&lease, "one").await.expect("stored");
    process.store.release(&lease).await.expect("released");
    for can_release in [true, false] {
        let mut has_failed = false;
        kit.cluster.ensemble.deliver_by(move |request| {
            let is_release = has_failed && request.path.contains("/lock/member_");
            has_failed |= request.path.ends_with("/allocation");
            if request.path.ends_with("/allocation") || (is_release && !can_release) {
                Delivery::Unavailable
            } else {
                Delivery::Answered
            }
        });
        let deleted = process.store.delete(&name("s")).await;
        assert!(deleted.is_err(), "{deleted:?}");
        kit.cluster.ensemble.deliver_all();
        if !can_release {
            let held = other.acquire("s").await;
            assert!(matches!(held, Err(StoreError::NotReady { .. })), "{held:?}");
            sleep(Duration::from_secs(6)).await;
        }
        let lease = other.acquire("s").await.expect("nobody owns it");
        other.store.release(&lease).await.expect("released");
    }
}

/// A client repeats a deletion while ZooKeeper does not answer.
#[tokio::test(start_paused = true)]
async fn deletions_that_fail_release_the_write_lock_once() {
    let kit = Kit::new(83, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    process.store.release(&lease).await.expect("released");
    let requests = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&requests);
    kit.cluster.ensemble.deliver_by(move |request| {
        if request.path.contains("/lock") {
            counted.fetch_add(1, Ordering::Relaxed);
            return Delivery::Unavailable;
        }
        Delivery::Answered
    });
    for _ in 0..20 {
        let deleted = process.store.delete(&name("s")).await;
        assert!(deleted.is_err(), "{deleted:?}");
    }
    let of_deletions = requests.swap(0, Ordering::Relaxed);
    sleep(Duration::from_secs(9)).await;
    let later = requests.load(Ordering::Relaxed);
    assert!(later > 0, "it tries again");
    assert!(later < of_deletions / 4, "{later} and {of_deletions}");
}

/// ZooKeeper is away for a moment, behind the deletion of a node.
#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_deleted_is_deleted_later() {
    let kit = Kit::new(82, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    process.append(&lease, "one").await.expect("stored");
    process.store.release(&lease).await.expect("released");
    kit.cluster.ensemble.deliver_by(|request| {
        if request.is_change && request.path.contains("/L0") {
            Delivery::Unavailable
        } else {
            Delivery::Answered
        }
    });
    process.store.delete(&name("s")).await.expect("deleted");
    assert_eq!(left(&kit), (0, 1));
    kit.cluster.ensemble.deliver_all();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(left(&kit), (0, 0));
}
