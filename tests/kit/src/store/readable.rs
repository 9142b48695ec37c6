//! A store in memory, for the tests of what reads stores.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use distributedlog::Dlsn;
use tokio::sync::Notify;

use distributedlog_store::{
    Acquired, AppendDone, Entry, EntryRecord, Lease, LogStore, Owner, ReadBatch, ReadLimit,
    SegmentInfo, StoreError, StoreFuture, StoredEntry, StreamInfo, StreamName,
};

/// Streams in memory. Every entry goes to log segment 1, unless a test puts it elsewhere.
#[derive(Debug, Default)]
pub struct MemoryStore {
    streams: Mutex<BTreeMap<StreamName, Vec<StoredEntry>>>,
    /// When each stream was created, on a clock that counts creations.
    created: Mutex<(u64, BTreeMap<StreamName, u64>)>,
    changed: Notify,
    /// How often the store was read.
    pub reads: AtomicUsize,
    /// What the next read fails with.
    pub fault: Mutex<Option<StoreError>>,
    /// What every read claims to be the next position, instead of the right one.
    pub next: Mutex<Option<Dlsn>>,
    /// The stream whose reads are never answered.
    pub stalled: Mutex<Option<StreamName>>,
}

impl MemoryStore {
    fn streams(&self) -> MutexGuard<'_, BTreeMap<StreamName, Vec<StoredEntry>>> {
        self.streams
            .lock()
            .expect("no test panics while it holds the streams")
    }

    /// When a stream was created; now, if nobody asked before.
    fn created(&self, stream: &StreamName) -> u64 {
        let mut created = self
            .created
            .lock()
            .expect("no test panics while it holds the times");
        let (last, times) = &mut *created;
        *times.entry(stream.clone()).or_insert_with(|| {
            *last += 1;
            *last
        })
    }

    /// Puts an entry behind the others of a stream, which is created if need be, and wakes its
    /// readers.
    pub fn put(&self, stream: &StreamName, dlsn: Dlsn, records: Vec<EntryRecord>) {
        self.streams()
            .entry(stream.clone())
            .or_default()
            .push(StoredEntry {
                dlsn,
                written_unix_ms: 7,
                records,
            });
        self.changed.notify_waiters();
    }

    /// Puts an entry with one plain record.
    pub fn put_plain(&self, stream: &StreamName, entry_id: i64, payload: &'static str) {
        self.put(stream, Dlsn::new(1, entry_id, 0), vec![plain(payload)]);
    }
}

/// A plain record.
pub fn plain(payload: &'static str) -> EntryRecord {
    EntryRecord {
        payload: Bytes::from_static(payload.as_bytes()),
        slots: 1,
        is_record_set: false,
    }
}

/// Where the next entry of a stream would be.
fn end(entries: &[StoredEntry]) -> Dlsn {
    entries.last().map_or(Dlsn::INITIAL, |last| {
        Dlsn::new(last.dlsn.log_segment_sequence_no, last.dlsn.entry_id + 1, 0)
    })
}

fn slots(entry: &StoredEntry) -> u32 {
    entry.records.iter().map(|record| record.slots).sum()
}

impl LogStore for MemoryStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let created = match self.streams().insert(stream.clone(), Vec::new()) {
            None => Ok(()),
            Some(_) => Err(StoreError::StreamExists(stream.clone())),
        };
        Box::pin(core::future::ready(created))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.created
            .lock()
            .expect("no test panics while it holds the times")
            .1
            .remove(stream);
        let deleted = self
            .streams()
            .remove(stream)
            .map(drop)
            .ok_or_else(|| StoreError::StreamNotFound(stream.clone()));
        self.changed.notify_waiters();
        Box::pin(core::future::ready(deleted))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        let names = self.streams().keys().cloned().collect();
        Box::pin(core::future::ready(Ok(names)))
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        let info = self.streams().get(stream).map(|entries| StreamInfo {
            name: stream.clone(),
            created_unix_ms: self.created(stream),
            segments: Vec::<SegmentInfo>::new(),
            first: entries.first().map(|entry| entry.dlsn),
            last: entries
                .last()
                .map(|entry| entry.dlsn.slot(slots(entry).saturating_sub(1))),
            truncated_before: None,
            owner: None,
        });
        Box::pin(core::future::ready(
            info.ok_or_else(|| StoreError::StreamNotFound(stream.clone())),
        ))
    }

    fn acquire(&self, stream: &StreamName, _: &Owner) -> StoreFuture<'_, Acquired> {
        Box::pin(core::future::ready(Ok(Acquired::Granted(Lease {
            stream: stream.clone(),
            epoch: 1,
        }))))
    }

    fn release(&self, _: &Lease) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Ok(())))
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        let dlsn = end(self.streams().get(&lease.stream).map_or(&[], Vec::as_slice));
        self.put(&lease.stream, dlsn, entry.records);
        done(Ok(dlsn));
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        if let Some(entries) = self.streams().get_mut(stream) {
            entries.retain(|entry| entry.dlsn.slot(slots(entry)) > before);
        }
        Box::pin(core::future::ready(Ok(())))
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let stalled = self
                .stalled
                .lock()
                .expect("no test panics while it holds the name")
                .as_ref()
                == Some(&stream);
            if stalled {
                core::future::pending::<()>().await;
            }
            loop {
                let changed = self.changed.notified();
                if let Some(fault) = self
                    .fault
                    .lock()
                    .expect("no test panics while it holds the fault")
                    .take()
                {
                    return Err(fault);
                }
                let found = match self.streams().get(&stream) {
                    None => return Err(StoreError::StreamNotFound(stream)),
                    Some(_)
                        if limit
                            .created_unix_ms
                            .is_some_and(|meant| meant != self.created(&stream)) =>
                    {
                        return Err(StoreError::StreamNotFound(stream));
                    }
                    Some(entries) => ReadBatch {
                        created_unix_ms: self.created(&stream),
                        ..batch(entries, from, limit.max_bytes)
                    },
                };
                let claimed = *self
                    .next
                    .lock()
                    .expect("no test panics while it holds the claim");
                let found = ReadBatch {
                    next: claimed.unwrap_or(found.next),
                    ..found
                };
                if !found.entries.is_empty()
                    || tokio::time::timeout(limit.wait, changed).await.is_err()
                {
                    return Ok(found);
                }
            }
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Ok(())))
    }
}

fn batch(all: &[StoredEntry], from: Dlsn, max_bytes: usize) -> ReadBatch {
    let mut bytes = 0;
    let mut entries = Vec::new();
    for entry in all
        .iter()
        .filter(|entry| entry.dlsn.slot(slots(entry)) > from)
    {
        bytes += entry
            .records
            .iter()
            .map(|record| record.payload.len())
            .sum::<usize>();
        if bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry.clone());
    }
    let next = entries.last().map_or(from, |last| {
        Dlsn::new(last.dlsn.log_segment_sequence_no, last.dlsn.entry_id + 1, 0)
    });
    ReadBatch {
        entries,
        next,
        start: from,
        created_unix_ms: 0,
    }
}
