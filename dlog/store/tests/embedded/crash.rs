//! Crashes at every operation of the disk, with many outcomes of each, also during recovery.

use bytes::Bytes;
use distributedlog_testkit::Random;

use super::model::Model;
use super::{Stepped, TestClock, granted, owner, poll_once, small, stream};
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::{
    Entry, EntryRecord, Lease, LogStore, Retention, StoreError, StoreFuture, StreamName,
};
use distributedlog_testkit::store::SimDisk;

/// A store in use, and the model of it.
struct Workload {
    disk: SimDisk,
    clock: TestClock,
    random: Random,
    model: Model,
    store: Option<Stepped>,
    leases: Vec<Option<Lease>>,
    serial: u64,
    kind: WorkloadKind,
    /// Bytes that compaction copied in the process that uses the store.
    moved_bytes: u64,
    /// Log segments that retention discarded in that process.
    expired_segments: u64,
}

/// Mix of operations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WorkloadKind {
    /// Mostly appends.
    Appends,
    /// Large entries that are soon deleted or truncated, between small ones that stay: compaction
    /// is busy.
    Compaction,
}

const STREAMS: usize = 4;

impl Workload {
    fn new(seed: u64, kind: WorkloadKind) -> Self {
        let mut model = Model::default();
        for i in 0..STREAMS {
            model.streams.entry(name(i)).or_default().exists = Some(false);
        }
        let (disk, clock) = (SimDisk::new(seed), TestClock::default());
        Self {
            disk,
            clock,
            random: Random::new(seed),
            model,
            store: None,
            leases: vec![None; STREAMS],
            serial: 0,
            kind,
            moved_bytes: 0,
            expired_segments: 0,
        }
    }

    /// Copies the workload and the disk after a crash.
    fn fork(&self, seed: u64) -> Self {
        let (disk, clock, model) = (self.disk.fork(seed), self.clock.clone(), self.model.fork());
        Self {
            disk,
            clock,
            random: Random::new(seed),
            model,
            store: None,
            leases: vec![None; STREAMS],
            serial: self.serial,
            kind: self.kind,
            moved_bytes: 0,
            expired_segments: 0,
        }
    }

    fn open(&mut self) -> Result<(), StoreError> {
        self.repair();
        self.open_as_it_is()
    }

    /// Opens the store without repairing the disk.
    fn open_as_it_is(&mut self) -> Result<(), StoreError> {
        self.leases.fill(None);
        self.store = None;
        self.store = Some(Stepped::open(&self.disk, small(), &self.clock)?);
        Ok(())
    }

    /// Runs up to `steps` steps of the workload; stops at a crash.
    fn work(&mut self, steps: u32) {
        for _ in 0..steps {
            if self.disk.has_crashed() || self.store.is_none() {
                return;
            }
            self.clock.advance(self.random.below(50));
            match (self.random.below(100), self.kind) {
                (0..8, _) => self.create_or_delete(),
                (8..12, _) => self.truncate(),
                (12..15, _) => self.release(),
                (15..19, WorkloadKind::Appends) | (15..17, _) => self.reopen(),
                (17..19, WorkloadKind::Compaction) => self.retain(),
                (19..22, _) => self.fault(),
                (22..25, _) => self.repair(),
                (25..79, WorkloadKind::Appends) | (25..70, _) => self.append(),
                (_, WorkloadKind::Appends) => self.step(),
                (_, WorkloadKind::Compaction) => {
                    // To the end of a volume's compaction, unless the machine crashes.
                    for _ in 0..4 {
                        self.step();
                    }
                }
            }
            self.note_moved();
        }
        self.step();
    }

    /// Makes the disk full, read-only or faulty.
    fn fault(&mut self) {
        match self.random.below(6) {
            0 => self
                .disk
                .set_capacity(Some(self.disk.bytes_used() + self.random.below(20_000))),
            1 => self.disk.set_read_only(true),
            2 => self.disk.fail_writes(1),
            3 => self.disk.fail_folder_syncs(1),
            _ => self.disk.fail_syncs(1),
        }
    }

    fn repair(&self) {
        self.disk.set_capacity(None);
        self.disk.set_read_only(false);
        self.disk.fail_syncs(0);
        self.disk.fail_folder_syncs(0);
        self.disk.fail_writes(0);
    }

    fn note_moved(&mut self) {
        if let Some(store) = &self.store {
            let space = *store.store.space().borrow();
            (self.moved_bytes, self.expired_segments) = (space.moved_bytes, space.expired_segments);
        }
    }

    fn step(&mut self) {
        if let Some(store) = &mut self.store {
            store.steps.run();
        }
    }

    /// Runs a change, together with the queued requests. Returns true if it was acknowledged.
    fn change(&mut self, change: impl FnOnce(&EmbeddedStore) -> StoreFuture<'_, ()>) -> bool {
        let Some(store) = &mut self.store else {
            return false;
        };
        let mut future = change(&store.store);
        store.steps.run();
        matches!(poll_once(future.as_mut()), core::task::Poll::Ready(Ok(_)))
    }

    fn create_or_delete(&mut self) {
        // Queued requests go first, so that the state before the change is known.
        self.step();
        let name = self.pick();
        match self.model.stream(&name).exists {
            Some(true) if self.random.below(4) == 0 => {
                self.model.stream(&name).exists = None;
                if self.change(|store| store.delete(&name)) {
                    self.model.stream(&name).forget();
                }
                self.leases[index(&name)] = None;
            }
            Some(false) => {
                self.model.stream(&name).exists = None;
                if self.change(|store| store.create(&name)) {
                    self.model.stream(&name).exists = Some(true);
                }
            }
            Some(true) | None => {}
        }
    }

    fn truncate(&mut self) {
        let name = self.pick();
        let acknowledged = self.model.stream(&name).acknowledged();
        if acknowledged.is_empty() || self.model.stream(&name).exists != Some(true) {
            return;
        }
        let at =
            acknowledged[usize::try_from(self.random.below(acknowledged.len() as u64)).unwrap()];
        let before = at.slot(u32::try_from(self.random.below(2)).unwrap());
        self.model.stream(&name).begin_truncation(before);
        if self.change(|store| store.truncate(&name, before)) {
            self.model.stream(&name).end_truncation(before);
        }
    }

    /// Sets the retention of a stream, and lets the maintenance thread look at it.
    fn retain(&mut self) {
        self.step();
        let name = self.pick();
        if self.model.stream(&name).exists != Some(true) {
            return;
        }
        let retention = Retention {
            age: None,
            bytes: Some(500 + self.random.below(3000)),
        };
        self.model.stream(&name).has_retention = true;
        self.change(|store| store.set_retention(Some(&name), Some(retention)));
        self.clock.advance(5000);
        self.step();
    }

    fn release(&mut self) {
        let name = self.pick();
        if let Some(lease) = self.leases[index(&name)].take() {
            self.change(|store| store.release(&lease));
        }
    }

    /// Ends the process, cleanly or by killing it, and starts another.
    fn reopen(&mut self) {
        self.step();
        let Some(store) = self.store.take() else {
            return;
        };
        if self.random.below(2) == 0 {
            store.close();
        } else {
            drop(store);
        }
        // A process that starts while the disk is full must not harm anything either.
        let opened = if self.random.below(3) == 0 {
            self.open_as_it_is()
        } else {
            self.open()
        };
        // It may have crashed where a full disk is no error either.
        if opened.is_ok() && !self.disk.has_crashed() {
            let Some(store) = &self.store else { return };
            self.model.check(store, true);
        }
    }

    fn append(&mut self) {
        let name = self.pick();
        if self.model.stream(&name).exists != Some(true) {
            return;
        }
        let entry = self.entry(index(&name));
        let Some(store) = &mut self.store else { return };
        if self.leases[index(&name)].is_none() {
            let acquired = store.store.acquire(&name, &owner(1));
            match store
                .steps
                .run()
                .then(|| poll_once(core::pin::pin!(acquired)))
            {
                Some(core::task::Poll::Ready(Ok(acquired))) => {
                    self.leases[index(&name)] = Some(granted(Ok(acquired)))
                }
                _ => return,
            }
        }
        let outcome = self.model.stream(&name).attempt(entry.clone());
        let Some(lease) = &self.leases[index(&name)] else {
            return;
        };
        store.store.append(
            lease,
            entry,
            Box::new(move |result| *outcome.lock().unwrap() = Some(result)),
        );
    }

    fn entry(&mut self, stream: usize) -> Entry {
        let records = 1 + self.random.below(3);
        Entry {
            records: (0..records).map(|_| self.record(stream)).collect(),
        }
    }

    fn record(&mut self, stream: usize) -> EntryRecord {
        self.serial += 1;
        let most = match self.kind {
            WorkloadKind::Appends if self.random.below(4) == 0 => 1200,
            WorkloadKind::Compaction if stream == 0 => 1200,
            WorkloadKind::Appends | WorkloadKind::Compaction => 120,
        };
        let mut payload = self.serial.to_be_bytes().to_vec();
        payload.resize(
            8 + usize::try_from(self.random.below(most)).unwrap(),
            u8::try_from(self.serial % 251).unwrap(),
        );
        let is_record_set = self.random.below(4) == 0;
        EntryRecord {
            payload: Bytes::from(payload),
            slots: if is_record_set { 5 } else { 1 },
            is_record_set,
        }
    }

    fn pick(&mut self) -> StreamName {
        name(usize::try_from(self.random.below(STREAMS as u64)).unwrap())
    }

    /// Opens the store after a crash, checks its guarantees, continues the workload and checks
    /// again. Returns the number of entries compared.
    fn recover_and_check(&mut self) -> usize {
        use distributedlog_store::embedded::Disk;
        let files = self.disk.list("/store".as_ref()).unwrap();
        self.open()
            .unwrap_or_else(|error| panic!("does not open: {error}; the files are {files:#?}"));
        let mut compared = self.check(true);
        self.work(6);
        compared += self.check(false);
        if let Some(store) = self.store.take() {
            store.close();
        }
        self.open()
            .unwrap_or_else(|error| panic!("does not open a second time: {error}"));
        compared + self.check(true)
    }

    fn check(&mut self, just_opened: bool) -> usize {
        // Opening the store again in the middle of the workload may have failed on a faulty disk.
        if self.store.is_none() {
            self.open()
                .unwrap_or_else(|error| panic!("does not open: {error}"));
        }
        self.model
            .check(self.store.as_ref().expect("opened above"), just_opened)
    }
}

fn name(i: usize) -> StreamName {
    stream(&format!("stream-{i}"))
}

fn index(name: &StreamName) -> usize {
    name.as_str()["stream-".len()..].parse().unwrap()
}

/// Returns the number of seeds: few during development, more if `DLOG_CRASH_SEEDS` is set.
fn seeds(few: u64) -> u64 {
    std::env::var("DLOG_CRASH_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(few)
}

/// Runs the workload of a seed up to a crash at an operation. Returns `None` if it ends before.
fn crashed_at(seed: u64, operation: u64, kind: WorkloadKind) -> Option<Workload> {
    let mut workload = Workload::new(seed, kind);
    workload.disk.crash_at(operation);
    if workload.open().is_ok() {
        workload.work(match kind {
            WorkloadKind::Appends => 120,
            WorkloadKind::Compaction => 200,
        });
    }
    workload.store = None;
    workload.disk.has_crashed().then_some(workload)
}

/// The canonical test of the store's main guarantee: an acknowledged record survives every crash.
#[test]
fn acknowledged_entries_survive_a_crash_at_every_operation() {
    let mut counts = Counts::default();
    for seed in 0..seeds(4) {
        crash_at_every_operation(seed, WorkloadKind::Appends, 1, &mut counts);
    }
    println!("{counts:?}");
    assert!(
        counts.points > 600,
        "the workloads became shorter: {counts:?}"
    );
}

/// The same while compaction copies entries and removes volumes, and retention discards segments.
#[test]
fn compaction_and_retention_survive_a_crash_at_every_operation() {
    let mut counts = Counts::default();
    for seed in 200..200 + seeds(4) {
        crash_at_every_operation(seed, WorkloadKind::Compaction, 1, &mut counts);
    }
    println!("{counts:?}");
    assert!(
        counts.points > 600 && counts.points_after_copies > 300 && counts.points_after_expiry > 50,
        "compaction or retention has become rarer: {counts:?}"
    );
}

#[test]
fn a_deletion_whose_sync_failed_removes_nothing_until_a_copy_of_it_is_durable() {
    let mut doubtful = 0;
    for seed in 0..200 {
        let replay = format!("seed {seed}");
        doubtful += with_context(&replay, || {
            u64::from(restart_on_a_full_disk_after_a_failed_sync(seed))
        });
    }
    assert!(
        doubtful > 20,
        "the deletion is rarely in the journal: {doubtful}"
    );
}

/// A deletion's sync fails, but the system still returns what was written. The next process starts
/// on a full disk, finds the deletion and cannot copy it; then the power is lost. Returns true if
/// it found the deletion.
fn restart_on_a_full_disk_after_a_failed_sync(seed: u64) -> bool {
    let (disk, clock) = (SimDisk::new(seed), TestClock::default());
    let settings = EmbeddedSettings {
        reserve_bytes: Some(0),
        compaction_rate: 0,
        ..small()
    };
    let open = || Stepped::open(&disk, settings.clone(), &clock).expect("it opens");
    let mut store = open();
    let name = name(0);
    let lease = store.create(&name);
    let entry = Entry {
        records: vec![EntryRecord {
            payload: Bytes::from(vec![7; 1000]),
            slots: 1,
            is_record_set: false,
        }],
    };
    for _ in 0..30 {
        store.append(&lease, entry.clone()).expect("there is room");
    }
    store.steps.run();
    disk.fail_syncs(1);
    assert!(store.delete(&name).is_err(), "its sync fails");
    disk.restart_process();
    disk.set_capacity(Some(0));
    let mut again = open();
    let found = super::run(&mut again.steps, again.store.list()).expect("it is open");
    again.steps.run();
    disk.power_cycle();
    disk.set_capacity(None);
    let after = open();
    let mut cursor = distributedlog::Dlsn::INITIAL;
    let mut entries = 0;
    while let Ok(batch) = super::read(&after.store, &name, cursor, super::ALL)
        && !batch.entries.is_empty()
    {
        entries += batch.entries.len();
        cursor = batch.next;
    }
    assert!(
        entries == 30 || entries == 0,
        "{entries} of 30 entries are left"
    );
    found.is_empty()
}

/// Numbers of what a test of crashes has covered.
#[derive(Debug, Default)]
struct Counts {
    points: u64,
    /// Points at which the process had copied entries.
    points_after_copies: u64,
    /// Points at which retention had discarded log segments in the process.
    points_after_expiry: u64,
    outcomes: u64,
    entries_compared: usize,
}

/// Crashes at every `step`th operation of a seed's workload, each with four outcomes.
fn crash_at_every_operation(seed: u64, kind: WorkloadKind, step: usize, counts: &mut Counts) {
    for operation in (1..).step_by(step) {
        let Some(crashed) = crashed_at(seed, operation, kind) else {
            break;
        };
        counts.points += 1;
        counts.points_after_copies += u64::from(crashed.moved_bytes > 0);
        counts.points_after_expiry += u64::from(crashed.expired_segments > 0);
        for outcome in 0..4 {
            let mut after = crashed.fork(seed << 32 | operation << 8 | outcome);
            // The first outcome is a killed process, the others are power losses.
            if outcome == 0 {
                after.disk.restart_process()
            } else {
                after.disk.power_cycle()
            }
            let replay = format!("seed {seed}, crash at operation {operation}, outcome {outcome}");
            counts.entries_compared += with_context(&replay, || after.recover_and_check());
            counts.outcomes += 1;
        }
    }
}

/// Activates each seeded bug of the store, and expects the crash model to find it. Run it alone: a
/// bug is active in the whole process.
#[cfg(seeded_bugs)]
#[test]
fn every_seeded_bug_of_the_store_is_found() {
    use distributedlog_store::seeded_bugs::{Bug, switch_on};
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        switch_on(*bug);
        let mut counts = Counts::default();
        let with_files = std::panic::catch_unwind(|| {
            super::faults::without_its_lock_file_a_process_acknowledges_nothing_more();
            super::repair::a_flipped_bit_anywhere_costs_the_entry_that_it_is_in_and_no_other();
            super::names::a_volume_whose_name_may_be_lost_takes_nothing_from_the_one_before_it();
            super::backup::an_interrupted_backup_leaves_the_previous_one_or_the_new_one();
        });
        if with_files.is_err() {
            println!("found: {} by damaging files", bug.name());
            continue;
        }
        let found = (200..260).find(|seed| {
            let run = core::panic::AssertUnwindSafe(|| {
                restart_on_a_full_disk_after_a_failed_sync(*seed);
                crash_at_every_operation(*seed, WorkloadKind::Compaction, 7, &mut counts);
            });
            std::panic::catch_unwind(run).is_err()
        });
        match found {
            Some(seed) => println!(
                "found: {} by seed {seed} after {} crash points",
                bug.name(),
                counts.points
            ),
            None => {
                println!("MISSED: {} in {counts:?}", bug.name());
                missed.push(bug.name());
            }
        }
    }
    switch_on(Bug::None);
    assert!(missed.is_empty(), "missed: {missed:?}");
}

#[test]
fn recovery_survives_a_crash_at_every_operation_of_its_own() {
    let (mut points, mut compared) = (0_u64, 0);
    for seed in 100..100 + seeds(1) {
        for operation in (1..).step_by(5) {
            let Some(crashed) = crashed_at(seed, operation, WorkloadKind::Appends) else {
                break;
            };
            for second in 1.. {
                let mut again = crashed.fork(seed << 32 | operation << 16 | second);
                again.disk.power_cycle();
                again.disk.crash_at(again.disk.operations() + second);
                let replay = format!(
                    "seed {seed}, crash at operation {operation}, then at {second} of recovery"
                );
                if again.open().is_ok() {
                    again.step();
                }
                if !again.disk.has_crashed() {
                    break;
                }
                points += 1;
                again.store = None;
                again.disk.power_cycle();
                compared += with_context(&replay, || again.recover_and_check());
            }
        }
    }
    println!("{points} crash points during recovery, {compared} entries compared");
    assert!(
        points > 300,
        "recovery has fewer operations: {points} crash points"
    );
}

/// Prints `what` if `run` panics.
fn with_context<T>(what: &str, run: impl FnOnce() -> T) -> T {
    struct Told<'a>(&'a str);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("in: {}", self.0);
            }
        }
    }
    let _told = Told(what);
    run()
}
