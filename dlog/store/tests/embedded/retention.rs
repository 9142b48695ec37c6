//! Retention: whole log segments are discarded by age and by bytes; positions of times.

use core::time::Duration;

use distributedlog::Dlsn;

use super::{Stepped, TestClock, entry, poll_once, record, run, small, stream};
use distributedlog_store::embedded::EmbeddedSettings;
use distributedlog_store::{
    Entry, LogStore, Retention, RetentionInfo, StoreError, StreamInfo, StreamName,
};
use distributedlog_testkit::store::SimDisk;

const SECOND: u64 = 1000;

fn by_age(seconds: u64) -> Retention {
    Retention {
        age: Some(Duration::from_secs(seconds)),
        bytes: None,
    }
}

fn by_bytes(bytes: u64) -> Retention {
    Retention {
        age: None,
        bytes: Some(bytes),
    }
}

fn set(store: &mut Stepped, name: Option<&StreamName>, retention: Option<Retention>) {
    run(&mut store.steps, store.store.set_retention(name, retention)).unwrap();
}

fn retention(store: &Stepped, name: Option<&StreamName>) -> Result<RetentionInfo, StoreError> {
    let mut future = core::pin::pin!(store.store.retention(name));
    let core::task::Poll::Ready(found) = poll_once(future.as_mut()) else {
        panic!("it waits for something")
    };
    found
}

fn describe(store: &Stepped, name: &StreamName) -> StreamInfo {
    let mut future = core::pin::pin!(store.store.describe(name));
    match poll_once(future.as_mut()) {
        core::task::Poll::Ready(info) => info.unwrap(),
        core::task::Poll::Pending => panic!("it waits for something"),
    }
}

fn kilobyte() -> Entry {
    Entry {
        records: vec![record(vec![7; 1000])],
    }
}

/// Lets the maintenance thread look at retention.
fn look(store: &mut Stepped, clock: &TestClock) {
    clock.advance(5 * SECOND);
    store.steps.run();
    store.steps.run();
}

#[test]
fn what_applies_is_the_streams_then_the_namespaces_then_the_settings_also_after_reopening() {
    let (disk, clock) = (SimDisk::new(1), TestClock::default());
    let settings = EmbeddedSettings {
        retention_age: Some(Duration::from_secs(100)),
        ..small()
    };
    let open = || Stepped::open(&disk, settings.clone(), &clock).unwrap();
    let mut store = open();
    let (one, two) = (stream("one"), stream("two"));
    store.create(&one);
    store.create(&two);
    let info = |own, applied| Ok(RetentionInfo { own, applied });
    let default = by_age(100);
    assert_eq!(retention(&store, None), info(None, default));
    assert_eq!(retention(&store, Some(&one)), info(None, default));
    set(&mut store, None, Some(by_bytes(5000)));
    set(&mut store, Some(&one), Some(Retention::default()));
    let check = |store: &Stepped| {
        let (own, none) = (Some(by_bytes(5000)), Retention::default());
        assert_eq!(retention(store, None), info(own, by_bytes(5000)));
        assert_eq!(retention(store, Some(&one)), info(Some(none), none));
        assert_eq!(retention(store, Some(&two)), info(None, by_bytes(5000)));
    };
    check(&store);
    drop(store);
    disk.power_cycle();
    // From the journal, then from the snapshot.
    let mut store = open();
    check(&store);
    for _ in 0..3 {
        store.steps.run();
        store.close();
        store = open();
        check(&store);
    }
    set(&mut store, None, None);
    set(&mut store, Some(&one), None);
    assert_eq!(retention(&store, Some(&one)), info(None, default));
    let missing = stream("missing");
    let not_found = Err(StoreError::StreamNotFound(missing.clone()));
    assert_eq!(retention(&store, Some(&missing)), not_found);
}

#[test]
fn whole_segments_are_discarded_by_age_and_those_of_a_quiet_stream_too() {
    let (disk, clock) = (SimDisk::new(1), TestClock::default());
    let mut store = Stepped::open(&disk, small(), &clock).unwrap();
    let (kept, short) = (stream("kept"), stream("short"));
    let (lease, other) = (store.create(&kept), store.create(&short));
    set(&mut store, Some(&short), Some(by_age(80)));
    for i in 0..20 {
        store.append(&lease, entry(&format!("{i}"))).unwrap();
        store.append(&other, entry(&format!("{i}"))).unwrap();
        look(&mut store, &clock);
    }
    // A segment for each ten seconds, and nothing is older than eighty and a look.
    let info = describe(&store, &short);
    assert!(info.segments.len() >= 7, "{info:?}");
    let oldest = info.segments[0].last_unix_ms;
    assert!(oldest + 90 * SECOND >= 100 * SECOND, "{info:?}");
    assert!(info.truncated_before.is_some(), "{info:?}");
    assert_eq!(describe(&store, &kept).segments[0].entries, 20);
    // Nothing more is written: the open segment expires as a whole.
    for _ in 0..20 {
        look(&mut store, &clock);
    }
    let info = describe(&store, &short);
    assert_eq!((info.first, info.last), (None, None), "{info:?}");
    let space = *store.store.space().borrow();
    assert!(space.expired_segments >= 10, "{space:?}");
    assert_eq!(describe(&store, &kept).segments[0].entries, 20);
    // The next entry goes on after those that were discarded.
    let next = store.append(&other, entry("next")).unwrap();
    assert!(Some(next) >= info.truncated_before);
}

#[test]
fn segments_count_as_discarded_only_when_the_truncation_is_durable() {
    let (disk, clock) = (SimDisk::new(1), TestClock::default());
    let mut store = Stepped::open(&disk, small(), &clock).unwrap();
    let name = stream("one");
    let lease = store.create(&name);
    store.append(&lease, entry("old")).unwrap();
    set(&mut store, None, Some(by_age(80)));
    let expired = |store: &Stepped| store.store.space().borrow().expired_segments;
    disk.fail_syncs(1);
    clock.advance(100 * SECOND);
    store.steps.run();
    store.steps.run();
    let info = describe(&store, &name);
    assert!(info.first.is_some(), "the truncation failed: {info:?}");
    assert_eq!(expired(&store), 0);
    for _ in 0..3 {
        look(&mut store, &clock);
    }
    assert_eq!(describe(&store, &name).first, None);
    assert_eq!(expired(&store), 1, "the truncation was repeated once");
}

#[test]
fn whole_segments_are_discarded_by_bytes_and_the_space_comes_back() {
    let (disk, clock) = (SimDisk::new(1), TestClock::default());
    let mut store = Stepped::open(&disk, small(), &clock).unwrap();
    let name = stream("one");
    let lease = store.create(&name);
    set(&mut store, None, Some(by_bytes(40_000)));
    for i in 0..400 {
        store.append(&lease, kilobyte()).unwrap();
        if i % 10 == 0 {
            look(&mut store, &clock);
        }
    }
    look(&mut store, &clock);
    let info = describe(&store, &name);
    let kept: u64 = info
        .segments
        .iter()
        .map(|segment| segment.payload_bytes)
        .sum();
    // An eighth of the limit is a segment.
    assert!(
        (40_000..=45_000).contains(&kept),
        "{kept} bytes of {info:?}"
    );
    assert!(disk.bytes_used() < 200_000, "{} bytes", disk.bytes_used());
    assert_eq!(info.last, Some(Dlsn::new(80, 4, 0)));
    drop(store);
    disk.power_cycle();
    let store = Stepped::open(&disk, small(), &clock).unwrap();
    assert_eq!(describe(&store, &name).first, info.first);
}

#[test]
fn the_position_of_a_time_is_found_with_few_reads() {
    let (disk, clock) = (SimDisk::new(1), TestClock::default());
    let settings = EmbeddedSettings {
        volume_bytes: 1 << 20,
        segment_bytes: 40_000,
        ..small()
    };
    let mut store = Stepped::open(&disk, settings, &clock).unwrap();
    let name = stream("one");
    let lease = store.create(&name);
    let mut written = Vec::new();
    for i in 0..1000 {
        clock.advance(10);
        let dlsn = store.append(&lease, kilobyte()).unwrap();
        written.push((10 * (i + 1), dlsn));
    }
    let at = |store: &mut Stepped, unix_ms| {
        run(&mut store.steps, store.store.position_at(&name, unix_ms)).unwrap()
    };
    let before = disk.bytes_read();
    for (unix_ms, dlsn) in written.iter().step_by(37) {
        assert_eq!(at(&mut store, *unix_ms), *dlsn);
        assert_eq!(at(&mut store, unix_ms - 3), *dlsn, "between two");
    }
    let lookups = 2 * written.len().div_ceil(37) as u64;
    let read = (disk.bytes_read() - before) / lookups;
    assert!(read < 20_000, "{read} bytes are read for one position");
    assert_eq!(at(&mut store, 0), written[0].1);
    let end = at(&mut store, 20_000);
    assert!(end > written[999].1 && end < written[999].1.slot(2));
    // What was truncated is not found.
    store.truncate(&name, written[500].1).unwrap();
    assert_eq!(at(&mut store, 100), written[500].1);
    assert_eq!(at(&mut store, 7_005), written[700].1);
}
