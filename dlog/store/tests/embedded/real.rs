//! The store on real files, with its threads.

use core::time::Duration;
use std::sync::{Arc, mpsc};

use distributedlog::Dlsn;

use super::{ALL, acquire, append, begin_append, entry, stream};
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::{LogStore, ReadLimit, StoreError};

#[tokio::test]
async fn a_record_that_was_acknowledged_is_read_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let name = stream("basic-stream-3");
    for round in 0..3_i64 {
        let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
        if round == 0 {
            store.create(&name).await.unwrap();
            assert_eq!(
                store.create(&name).await,
                Err(StoreError::StreamExists(name.clone()))
            );
        }
        let lease = acquire(&store, &name).await;
        for i in 0..5 {
            let dlsn = append(&store, &lease, entry(&format!("{round}.{i}")))
                .await
                .unwrap();
            assert_eq!(dlsn, Dlsn::new(round + 1, i, 0));
        }
        let read = store.read(&name, Dlsn::INITIAL, ALL).await.unwrap();
        let texts: Vec<_> = read
            .entries
            .iter()
            .map(|entry| String::from_utf8(entry.records[0].payload.to_vec()).unwrap())
            .collect();
        let expected: Vec<_> = (0..=round)
            .flat_map(|round| (0..5).map(move |i| format!("{round}.{i}")))
            .collect();
        assert_eq!(texts, expected);
        if round == 1 {
            store.close().await.unwrap();
            assert_eq!(
                append(&store, &lease, entry("late")).await,
                Err(StoreError::Closed)
            );
        }
    }
}

/// The bytes that the folder's files take on the disk.
fn disk_usage(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = std::fs::read_dir(folder).unwrap();
    let blocks = files.map(|file| file.unwrap().metadata().unwrap().blocks());
    blocks.sum::<u64>() * 512
}

/// 640 × 1 MB of one stream between 20 × 4 bytes of another, with the default sizes.
#[tokio::test(flavor = "multi_thread")]
async fn the_space_of_a_deleted_stream_comes_back_on_a_real_disk() {
    // Not the system's folder for temporary files: that is often in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (large, few) = (stream("large"), stream("few"));
    let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
    store.create(&large).await.unwrap();
    store.create(&few).await.unwrap();
    let (lease, other) = (acquire(&store, &large).await, acquire(&store, &few).await);
    let megabyte = bytes::Bytes::from(vec![7; 1_000_000]);
    for i in 0..640 {
        if i % 32 == 0 {
            append(&store, &other, entry(&format!("{:04}", i / 32)))
                .await
                .unwrap();
        }
        let entry = super::Entry {
            records: vec![super::record(megabyte.clone())],
        };
        append(&store, &lease, entry).await.unwrap();
    }
    let before = disk_usage(folder.path());
    assert!(before > 640_000_000, "{before} bytes");
    store.delete(&large).await.unwrap();
    let mut space = store.space();
    let compact = space.wait_for(|space| space.is_compact && space.removed_volumes >= 9);
    let compact = tokio::time::timeout(Duration::from_secs(60), compact).await;
    let compact = *compact.expect("compaction ends").unwrap();
    let after = disk_usage(folder.path());
    println!("{before} bytes on disk, then {after}: {compact:?}");
    // Twice what is needed, four volumes, and the metadata.
    let bound = 2 * compact.live_bytes + 4 * (64 << 20) + (1 << 20);
    assert!(after <= bound, "{before} bytes on disk, then {after}");
    assert!(compact.moved_bytes < 4096, "{compact:?}");
    let check = async |store: &EmbeddedStore| {
        let read = store.read(&few, Dlsn::INITIAL, ALL).await.unwrap();
        for (i, stored) in (0..).zip(&read.entries) {
            assert_eq!(stored.dlsn, Dlsn::new(1, i, 0));
            assert_eq!(stored.records[0].payload, format!("{i:04}"));
        }
        assert_eq!(read.entries.len(), 20);
    };
    check(&store).await;
    append(&store, &other, entry("0020")).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
    let read = store.read(&few, Dlsn::INITIAL, ALL).await.unwrap();
    assert_eq!(read.entries.len(), 21);
}

#[test]
fn opening_twice_names_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
    let second = EmbeddedStore::open(EmbeddedSettings::new(folder.path()));
    let Err(StoreError::InUse { holder, .. }) = second else {
        panic!("opened twice")
    };
    assert!(
        holder.starts_with(&format!("process {} (", std::process::id())),
        "{holder}"
    );
    drop(store);
    EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
}

#[test]
fn many_threads_append_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let name = stream(&format!("stream-{i}"));
            runtime.block_on(store.create(&name)).unwrap();
            let lease = runtime.block_on(acquire(&store, &name));
            let (store, sender) = (store.clone(), sender.clone());
            std::thread::spawn(move || {
                for n in 0..500 {
                    let sender = sender.clone();
                    store.append(
                        &lease,
                        entry(&format!("{i} {n}")),
                        Box::new(move |result| sender.send((i, n, result)).unwrap()),
                    );
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(sender);
    for (_, n, result) in receiver.iter().take(2000) {
        assert_eq!(result.unwrap(), Dlsn::new(1, n, 0));
    }
}

/// Small volumes, so that volumes are sealed, read and removed while entries are appended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_follow_a_writer_through_many_volumes() {
    const ENTRIES: i64 = 3000;
    let folder = tempfile::tempdir().unwrap();
    let settings = EmbeddedSettings {
        volume_bytes: 64 << 10,
        ..EmbeddedSettings::new(folder.path())
    };
    let store = Arc::new(EmbeddedStore::open(settings).unwrap());
    let name = stream("basic-stream-3");
    store.create(&name).await.unwrap();
    let lease = acquire(&store, &name).await;
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move {
                let (mut cursor, mut next) = (Dlsn::INITIAL, 0);
                while next < ENTRIES {
                    let limit = ReadLimit {
                        max_bytes: 5000,
                        wait: Duration::from_secs(60),
                        created_unix_ms: None,
                    };
                    let batch = store.read(&name, cursor, limit).await.unwrap();
                    for stored in batch.entries {
                        assert_eq!(stored.dlsn, Dlsn::new(1, next, 0));
                        assert_eq!(stored.records, entry(&format!("{next:0100}")).records);
                        next += 1;
                    }
                    cursor = batch.next;
                }
            })
        })
        .collect();
    let mut begun = Vec::new();
    for i in 0..ENTRIES {
        begun.push(begin_append(&store, &lease, entry(&format!("{i:0100}"))));
        if i % 10 == 0 {
            for result in begun.drain(..) {
                result.await.unwrap().unwrap();
            }
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let names = || {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|found| found.unwrap().file_name().into_string().unwrap())
    };
    let volumes = || names().filter(|name| name.ends_with(".volume")).count();
    let before = volumes();
    assert!(before > 5, "{before} volumes");
    store
        .truncate(&name, Dlsn::new(1, ENTRIES, 0))
        .await
        .unwrap();
    store.close().await.unwrap();
    let after = volumes();
    assert!(after <= 2, "{after} volumes of {before} are left");
}
