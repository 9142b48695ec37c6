//! The store on BookKeeper, over bookies and a ZooKeeper ensemble in memory, in tokio's time.

mod deletions;
mod faults;
mod kit;
mod operator;
mod owners;
mod segments;

use core::time::Duration;

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, ReadLimit, StoreError};
use kit::{Kit, name, record, record_set};

#[tokio::test(start_paused = true)]
async fn what_is_appended_is_read_back_at_its_positions() {
    let kit = Kit::new(1, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    let mut written = Vec::new();
    for number in 0..20 {
        let payload = format!("record {number}");
        let at = process
            .append(&lease, payload.clone())
            .await
            .expect("stored");
        written.push((at, payload.into()));
    }
    assert_eq!(written[0].0, Dlsn::new(1, 0, 0));
    assert!(written.is_sorted_by_key(|(at, _)| *at));
    assert_eq!(process.payloads("s").await, written);
    // Another process sees all of it: a control record confirms the last one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = kit.process(2).await;
    assert_eq!(other.payloads("s").await, written);
}

#[tokio::test(start_paused = true)]
async fn appends_at_the_same_time_share_entries_and_keep_their_order() {
    let kit = Kit::new(2, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    process.append(&lease, "first").await.expect("stored");
    let outcomes: Vec<_> = (0..1000_u32)
        .map(|number| process.start(&lease, vec![record(number.to_be_bytes().to_vec())]))
        .collect();
    let mut positions = Vec::new();
    for outcome in outcomes {
        positions.push(outcome.await.expect("an outcome").expect("stored"));
    }
    assert!(positions.is_sorted());
    let entries: std::collections::BTreeSet<i64> = positions.iter().map(|it| it.entry_id).collect();
    assert!(
        entries.len() < 100,
        "{} entries for 1,000 appends",
        entries.len()
    );
    let read: Vec<Dlsn> = process
        .payloads("s")
        .await
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(read[1..], positions);
}

#[tokio::test(start_paused = true)]
async fn record_sets_take_a_slot_for_each_record() {
    let kit = Kit::new(3, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    let outcome = process.start(&lease, vec![record_set(3), record("x"), record_set(2)]);
    let at = outcome.await.expect("an outcome").expect("stored");
    assert_eq!(at, Dlsn::new(1, 0, 0));
    let entries = process.read("s").await;
    assert_eq!(entries.len(), 1);
    let slots: Vec<u32> = entries[0].records.iter().map(|it| it.slots).collect();
    assert_eq!(slots, [3, 1, 2]);
    // From the middle: complete records before it are left out.
    let from = process.read_from("s", Dlsn::new(1, 0, 4)).await;
    assert_eq!(from[0].dlsn, Dlsn::new(1, 0, 4));
    assert_eq!(from[0].records.len(), 1);
    let from = process.read_from("s", Dlsn::new(1, 0, 1)).await;
    assert_eq!(from[0].dlsn, Dlsn::new(1, 0, 0), "a set is returned whole");
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_the_next_append_of_this_process_and_of_another() {
    let kit = Kit::new(4, 3);
    let process = kit.process(1).await;
    let other = kit.process(2).await;
    let lease = process.own("s").await;
    let limit = ReadLimit {
        max_bytes: 1 << 20,
        wait: Duration::from_secs(60),
        created_unix_ms: None,
    };
    for (reader, payload) in [(&process, "one"), (&other, "two")] {
        let start = process.payloads("s").await.len();
        let from = Dlsn::new(1, 2 * start as i64, 0);
        let stream = name("s");
        let (batch, appended) = tokio::join!(reader.store.read(&stream, from, limit), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            process.append(&lease, payload).await
        });
        let at = appended.expect("stored");
        let batch = batch.expect("it is readable");
        assert_eq!(batch.entries[0].dlsn, at, "{payload}");
        assert_eq!(batch.entries[0].records[0].payload, payload);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_created_listed_described_and_deleted() {
    let kit = Kit::new(5, 3);
    let process = kit.process(1).await;
    for text in ["b", "a", "dir/inner"] {
        process.store.create(&name(text)).await.expect("created");
    }
    let again = process.store.create(&name("a")).await;
    assert_eq!(again, Err(StoreError::StreamExists(name("a"))));
    let listed = process.store.list().await.expect("listed");
    assert_eq!(listed, [name("a"), name("b"), name("dir/inner")]);
    let info = process.store.describe(&name("a")).await.expect("described");
    assert_eq!((info.first, info.last, info.owner), (None, None, None));

    let lease = process.own("a").await;
    process.append(&lease, "one").await.expect("stored");
    let last = process.append(&lease, "two").await.expect("stored");
    let info = process.store.describe(&name("a")).await.expect("described");
    assert_eq!(info.first, Some(Dlsn::new(1, 0, 0)));
    assert_eq!(info.last, Some(last));
    assert_eq!(info.owner.as_ref(), Some(process.owner()));
    assert_eq!(
        (info.segments.len(), info.segments[0].completed),
        (1, false)
    );
    assert_eq!(info.segments[0].records, 2);
    // Another process asks the bookies.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = kit.process(2).await;
    let bytes = async |process: &kit::Process| {
        let info = process.store.describe(&name("a")).await.expect("described");
        assert_eq!(info.segments[0].records, 2);
        info.segments[0].payload_bytes
    };
    let open = bytes(&other).await;
    assert!(open > 0);
    let own = bytes(&process).await;
    process.store.release(&lease).await.expect("released");
    let closed = bytes(&other).await;
    // The control record is last, and no record behind it confirms it to others.
    assert!(open < own && own == closed, "{open}, {own} and {closed}");
    let lease = process.own("a").await;

    process.store.delete(&name("a")).await.expect("deleted");
    let missing = Err(StoreError::StreamNotFound(name("a")));
    assert_eq!(process.store.delete(&name("a")).await, missing);
    let read = process.append(&lease, "three").await;
    assert_eq!(read, Err(StoreError::Fenced(name("a"))));
    let listed = process.store.list().await.expect("listed");
    assert_eq!(listed, [name("b"), name("dir/inner")]);
    let nodes = kit.cluster.ensemble.nodes();
    let left: Vec<&String> = nodes.keys().filter(|it| it.contains("/L0")).collect();
    assert!(left.is_empty(), "ledgers are left: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_before_anything_is_written() {
    let kit = Kit::new(6, 3);
    let process = kit.process(1).await;
    let lease = process.own("s").await;
    let refused = process.append(&lease, vec![0; 1_040_365]).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { .. })),
        "{refused:?}"
    );
    let refused = process.start(&lease, vec![]).await.expect("an outcome");
    assert!(
        matches!(refused, Err(StoreError::InvalidEntry { .. })),
        "{refused:?}"
    );
    let missing = process.store.acquire(&name("none"), process.owner()).await;
    assert_eq!(missing, Err(StoreError::StreamNotFound(name("none"))));
    process
        .append(&lease, vec![0; 1_040_364])
        .await
        .expect("the largest record");
}
