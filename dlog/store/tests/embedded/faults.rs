//! A disk that is full, read-only or broken, and requests beyond the limits.

use distributedlog::Dlsn;

use super::{
    ALL, Stepped, TestClock, begin_append, entry, poll_once, read, record, run, small, stream,
};
use distributedlog_store::embedded::{Disk, EmbeddedSettings};
use distributedlog_store::{Entry, Lease, LogStore, StoreError, StreamName};
use distributedlog_testkit::store::SimDisk;

fn open(disk: &SimDisk) -> Stepped {
    Stepped::open(disk, small(), &TestClock::default()).unwrap()
}

fn kilobyte(i: usize) -> Entry {
    Entry {
        records: vec![record(vec![u8::try_from(i % 251).unwrap(); 1000])],
    }
}

/// Appends until one fails. Returns the number of successes, and the error.
fn fill(store: &mut Stepped, lease: &Lease, from: usize) -> (usize, StoreError) {
    for i in from..10_000 {
        match store.append(lease, kilobyte(i)) {
            Ok(dlsn) => assert_eq!(dlsn.entry_id, i64::try_from(i).unwrap()),
            Err(error) => return (i, error),
        }
    }
    panic!("the disk has no end");
}

fn check(store: &Stepped, name: &StreamName, count: usize) {
    let mut cursor = Dlsn::INITIAL;
    let mut found = 0;
    loop {
        let batch = read(&store.store, name, cursor, ALL).unwrap();
        if batch.entries.is_empty() {
            assert_eq!(found, count);
            return;
        }
        for stored in batch.entries {
            assert_eq!(stored.records, kilobyte(found).records);
            found += 1;
        }
        cursor = batch.next;
    }
}

#[test]
fn a_full_disk_fails_appends_only_and_space_helps_without_a_restart() {
    let disk = SimDisk::new(1);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let lease = store.create(&name);
    disk.set_capacity(Some(100_000));
    let (count, error) = fill(&mut store, &lease, 0);
    assert!(
        matches!(&error, StoreError::DiskFull { path } if path.starts_with("/store")),
        "{error:?}"
    );
    check(&store, &name, count);
    disk.set_capacity(Some(200_000));
    let (more, error) = fill(&mut store, &lease, count);
    assert!(more > count + 40, "{count} entries, then {more}");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    check(&store, &name, more);
    disk.set_capacity(None);
    drop(store);
    check(&open(&disk), &name, more);
}

/// Found by the simulation of the whole system: a small batch was on the disk though its padding
/// did not fit, its append was refused, and a recovery found it.
#[test]
fn an_append_that_a_full_disk_refused_is_never_found_by_a_recovery() {
    let settings = EmbeddedSettings {
        preallocate: false,
        ..small()
    };
    let open =
        |disk: &SimDisk| Stepped::open(disk, settings.clone(), &TestClock::default()).unwrap();
    // From the point where nothing of a batch fits to the one where all of it does.
    for room in (0..2_048).step_by(32) {
        let disk = SimDisk::new(1);
        let name = stream("basic-stream-3");
        let mut store = open(&disk);
        // Too little for the zeros that batches write ahead of themselves.
        disk.set_capacity(Some(disk.bytes_used() + 6_000 + room));
        let lease = store.create(&name);
        let (count, error) = fill(&mut store, &lease, 0);
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
        disk.set_capacity(None);
        drop(store);
        check(&open(&disk), &name, count);
    }
}

/// Found by the simulation of the whole system: when the disk became full after the index of a
/// sealed volume was written and before the snapshot, the second attempt replaced the index with an
/// empty one.
#[test]
fn sealing_that_ran_out_of_space_half_way_loses_no_index() {
    let name = stream("basic-stream-3");
    let mut halves = 0;
    for room in (0..3_000).step_by(50) {
        let disk = SimDisk::new(room);
        // With a reserve there would be room for the snapshot.
        let settings = EmbeddedSettings {
            reserve_bytes: Some(0),
            ..small()
        };
        let mut store = Stepped::open(&disk, settings, &TestClock::default()).unwrap();
        let lease = store.create(&name);
        // One volume and the beginning of the next, with nothing sealed.
        for i in 0..18 {
            drop(begin_append(&store.store, &lease, kilobyte(i)));
            store.steps.commit();
        }
        // Sealing frees the reserved space that the volume did not use, so a capacity below the
        // current usage leaves room too.
        disk.set_capacity(Some(disk.bytes_used() + room - 2_000));
        store.steps.maintain();
        let files = |disk: &SimDisk| disk.list("/store".as_ref()).unwrap();
        halves += usize::from(
            files(&disk).iter().any(|file| file.ends_with("1.index"))
                && !files(&disk).iter().any(|file| file.ends_with("metadata")),
        );
        disk.set_capacity(None);
        let (rest, total) = (18..40, 40);
        for i in rest {
            store.append(&lease, kilobyte(i)).unwrap();
        }
        drop(store);
        disk.power_cycle();
        check(&open(&disk), &name, total);
    }
    assert!(
        halves > 0,
        "the disk was never full between index and metadata"
    );
}

#[test]
fn deleting_a_stream_on_a_full_disk_makes_room_for_others() {
    let disk = SimDisk::new(2);
    let (old, new) = (stream("old"), stream("new"));
    let mut store = open(&disk);
    let lease = store.create(&old);
    disk.set_capacity(Some(150_000));
    let (before, _) = fill(&mut store, &lease, 0);
    let lease = store.create(&new);
    assert!(matches!(
        store.append(&lease, kilobyte(0)),
        Err(StoreError::DiskFull { .. })
    ));
    store.delete(&old).unwrap();
    store.steps.run();
    let (count, _) = fill(&mut store, &lease, 0);
    assert!(count + 5 > before, "{before} entries fitted, now {count}");
    check(&store, &new, count);
}

#[test]
fn a_read_only_folder_fails_appends_only_and_a_writable_one_helps_without_a_restart() {
    let disk = SimDisk::new(3);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let lease = store.create(&name);
    store.append(&lease, kilobyte(0)).unwrap();
    disk.set_read_only(true);
    assert!(matches!(
        store.append(&lease, kilobyte(1)),
        Err(StoreError::ReadOnly { .. })
    ));
    assert!(matches!(
        store.delete(&name),
        Err(StoreError::ReadOnly { .. })
    ));
    check(&store, &name, 1);
    disk.set_read_only(false);
    assert_eq!(store.append(&lease, kilobyte(1)), Ok(Dlsn::new(1, 1, 0)));
    check(&store, &name, 2);
}

#[test]
fn a_folder_that_cannot_be_written_is_open_for_reading() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let name = stream("basic-stream-3");
        let mut store = open(&disk);
        let lease = store.create(&name);
        // From one volume that nothing was sealed of to several.
        let count = 1 + seed as usize * 3;
        for i in 0..count {
            store.append(&lease, kilobyte(i)).unwrap();
        }
        let lost_power = seed % 2 == 0;
        if lost_power {
            drop(store);
            disk.power_cycle();
        } else {
            store.close();
        }
        disk.set_read_only(true);
        let mut one = open(&disk);
        let other = open(&disk);
        check(&one, &name, count);
        check(&other, &name, count);
        let acquired = one.store.acquire(&name, &super::owner(1));
        let refused = run(&mut one.steps, acquired);
        assert!(
            matches!(refused, Err(StoreError::ReadOnly { .. })),
            "{refused:?}"
        );
        let health = run(&mut one.steps, one.store.check_health());
        assert!(
            matches!(health, Err(StoreError::ReadOnly { .. })),
            "{health:?}"
        );
        disk.set_read_only(false);
        // Not even now: these processes do not keep each other out.
        assert!(matches!(
            one.delete(&name),
            Err(StoreError::ReadOnly { .. })
        ));
        let (clock, settings) = (TestClock::default(), small());
        let refused = Stepped::open(&disk, settings, &clock).err();
        assert!(
            matches!(refused, Some(StoreError::InUse { .. })),
            "{refused:?}"
        );
        one.close();
        drop(other);
        let mut store = open(&disk);
        check(&store, &name, count);
        let lease = store.acquire(&name);
        store.append(&lease, kilobyte(count)).unwrap();
        check(&store, &name, count + 1);
    }
}

#[test]
fn there_is_no_new_store_where_nothing_can_be_written() {
    let disk = SimDisk::new(1);
    disk.set_read_only(true);
    let refused = Stepped::open(&disk, small(), &TestClock::default()).err();
    assert!(
        matches!(refused, Some(StoreError::ReadOnly { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_store_on_a_full_disk_opens_for_readers() {
    let disk = SimDisk::new(4);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let lease = store.create(&name);
    for i in 0..40 {
        store.append(&lease, kilobyte(i)).unwrap();
    }
    drop(store);
    disk.set_capacity(Some(0));
    let mut store = open(&disk);
    check(&store, &name, 40);
    let acquired = store.store.acquire(&name, &super::owner(1));
    assert!(matches!(
        super::run(&mut store.steps, acquired),
        Err(StoreError::DiskFull { .. })
    ));
    disk.set_capacity(None);
    let lease = store.acquire(&name);
    assert_eq!(store.append(&lease, kilobyte(40)), Ok(Dlsn::new(2, 0, 0)));
    check(&store, &name, 41);
    drop(store);
    disk.power_cycle();
    check(&open(&disk), &name, 41);
}

#[test]
fn after_a_failed_sync_its_batch_fails_and_the_store_continues_in_a_new_volume() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let name = stream("basic-stream-3");
        let mut store = open(&disk);
        let lease = store.create(&name);
        store.append(&lease, kilobyte(0)).unwrap();
        disk.fail_syncs(1);
        let failed = [
            begin_append(&store.store, &lease, entry("a")),
            begin_append(&store.store, &lease, entry("b")),
        ];
        store.steps.run();
        for mut failed in failed {
            let error = failed.try_recv().unwrap().unwrap_err();
            assert!(
                matches!(&error, StoreError::Io { path, .. } if path.ends_with("1.volume")),
                "{error:?}"
            );
        }
        check(&store, &name, 1);
        assert_eq!(
            store.append(&lease, kilobyte(1)),
            Ok(Dlsn::new(1, 1, 0)),
            "the failed entries leave no gap"
        );
        check(&store, &name, 2);
        if seed % 2 == 0 {
            drop(store);
        } else {
            store.close();
        }
        disk.power_cycle();
        check(&open(&disk), &name, 2);
    }
}

#[test]
fn a_volume_whose_successor_may_exist_is_not_written_any_more() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let name = stream("basic-stream-3");
        let mut store = open(&disk);
        let lease = store.create(&name);
        for i in 0..5 {
            store.append(&lease, kilobyte(i)).unwrap();
        }
        disk.fail_folder_syncs(1);
        let large = Entry {
            records: vec![record(vec![0; 4000])],
        };
        assert!(
            matches!(
                store.append(&lease, large),
                Err(StoreError::NotWritten { .. })
            ),
            "there is room for a small one only"
        );
        store.append(&lease, kilobyte(5)).unwrap();
        drop(store);
        disk.power_cycle();
        check(&open(&disk), &name, 6);
    }
}

#[test]
fn a_disk_that_fails_every_sync_fails_every_append_and_nothing_else() {
    let disk = SimDisk::new(5);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let lease = store.create(&name);
    store.append(&lease, kilobyte(0)).unwrap();
    disk.fail_syncs(u32::MAX);
    for attempt in 0..20 {
        let error = store.append(&lease, kilobyte(1)).unwrap_err();
        // Only the first one is in a batch; the others need a new volume, which cannot be begun.
        let expected = if attempt == 0 {
            matches!(error, StoreError::Io { .. })
        } else {
            matches!(error, StoreError::NotWritten { .. })
        };
        assert!(expected, "{attempt}: {error:?}");
        check(&store, &name, 1);
    }
    let files = disk.bytes_used();
    assert!(files < 100_000, "failing leaves {files} bytes behind");
    disk.fail_syncs(0);
    assert_eq!(store.append(&lease, kilobyte(1)), Ok(Dlsn::new(1, 1, 0)));
    check(&store, &name, 2);
}

#[test]
fn appends_beyond_the_queue_are_refused_at_once_and_accepted_when_there_is_room() {
    let disk = SimDisk::new(6);
    let name = stream("basic-stream-3");
    let settings = EmbeddedSettings {
        max_queued_bytes: 10_000,
        ..small()
    };
    let mut store = Stepped::open(&disk, settings, &TestClock::default()).unwrap();
    let lease = store.create(&name);
    let mut begun: Vec<_> = (0..12)
        .map(|i| begin_append(&store.store, &lease, kilobyte(i)))
        .collect();
    let refused: Vec<_> = begun
        .iter_mut()
        .filter_map(|result| result.try_recv().ok())
        .collect();
    assert_eq!(
        refused,
        vec![Err(StoreError::Overloaded { limit: 10_000 }); 3],
        "nine kilobytes and their overhead fit"
    );
    store.steps.run();
    assert_eq!(store.append(&lease, kilobyte(9)), Ok(Dlsn::new(1, 9, 0)));
    check(&store, &name, 10);
}

#[test]
fn invalid_and_too_large_entries_are_refused() {
    let disk = SimDisk::new(7);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let lease = store.create(&name);
    let large = Entry {
        records: vec![record(vec![0; 5000])],
    };
    assert_eq!(
        store.append(&lease, large),
        Err(StoreError::TooLarge {
            size: 5008,
            limit: 4096
        })
    );
    assert!(matches!(
        store.append(
            &lease,
            Entry {
                records: Vec::new()
            }
        ),
        Err(StoreError::InvalidEntry { .. })
    ));
    let mut slotless = entry("a");
    // A record without a slot is a control record; a record set without one is invalid.
    (slotless.records[0].slots, slotless.records[0].is_record_set) = (0, true);
    assert!(matches!(
        store.append(&lease, slotless),
        Err(StoreError::InvalidEntry { .. })
    ));
    let largest = Entry {
        records: vec![record(vec![0; 4088])],
    };
    assert_eq!(store.append(&lease, largest), Ok(Dlsn::INITIAL));
}

#[test]
fn a_lease_that_was_lost_is_fenced_also_after_reopening_and_recreation() {
    let disk = SimDisk::new(8);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let first = store.create(&name);
    store.append(&first, entry("a")).unwrap();
    let second = store.acquire(&name);
    let fenced = Err(StoreError::Fenced(name.clone()));
    assert_eq!(store.append(&first, entry("b")), fenced);
    assert_eq!(store.append(&second, entry("b")), Ok(Dlsn::new(2, 0, 0)));
    let other = super::run(
        &mut store.steps,
        store.store.acquire(&name, &super::owner(2)),
    );
    assert_eq!(
        other,
        Ok(distributedlog_store::Acquired::OwnedBy(super::owner(1)))
    );
    drop(store);
    let mut store = open(&disk);
    assert_eq!(store.append(&second, entry("c")), fenced);
    store.delete(&name).unwrap();
    assert_eq!(store.append(&second, entry("c")), fenced);
    let third = store.create(&name);
    assert!(third.epoch > second.epoch);
    assert_eq!(store.append(&second, entry("c")), fenced);
    assert_eq!(store.append(&third, entry("c")), Ok(Dlsn::INITIAL));
    super::run(&mut store.steps, store.store.release(&third)).unwrap();
    super::run(&mut store.steps, store.store.release(&third)).unwrap();
    assert_eq!(store.append(&third, entry("d")), fenced);
    let other = super::run(
        &mut store.steps,
        store.store.acquire(&name, &super::owner(2)),
    );
    assert!(matches!(
        other,
        Ok(distributedlog_store::Acquired::Granted(_))
    ));
}

#[test]
fn the_error_of_a_second_process_names_the_first_and_a_dead_one_is_no_obstacle() {
    let disk = SimDisk::new(9);
    let store = open(&disk);
    let second = Stepped::open(&disk, small(), &TestClock::default());
    assert!(matches!(
        second,
        Err(StoreError::InUse { path, holder })
            if path == "/store" && holder.starts_with("process ")
    ));
    disk.restart_process();
    let after = open(&disk);
    drop(store);
    let third = Stepped::open(&disk, small(), &TestClock::default());
    assert!(
        matches!(third, Err(StoreError::InUse { .. })),
        "the end of the dead one's objects frees nothing"
    );
    drop(after);
}

#[test]
fn a_closed_store_refuses_everything() {
    let disk = SimDisk::new(10);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let lease = store.create(&name);
    let accepted = begin_append(&store.store, &lease, entry("a"));
    super::run(&mut store.steps, store.store.close()).unwrap();
    super::run(&mut store.steps, store.store.close()).unwrap();
    let mut accepted = core::pin::pin!(accepted);
    assert!(matches!(
        poll_once(accepted.as_mut()),
        core::task::Poll::Ready(Ok(Ok(Dlsn::INITIAL)))
    ));
    assert_eq!(store.append(&lease, entry("b")), Err(StoreError::Closed));
    assert_eq!(
        super::run(&mut store.steps, store.store.create(&name)),
        Err(StoreError::Closed)
    );
    assert_eq!(
        read(&store.store, &name, Dlsn::INITIAL, ALL),
        Err(StoreError::Closed)
    );
    let again = open(&disk);
    assert_eq!(
        read(&again.store, &name, Dlsn::INITIAL, ALL)
            .unwrap()
            .entries
            .len(),
        1
    );
}

#[test]
pub(super) fn without_its_lock_file_a_process_acknowledges_nothing_more() {
    for entries_between in [0, 1, 40] {
        let (disk, clock) = (SimDisk::new(1), TestClock::default());
        let mut first = Stepped::open(&disk, small(), &clock).unwrap();
        let lease = first.create(&stream("s"));
        first.append(&lease, entry("before the removal")).unwrap();
        disk.remove_lock("/store/LOCK");
        // It does not know yet, nor does it have to: nobody has taken its place.
        let mut second = Stepped::open(&disk, small(), &clock).unwrap();
        let lease_of_second = second.acquire(&stream("s"));
        for i in 0..entries_between {
            let text = format!("{i}, {}", "of the successor ".repeat(40));
            second.append(&lease_of_second, entry(&text)).unwrap();
        }
        for attempt in ["first", "second"] {
            let refused = first.append(&lease, entry(attempt)).unwrap_err();
            let (StoreError::Io { path, detail } | StoreError::NotWritten { path, detail }) =
                &refused
            else {
                panic!("{refused:?}")
            };
            assert_eq!(path, "/store/LOCK");
            assert!(detail.contains("was removed"), "{detail}");
        }
        assert!(first.delete(&stream("s")).is_err());
        first.close();
        second.append(&lease_of_second, entry("the last")).unwrap();
        let found = read(&second.store, &stream("s"), Dlsn::INITIAL, ALL).unwrap();
        assert_eq!(found.entries.len(), entries_between + 2);
        second.close();
        let third = Stepped::open(&disk, small(), &clock).unwrap();
        let again = read(&third.store, &stream("s"), Dlsn::INITIAL, ALL).unwrap();
        assert_eq!(again.entries, found.entries);
    }
}

#[test]
fn health_is_what_a_write_would_meet() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    let lease = store.create(&stream("s"));
    let health = |store: &mut Stepped| run(&mut store.steps, store.store.check_health());
    assert_eq!(health(&mut store), Ok(()));
    disk.fail_syncs(2);
    assert!(store.append(&lease, kilobyte(0)).is_err());
    assert!(matches!(health(&mut store), Err(StoreError::Io { .. })));
    assert_eq!(health(&mut store), Ok(()), "the disk works again");
    store.append(&lease, kilobyte(0)).unwrap();
    disk.set_capacity(Some(disk.bytes_used()));
    let (written, full) = fill(&mut store, &lease, 1);
    assert!(matches!(full, StoreError::DiskFull { .. }), "{full:?}");
    assert!(matches!(
        health(&mut store),
        Err(StoreError::DiskFull { .. })
    ));
    disk.set_capacity(None);
    // Nobody writes, because a load balancer sends nobody to a proxy that is not ready.
    assert_eq!(health(&mut store), Ok(()));
    store.append(&lease, kilobyte(written)).unwrap();
    disk.remove_lock("/store/LOCK");
    assert!(matches!(health(&mut store), Err(StoreError::Io { .. })));
    store.close();
}

/// A process whose connections took all file descriptors: what was certainly not written is not
/// reported as unknown, and the store goes on when there are descriptors again.
#[test]
fn without_descriptors_for_another_volume_an_append_is_certainly_not_written() {
    let disk = SimDisk::new(1);
    let name = stream("basic-stream-3");
    let mut store = open(&disk);
    let lease = store.create(&name);
    disk.set_out_of_descriptors(true);
    let (count, error) = fill(&mut store, &lease, 0);
    let StoreError::NotWritten { path, detail } = &error else {
        panic!("{error:?}");
    };
    assert!(path.starts_with("/store") && detail.contains("os error 24"));
    let (again, _) = fill(&mut store, &lease, count);
    assert_eq!(again, count, "nothing was written meanwhile");
    disk.set_out_of_descriptors(false);
    store.append(&lease, kilobyte(count)).unwrap();
    check(&store, &name, count + 1);
    store.close();
    check(&open(&disk), &name, count + 1);
}
