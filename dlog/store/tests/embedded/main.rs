//! Tests of the store in a folder, and their helpers.

mod backup;
mod crash;
mod damage;
mod faults;
mod identity;
mod metrics;
mod model;
mod names;
mod panics;
mod reading;
mod real;
mod repair;
mod retention;
mod scale;
mod space;
mod turns;
mod versions;

use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use tokio::sync::oneshot;

use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore, StoreSteps};
use distributedlog_store::{
    Acquired, Entry, EntryRecord, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreError,
    StreamName,
};
use distributedlog_testkit::store::SimDisk;

const ALL: ReadLimit = ReadLimit {
    max_bytes: 1 << 20,
    wait: Duration::ZERO,
    created_unix_ms: None,
};

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn owner(shard: i32) -> Owner {
    Owner {
        shard,
        address: format!("127.0.0.1:800{shard}"),
    }
}

fn record(bytes: impl Into<Bytes>) -> EntryRecord {
    EntryRecord {
        payload: bytes.into(),
        slots: 1,
        is_record_set: false,
    }
}

fn entry(text: &str) -> Entry {
    Entry {
        records: vec![record(text.to_owned())],
    }
}

async fn acquire(store: &EmbeddedStore, name: &StreamName) -> Lease {
    granted(store.acquire(name, &owner(1)).await)
}

fn granted(acquired: Result<Acquired, StoreError>) -> Lease {
    match acquired.unwrap() {
        Acquired::Granted(lease) => lease,
        Acquired::OwnedBy(other) => panic!("owned by {other:?}"),
    }
}

async fn append(store: &EmbeddedStore, lease: &Lease, entry: Entry) -> Result<Dlsn, StoreError> {
    begin_append(store, lease, entry).await.unwrap()
}

fn begin_append(
    store: &EmbeddedStore,
    lease: &Lease,
    entry: Entry,
) -> oneshot::Receiver<Result<Dlsn, StoreError>> {
    let (done, result) = oneshot::channel();
    store.append(
        lease,
        entry,
        Box::new(move |result| drop(done.send(result))),
    );
    result
}

/// Runs the future to its end, and the store's steps as often as necessary.
fn run<T>(steps: &mut StoreSteps, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Poll::Ready(value) = poll_once(future.as_mut()) {
            return value;
        }
        steps.run();
    }
    panic!("it does not end");
}

/// A store without threads on a simulated disk.
struct Stepped {
    store: Arc<EmbeddedStore>,
    steps: StoreSteps,
}

impl Stepped {
    fn open(
        disk: &SimDisk,
        settings: EmbeddedSettings,
        clock: &TestClock,
    ) -> Result<Self, StoreError> {
        let (store, steps) =
            EmbeddedStore::open_stepped(settings, Arc::new(disk.clone()), clock.reader())?;
        let store = Arc::new(store);
        Ok(Self { store, steps })
    }

    fn append(&mut self, lease: &Lease, entry: Entry) -> Result<Dlsn, StoreError> {
        let result = begin_append(&self.store, lease, entry);
        run(&mut self.steps, result).unwrap()
    }

    fn create(&mut self, name: &StreamName) -> Lease {
        run(&mut self.steps, self.store.create(name)).unwrap();
        self.acquire(name)
    }

    fn acquire(&mut self, name: &StreamName) -> Lease {
        granted(run(&mut self.steps, self.store.acquire(name, &owner(1))))
    }

    fn truncate(&mut self, name: &StreamName, before: Dlsn) -> Result<(), StoreError> {
        run(&mut self.steps, self.store.truncate(name, before))
    }

    fn delete(&mut self, name: &StreamName) -> Result<(), StoreError> {
        run(&mut self.steps, self.store.delete(name))
    }

    fn close(mut self) {
        let closed = self.store.close();
        let mut closed = pin!(closed);
        while poll_once(closed.as_mut()).is_pending() {
            self.steps.run();
        }
    }
}

/// Reads the available entries, without running the store.
fn read(
    store: &EmbeddedStore,
    name: &StreamName,
    from: Dlsn,
    limit: ReadLimit,
) -> Result<ReadBatch, StoreError> {
    let mut read = pin!(store.read(name, from, limit));
    for _ in 0..10_000 {
        if let Poll::Ready(batch) = poll_once(read.as_mut()) {
            return batch;
        }
    }
    panic!("it waits for something");
}

fn poll_once<F: Future + ?Sized>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A manual clock in milliseconds.
#[derive(Clone, Default)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn reader(&self) -> distributedlog_store::embedded::UnixClock {
        let clock = self.0.clone();
        Arc::new(move || clock.load(Ordering::Relaxed))
    }
}

/// Volumes of 16 KiB, so that little data fills several.
fn small() -> EmbeddedSettings {
    EmbeddedSettings {
        volume_bytes: 16 << 10,
        ..EmbeddedSettings::new("/store")
    }
}
