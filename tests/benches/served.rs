//! Appends to a store that is served over loopback: the cost of the protocol between processes,
//! without a disk.

use core::hint::black_box;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use distributedlog::Dlsn;
use distributedlog_store::remote::{ClientSettings, RemoteStore, ServerSettings, serve};
use distributedlog_store::uri::Uri;
use distributedlog_store::{
    Acquired, Entry, EntryRecord, Lease, LogStore, Owner, StoreError, StreamName,
};
use distributedlog_testkit::store::MemoryStore;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// A client of a store in the same process, with a lease on a new stream.
async fn connected() -> (RemoteStore, Lease, distributedlog_store::remote::Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = serve(listener, MemoryStore::new(), ServerSettings::default()).expect("serves");
    let uri = Uri::local("127.0.0.1", server.local_addr().port());
    let store = RemoteStore::connect(&uri, ClientSettings::default())
        .await
        .expect("connects");
    let stream: StreamName = "s".parse().expect("a name");
    store.create(&stream).await.expect("created");
    let owner = Owner {
        shard: 1,
        address: "127.0.0.1:8000".into(),
    };
    let Acquired::Granted(lease) = store.acquire(&stream, &owner).await.expect("acquires") else {
        unreachable!("there is no other owner")
    };
    (store, lease, server)
}

/// Appends `count` entries of `size` bytes, `in_flight` at a time.
async fn append(
    store: &RemoteStore,
    lease: &Lease,
    size: usize,
    in_flight: usize,
    count: u64,
) -> Duration {
    let payload = Bytes::from(vec![7; size]);
    let room = Arc::new(Semaphore::new(in_flight));
    let began = Instant::now();
    for _ in 0..count {
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let entry = Entry {
            records: vec![EntryRecord {
                payload: payload.clone(),
                slots: 1,
                is_record_set: false,
            }],
        };
        let done = move |result: Result<Dlsn, StoreError>| {
            black_box(result).expect("appended");
            drop(permit);
        };
        store.append(lease, entry, Box::new(done));
    }
    drop(
        room.acquire_many(u32::try_from(in_flight).expect("small"))
            .await
            .expect("the semaphore is never closed"),
    );
    began.elapsed()
}

fn appends(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("served store");
    for (size, in_flight) in [(100, 1), (100, 1024), (16 << 10, 1), (16 << 10, 256)] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(
            format!("append {size} bytes, {in_flight} in flight"),
            |bencher| {
                bencher.iter_custom(|count| {
                    runtime.block_on(async {
                        // The store keeps what it is given, so each measurement has its own.
                        let (store, lease, _server) = connected().await;
                        append(&store, &lease, size, in_flight, count).await
                    })
                });
            },
        );
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(300));
    targets = appends
}
criterion_main!(benches);
