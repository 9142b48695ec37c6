//! Appends to the embedded store on a real disk, compared with the disk alone for the same
//! bytes.
//!
//! `cargo bench -p distributedlog-tests --bench store`. Each line of `append` is the time of one
//! entry with this number of writers, each of which waits for its entry to be durable before it
//! appends the next one; with one writer, that is the latency. `disk` writes the same bytes over
//! blocks that were written before, and syncs them: the lower bound for one writer.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::{Acquired, Entry, EntryRecord, Lease, LogStore, Owner, StreamName};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

const STREAMS: usize = 5;
const SIZES: [usize; 2] = [100, 16 << 10];
const WRITERS: [usize; 4] = [1, 16, 256, 1024];

fn folder() -> tempfile::TempDir {
    // Not the system's folder for temporary files: that is often in memory.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the build's results")
}

fn configure(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
}

fn disk(c: &mut Criterion) {
    let mut group = c.benchmark_group("disk");
    configure(&mut group);
    for size in SIZES {
        // The store writes whole sectors.
        let bytes = vec![7; size.next_multiple_of(512)];
        let folder = folder();
        let file = written_file(&folder.path().join("file"));
        let mut at = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("write and fdatasync", size), |b| {
            b.iter(|| {
                file.write_all_at(&bytes, at).expect("the disk takes it");
                file.sync_data().expect("the disk takes it");
                at = (at + bytes.len() as u64) % (32 << 20);
            });
        });
    }
    group.finish();
}

fn written_file(path: &std::path::Path) -> File {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .expect("a file can be created");
    file.write_all_at(&vec![0; 33 << 20], 0)
        .and_then(|()| file.sync_all())
        .expect("the disk has 33 MiB");
    file
}

struct Written {
    store: EmbeddedStore,
    leases: Vec<Lease>,
}

async fn open(folder: &std::path::Path) -> Written {
    let store = EmbeddedStore::open(EmbeddedSettings::new(folder)).expect("the store opens");
    let mut leases = Vec::new();
    for i in 0..STREAMS {
        let name = StreamName::new(&format!("basic-stream-{i}")).expect("a good name");
        store.create(&name).await.expect("the store is new");
        let owner = Owner {
            shard: 1,
            address: "127.0.0.1:8000".to_owned(),
        };
        match store
            .acquire(&name, &owner)
            .await
            .expect("the stream exists")
        {
            Acquired::Granted(lease) => leases.push(lease),
            Acquired::OwnedBy(other) => panic!("owned by {other:?}"),
        }
    }
    Written { store, leases }
}

async fn append(written: &Written, stream: usize, payload: Bytes) {
    let record = EntryRecord {
        payload,
        slots: 1,
        is_record_set: false,
    };
    let (done, result) = oneshot::channel();
    written.store.append(
        &written.leases[stream],
        Entry {
            records: vec![record],
        },
        Box::new(move |result| drop(done.send(result))),
    );
    result
        .await
        .expect("the store answers")
        .expect("the disk takes it");
}

/// Appends `entries` by `writers` at once. Returns the duration.
async fn append_all(
    written: &Rc<Written>,
    payload: &Bytes,
    writers: usize,
    entries: u64,
) -> Duration {
    let begun = Instant::now();
    let local = LocalSet::new();
    for writer in 0..writers {
        let (written, payload) = (Rc::clone(written), payload.clone());
        let share =
            entries / writers as u64 + u64::from((writer as u64) < entries % writers as u64);
        local.spawn_local(async move {
            for _ in 0..share {
                append(&written, writer % STREAMS, payload.clone()).await;
            }
        });
    }
    local.await;
    begun.elapsed()
}

fn append_entries(c: &mut Criterion) {
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without I/O");
    for size in SIZES {
        let mut group = c.benchmark_group(format!("append {size} B"));
        configure(&mut group);
        let payload = Bytes::from(vec![7; size]);
        group.throughput(Throughput::Elements(1));
        for writers in WRITERS {
            let folder = folder();
            let written = Rc::new(runtime.block_on(open(folder.path())));
            group.bench_function(BenchmarkId::new("writers", writers), |b| {
                b.iter_custom(|entries| {
                    runtime.block_on(append_all(&written, &payload, writers, entries))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, disk, append_entries);
criterion_main!(benches);
