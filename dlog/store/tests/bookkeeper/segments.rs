//! Log segments: rolled, broken, truncated, deleted.

use core::time::Duration;

use distributedlog::Dlsn;
use distributedlog_bookkeeper::zookeeper::Op;
use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_store::{LogStore, ReadLimit, StoreError, StoredEntry};
use distributedlog_testkit::bookies::BookieMode;
use tokio::time::{Instant, sleep};

use crate::kit::{Kit, NAMESPACE, name, record};

fn small_segments() -> BookKeeperSettings {
    BookKeeperSettings {
        segment_bytes: 2_000,
        ..BookKeeperSettings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_full_is_followed_by_another_without_a_gap() {
    let kit = Kit::new(40, 3);
    let process = kit.process_with(1, small_segments()).await;
    let lease = process.own("s").await;
    let mut written = Vec::new();
    for number in 0..200 {
        let payload = format!("record {number} {}", "x".repeat(90));
        let at = process
            .append(&lease, payload.clone())
            .await
            .expect("stored");
        written.push((at, payload.into()));
    }
    let info = process.store.describe(&name("s")).await.expect("described");
    assert!(info.segments.len() > 5, "{} segments", info.segments.len());
    assert_eq!(process.payloads("s").await, written);
    sleep(Duration::from_secs(5)).await;
    let info = process.store.describe(&name("s")).await.expect("described");
    let open = info.segments.iter().filter(|it| !it.completed).count();
    assert_eq!(open, 1, "all but the last are completed");
    process.store.release(&lease).await.expect("released");
    let other = kit.process(2).await;
    assert_eq!(other.payloads("s").await, written);
}

/// While the next segment starts, the one before it still takes appends.
#[tokio::test(start_paused = true)]
async fn transaction_ids_ascend_over_changes_of_segments() {
    let kit = Kit::new(44, 3);
    let process = kit.process_with(1, small_segments()).await;
    let lease = process.own("s").await;
    let mut outcomes = Vec::new();
    for number in 0..400_u32 {
        let payload = format!("record {number} {}", "x".repeat(90));
        outcomes.push(process.start(&lease, vec![record(payload)]));
        sleep(Duration::from_millis(1)).await;
    }
    for outcome in outcomes {
        outcome.await.expect("an outcome").expect("stored");
    }
    // Transaction ids are times.
    let entries = process.read("s").await;
    let segments = entries.last().map(|it| it.dlsn.log_segment_sequence_no);
    assert!(segments > Some(5), "{segments:?}");
    let times: Vec<u64> = entries.iter().map(|it| it.written_unix_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
    process.store.release(&lease).await.expect("released");
    let info = process.store.describe(&name("s")).await.expect("described");
    for (number, segment) in info.segments.iter().enumerate().skip(1) {
        let before = times_of(&entries, info.segments[number - 1].log_segment_sequence_no);
        assert!(
            before.iter().all(|time| *time <= segment.first_unix_ms),
            "{before:?} before a segment of {}",
            segment.first_unix_ms
        );
    }
}

fn times_of(entries: &[StoredEntry], segment: i64) -> Vec<u64> {
    let of_segment = entries
        .iter()
        .filter(|it| it.dlsn.log_segment_sequence_no == segment);
    of_segment.map(|it| it.written_unix_ms).collect()
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_lost_its_bookies_is_followed_by_another() {
    let kit = Kit::new(41, 4);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    let first = process.append(&lease, "one").await.expect("stored");
    for bookie in &kit.cluster.bookies.ids()[..3] {
        kit.cluster.bookies.set_mode(bookie, BookieMode::Down);
        kit.cluster.unregister(bookie);
    }
    // With one of four bookies nothing can be stored, and nothing is.
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(process.append(&lease, "lost").await);
    }
    let refused = |it: &Result<Dlsn, StoreError>| matches!(it, Err(StoreError::Unreachable { .. }));
    assert!(outcomes.iter().any(refused), "{outcomes:?}");
    for bookie in &kit.cluster.bookies.ids()[..3] {
        kit.cluster.bookies.set_mode(bookie, BookieMode::Up);
        kit.cluster.register(bookie);
    }
    let mut written = vec![(first, "one".into())];
    written.extend(outcomes.into_iter().flatten().map(|at| (at, "lost".into())));
    let mut tries = 0;
    loop {
        match process.append(&lease, "two").await {
            Ok(at) => {
                written.push((at, "two".into()));
                break;
            }
            Err(error) => assert!(tries < 100, "{error}"),
        }
        tries += 1;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(process.payloads("s").await, written);
}

/// Clients whose records shared an entry send their next ones at the same time.
#[tokio::test(start_paused = true)]
async fn appends_of_one_turn_share_an_entry_behind_the_first() {
    let kit = Kit::new(45, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    process.append(&lease, "first").await.expect("stored");
    let started = (0..20).map(|it| process.start(&lease, vec![record(format!("record {it}"))]));
    let started: Vec<_> = started.collect();
    let mut places = Vec::new();
    for outcome in started {
        let at = outcome.await.expect("an outcome").expect("stored");
        places.push((at.entry_id, at.slot_id));
    }
    let first = places[0].0;
    let rest = (0..19).map(|slot| (first + 1, slot));
    let expected: Vec<_> = core::iter::once((first, 0)).chain(rest).collect();
    assert_eq!(places, expected);
}

/// Two of three bookies say nothing, and none can take their place.
#[tokio::test(start_paused = true)]
async fn an_append_that_is_stuck_is_decided_by_ending_its_segment() {
    let kit = Kit::new(44, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    let first = process.append(&lease, "one").await.expect("stored");
    for bookie in &kit.cluster.bookies.ids()[..2] {
        kit.cluster.bookies.set_mode(bookie, BookieMode::Silent);
    }
    let began = Instant::now();
    let stuck = process.append(&lease, "stuck").await;
    assert!(
        matches!(stuck, Err(StoreError::Unreachable { .. })),
        "not written: {stuck:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    for bookie in &kit.cluster.bookies.ids()[..2] {
        kit.cluster.bookies.set_mode(bookie, BookieMode::Up);
    }
    let mut appended = process.append(&lease, "two").await;
    while appended.is_err() {
        sleep(Duration::from_secs(1)).await;
        appended = process.append(&lease, "two").await;
    }
    let second = appended.expect("stored");
    let expected = vec![(first, "one".into()), (second, "two".into())];
    assert_eq!(process.payloads("s").await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_stream_begins_at_the_position() {
    let kit = Kit::new(42, 3);
    let process = kit.process_with(1, small_segments()).await;
    let lease = process.own("s").await;
    let mut written = Vec::new();
    for number in 0..100 {
        let payload = format!("record {number} {}", "x".repeat(90));
        let at = process
            .append(&lease, payload.clone())
            .await
            .expect("stored");
        written.push((at, payload.into()));
        sleep(Duration::from_millis(50)).await;
    }
    let middle = written[50].0;
    process
        .store
        .truncate(&name("s"), middle)
        .await
        .expect("truncated");
    assert_eq!(process.payloads("s").await, written[50..]);
    let info = process.store.describe(&name("s")).await.expect("described");
    assert_eq!(info.first, Some(middle));
    assert_eq!(info.truncated_before, Some(middle));
    // In the open segment: it is completed first.
    let last = written[99].0;
    process
        .store
        .truncate(&name("s"), last)
        .await
        .expect("truncated");
    assert_eq!(process.payloads("s").await, written[99..]);
    let at = process.append(&lease, "next").await.expect("stored");
    let payloads = process.payloads("s").await;
    assert_eq!(payloads.last(), Some(&(at, "next".into())));
}

#[tokio::test(start_paused = true)]
async fn segments_beyond_the_retention_are_deleted_when_the_next_one_starts() {
    let kit = Kit::new(43, 3);
    let settings = BookKeeperSettings {
        retention: Some(Duration::from_secs(3600)),
        ..small_segments()
    };
    let process = kit.process_with(1, settings).await;
    let lease = process.own("s").await;
    for round in 0..10 {
        for number in 0..30 {
            let payload = format!("record {round} {number} {}", "x".repeat(90));
            process.append(&lease, payload).await.expect("stored");
        }
        sleep(Duration::from_secs(1200)).await;
    }
    let info = process.store.describe(&name("s")).await.expect("described");
    let first = info.segments[0].log_segment_sequence_no;
    assert!(first > 3, "the first segment is {first}");
    let nodes = kit.cluster.ensemble.nodes();
    let ledgers = nodes.keys().filter(|it| it.contains("/L0")).count();
    assert_eq!(ledgers, info.segments.len(), "no ledger is left");
}

#[tokio::test(start_paused = true)]
async fn what_is_truncated_does_not_wait_for_the_retention() {
    let kit = Kit::new(48, 3);
    let settings = BookKeeperSettings {
        retention: Some(Duration::from_secs(3600)),
        ..BookKeeperSettings::default()
    };
    let process = kit.process_with(1, settings).await;
    let mut last = Dlsn::new(1, 0, 0);
    for text in ["one", "two", "three"] {
        let lease = process.own("s").await;
        last = process.append(&lease, text).await.expect("stored");
        process.store.release(&lease).await.expect("released");
    }
    let truncated = process.store.truncate(&name("s"), last).await;
    truncated.expect("truncated");
    let nodes = kit.cluster.ensemble.nodes();
    let ledgers = nodes.keys().filter(|it| it.contains("/L0")).count();
    assert_eq!(ledgers, 1, "the newest stays");
}

/// Behind the last record that was read only a control record follows: the next segment has more.
#[tokio::test(start_paused = true)]
async fn a_read_does_not_wait_at_the_end_of_a_completed_segment() {
    let kit = Kit::new(46, 3);
    let (process, other) = (kit.process(1).await, kit.process(2).await);
    let mut written = Vec::new();
    for text in ["one", "two"] {
        let lease = process.own("s").await;
        written.push(process.append(&lease, text).await.expect("stored"));
        sleep(Duration::from_secs(1)).await;
        process.store.release(&lease).await.expect("released");
    }
    let began = Instant::now();
    let mut next = Dlsn::new(1, 0, 0);
    for at in written {
        let limit = ReadLimit {
            max_bytes: 1,
            wait: Duration::from_secs(60),
            created_unix_ms: None,
        };
        let read = other.store.read(&name("s"), next, limit).await;
        let read = read.expect("it is readable");
        assert_eq!(read.entries[0].dlsn, at);
        next = read.next;
    }
    assert!(began.elapsed() < Duration::from_secs(1));
}

/// A writer of Java marks the end in the node of the largest transaction id.
#[tokio::test(start_paused = true)]
async fn a_stream_that_its_writer_ended_takes_no_append() {
    let kit = Kit::new(47, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    process.append(&lease, "one").await.expect("stored");
    process.store.release(&lease).await.expect("released");
    kit.cluster.ensemble.apply(&[Op::Set {
        path: format!("{NAMESPACE}/s/<default>/maxtxid"),
        data: i64::MAX.to_string().into_bytes(),
        version: None,
    }]);
    let lease = process.acquire("s").await.expect("nobody owns it");
    for _ in 0..2 {
        let refused = process.append(&lease, "two").await;
        assert_eq!(refused, Err(StoreError::Ended(name("s"))));
    }
    assert_eq!(process.payloads("s").await.len(), 1);
}
