//! Checking and repairing the files of a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;

use super::{ALL, Stepped, TestClock, begin_append, read, record, run, small, stream};
use distributedlog_store::embedded::{
    Access, CheckReport, Damage, Disk, EmbeddedSettings, check, repair,
};
use distributedlog_store::{Entry, LogStore, StoreError, StreamName};
use distributedlog_testkit::Random;
use distributedlog_testkit::store::SimDisk;

/// Without compaction, which would move entries, and with little space for nothing.
fn settings() -> EmbeddedSettings {
    EmbeddedSettings {
        compaction_rate: 0,
        ..small()
    }
}

fn open(disk: &SimDisk) -> Result<Stepped, StoreError> {
    Stepped::open(disk, settings(), &TestClock::default())
}

/// Entries by stream, log segment and entry.
type Contents = BTreeMap<(StreamName, i64, i64), Bytes>;

fn contents(disk: &SimDisk) -> Contents {
    let mut store = open(disk).unwrap_or_else(|error| panic!("it does not open: {error}"));
    let names = run(&mut store.steps, store.store.list()).unwrap();
    let mut found = Contents::new();
    for name in names {
        let mut from = Dlsn::INITIAL;
        loop {
            let batch = read(&store.store, &name, from, ALL).unwrap();
            if batch.entries.is_empty() && batch.next == from {
                break;
            }
            from = batch.next;
            for entry in batch.entries {
                let at = (
                    name.clone(),
                    entry.dlsn.log_segment_sequence_no,
                    entry.dlsn.entry_id,
                );
                found.insert(at, entry.records[0].payload.clone());
            }
        }
    }
    store.close();
    found
}

/// Returns a store with five volumes and three streams: two are written throughout, one lease
/// after the other, a third was deleted. Some of the volumes are sealed, with their snapshot.
fn written(closed: bool) -> (SimDisk, Contents) {
    let disk = SimDisk::new(1);
    let mut store = open(&disk).unwrap();
    let (one, two, gone) = (stream("one"), stream("two"), stream("gone"));
    let mut leases = [store.create(&one), store.create(&two), store.create(&gone)];
    let mut random = Random::new(5);
    for i in 0..150 {
        if i == 60 {
            leases[0] = store.acquire(&one);
        }
        if i == 100 {
            store.delete(&gone).unwrap();
        }
        let lease = &leases[if i < 100 { i % 3 } else { i % 2 }];
        let bytes = 1 + usize::try_from(random.below(700)).unwrap();
        let payload = vec![u8::try_from(i % 251).unwrap(); bytes];
        let entry = Entry {
            records: vec![record(payload)],
        };
        let appended = begin_append(&store.store, lease, entry);
        // Batches of one entry and of several.
        if i % 7 > 2 || i % 20 == 19 {
            run(&mut store.steps, appended).unwrap().unwrap();
        }
    }
    if closed {
        store.close();
    } else {
        drop(store);
    }
    let fork = disk.fork(3);
    fork.restart_process();
    let contents = contents(&fork);
    assert!(contents.len() > 110);
    disk.restart_process();
    (disk, contents)
}

fn files(disk: &SimDisk) -> Vec<(PathBuf, u64)> {
    let folder = Path::new("/store");
    let names = disk.list(folder).unwrap();
    let numbered = names
        .into_iter()
        .filter(|name| name != "RESERVE" && !name.ends_with("-unfinished"));
    numbered
        .map(|name| {
            let path = folder.join(name);
            let size = disk.open(&path, Access::Read).unwrap().size().unwrap();
            (path, size)
        })
        .collect()
}

fn checked(disk: &SimDisk) -> CheckReport {
    let before = disk.operations();
    let report = check(disk, Path::new("/store"), 1, &mut |_| {}).unwrap();
    assert_eq!(disk.operations(), before, "a check changes nothing");
    report
}

/// Repairs the store, and checks that what is lost is what was said to be lost.
fn repaired(disk: &SimDisk, contents_before: &Contents, replay: &str) -> CheckReport {
    let report = checked(disk);
    let opens = report.opening.is_none();
    assert_eq!(
        open(&disk.fork(9)).is_ok(),
        opens,
        "{replay}: {}",
        brief(&report)
    );
    let clock = TestClock::default().reader();
    let done = repair(settings(), Arc::new(disk.clone()), clock, &mut |_| {})
        .unwrap_or_else(|error| panic!("{replay}: {error}"));
    assert_eq!(brief(&done), brief(&report), "{replay}");
    let again = checked(disk);
    assert!(
        again.is_intact(),
        "{replay}: {}\n AND AFTER THE REPAIR {}",
        brief(&report),
        brief(&again)
    );
    let left = contents(disk);
    let mut missing = 0;
    for (at, payload) in contents_before {
        match left.get(at) {
            Some(found) => assert_eq!(found, payload, "{replay}: another record at {at:?}"),
            None => missing += 1,
        }
    }
    let invented = left
        .keys()
        .filter(|at| !contents_before.contains_key(at) && !at.0.as_str().starts_with("recovered-"));
    assert_eq!(invented.count(), 0, "{replay}: deleted records are back");
    let renamed = left
        .keys()
        .filter(|at| at.0.as_str().starts_with("recovered-"));
    let renamed = renamed.count() as u64;
    assert!(
        missing <= report.lost_entries() + renamed + at_the_end(&report),
        "{replay}: {missing} entries are missing, and the report says {}",
        brief(&report)
    );
    report
}

fn brief(report: &CheckReport) -> String {
    let mut text = format!("{} entries, opening {:?}", report.entries, report.opening);
    for damage in &report.damages {
        let file = damage.path.trim_start_matches("/store/0");
        text += &format!("; {file} {} ({})", damage.detail, damage.heals);
    }
    for lost in &report.lost {
        text += &format!(
            "; lost {} {},{} +{}",
            lost.stream, lost.log_segment, lost.first_entry, lost.entries
        );
    }
    text
}

/// A report that says that the end of the journal is missing cannot say how many entries were
/// there.
fn at_the_end(report: &CheckReport) -> u64 {
    let says = |damage: &Damage| {
        ["closed", "missing", "truncated"]
            .iter()
            .any(|word| damage.detail.contains(word))
    };
    if report.damages.iter().any(says) {
        return 1000;
    }
    // Damage may be in the part of a frame that names its entry, the last one of its stream.
    let costly = report.damages.iter().filter(|damage| !damage.heals);
    costly.count() as u64
}

#[test]
fn an_intact_store_is_said_to_be_intact_and_not_changed() {
    for closed in [true, false] {
        let (disk, contents) = written(closed);
        let report = checked(&disk);
        assert!(report.is_intact(), "{}", brief(&report));
        assert_eq!((report.streams, report.entries), (2, contents.len() as u64));
        assert!(report.id.is_some() && report.volumes >= 4 && report.bytes > 10_000);
        let operations = disk.operations();
        let clock = TestClock::default().reader();
        repair(settings(), Arc::new(disk.clone()), clock, &mut |_| {}).unwrap();
        assert_eq!(disk.operations(), operations);
    }
}

#[test]
pub(super) fn a_flipped_bit_anywhere_costs_the_entry_that_it_is_in_and_no_other() {
    let (mut healed, mut lost, mut closed_to_readers) = (0, 0, 0);
    let (disk, contents) = written(true);
    for (path, size) in files(&disk) {
        let is_volume = path.to_str().unwrap().ends_with(".volume");
        let mut at = 0;
        while at < size {
            let replay = format!("{} at {at}", path.display());
            // The version, and what a newer one may have written.
            if !(8..12).contains(&at) {
                let fork = disk.fork(at);
                fork.restart_process();
                fork.damage(&path, at);
                let report = repaired(&fork, &contents, &replay);
                assert!(
                    is_volume || report.lost.is_empty(),
                    "{replay}: {}",
                    brief(&report)
                );
                assert!(report.lost_entries() <= 1, "{replay}: {}", brief(&report));
                healed += u32::from(!report.is_intact() && report.lost.is_empty());
                lost += report.lost_entries();
                closed_to_readers += u32::from(report.opening.is_some());
            }
            at += if is_volume { 211 } else { 37 };
        }
    }
    println!("{healed} healed, {lost} entries lost, {closed_to_readers} stores that did not open");
    assert!(healed > 20 && lost > 20 && closed_to_readers > 10);
}

#[test]
fn a_file_that_is_missing_or_cut_costs_what_was_in_it() {
    for closed in [true, false] {
        let (disk, contents) = written(closed);
        for (path, size) in files(&disk) {
            for cut in [None, Some(0), Some(size / 2), Some(size.saturating_sub(1))] {
                let replay = format!("{} cut to {cut:?}, closed {closed}", path.display());
                let fork = disk.fork(7);
                fork.restart_process();
                match cut {
                    None => fork.remove(&path).unwrap(),
                    Some(size) => {
                        fork.open(&path, Access::Write)
                            .unwrap()
                            .set_size(size)
                            .unwrap();
                    }
                }
                let report = repaired(&fork, &contents, &replay);
                let is_volume = path.to_str().unwrap().ends_with(".volume");
                assert!(
                    is_volume || report.lost.is_empty(),
                    "{replay}: {}",
                    brief(&report)
                );
            }
        }
    }
}

#[test]
fn many_damages_at_once_are_repaired_too() {
    for seed in 0..60 {
        let (disk, contents) = written(seed % 2 == 0);
        let mut random = Random::new(seed);
        let all = files(&disk);
        for _ in 0..1 + random.below(12) {
            let (path, size) = &all[random.index(all.len())];
            let at = random.below(*size);
            if !(8..12).contains(&at) {
                disk.damage(path, at);
            }
        }
        repaired(&disk, &contents, &format!("seed {seed}"));
    }
}

#[test]
fn a_repair_that_is_interrupted_is_repeated() {
    let (disk, contents) = written(true);
    let all = files(&disk);
    for (path, size) in &all {
        disk.damage(path, size / 3);
    }
    let first = disk.operations() + 1;
    for operation in first.. {
        let fork = disk.fork(operation);
        fork.restart_process();
        fork.crash_at(operation);
        let clock = TestClock::default().reader();
        let done = repair(settings(), Arc::new(fork.clone()), clock, &mut |_| {});
        if !fork.has_crashed() {
            done.unwrap_or_else(|error| panic!("{error}"));
            assert!(operation > first + 10, "a repair has many operations");
            return;
        }
        fork.power_cycle();
        let report = checked(&fork);
        let replay = format!("interrupted at operation {operation}");
        if report.is_intact() {
            continue;
        }
        repaired(&fork, &contents, &replay);
    }
}

#[test]
fn readers_of_an_open_store_heal_an_index() {
    let (disk, contents) = written(true);
    for (path, size) in files(&disk) {
        if !path.to_str().unwrap().ends_with(".index") {
            continue;
        }
        let mut store = open(&disk).unwrap();
        // The rows are in memory by now; the locations, behind them, are not.
        for at in (size - 60..size).step_by(7) {
            disk.damage(&path, at);
        }
        for name in [stream("one"), stream("two")] {
            let mut from = Dlsn::INITIAL;
            let mut entries = 0;
            loop {
                let batch = read(&store.store, &name, from, ALL).unwrap();
                if batch.entries.is_empty() {
                    break;
                }
                (entries, from) = (entries + batch.entries.len(), batch.next);
            }
            let expected = contents.keys().filter(|at| at.0 == name).count();
            assert_eq!(entries, expected, "{}", path.display());
        }
        while store.steps.run() {}
        store.close();
        assert!(checked(&disk).is_intact());
    }
}

#[test]
fn the_scrub_finds_damage_and_heals_indexes_before_a_reader_comes() {
    let (disk, _) = written(true);
    let (mut index, mut volume) = (None, None);
    for (path, size) in files(&disk) {
        match path.extension().and_then(|it| it.to_str()) {
            Some("index") => index = index.or(Some((path, size))),
            Some("volume") => volume = volume.or(Some(path)),
            _ => {}
        }
    }
    let clock = TestClock::default();
    let settings = EmbeddedSettings {
        scrub_rate: 20_000,
        ..settings()
    };
    let mut store = Stepped::open(&disk, settings, &clock).unwrap();
    let space = store.store.space();
    let damaged = || space.borrow().damaged_entries;
    // In the locations of one index, and in entries of a volume; some are of a deleted stream.
    let (index, size) = index.expect("volumes are sealed");
    let volume = volume.expect("it has volumes");
    for at in (5000..12_000).step_by(500) {
        disk.damage(&volume, at);
    }
    disk.damage(&index, size - 3);
    let mut rounds = 0;
    while damaged() == 0 {
        clock.advance(1000);
        store.steps.run();
        rounds += 1;
        assert!(rounds < 1000, "the scrub finds nothing");
    }
    assert!(rounds < 60, "a volume takes about a second: {rounds}");
    let found = damaged();
    for _ in 0..600 {
        clock.advance(1000);
        store.steps.run();
    }
    assert_eq!(damaged(), found, "an entry is counted once");
    // Reads stop when all volumes are done, until the interval has passed.
    let read = disk.bytes_read();
    for _ in 0..100 {
        clock.advance(1000);
        store.steps.run();
    }
    assert_eq!(disk.bytes_read(), read);
    clock.advance(168 * 3_600_000);
    store.steps.run();
    assert!(disk.bytes_read() > read, "the next round");
    store.close();
    let report = checked(&disk);
    assert!(
        report.damages.iter().all(|damage| !damage.heals),
        "{}",
        brief(&report)
    );
    assert_eq!(report.lost_entries(), found);
}

#[test]
fn a_store_in_use_is_not_checked() {
    let (disk, _) = written(true);
    let _open = open(&disk).unwrap();
    let refused = check(&disk, Path::new("/store"), 1, &mut |_| {});
    assert!(
        matches!(refused, Err(StoreError::InUse { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_check_tells_its_progress_and_works_on_a_disk_that_cannot_be_written() {
    let (disk, _) = written(true);
    disk.set_read_only(true);
    let mut told = Vec::new();
    let report = check(&disk, Path::new("/store"), 1, &mut |progress| {
        told.push(progress)
    });
    assert!(report.unwrap().is_intact());
    let last = told.last().expect("there is much to check");
    assert_eq!(last.checked_bytes, last.total_bytes);
    assert!(told.len() > 3);
}
