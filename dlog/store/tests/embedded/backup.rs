//! Backups of stores that are open.

use std::path::Path;

use distributedlog::Dlsn;

use super::{ALL, Stepped, TestClock, entry, read, small, stream};
use distributedlog_store::embedded::{Access, BackupReport, Disk, EmbeddedSettings, backup, check};
use distributedlog_store::{LogStore, StoreError};
use distributedlog_testkit::Random;
use distributedlog_testkit::store::SimDisk;

const TO: &str = "/backup";

fn back_up(disk: &SimDisk) -> Result<BackupReport, StoreError> {
    backup(disk, Path::new("/store"), Path::new(TO), 1, &mut |_| {})
}

fn open_backup(disk: &SimDisk) -> Stepped {
    let settings = EmbeddedSettings {
        volume_bytes: 16 << 10,
        ..EmbeddedSettings::new(TO)
    };
    Stepped::open(disk, settings, &TestClock::default()).unwrap()
}

fn texts(store: &Stepped, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut from = Dlsn::INITIAL;
    loop {
        let batch = read(&store.store, &stream(name), from, ALL).unwrap();
        if batch.entries.is_empty() {
            return texts;
        }
        from = batch.next;
        let payloads = batch.entries.iter().map(|entry| &entry.records[0].payload);
        texts.extend(payloads.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
}

#[test]
fn backups_of_a_store_in_use_have_what_was_acknowledged_before_and_copy_what_is_new() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
    let (kept, short) = (stream("kept"), stream("short"));
    let (lease, short_lease) = (store.create(&kept), store.create(&short));
    let mut random = Random::new(3);
    let (mut appended, mut kept_volumes) = (Vec::new(), 0);
    for round in 0..20 {
        for i in 0..1 + random.below(40) {
            let text = format!("{round} {i} {}", "x".repeat(random.index(500)));
            store.append(&lease, entry(&text)).unwrap();
            appended.push(text);
            // Volumes that compaction empties, between one backup and the next.
            store.append(&short_lease, entry(&"y".repeat(400))).unwrap();
        }
        store
            .truncate(&short, Dlsn::new(1, i64::MAX - 1, 0))
            .unwrap();
        let report = back_up(&disk).unwrap();
        assert_eq!((report.streams, report.id), (2, store.store.identity()));
        kept_volumes += report.kept_volumes;
        let fork = disk.fork(round);
        fork.restart_process();
        let whole = check(&fork, Path::new(TO), 1, &mut |_| {}).unwrap();
        assert!(whole.is_intact(), "round {round}: {whole:?}");
        let copy = open_backup(&fork);
        assert_eq!(texts(&copy, "kept"), appended, "round {round}");
        assert_eq!(texts(&copy, "short").len(), 0);
        assert_eq!(copy.store.identity(), store.store.identity());
    }
    assert!(
        kept_volumes > 50,
        "each backup copies everything: {kept_volumes}"
    );
    let names = disk.list(Path::new(TO)).unwrap();
    let volumes = |names: &[String]| {
        names
            .iter()
            .filter(|name| name.ends_with(".volume"))
            .count()
    };
    let live = disk.list(Path::new("/store")).unwrap();
    assert_eq!(
        volumes(&names),
        volumes(&live),
        "what the store removed is removed"
    );
}

#[test]
pub(super) fn an_interrupted_backup_leaves_the_previous_one_or_the_new_one() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
    let lease = store.create(&stream("s"));
    let append = |store: &mut Stepped, count: usize| {
        for i in 0..count {
            store
                .append(&lease, entry(&format!("{i} {}", "x".repeat(300))))
                .unwrap();
        }
    };
    append(&mut store, 60);
    back_up(&disk).unwrap();
    append(&mut store, 100);
    let first = disk.operations() + 1;
    for operation in first.. {
        let fork = disk.fork(operation);
        fork.crash_at(operation);
        let done = back_up(&fork);
        if !fork.has_crashed() {
            done.unwrap();
            assert!(operation > first + 20);
            return;
        }
        fork.power_cycle();
        let whole = check(&fork, Path::new(TO), 1, &mut |_| {}).unwrap();
        assert!(whole.is_intact(), "operation {operation}: {whole:?}");
        let copy = open_backup(&fork);
        let entries = texts(&copy, "s").len();
        assert!(
            (60..=160).contains(&entries),
            "{entries} at operation {operation}"
        );
        copy.close();
        // It is repeated, also over what somebody has opened meanwhile.
        back_up(&fork).unwrap();
        assert_eq!(texts(&open_backup(&fork), "s").len(), 160);
    }
}

#[test]
fn a_folder_with_another_store_is_no_target_and_one_without_a_store_no_source() {
    let disk = SimDisk::new(1);
    let store = Stepped::open(&disk, small(), &TestClock::default()).unwrap();
    drop(open_backup(&disk));
    let refused = back_up(&disk).unwrap_err();
    let id = store.store.identity().unwrap().to_string();
    assert!(
        matches!(&refused, StoreError::Refused { address, detail }
            if address == TO && detail.contains(&id)),
        "{refused:?}"
    );
    let nowhere = Path::new("/nowhere");
    let refused = backup(&disk, nowhere, Path::new("/other"), 1, &mut |_| {});
    assert!(
        matches!(refused, Err(StoreError::Refused { .. })),
        "{refused:?}"
    );
    assert!(disk.open(Path::new("/other/LOCK"), Access::Read).is_err());
}
