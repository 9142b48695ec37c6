//! A store's identity, and what its files prove about what is missing.

use std::path::{Path, PathBuf};

use distributedlog::Dlsn;

use super::{ALL, Stepped, TestClock, entry, read, small, stream};
use distributedlog_store::embedded::{Access, Disk};
use distributedlog_store::{LogStore, StoreError, StoreId};
use distributedlog_testkit::store::SimDisk;

fn open(disk: &SimDisk) -> Result<Stepped, StoreError> {
    Stepped::open(disk, small(), &TestClock::default())
}

fn volume(number: u64) -> PathBuf {
    PathBuf::from(format!("/store/{number:020}.volume"))
}

/// Returns a disk with a store of ten entries in its first volume.
fn written() -> (SimDisk, Stepped) {
    let disk = SimDisk::new(1);
    let mut store = open(&disk).unwrap();
    let lease = store.create(&stream("s"));
    for i in 0..10 {
        store.append(&lease, entry(&format!("entry {i}"))).unwrap();
    }
    (disk, store)
}

fn entries(store: &Stepped) -> usize {
    let found = read(&store.store, &stream("s"), Dlsn::INITIAL, ALL);
    found.unwrap().entries.len()
}

fn identity(store: &Stepped) -> StoreId {
    store.store.identity().expect("every store has one")
}

fn corrupt(disk: &SimDisk) -> (PathBuf, String) {
    match open(disk).err() {
        Some(StoreError::Corrupt { path, detail }) => (path.into(), detail),
        other => panic!("{other:?}"),
    }
}

fn newest_volume(disk: &SimDisk) -> PathBuf {
    let names = disk.list(Path::new("/store")).unwrap();
    let newest = names.iter().filter(|name| name.ends_with(".volume")).max();
    Path::new("/store").join(newest.expect("there is one"))
}

#[test]
fn a_store_keeps_its_identity_and_no_other_store_has_it() {
    let disk = SimDisk::new(1);
    let first = open(&disk).unwrap();
    let id = identity(&first);
    drop(first);
    for _ in 0..3 {
        let again = open(&disk).unwrap();
        assert_eq!(identity(&again), id);
        again.close();
    }
    for how in ["missing", "damaged"] {
        let path = Path::new("/store/IDENTITY");
        if how == "missing" {
            disk.remove(path).unwrap();
        } else {
            disk.damage(path, 30);
        }
        let again = open(&disk).unwrap();
        assert_eq!(
            identity(&again),
            id,
            "the volumes have it too; the file is {how}"
        );
        assert!(disk.open(path, Access::Read).is_ok());
    }
    let real = |folder: &Path| {
        let settings = distributedlog_store::embedded::EmbeddedSettings::new(folder);
        let store = distributedlog_store::embedded::EmbeddedStore::open(settings).unwrap();
        store.identity().unwrap()
    };
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_ne!(real(one.path()), real(other.path()));
}

#[test]
fn a_volume_of_another_store_is_named_with_both_identities() {
    let (disk, store) = written();
    let id = identity(&store);
    store.close();
    let other = SimDisk::new(2);
    for _ in 0..3 {
        other.draw_store_id();
    }
    let stranger = open(&other).unwrap();
    let id_of_other = identity(&stranger);
    assert_ne!(id, id_of_other);
    stranger.close();
    let file = other.open(&volume(1), Access::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    disk.open(&volume(1), Access::Write)
        .unwrap()
        .write_at(&bytes, 0)
        .unwrap();
    let (path, detail) = corrupt(&disk);
    assert_eq!(path, volume(1));
    assert!(detail.contains(&id.to_string()), "{detail}");
    assert!(detail.contains(&id_of_other.to_string()), "{detail}");
}

#[test]
fn a_store_without_volumes_has_lost_them() {
    for closed in [true, false] {
        let (disk, store) = written();
        if closed {
            store.close();
        } else {
            drop(store);
        }
        disk.remove(&volume(1)).unwrap();
        let (path, detail) = corrupt(&disk);
        assert_eq!(path, volume(1));
        assert!(detail.contains("missing"), "{detail}");
    }
}

#[test]
fn the_end_of_a_store_that_was_closed_is_known() {
    // The zeros begin in the first entry, in the last one, and in the batch that closed the store.
    for (zeroed_from, is_noticed) in [(4, true), (11, true), (12, true), (13, false)] {
        let (disk, store) = written();
        store.close();
        let file = disk.open(&volume(1), Access::Write).unwrap();
        let from = 4096 + 512 * zeroed_from;
        let zeros = vec![0; usize::try_from(file.size().unwrap() - from).unwrap()];
        file.write_at(&zeros, from).unwrap();
        if is_noticed {
            let (path, detail) = corrupt(&disk);
            assert_eq!(path, volume(1));
            assert!(
                detail.starts_with(&format!("at offset {from}: ")),
                "{detail}"
            );
            assert!(
                detail.contains(&format!("offset {}", 4096 + 512 * 13)),
                "{detail}"
            );
        } else {
            assert_eq!(entries(&open(&disk).unwrap()), 10);
        }
    }
}

#[test]
fn the_last_volume_of_a_store_that_was_closed_is_known() {
    let (disk, mut store) = written();
    let lease = store.acquire(&stream("s"));
    let mut appended = 10;
    while newest_volume(&disk) == volume(1) {
        store.append(&lease, entry(&"x".repeat(900))).unwrap();
        appended += 1;
    }
    store.close();
    let fork = disk.fork(2);
    fork.remove(&newest_volume(&fork)).unwrap();
    let (path, detail) = corrupt(&fork);
    assert_eq!(path, newest_volume(&disk));
    assert!(detail.contains("missing"), "{detail}");
    assert_eq!(entries(&open(&disk).unwrap()), appended);
}

#[test]
fn a_mark_of_closing_that_is_damaged_or_old_is_ignored() {
    let (disk, store) = written();
    store.close();
    let mark = Path::new("/store/CLOSED");
    let size = disk.open(mark, Access::Read).unwrap().size().unwrap();
    let old = disk.fork(9);
    for at in 0..size {
        // Except the version, which a newer program may have written.
        if (8..12).contains(&at) {
            continue;
        }
        let damaged = disk.fork(at);
        damaged.damage(mark, at);
        assert_eq!(entries(&open(&damaged).unwrap()), 10, "damaged at {at}");
    }
    // The next process removes it; one that a crash left does no harm.
    let mut store = open(&disk).unwrap();
    assert!(disk.open(mark, Access::Read).is_err());
    let lease = store.acquire(&stream("s"));
    store.append(&lease, entry("entry 10")).unwrap();
    drop(store);
    let from = old.open(mark, Access::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    from.read_at(&mut bytes, 0).unwrap();
    disk.create(mark).unwrap().write_at(&bytes, 0).unwrap();
    assert_eq!(entries(&open(&disk).unwrap()), 11);
}

#[test]
fn a_volume_that_is_shorter_than_what_was_reserved_is_truncated() {
    for size in [
        0,
        100,
        4096,
        4096 + 512 * 5,
        4096 + 512 * 12 + 7,
        (16 << 10) - 1,
    ] {
        let (disk, store) = written();
        drop(store);
        let file = disk.open(&volume(1), Access::Write).unwrap();
        file.set_size(size).unwrap();
        let (path, detail) = corrupt(&disk);
        assert_eq!(path, volume(1));
        assert!(detail.contains("truncated"), "{detail}");
    }
}

#[test]
fn a_volume_that_a_process_cut_on_a_full_disk_is_not_taken_for_a_truncated_one() {
    let (disk, store) = written();
    drop(store);
    for name in disk.list(Path::new("/store")).unwrap() {
        // What would be given up or removed first.
        if name == "RESERVE" || name.ends_with("-unfinished") {
            disk.remove(&Path::new("/store").join(name)).unwrap();
        }
    }
    let cut = || disk.open(&volume(1), Access::Read).unwrap().size().unwrap() < 16 << 10;
    for room in (0..24).map(|kilobytes| kilobytes << 10) {
        disk.set_capacity(Some(disk.bytes_used() + room));
        let store = open(&disk).unwrap();
        assert_eq!(entries(&store), 10);
        drop(store);
        if cut() {
            break;
        }
    }
    assert!(
        cut(),
        "the last volume keeps its reserved space on a full disk"
    );
    // A second process finds the mark of the cut, if no volume follows.
    let names = disk.list(Path::new("/store")).unwrap();
    for name in names.iter().filter(|name| name.ends_with(".volume")) {
        let path = Path::new("/store").join(name);
        if path != volume(1) {
            disk.remove(&path).unwrap();
        }
    }
    assert_eq!(entries(&open(&disk).unwrap()), 10);
}
