//! Damaged files: distinguished from a torn write, and never served.

use std::path::{Path, PathBuf};

use distributedlog::Dlsn;

use super::{ALL, Stepped, TestClock, entry, read, stream};
use distributedlog_store::embedded::{Access, Disk, EmbeddedSettings};
use distributedlog_store::{StoreError, StreamName};
use distributedlog_testkit::store::SimDisk;

const FIRST_BATCH: u64 = 4096;

/// Without compaction, which would move the entries away from the damage.
fn small() -> EmbeddedSettings {
    EmbeddedSettings {
        compaction_rate: 0,
        ..super::small()
    }
}

fn file(number: u64, extension: &str) -> PathBuf {
    PathBuf::from(format!("/store/{number:020}.{extension}"))
}

fn name() -> StreamName {
    stream("basic-stream-3")
}

/// Returns a store with this many entries, each in a batch of 512 bytes of its own; creation and
/// lease are the first two batches.
fn written(entries: usize) -> (SimDisk, Stepped) {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
    let lease = store.create(&name());
    for i in 0..entries {
        store.append(&lease, entry(&format!("entry {i}"))).unwrap();
    }
    (disk, store)
}

fn batch(number: u64) -> u64 {
    FIRST_BATCH + 512 * number
}

fn open_error(disk: &SimDisk) -> StoreError {
    Stepped::open(disk, small(), &TestClock::default())
        .err()
        .expect("it should not open")
}

fn expect_corrupt(error: &StoreError, file: &Path, offset: u64) {
    let StoreError::Corrupt { path, detail } = error else {
        panic!("{error:?}")
    };
    assert_eq!(Path::new(path), file);
    assert!(
        detail.starts_with(&format!("at offset {offset}: ")),
        "{detail}"
    );
}

#[test]
fn damage_with_a_good_batch_behind_it_is_reported_and_nothing_is_discarded() {
    // In the batch's header, in a frame's header, in a payload.
    for at in [8, 50, 100] {
        let (disk, store) = written(5);
        drop(store);
        disk.damage(file(1, "volume"), batch(3) + at);
        expect_corrupt(&open_error(&disk), &file(1, "volume"), batch(3));
        disk.damage(file(1, "volume"), batch(3) + at);
        let store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
        assert_eq!(
            read(&store.store, &name(), Dlsn::INITIAL, ALL)
                .unwrap()
                .entries
                .len(),
            5
        );
    }
}

#[test]
fn a_last_batch_that_cannot_be_read_is_a_torn_write() {
    let (disk, store) = written(5);
    drop(store);
    disk.damage(file(1, "volume"), batch(6) + 60);
    let store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
    assert_eq!(
        read(&store.store, &name(), Dlsn::INITIAL, ALL)
            .unwrap()
            .entries
            .len(),
        4
    );
}

#[test]
fn damage_to_the_last_batch_of_a_closed_store_is_reported() {
    let (disk, store) = written(5);
    store.close();
    disk.damage(file(1, "volume"), batch(6) + 60);
    expect_corrupt(&open_error(&disk), &file(1, "volume"), batch(6));
}

#[test]
fn damage_in_a_sealed_volume_is_reported_to_its_readers() {
    let (disk, mut store) = written(100);
    store.steps.run();
    let other = stream("other");
    let lease = store.create(&other);
    store.append(&lease, entry("unharmed")).unwrap();
    disk.damage(file(1, "volume"), batch(4) + 100);
    let check = |store: &Stepped| {
        let good = read(&store.store, &name(), Dlsn::INITIAL, ALL).unwrap();
        assert_eq!(good.entries.len(), 2, "what is before the damage is good");
        let error = read(&store.store, &name(), good.next, ALL).unwrap_err();
        expect_corrupt(&error, &file(1, "volume"), batch(4) + 40);
        assert_eq!(
            read(&store.store, &other, Dlsn::INITIAL, ALL)
                .unwrap()
                .entries
                .len(),
            1
        );
        assert_eq!(
            read(&store.store, &name(), Dlsn::new(1, 50, 0), ALL)
                .unwrap()
                .entries
                .len(),
            50
        );
    };
    check(&store);
    store.close();
    check(&Stepped::open(&disk, small(), &TestClock::default()).unwrap());
}

#[test]
fn damage_behind_the_snapshot_and_in_it_is_reported() {
    let (disk, mut store) = written(100);
    store.steps.run();
    drop(store);
    let names = disk.list(Path::new("/store")).unwrap();
    let snapshot = names
        .iter()
        .find(|name| name.ends_with(".metadata"))
        .unwrap();
    let path = Path::new("/store").join(snapshot);
    // It is read from its second copy.
    disk.damage(&path, 30);
    let store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
    assert_eq!(
        read(&store.store, &name(), Dlsn::INITIAL, ALL)
            .unwrap()
            .entries
            .len(),
        100
    );
    drop(store);
    disk.damage(Path::new("/store").join(format!("{snapshot}-copy")), 30);
    expect_corrupt(&open_error(&disk), &path, 12);
}

#[test]
fn a_damaged_or_missing_index_is_written_again() {
    for how in 0..3 {
        let (disk, mut store) = written(100);
        store.steps.run();
        drop(store);
        match how {
            0 => disk.damage(file(1, "index"), 40),
            1 => disk.damage(file(1, "index"), 0),
            _ => disk.remove(&file(1, "index")).unwrap(),
        }
        for _ in 0..2 {
            let mut store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
            assert_eq!(
                read(&store.store, &name(), Dlsn::INITIAL, ALL)
                    .unwrap()
                    .entries
                    .len(),
                100
            );
            store.steps.run();
            assert_eq!(
                read(&store.store, &name(), Dlsn::INITIAL, ALL)
                    .unwrap()
                    .entries
                    .len(),
                100
            );
        }
    }
}

#[test]
fn a_volume_that_is_missing_is_named() {
    let (disk, mut store) = written(100);
    store.steps.run();
    drop(store);
    disk.remove(&file(2, "volume")).unwrap();
    let error = open_error(&disk);
    assert!(
        matches!(
            &error,
            StoreError::Corrupt { detail, .. }
                if detail.contains("stream basic-stream-3 is in none")
        ),
        "{error}"
    );
}

#[test]
fn files_of_a_newer_version_are_refused_and_not_changed() {
    let (disk, mut store) = written(100);
    store.steps.run();
    drop(store);
    let names = disk.list(Path::new("/store")).unwrap();
    for extension in ["volume", "index", "metadata"] {
        let changed = disk.fork(1);
        changed.restart_process();
        let newest = names
            .iter()
            .filter(|name| name.ends_with(extension))
            .max()
            .unwrap();
        let path = Path::new("/store").join(newest);
        let write_version = |path: &Path| {
            let file = changed.open(path, Access::Write).unwrap();
            file.write_at(&[9, 0, 0, 0], 8).unwrap();
        };
        write_version(&path);
        if extension == "metadata" {
            write_version(&path.with_extension("metadata-copy"));
        }
        let expected = StoreError::NewerVersion {
            path: path.display().to_string(),
            found: 9,
            supported: 3,
        };
        let operations = changed.operations();
        assert_eq!(open_error(&changed), expected);
        assert_eq!(changed.operations(), operations);
    }
}

#[test]
fn other_files_in_the_folder_are_not_changed() {
    let (disk, store) = written(3);
    store.close();
    let mine = Path::new("/store/notes.txt");
    disk.create(mine).unwrap().write_at(b"mine", 0).unwrap();
    let store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
    store.close();
    assert!(disk.open(mine, Access::Read).is_ok());
}
