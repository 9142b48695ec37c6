//! A store for the tests of readers.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::{LogStore as _, ReadBatch, ReadLimit, StoreFuture, StreamName};
use distributedlog_testkit::store::{MemoryStore, StoreWrapper, Wrapped};
use tokio::sync::Mutex;

/// A store whose reads hold a lock over an await, as those of BookKeeper do while they read the
/// segments of a stream, but not while they wait at its end. It counts what they return.
pub(crate) struct LockingStore {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) lock: Mutex<()>,
    returned: AtomicUsize,
    largest: AtomicUsize,
}

impl LockingStore {
    pub(crate) fn new(store: Arc<MemoryStore>) -> Arc<Wrapped<Self>> {
        Arc::new(Wrapped(Self {
            store,
            lock: Mutex::default(),
            returned: AtomicUsize::new(0),
            largest: AtomicUsize::new(0),
        }))
    }

    /// Returns the payload bytes that reads have returned.
    pub(crate) fn returned(&self) -> usize {
        self.returned.load(Ordering::Relaxed)
    }

    /// Returns the largest number of bytes that a read asked for.
    pub(crate) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }
}

impl StoreWrapper for LockingStore {
    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move {
            self.largest.fetch_max(limit.max_bytes, Ordering::Relaxed);
            let at_once = ReadLimit {
                wait: Duration::ZERO,
                ..limit
            };
            let lock = self.lock.lock().await;
            tokio::task::yield_now().await;
            let mut batch = self.store.read(&stream, from, at_once).await?;
            drop(lock);
            if batch.entries.is_empty() && !limit.wait.is_zero() {
                batch = self.store.read(&stream, from, limit).await?;
            }
            let records = batch.entries.iter().flat_map(|entry| &entry.records);
            let bytes = records.map(|record| record.payload.len()).sum();
            self.returned.fetch_add(bytes, Ordering::Relaxed);
            Ok(batch)
        })
    }
}
