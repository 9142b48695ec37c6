//! Appends and reads while bookies fail and segments come and go.

use core::time::Duration;

use distributedlog::Dlsn;
use distributedlog_bookkeeper::namespace::LogSegment;
use distributedlog_bookkeeper::zookeeper::Op;
use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_store::{LogStore, ReadLimit, StoreError};
use distributedlog_testkit::bookies::BookieMode;
use distributedlog_testkit::zookeeper::Delivery;
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
async fn health_needs_zookeeper_and_the_bookies_that_acknowledge_an_entry() {
    let kit = Kit::new(61, 3);
    let process = kit.process(1).await;
    assert_eq!(process.store.check_health().await, Ok(()));
    let bookies = kit.cluster.bookies.ids();
    kit.cluster.unregister(&bookies[0]);
    assert_eq!(process.store.check_health().await, Ok(()), "two are enough");
    kit.cluster.unregister(&bookies[1]);
    let lost = loop {
        match process.store.check_health().await {
            Ok(()) => sleep(Duration::from_millis(10)).await,
            Err(lost) => break lost.to_string(),
        }
    };
    assert!(lost.contains("1 of the 2 bookies are there"), "{lost}");
    kit.cluster.register(&bookies[1]);
    while process.store.check_health().await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    let session =
        distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&process.sessions.current());
    kit.cluster.ensemble.partition(session);
    let silent = timeout(Duration::from_secs(2), process.store.check_health()).await;
    assert!(!matches!(silent, Ok(Ok(()))), "{silent:?}");
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

/// Its segment ends, and cannot be completed: the last entry cannot be read.
#[tokio::test(start_paused = true)]
async fn an_append_that_waits_for_a_segment_again_has_its_outcome_in_time() {
    let kit = Kit::new(69, 3);
    let settings = BookKeeperSettings {
        append_timeout: Duration::from_secs(2),
        pipeline: 1,
        ..BookKeeperSettings::default()
    };
    let process = kit.process_with(1, settings).await;
    let lease = process.own("s").await;
    process.append(&lease, "one").await.expect("stored");
    // Its own time is over: nothing watches appends that wait any more.
    sleep(Duration::from_secs(3)).await;
    set_all(&kit, BookieMode::Silent);
    let since = Instant::now();
    // The first one is sent, the others follow it.
    let waiting: Vec<_> = (0..5)
        .map(|_| process.start(&lease, vec![record("late")]))
        .collect();
    for outcome in waiting {
        let outcome = timeout(Duration::from_secs(60), outcome).await;
        let took = since.elapsed();
        assert!(
            took <= Duration::from_millis(2_100),
            "{took:?}: {outcome:?}"
        );
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

/// The start of the next segment was applied, and nobody heard it.
#[tokio::test(start_paused = true)]
async fn a_start_whose_outcome_was_not_known_leaves_no_gap_and_costs_no_lease() {
    let kit = Kit::new(65, 3);
    let settings = BookKeeperSettings {
        segment_bytes: 1_000,
        ..BookKeeperSettings::default()
    };
    let process = kit.process_with(1, settings).await;
    let lease = process.own("s").await;
    process.append(&lease, "first").await.expect("stored");
    let (mut changes, mut unavailable) = (0, 0);
    kit.cluster.ensemble.deliver_by(move |request| {
        if unavailable > 0 {
            unavailable -= 1;
            return Delivery::Unavailable;
        }
        // The first one names the ledger, the second one starts the segment.
        changes += u32::from(request.is_change && request.path.ends_with("/allocation"));
        if changes == 2 {
            (changes, unavailable) = (3, 1);
            return Delivery::LostReply;
        }
        Delivery::Answered
    });
    for number in 0..100 {
        let appended = process.append(&lease, "x".repeat(90)).await;
        appended.unwrap_or_else(|error| panic!("{number}: {error}"));
        sleep(Duration::from_millis(200)).await;
    }
    process.store.release(&lease).await.expect("released");
    let info = process.store.describe(&name("s")).await.expect("described");
    let numbers = info.segments.iter().map(|it| it.log_segment_sequence_no);
    assert!(info.segments.len() > 3);
    assert!(numbers.eq(1..=info.segments.len() as i64), "{info:?}");
}

/// Its ledger cannot be closed: the next owner does it.
#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_complete_the_segment_lets_others_own_the_stream() {
    let kit = Kit::new(66, 3);
    let (process, other) = (kit.process(1).await, kit.process(2).await);
    let lease = process.own("s").await;
    let first = process.append(&lease, "one").await.expect("stored");
    kit.cluster.ensemble.deliver_by(|request| {
        // The segment's node is completed under the name that comes with its end.
        if request.is_change && request.path.contains("/logrecs_") {
            return Delivery::Unavailable;
        }
        Delivery::Answered
    });
    process.store.release(&lease).await.expect("released");
    kit.cluster.ensemble.deliver_all();
    let lease = other.acquire("s").await.expect("nobody owns it");
    let second = other.append(&lease, "two").await.expect("stored");
    let expected = vec![(first, "one".into()), (second, "two".into())];
    assert_eq!(other.payloads("s").await, expected);
}

/// Its owner died before it stored anything: its number is used again.
#[tokio::test(start_paused = true)]
async fn t22_a_segment_without_entries_is_deleted_by_the_next_owner() {
    let kit = Kit::new(70, 3);
    let (process, other) = (kit.process(1).await, kit.process(2).await);
    let lease = process.own("s").await;
    let first = process.append(&lease, "one").await.expect("stored");
    process.store.release(&lease).await.expect("released");
    let lease = process.acquire("s").await.expect("nobody owns it");
    set_all(&kit, BookieMode::Down);
    let mut changes = 0;
    kit.cluster.ensemble.deliver_by(move |request| {
        // The second one starts the segment: it is the last that the process can do.
        if changes == 2 {
            return Delivery::Unavailable;
        }
        changes += u32::from(request.is_change && request.path.ends_with("/allocation"));
        Delivery::Answered
    });
    drop(process.start(&lease, vec![record("lost")]));
    sleep(Duration::from_millis(500)).await;
    let max_txid = || {
        let nodes = kit.cluster.ensemble.nodes();
        let mut found = nodes.iter().filter(|it| it.0.ends_with("/maxtxid"));
        found.next().expect("there is one").1.data.clone()
    };
    let before = max_txid();
    let ledger = first_ledger(&kit);
    kit.cluster.ensemble.deliver_all();
    let session =
        distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&process.sessions.current());
    kit.cluster.ensemble.expire(session);
    set_all(&kit, BookieMode::Up);
    let lease = other.acquire("s").await.expect("nobody owns it");
    assert_eq!(max_txid(), before);
    let second = other.append(&lease, "two").await.expect("stored");
    assert_eq!(second, Dlsn::new(2, 0, 0));
    assert_ne!(first_ledger(&kit), ledger);
    let expected = [(first, "one".into()), (second, "two".into())];
    assert_eq!(other.payloads("s").await, expected);
}

/// Wherever it ends, what it leaves can be deleted, and created again.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_ends_halfway_leaves_nothing_in_the_way() {
    for served in 0.. {
        let kit = Kit::new(67, 3);
        let process = kit.process(1).await;
        for text in ["one", "two"] {
            let lease = process.own("s").await;
            process.append(&lease, text).await.expect("stored");
            process.store.release(&lease).await.expect("released");
        }
        let mut requests = 0;
        kit.cluster.ensemble.deliver_by(move |_| {
            requests += 1;
            if requests > served {
                Delivery::Unavailable
            } else {
                Delivery::Answered
            }
        });
        let deleted = process.store.delete(&name("s")).await;
        kit.cluster.ensemble.deliver_all();
        let is_done = deleted.is_ok();
        // The lock of the first try ends with its session.
        let session =
            distributedlog_bookkeeper::zookeeper::ZooKeeper::session(&process.sessions.current());
        kit.cluster.ensemble.expire(session);
        let other = kit.process(2).await;
        match other.store.delete(&name("s")).await {
            Ok(()) => assert!(!is_done, "{served} requests"),
            Err(StoreError::StreamNotFound(_)) => {}
            Err(error) => panic!("{served} requests: {error}"),
        }
        let created = other.store.create(&name("s")).await;
        created.unwrap_or_else(|error| panic!("{served} requests: {error}"));
        let lease = other.own("s").await;
        let at = other.append(&lease, "new").await.expect("stored");
        assert_eq!(other.payloads("s").await, [(at, "new".into())]);
        if is_done {
            assert!(served > 10, "{served} requests");
            return;
        }
    }
}

/// One reader waits at bookies that were replaced meanwhile, another one reads on.
#[tokio::test(start_paused = true)]
async fn a_reader_follows_a_ledger_to_bookies_that_took_the_place_of_others() {
    let kit = Kit::new(68, 6);
    let (process, other) = (kit.process(1).await, kit.process(2).await);
    let lease = process.own("s").await;
    let first = process.append(&lease, "first").await.expect("stored");
    let stream = name("s");
    let read = |from, wait| {
        let limit = ReadLimit {
            max_bytes: 1,
            wait: Duration::from_millis(wait),
            created_unix_ms: None,
        };
        other.store.read(&stream, from, limit)
    };
    let batch = read(first, 5_000).await.expect("it is readable");
    let end = batch.next;
    // Its bookies answer that there is nothing more, after a while.
    let waits = read(end, 3_000);
    let reads_on = async {
        sleep(Duration::from_millis(500)).await;
        let ids = kit.cluster.bookies.ids();
        let copies = kit.cluster.bookies.copies(first_ledger(&kit), 0);
        assert_eq!(copies.len(), 3);
        for bookie in ids.iter().filter(|it| copies.contains_key(it)) {
            kit.cluster.bookies.set_read_only(bookie, true);
        }
        let mut last = first;
        for _ in 0..20 {
            last = process.append(&lease, "later").await.expect("stored");
        }
        let mut next = end;
        while next < last {
            let batch = read(next, 5_000).await;
            next = batch
                .unwrap_or_else(|error| panic!("{next:?}: {error}"))
                .next;
            sleep(Duration::from_millis(200)).await;
        }
    };
    let (waited, ()) = tokio::join!(waits, reads_on);
    assert_ne!(waited.expect("it is readable").entries, []);
}

/// Returns the ledger of the only log segment in progress.
fn first_ledger(kit: &Kit) -> i64 {
    let nodes = kit.cluster.ensemble.nodes();
    let mut segments = nodes.iter().filter(|it| it.0.contains("/inprogress_"));
    let (_, node) = segments.next().expect("there is one");
    let segment = LogSegment::decode(&node.data).expect("it decodes");
    segment.ledger
}
