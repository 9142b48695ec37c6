//! Appends and reads while bookies fail and segments come and go.

use core::time::Duration;

use distributedlog::Dlsn;
use distributedlog_bookkeeper::zookeeper::Op;
use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_store::{LogStore, ReadLimit};
use distributedlog_testkit::bookies::BookieMode;
use tokio::time::{Instant, sleep, timeout};

use crate::kit::{Kit, name, record};

fn set_all(kit: &Kit, mode: BookieMode) {
    for bookie in kit.cluster.bookies.ids() {
        kit.cluster.bookies.set_mode(&bookie, mode);
    }
}

fn delete_node(kit: &Kit, wanted: impl Fn(&str) -> bool) {
    let nodes = kit.cluster.ensemble.nodes();
    let path = nodes.keys().find(|it| wanted(it)).expect("there is one");
    kit.cluster.ensemble.apply(&[Op::Delete {
        path: path.clone(),
        version: None,
    }]);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_waits_for_a_segment_has_its_outcome_in_time() {
    let kit = Kit::new(60, 3);
    let settings = BookKeeperSettings {
        append_timeout: Duration::from_secs(2),
        ..BookKeeperSettings::default()
    };
    let process = kit.process_with(1, settings).await;
    let lease = process.own("s").await;
    process.append(&lease, "one").await.expect("stored");
    // Neither can the segment take an entry, nor can it be closed for another one to follow.
    set_all(&kit, BookieMode::Down);
    let session =
        distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&process.sessions.current());
    kit.cluster.ensemble.partition(session);
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let outcome = process.start(&lease, vec![record("late")]);
        let since = Instant::now();
        waiting.push(tokio::spawn(async move {
            let outcome = timeout(Duration::from_secs(60), outcome).await;
            (since.elapsed(), outcome)
        }));
        sleep(Duration::from_millis(500)).await;
    }
    for outcome in waiting {
        let (took, outcome) = outcome.await.expect("no panic");
        assert!(took <= Duration::from_secs(3), "{took:?}: {outcome:?}");
    }
}

/// Both would be deleted, and the number that was started last would be two ahead.
#[tokio::test(start_paused = true)]
async fn no_segment_follows_one_that_may_end_empty() {
    let kit = Kit::new(61, 3);
    let settings = BookKeeperSettings {
        segment_bytes: 1,
        ..BookKeeperSettings::default()
    };
    let process = kit.process_with(1, settings).await;
    let lease = process.own("s").await;
    set_all(&kit, BookieMode::Silent);
    for _ in 0..5 {
        drop(process.start(&lease, vec![record("lost")]));
        sleep(Duration::from_millis(100)).await;
    }
    // The segment is ended, and nothing of it was stored.
    sleep(Duration::from_secs(20)).await;
    set_all(&kit, BookieMode::Up);
    let mut tries = 0;
    while let Err(error) = process.append(&lease, "two").await {
        tries += 1;
        assert!(tries < 60, "{error}");
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_of_a_growing_segment_hides_nothing_behind_it() {
    let kit = Kit::new(62, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    let mut written = Vec::new();
    for _ in 0..5 {
        written.push(process.append(&lease, "first").await.expect("stored"));
    }
    // One entry is returned, the next ones are read ahead.
    let limit = ReadLimit {
        max_bytes: 1,
        wait: Duration::ZERO,
        created_unix_ms: None,
    };
    let batch = process.store.read(&name("s"), written[0], limit).await;
    let batch = batch.expect("it is readable");
    assert_eq!(batch.entries.len(), 1);
    for _ in 0..5 {
        written.push(process.append(&lease, "second").await.expect("stored"));
    }
    process.store.release(&lease).await.expect("released");
    let lease = process.acquire("s").await.expect("nobody owns it");
    written.push(process.append(&lease, "next").await.expect("stored"));
    let read = process.read_from("s", batch.next).await;
    let read: Vec<Dlsn> = read.iter().map(|it| it.dlsn).collect();
    assert_eq!(read, written[1..]);
}

#[tokio::test(start_paused = true)]
async fn a_segment_whose_ledger_is_deleted_first_is_no_damage() {
    let kit = Kit::new(63, 3);
    let (process, other) = (kit.process(1).await, kit.process(2).await);
    let lease = process.own("s").await;
    process.append(&lease, "one").await.expect("stored");
    process.store.release(&lease).await.expect("released");
    delete_node(&kit, |it| it.contains("/L0"));
    let stream = name("s");
    let limit = ReadLimit {
        max_bytes: 1 << 20,
        wait: Duration::ZERO,
        created_unix_ms: None,
    };
    let read = other.store.read(&stream, Dlsn::new(1, 0, 0), limit);
    let (read, ()) = tokio::join!(read, async {
        sleep(Duration::from_millis(500)).await;
        delete_node(&kit, |it| it.contains("/logrecs_"));
    });
    assert_eq!(read.expect("it is readable").entries, []);
}

/// Its node is deleted next, or by the next owner.
#[tokio::test(start_paused = true)]
async fn a_segment_in_progress_without_a_ledger_is_empty() {
    let kit = Kit::new(64, 3);
    let (process, other) = (kit.process(1).await, kit.process(2).await);
    let lease = process.own("s").await;
    process.append(&lease, "one").await.expect("stored");
    delete_node(&kit, |it| it.contains("/L0"));
    assert_eq!(other.payloads("s").await, []);
}
