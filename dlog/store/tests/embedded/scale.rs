//! Space, memory and time: unneeded volumes are removed, and sealed ones add almost nothing to the
//! time to open.

use std::path::Path;

use distributedlog::Dlsn;

use super::{ALL, Stepped, TestClock, begin_append, entry, read, record, run, small, stream};
use distributedlog_store::embedded::{Disk, EmbeddedSettings};
use distributedlog_store::{Entry, LogStore, StoreError};
use distributedlog_testkit::store::SimDisk;

fn open(disk: &SimDisk) -> Stepped {
    Stepped::open(disk, small(), &TestClock::default()).unwrap()
}

fn volumes(disk: &SimDisk) -> usize {
    disk.list(Path::new("/store"))
        .unwrap()
        .iter()
        .filter(|name| name.ends_with(".volume"))
        .count()
}

fn fill(store: &mut Stepped, lease: &distributedlog_store::Lease, count: usize) {
    for _ in 0..count {
        store
            .append(
                lease,
                Entry {
                    records: vec![record(vec![7; 1000])],
                },
            )
            .unwrap();
    }
    store.steps.run();
}

#[test]
fn deleting_and_truncating_give_space_back() {
    let disk = SimDisk::new(1);
    let (one, two) = (stream("one"), stream("two"));
    let mut store = open(&disk);
    let lease = store.create(&one);
    fill(&mut store, &lease, 200);
    let full = volumes(&disk);
    assert!(full > 20, "{full} volumes");
    store.truncate(&one, Dlsn::new(1, 100, 0)).unwrap();
    store.steps.run();
    let half = volumes(&disk);
    assert!(half <= full / 2 + 2, "{half} volumes of {full} are left");
    assert_eq!(
        read(&store.store, &one, Dlsn::INITIAL, ALL)
            .unwrap()
            .entries[0]
            .dlsn,
        Dlsn::new(1, 100, 0)
    );
    let lease = store.create(&two);
    store.append(&lease, entry("a")).unwrap();
    store.delete(&one).unwrap();
    store.steps.run();
    assert_eq!(volumes(&disk), 1);
    drop(store);
    assert_eq!(
        read(&open(&disk).store, &two, Dlsn::INITIAL, ALL)
            .unwrap()
            .entries
            .len(),
        1
    );
}

#[test]
fn opening_a_store_repeatedly_leaves_no_files_behind() {
    let disk = SimDisk::new(1);
    let name = stream("one");
    let mut store = open(&disk);
    let lease = store.create(&name);
    store.append(&lease, entry("a")).unwrap();
    drop(store);
    for i in 0..40 {
        let mut store = open(&disk);
        store.steps.run();
        if i % 2 == 0 {
            store.close();
        }
    }
    // The volume with the entry, the one that is written, and the one before it until it is sealed.
    let left = volumes(&disk);
    assert!(left <= 3, "{left} volumes");
    assert_eq!(
        read(&open(&disk).store, &name, Dlsn::INITIAL, ALL)
            .unwrap()
            .entries
            .len(),
        1
    );
}

#[test]
fn thousands_of_streams_do_not_mix() {
    const STREAMS: usize = 3000;
    let disk = SimDisk::new(1);
    let settings = || EmbeddedSettings {
        volume_bytes: 256 << 10,
        // The clock stands still, so that all streams are created in the same second.
        max_creations_per_second: 3000,
        ..small()
    };
    let mut store = Stepped::open(&disk, settings(), &TestClock::default()).unwrap();
    let names: Vec<_> = (0..STREAMS)
        .map(|i| stream(&format!("stream-{i}")))
        .collect();
    for created in names
        .iter()
        .map(|name| store.store.create(name))
        .collect::<Vec<_>>()
    {
        run(&mut store.steps, created).unwrap();
    }
    let acquired: Vec<_> = names
        .iter()
        .map(|name| store.store.acquire(name, &super::owner(1)))
        .collect();
    let leases: Vec<_> = acquired
        .into_iter()
        .map(|acquired| super::granted(run(&mut store.steps, acquired)))
        .collect();
    for round in 0..3 {
        let begun: Vec<_> = leases
            .iter()
            .enumerate()
            .map(|(i, lease)| begin_append(&store.store, lease, entry(&format!("{i} {round}"))))
            .collect();
        store.steps.run();
        for mut begun in begun {
            assert_eq!(begun.try_recv().unwrap(), Ok(Dlsn::new(1, round, 0)));
        }
    }
    drop(store);
    let mut store = Stepped::open(&disk, settings(), &TestClock::default()).unwrap();
    assert_eq!(
        run(&mut store.steps, store.store.list()).unwrap().len(),
        STREAMS
    );
    for (i, name) in names.iter().enumerate() {
        let batch = read(&store.store, name, Dlsn::INITIAL, ALL).unwrap();
        let texts: Vec<_> = batch
            .entries
            .iter()
            .map(|stored| stored.records[0].payload.to_vec())
            .collect();
        assert_eq!(
            texts,
            (0..3)
                .map(|round| format!("{i} {round}").into_bytes())
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn streams_beyond_the_limit_are_refused_until_others_are_deleted() {
    let disk = SimDisk::new(1);
    let settings = EmbeddedSettings {
        max_streams: 3,
        ..small()
    };
    let mut store = Stepped::open(&disk, settings, &TestClock::default()).unwrap();
    let names: Vec<_> = (0..5).map(|i| stream(&format!("stream-{i}"))).collect();
    let created: Vec<_> = names.iter().map(|name| store.store.create(name)).collect();
    let results: Vec<_> = created
        .into_iter()
        .map(|created| run(&mut store.steps, created))
        .collect();
    let refused = Err(StoreError::TooManyStreams { limit: 3 });
    let all = [Ok(()), Ok(()), Ok(()), refused.clone(), refused.clone()];
    assert_eq!(results, all, "in one batch");
    // A deletion and a creation in one batch.
    let deleted = store.store.delete(&names[1]);
    let created = [store.store.create(&names[3]), store.store.create(&names[4])];
    run(&mut store.steps, deleted).unwrap();
    let [one, other] = created.map(|created| run(&mut store.steps, created));
    assert_eq!((one, other), (Ok(()), refused));
    let again = store.store.create(&names[1]);
    assert_eq!(
        run(&mut store.steps, again).unwrap_err().to_string(),
        "the store has 3 log streams, and its limit is 3: delete some, or raise max_streams"
    );
}

#[test]
fn streams_are_created_no_faster_than_the_limit() {
    let (disk, clock) = (SimDisk::new(1), TestClock::default());
    let settings = EmbeddedSettings {
        max_creations_per_second: 10,
        ..small()
    };
    let mut store = Stepped::open(&disk, settings, &clock).unwrap();
    let mut created = Vec::new();
    for step in 0..40 {
        let before = created.len();
        for i in 0..30 {
            let name = stream(&format!("stream-{step}-{i}"));
            let creation = store.store.create(&name);
            match run(&mut store.steps, creation) {
                Ok(()) => created.push(name),
                Err(error) => {
                    assert_eq!(error, StoreError::TooManyCreations { per_second: 10 });
                }
            }
        }
        let expected = if step == 0 { 10 } else { 1 };
        assert_eq!(created.len() - before, expected, "step {step}");
        clock.advance(100);
    }
    // A creation that is refused for another reason takes nothing.
    for name in &created {
        let creation = store.store.create(name);
        let exists = Err(StoreError::StreamExists(name.clone()));
        assert_eq!(run(&mut store.steps, creation), exists);
    }
    let creation = store.store.create(&stream("the-next-one"));
    assert_eq!(run(&mut store.steps, creation), Ok(()));
}

#[test]
fn opening_does_not_read_sealed_volumes() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    let lease = store.create(&stream("one"));
    let mut read_to_open = Vec::new();
    for _ in 0..2 {
        fill(&mut store, &lease, 1000);
        let copy = disk.fork(1);
        copy.restart_process();
        drop(open(&copy));
        read_to_open.push((copy.bytes_read(), copy.bytes_used()));
    }
    let [(less, _), (more, data)] = read_to_open[..] else {
        unreachable!()
    };
    // Of each sealed volume: the 84 bytes of its index (header, one row, checksum), its header's 32
    // bytes once more, and no entry.
    let volumes = volumes(&disk) as u64;
    assert!(
        data > 2_000_000 && more < 50_000 + 200 * volumes,
        "{more} bytes read of {data}"
    );
    assert!(
        more < less + 200 * volumes,
        "{less} bytes read, then {more}"
    );
}
