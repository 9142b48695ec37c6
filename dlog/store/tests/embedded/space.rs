//! Space comes back: compaction of mostly unneeded volumes, and a full disk.

use std::path::Path;

use distributedlog::Dlsn;

use super::{ALL, Stepped, TestClock, begin_append, entry, read, record, small, stream};
use distributedlog_store::embedded::{Disk, EmbeddedSettings, StoreSpace};
use distributedlog_store::{Entry, Lease, ReadLimit, StoreError, StreamName};
use distributedlog_testkit::store::SimDisk;

fn settings() -> EmbeddedSettings {
    EmbeddedSettings {
        volume_bytes: 64 << 10,
        ..small()
    }
}

fn open(disk: &SimDisk) -> Stepped {
    Stepped::open(disk, settings(), &TestClock::default()).unwrap()
}

fn kilobyte(i: usize) -> Entry {
    Entry {
        records: vec![record(vec![u8::try_from(i % 251).unwrap(); 1000])],
    }
}

fn space(store: &Stepped) -> StoreSpace {
    *store.store.space().borrow()
}

/// Runs the store until nothing is left to compact.
fn settle(store: &mut Stepped) -> StoreSpace {
    // Bounded: each step copies at least one entry.
    for _ in 0..10_000 {
        store.steps.run();
        if space(store).is_compact {
            return space(store);
        }
    }
    panic!("compaction does not end: {:?}", space(store));
}

/// The texts of all entries, and their positions.
fn contents(store: &Stepped, name: &StreamName) -> Vec<(Dlsn, Vec<u8>)> {
    let mut found = Vec::new();
    let mut cursor = Dlsn::INITIAL;
    loop {
        let batch = read(&store.store, name, cursor, ALL).unwrap();
        if batch.entries.is_empty() {
            return found;
        }
        cursor = batch.next;
        for stored in batch.entries {
            found.push((stored.dlsn, stored.records[0].payload.to_vec()));
        }
    }
}

/// Appends 640 large entries to one stream, and after every 32nd a small one to the other.
fn interleave(store: &mut Stepped, large: &Lease, few: &Lease) {
    for i in 0..640 {
        store.append(large, kilobyte(i)).unwrap();
        if i % 32 == 0 {
            store.append(few, entry(&format!("{i:04}"))).unwrap();
        }
    }
}

/// The bound of the module's documentation: twice what is needed, and four volumes. The metadata
/// of a few streams is less than 4 KiB.
fn assert_bound(disk: &SimDisk, space: &StoreSpace) {
    let constant = 4 * u64::from(settings().volume_bytes) + 4096;
    let used = disk.bytes_used();
    assert!(
        used <= 2 * space.live_bytes + constant,
        "{used} bytes on disk, {space:?}"
    );
}

#[test]
fn the_space_of_a_deleted_stream_comes_back_though_each_volume_has_entries_of_another() {
    let disk = SimDisk::new(1);
    let (large, few) = (stream("large"), stream("few"));
    let mut store = open(&disk);
    let (lease, other) = (store.create(&large), store.create(&few));
    interleave(&mut store, &lease, &other);
    let expected = contents(&store, &few);
    assert_eq!(expected.len(), 20);
    let before = disk.bytes_used();
    assert!(before > 640_000, "{before} bytes");
    store.delete(&large).unwrap();
    let settled = settle(&mut store);
    assert_bound(&disk, &settled);
    assert_eq!(settled.live_bytes, 20 * 60);
    assert!(settled.moved_bytes < 2_000, "{settled:?}");
    assert_eq!(contents(&store, &few), expected, "positions are unchanged");
    drop(store);
    disk.power_cycle();
    let mut store = open(&disk);
    assert_eq!(contents(&store, &few), expected);
    let settled = settle(&mut store);
    assert_bound(&disk, &settled);
    let lease = store.acquire(&few);
    assert_eq!(store.append(&lease, entry("next")), Ok(Dlsn::new(2, 0, 0)));
}

#[test]
fn without_compaction_a_small_entry_keeps_its_volume() {
    let disk = SimDisk::new(1);
    let settings = EmbeddedSettings {
        compaction_rate: 0,
        ..settings()
    };
    let mut store = Stepped::open(&disk, settings, &TestClock::default()).unwrap();
    let (large, few) = (stream("large"), stream("few"));
    let (lease, other) = (store.create(&large), store.create(&few));
    interleave(&mut store, &lease, &other);
    store.delete(&large).unwrap();
    let settled = settle(&mut store);
    assert!(
        disk.bytes_used() > 500_000 && settled.moved_bytes == 0,
        "{settled:?}"
    );
}

#[test]
fn the_bound_holds_while_streams_are_written_truncated_and_deleted() {
    let disk = SimDisk::new(2);
    let mut random = distributedlog_testkit::Random::new(2);
    let names: Vec<_> = (0..5).map(|i| stream(&format!("stream-{i}"))).collect();
    let mut store = open(&disk);
    let mut leases: Vec<_> = names.iter().map(|name| store.create(name)).collect();
    let (mut written, mut largest) = (0, 0);
    for round in 0..60 {
        for _ in 0..40 {
            let i = random.index(names.len());
            store.append(&leases[i], kilobyte(i)).unwrap();
            // In a batch of its own: 40 + 48 + 8 + 1000, in whole sectors.
            written += 1536;
        }
        let i = random.index(names.len());
        if round % 3 == 0 {
            store.delete(&names[i]).unwrap();
            leases[i] = store.create(&names[i]);
        } else {
            let entries = contents(&store, &names[i]);
            if !entries.is_empty() {
                let at = entries[random.index(entries.len())].0;
                store.truncate(&names[i], at).unwrap();
            }
        }
        let settled = settle(&mut store);
        assert_bound(&disk, &settled);
        largest = largest.max(disk.bytes_used());
    }
    let settled = space(&store);
    println!("{written} bytes written, at most {largest} on disk, {settled:?}");
    assert!(
        settled.moved_bytes > 0 && settled.moved_bytes <= written,
        "{written} bytes written, {settled:?}"
    );
}

#[test]
fn a_reader_goes_on_while_its_volumes_are_compacted_and_removed() {
    let disk = SimDisk::new(3);
    let (large, few) = (stream("large"), stream("few"));
    let mut store = open(&disk);
    let (lease, other) = (store.create(&large), store.create(&few));
    interleave(&mut store, &lease, &other);
    let expected = contents(&store, &few);
    store.delete(&large).unwrap();
    let (mut cursor, mut found) = (Dlsn::INITIAL, Vec::new());
    let one = ReadLimit {
        max_bytes: 1,
        ..ALL
    };
    loop {
        let batch = read(&store.store, &few, cursor, one).unwrap();
        let Some(stored) = batch.entries.first() else {
            break;
        };
        found.push((stored.dlsn, stored.records[0].payload.to_vec()));
        cursor = batch.next;
        store.steps.run();
    }
    assert_eq!(found, expected);
    assert!(space(&store).moved_bytes > 0);
}

#[test]
fn compaction_is_no_faster_than_its_rate() {
    let disk = SimDisk::new(4);
    let clock = TestClock::default();
    let settings = EmbeddedSettings {
        compaction_rate: 100_000,
        ..settings()
    };
    let mut store = Stepped::open(&disk, settings, &clock).unwrap();
    let (large, kept) = (stream("large"), stream("kept"));
    let (lease, other) = (store.create(&large), store.create(&kept));
    for i in 0..300 {
        store.append(&lease, kilobyte(i)).unwrap();
        store.append(&lease, kilobyte(i)).unwrap();
        store.append(&other, kilobyte(i)).unwrap();
    }
    store.delete(&large).unwrap();
    for step in 0..1000 {
        clock.advance(10);
        store.steps.run();
        store.steps.run();
        // A burst of a tenth of a second, and one chunk.
        let allowed = 100_000 * (step + 1) / 100 + 10_000 + 5_000;
        let moved = space(&store).moved_bytes;
        assert!(moved <= allowed, "{moved} bytes after {step} steps");
    }
    let settled = settle(&mut store);
    assert!(settled.moved_bytes > 200_000, "{settled:?}");
}

#[test]
fn an_entry_that_is_damaged_keeps_its_volume_and_no_other() {
    let disk = SimDisk::new(5);
    let (large, few) = (stream("large"), stream("few"));
    let mut store = open(&disk);
    let (lease, other) = (store.create(&large), store.create(&few));
    interleave(&mut store, &lease, &other);
    // The first entry of `few` is behind creation, lease (two each) and one kilobyte.
    let volume = Path::new("/store/00000000000000000001.volume");
    disk.damage(volume, 4096 + 4 * 512 + 1536 + 60);
    store.delete(&large).unwrap();
    let settled = settle(&mut store);
    assert!(
        disk.open(volume, distributedlog_store::embedded::Access::Read)
            .is_ok()
    );
    assert!(settled.volumes <= 3, "{settled:?}");
    let error = read(&store.store, &few, Dlsn::INITIAL, ALL).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    let rest = read(&store.store, &few, Dlsn::new(1, 2, 0), ALL).unwrap();
    assert_eq!(rest.entries.len(), 18);
}

/// Appends until the disk is full. Returns the number of successes.
fn fill(store: &mut Stepped, lease: &Lease) -> usize {
    for i in 0..10_000 {
        match store.append(lease, kilobyte(i)) {
            Ok(_) => {}
            Err(StoreError::DiskFull { .. }) => return i,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk has no end");
}

/// Settings with which a volume and what a seal writes fit into the reserve.
fn with_reserve() -> EmbeddedSettings {
    EmbeddedSettings {
        reserve_bytes: Some(96 << 10),
        ..settings()
    }
}

#[test]
fn on_a_full_disk_deleting_makes_room_and_appends_go_on() {
    // With one volume that is full and two of several, and whatever the reserve leaves of the disk.
    for capacity in (200_000..500_000).step_by(17_000) {
        let disk = SimDisk::new(capacity);
        disk.set_capacity(Some(capacity));
        let mut store = Stepped::open(&disk, with_reserve(), &TestClock::default()).unwrap();
        let (large, few) = (stream("large"), stream("few"));
        let (lease, other) = (store.create(&large), store.create(&few));
        store.append(&other, entry("kept")).unwrap();
        let first = fill(&mut store, &lease);
        settle(&mut store);
        store.delete(&large).unwrap();
        settle(&mut store);
        let lease = store.create(&large);
        let second = fill(&mut store, &lease);
        assert!(
            second + 8 >= first,
            "{first} entries fitted on {capacity} bytes, then {second}"
        );
        assert_eq!(contents(&store, &few).len(), 1);
    }
}

#[test]
fn a_full_disk_is_opened_read_and_emptied_by_a_new_process() {
    for capacity in (200_000..500_000).step_by(17_000) {
        let disk = SimDisk::new(capacity);
        disk.set_capacity(Some(capacity));
        let open = || Stepped::open(&disk, with_reserve(), &TestClock::default()).unwrap();
        let mut store = open();
        let (large, few) = (stream("large"), stream("few"));
        let (lease, other) = (store.create(&large), store.create(&few));
        store.append(&other, entry("kept")).unwrap();
        let first = fill(&mut store, &lease);
        // Several processes in a row, each of which dies.
        for _ in 0..5 {
            drop(store);
            disk.power_cycle();
            store = open();
            assert_eq!(contents(&store, &large).len(), first);
            store.steps.run();
        }
        store.truncate(&large, Dlsn::new(i64::MAX, 0, 0)).unwrap();
        settle(&mut store);
        let lease = store.acquire(&large);
        let second = fill(&mut store, &lease);
        assert!(
            second + 8 >= first,
            "{first} entries fitted on {capacity} bytes, then {second}"
        );
        assert_eq!(contents(&store, &few).len(), 1);
    }
}

#[test]
fn appends_wait_for_the_reserve_and_changes_do_not() {
    let disk = SimDisk::new(6);
    disk.set_capacity(Some(300_000));
    let mut store = Stepped::open(&disk, with_reserve(), &TestClock::default()).unwrap();
    let (large, few) = (stream("large"), stream("few"));
    let (lease, other) = (store.create(&large), store.create(&few));
    let first = fill(&mut store, &lease);
    assert!(!space(&store).reserve_in_use);
    // Changes until the present volume has no room: the next one is begun with the reserve.
    let mut changes = 0;
    while !space(&store).reserve_in_use && changes < 1000 {
        store.acquire(&few);
        changes += 1;
    }
    assert!(space(&store).reserve_in_use, "after {changes} changes");
    let other = store.acquire(&few).epoch.max(other.epoch);
    assert!(other > 0);
    let refused = begin_append(&store.store, &lease, kilobyte(0));
    store.steps.run();
    let refused = super::run(&mut store.steps, refused).unwrap();
    assert!(
        matches!(refused, Err(StoreError::DiskFull { .. })),
        "{refused:?}"
    );
    store.truncate(&large, Dlsn::new(1, 1_000_000, 0)).unwrap();
    settle(&mut store);
    assert!(!space(&store).reserve_in_use);
    assert!(fill(&mut store, &lease) + 8 >= first);
}
