//! A store without a disk, for tests of what stands on a store.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use distributedlog::Dlsn;
use tokio::sync::watch;

use distributedlog_store::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, SegmentInfo,
    StoreError, StoreFuture, StoredEntry, StreamInfo, StreamName,
};

/// The largest entry it takes, in payload bytes: 4 MiB.
pub const MAX_ENTRY_BYTES: usize = 4 << 20;

/// A store in memory, for tests: it keeps nothing beyond its own life. Appends are answered at
/// once, on the caller's thread, unless [`hold_appends`](Self::hold_appends) says otherwise.
#[derive(Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    /// Counts every change, for those who wait for one.
    changed: watch::Sender<u64>,
    waiting_reads: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    streams: BTreeMap<StreamName, Stream>,
    last_epoch: u64,
    held: Option<Vec<Held>>,
    closed: bool,
    broken: bool,
}

struct Held {
    lease: Lease,
    entry: Entry,
    done: AppendDone,
}

struct Stream {
    created_unix_ms: u64,
    owner: Option<(Owner, u64)>,
    /// The owner's log segment; none until its first append.
    segment: Option<i64>,
    segments: Vec<SegmentInfo>,
    entries: Vec<StoredEntry>,
    truncated_before: Option<Dlsn>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("streams", &self.inner().streams.len())
            .finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// From now on appends are kept back, neither written nor answered, until
    /// [`let_appends_go`](Self::let_appends_go).
    pub fn hold_appends(&self) {
        self.inner().held.get_or_insert_default();
    }

    /// Writes and answers the appends that were held, in their order, and holds no more.
    pub fn let_appends_go(&self) {
        let held = self.inner().held.take().unwrap_or_default();
        for Held { lease, entry, done } in held {
            self.append(&lease, entry, done);
        }
    }

    /// From now on everything that is asked of it fails, as with a disk that is gone.
    pub fn break_down(&self) {
        self.inner().broken = true;
    }

    /// How many appends are held.
    #[must_use]
    pub fn held_appends(&self) -> usize {
        self.inner().held.as_ref().map_or(0, Vec::len)
    }

    /// Waits until exactly so many reads wait for an append.
    pub async fn until_reads_wait(&self, count: usize) {
        self.waiting_reads
            .subscribe()
            .wait_for(|waiting| *waiting == count)
            .await
            .expect("the sender lives in the store");
    }

    /// Waits until `met` holds for this store; looks again after every change.
    pub async fn until(&self, mut met: impl FnMut(&Self) -> bool) {
        let mut changes = self.changed.subscribe();
        while !met(self) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Who owns the stream, if there is one and anyone does.
    #[must_use]
    pub fn owner(&self, stream: &StreamName) -> Option<Owner> {
        self.inner()
            .streams
            .get(stream)?
            .owner
            .as_ref()
            .map(|(owner, _)| owner.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the state and tells those who wait.
    fn change<T>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = {
            let mut inner = self.inner();
            if inner.closed {
                Err(StoreError::Closed)
            } else if inner.broken {
                Err(StoreError::Io {
                    path: "memory".into(),
                    detail: "broken on purpose".into(),
                })
            } else {
                work(&mut inner)
            }
        };
        self.changed.send_modify(|count| *count += 1);
        result
    }

    fn change_stream<T>(
        &self,
        stream: &StreamName,
        work: impl FnOnce(&mut Stream, &mut u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.change(|inner| {
            let Inner {
                streams,
                last_epoch,
                ..
            } = inner;
            work(
                streams
                    .get_mut(stream)
                    .ok_or_else(|| StoreError::StreamNotFound(stream.clone()))?,
                last_epoch,
            )
        })
    }
}

/// A read that waits, for as long as the value lives.
struct WaitingRead<'a>(&'a MemoryStore);

impl<'a> WaitingRead<'a> {
    fn begin(store: &'a MemoryStore) -> Self {
        store.waiting_reads.send_modify(|count| *count += 1);
        Self(store)
    }
}

impl Drop for WaitingRead<'_> {
    fn drop(&mut self) {
        self.0.waiting_reads.send_modify(|count| *count -= 1);
    }
}

fn now_unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

fn slots(entry: &StoredEntry) -> u32 {
    entry.records.iter().map(|record| record.slots).sum()
}

fn last_slot(entry: &StoredEntry) -> Dlsn {
    entry.dlsn.slot(slots(entry).saturating_sub(1))
}

impl Stream {
    fn new() -> Self {
        Self {
            created_unix_ms: now_unix_ms(),
            owner: None,
            segment: None,
            segments: Vec::new(),
            entries: Vec::new(),
            truncated_before: None,
        }
    }

    fn append(&mut self, entry: Entry) -> Dlsn {
        let now = now_unix_ms();
        let number = *self.segment.get_or_insert_with(|| {
            let number = self
                .segments
                .last()
                .map_or(1, |last| last.log_segment_sequence_no + 1);
            self.segments.push(SegmentInfo {
                log_segment_sequence_no: number,
                completed: false,
                entries: 0,
                records: 0,
                payload_bytes: 0,
                first_unix_ms: now,
                last_unix_ms: now,
            });
            number
        });
        let segment = self
            .segments
            .last_mut()
            .expect("the owner's segment was pushed above or with its first append");
        let entry_id = i64::try_from(segment.entries).unwrap_or(i64::MAX);
        let stored = StoredEntry {
            dlsn: Dlsn::new(number, entry_id, 0),
            written_unix_ms: now,
            records: entry.records,
        };
        segment.entries += 1;
        segment.records += u64::from(slots(&stored));
        segment.payload_bytes += stored
            .records
            .iter()
            .map(|record| record.payload.len() as u64)
            .sum::<u64>();
        segment.last_unix_ms = now;
        let dlsn = stored.dlsn;
        self.entries.push(stored);
        dlsn
    }

    fn end_segment(&mut self) {
        self.segment = None;
        if let Some(last) = self.segments.last_mut() {
            last.completed = true;
        }
    }

    fn read(&self, from: Dlsn, max_bytes: usize) -> ReadBatch {
        let from = self
            .truncated_before
            .map_or(from, |before| before.max(from));
        let start = self
            .entries
            .partition_point(|entry| last_slot(entry) < from);
        let mut batch = ReadBatch {
            entries: Vec::new(),
            next: from,
            start: from,
            created_unix_ms: self.created_unix_ms,
        };
        let mut bytes = 0;
        for entry in &self.entries[start..] {
            let size: usize = entry
                .records
                .iter()
                .map(|record| record.payload.len())
                .sum();
            if !batch.entries.is_empty() && bytes + size > max_bytes {
                break;
            }
            bytes += size;
            batch.next = Dlsn::new(
                entry.dlsn.log_segment_sequence_no,
                entry.dlsn.entry_id + 1,
                0,
            );
            batch.entries.push(entry.clone());
        }
        batch
    }

    fn info(&self, name: &StreamName) -> StreamInfo {
        StreamInfo {
            name: name.clone(),
            created_unix_ms: self.created_unix_ms,
            segments: self.segments.clone(),
            first: self.entries.first().map(|entry| entry.dlsn),
            last: self.entries.last().map(last_slot),
            truncated_before: self.truncated_before,
            owner: self.owner.as_ref().map(|(owner, _)| owner.clone()),
        }
    }
}

/// A future that is done already: everything but waiting reads is.
fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(core::future::ready(result))
}

impl LogStore for MemoryStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        ready(self.change(|inner| {
            if inner.streams.contains_key(stream) {
                return Err(StoreError::StreamExists(stream.clone()));
            }
            inner.streams.insert(stream.clone(), Stream::new());
            Ok(())
        }))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        ready(self.change(|inner| match inner.streams.remove(stream) {
            Some(_) => Ok(()),
            None => Err(StoreError::StreamNotFound(stream.clone())),
        }))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        ready(self.change(|inner| Ok(inner.streams.keys().cloned().collect())))
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        ready(self.change_stream(stream, |found, _| Ok(found.info(stream))))
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        ready(
            self.change_stream(stream, |found, last_epoch| match &found.owner {
                Some((other, _)) if other != owner => Ok(Acquired::OwnedBy(other.clone())),
                Some(_) | None => {
                    *last_epoch += 1;
                    found.end_segment();
                    found.owner = Some((owner.clone(), *last_epoch));
                    Ok(Acquired::Granted(Lease {
                        stream: stream.clone(),
                        epoch: *last_epoch,
                    }))
                }
            }),
        )
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        let released = self.change_stream(&lease.stream, |found, _| {
            if found
                .owner
                .as_ref()
                .is_some_and(|(_, epoch)| *epoch == lease.epoch)
            {
                found.end_segment();
                found.owner = None;
            }
            Ok(())
        });
        ready(match released {
            Err(StoreError::StreamNotFound(_)) => Ok(()),
            other => other,
        })
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        let size: usize = entry
            .records
            .iter()
            .map(|record| record.payload.len())
            .sum();
        let mut entry_and_done = Some((entry, done));
        let result = self.change(|inner| {
            if size > MAX_ENTRY_BYTES {
                return Err(StoreError::TooLarge {
                    size,
                    limit: MAX_ENTRY_BYTES,
                });
            }
            if let Some(held) = &mut inner.held {
                held.extend(entry_and_done.take().map(|(entry, done)| Held {
                    lease: lease.clone(),
                    entry,
                    done,
                }));
                return Ok(Dlsn::INVALID);
            }
            let stream = inner
                .streams
                .get_mut(&lease.stream)
                .ok_or_else(|| StoreError::StreamNotFound(lease.stream.clone()))?;
            if stream
                .owner
                .as_ref()
                .is_none_or(|(_, epoch)| *epoch != lease.epoch)
            {
                return Err(StoreError::Fenced(lease.stream.clone()));
            }
            let entry = entry_and_done.as_mut().map(|(entry, _)| {
                core::mem::replace(
                    entry,
                    Entry {
                        records: Vec::new(),
                    },
                )
            });
            Ok(stream.append(entry.expect("only a held append takes it away")))
        });
        if let Some((_, done)) = entry_and_done {
            done(result);
        }
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        ready(self.change_stream(stream, |found, _| {
            found.entries.retain(|entry| last_slot(entry) >= before);
            found.truncated_before = found.truncated_before.max(Some(before));
            Ok(())
        }))
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move {
            let mut changes = self.changed.subscribe();
            let deadline = tokio::time::Instant::now() + limit.wait;
            loop {
                changes.mark_unchanged();
                let batch = {
                    let inner = self.inner();
                    if inner.closed {
                        return Err(StoreError::Closed);
                    }
                    let meant = |found: &&Stream| {
                        limit
                            .created_unix_ms
                            .is_none_or(|created| created == found.created_unix_ms)
                    };
                    let found = inner
                        .streams
                        .get(&stream)
                        .filter(meant)
                        .ok_or_else(|| StoreError::StreamNotFound(stream.clone()))?;
                    found.read(from, limit.max_bytes)
                };
                if !batch.entries.is_empty() || limit.wait.is_zero() {
                    return Ok(batch);
                }
                let waiting = WaitingRead::begin(self);
                let changed = tokio::time::timeout_at(deadline, changes.changed()).await;
                drop(waiting);
                if changed.is_err() {
                    return Ok(batch);
                }
            }
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner().closed = true;
        self.changed.send_modify(|count| *count += 1);
        ready(Ok(()))
    }
}
