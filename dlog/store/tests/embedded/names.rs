//! Names of files that a killed process gave and did not sync, and the next process relies on.

use std::sync::Arc;

use distributedlog::Dlsn;

use super::{ALL, Stepped, TestClock, read, record, small, stream};
use distributedlog_store::Entry;
use distributedlog_store::embedded::{Disk, EmbeddedSettings, repair};
use distributedlog_testkit::store::SimDisk;

const ENTRIES: usize = 30;

/// Finder of the files of the killed process.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The next process, which opens the store.
    Process,
    /// A repair.
    Repair,
}

fn kilobyte(i: usize) -> Entry {
    Entry {
        records: vec![record(vec![u8::try_from(i).unwrap(); 1000])],
    }
}

/// Writes entries, and kills the process.
fn write(disk: &SimDisk, settings: &EmbeddedSettings) {
    let mut store = Stepped::open(disk, settings.clone(), &TestClock::default()).unwrap();
    let lease = store.create(&stream("stream"));
    for i in 0..ENTRIES {
        store.append(&lease, kilobyte(i)).unwrap();
    }
    store.steps.run();
    disk.restart_process();
}

fn check(disk: &SimDisk, settings: &EmbeddedSettings, context: &str) {
    let store = Stepped::open(disk, settings.clone(), &TestClock::default())
        .unwrap_or_else(|error| panic!("{context}: the store does not open: {error}"));
    let mut found = Vec::new();
    let mut cursor = Dlsn::INITIAL;
    loop {
        let batch = read(&store.store, &stream("stream"), cursor, ALL).unwrap();
        if batch.entries.is_empty() {
            break;
        }
        found.extend(batch.entries.into_iter().map(|stored| stored.records));
        cursor = batch.next;
    }
    let written: Vec<_> = (0..ENTRIES).map(|i| kilobyte(i).records).collect();
    assert!(found == written, "{context}: {} entries", found.len());
}

/// The process that begins a volume at its start is killed at this operation of its disk. What
/// comes next finds a disk that is full, so it begins none; then the power is lost. Returns false
/// if the process was not killed.
fn killed_at(disk: &SimDisk, operation: u64, settings: &EmbeddedSettings, next: Next) -> bool {
    let clock = TestClock::default();
    disk.crash_at(disk.operations() + operation);
    drop(Stepped::open(disk, settings.clone(), &clock));
    let is_killed = disk.has_crashed();
    disk.restart_process();
    disk.set_capacity(Some(0));
    match next {
        Next::Process => {
            if let Ok(mut store) = Stepped::open(disk, settings.clone(), &clock) {
                store.steps.run();
            }
        }
        Next::Repair => {
            let files = disk.list("/store".as_ref()).unwrap();
            let copy = files.iter().find(|name| name.ends_with(".metadata-copy"));
            disk.damage(format!("/store/{}", copy.unwrap()), 40);
            let disk = Arc::new(disk.clone()) as Arc<dyn Disk>;
            drop(repair(settings.clone(), disk, clock.reader(), &mut |_| {}));
        }
    }
    disk.set_capacity(None);
    disk.power_cycle();
    is_killed
}

#[test]
pub(super) fn a_volume_whose_name_may_be_lost_takes_nothing_from_the_one_before_it() {
    for preallocate in [false, true] {
        let settings = EmbeddedSettings {
            preallocate,
            // The journal's last batch is the last entry, not a copy.
            compaction_rate: 0,
            ..small()
        };
        let disk = SimDisk::new(1);
        write(&disk, &settings);
        for next in [Next::Process, Next::Repair] {
            for seed in 0..10 {
                for operation in 1.. {
                    let fork = disk.fork(seed);
                    let is_killed = killed_at(&fork, operation, &settings, next);
                    let context = format!(
                        "space reserved: {preallocate}, next: {next:?}, seed {seed}, killed at \
                         operation {operation}"
                    );
                    check(&fork, &settings, &context);
                    if !is_killed {
                        assert!(operation > 3, "the start became shorter");
                        break;
                    }
                }
            }
        }
    }
}
