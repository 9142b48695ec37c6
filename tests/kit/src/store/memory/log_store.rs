//! The [`LogStore`] of a [`MemoryStore`].

use distributedlog::Dlsn;
use distributedlog_store::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, Retention,
    RetentionInfo, StoreError, StoreFuture, StoreId, StreamInfo, StreamName,
};
use tokio::time::Instant;

use super::{HeldAppend, Inner, MemoryStore, check_entry};

/// Returns a future that is complete: only held acquires and waiting reads are not.
fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(core::future::ready(result))
}

impl MemoryStore {
    /// Runs `work` on the state of a store that is open and works.
    fn serve<'a, T: Send + 'a>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> StoreFuture<'a, T> {
        ready(self.update(|inner| {
            inner.check_usable()?;
            work(inner)
        }))
    }

    /// Runs `work`, which changes nothing, on the state of a store that is open and works.
    fn query<'a, T: Send + 'a>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> StoreFuture<'a, T> {
        let mut inner = self.lock();
        ready(inner.check_usable().and_then(|()| work(&mut inner)))
    }
}

impl LogStore for MemoryStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.serve(|inner| inner.create(stream))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.serve(|inner| inner.delete(stream))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        self.query(|inner| Ok(inner.streams.keys().cloned().collect()))
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        self.query(|inner| Ok(inner.stream_mut(stream)?.info(stream)))
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        let (stream, owner) = (stream.clone(), owner.clone());
        Box::pin(async move {
            self.until(|store| !store.lock().controls.acquires_are_held)
                .await;
            self.update(|inner| {
                inner.check_usable()?;
                inner.acquire(&stream, owner)
            })
        })
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        self.serve(|inner| {
            if let Some(stream) = inner.streams.get_mut(&lease.stream)
                && stream.is_held_by(lease)
            {
                stream.set_owner(None);
            }
            Ok(())
        })
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        let answer = self.update(|inner| {
            inner.appends += 1;
            if let Err(error) = inner.check_usable().and_then(|()| check_entry(&entry)) {
                return Some((done, Err(error)));
            }
            if let Some(held) = &mut inner.controls.held_appends
                && held.only.as_ref().is_none_or(|only| *only == lease.stream)
            {
                let lease = lease.clone();
                held.appends.push(HeldAppend { lease, entry, done });
                return None;
            }
            let result = inner.append(lease, entry);
            let Some(held) = &mut inner.controls.held_results else {
                return Some((done, result));
            };
            held.push((done, result));
            None
        });
        // Without the lock: `done` may call the store.
        if let Some((done, result)) = answer {
            done(result);
        }
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        self.serve(|inner| {
            inner.stream_mut(stream)?.truncate(before);
            Ok(())
        })
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move {
            self.begin_read(&stream).await;
            // `None`: the wait is longer than the clock counts.
            let deadline = Instant::now().checked_add(limit.wait);
            let mut changes = self.changed.subscribe();
            // A stream that is deleted and created again during the wait is another one.
            let mut limit = limit;
            loop {
                changes.mark_unchanged();
                let batch = self.read_now(&stream, from, limit)?;
                if !batch.entries.is_empty() || limit.wait.is_zero() {
                    return Ok(batch);
                }
                limit.created_unix_ms = Some(batch.created_unix_ms);
                let waiting = WaitingRead::begin(self);
                let timed_out = match deadline {
                    Some(deadline) => tokio::time::timeout_at(deadline, changes.changed())
                        .await
                        .is_err(),
                    None => changes.changed().await.is_err(),
                };
                drop(waiting);
                if timed_out {
                    return Ok(batch);
                }
            }
        })
    }

    fn set_retention(
        &self,
        stream: Option<&StreamName>,
        retention: Option<Retention>,
    ) -> StoreFuture<'_, ()> {
        self.serve(|inner| {
            inner.check_retention(stream)?;
            match retention {
                Some(limits) => _ = inner.retentions.insert(stream.cloned(), limits),
                None => _ = inner.retentions.remove(&stream.cloned()),
            }
            Ok(())
        })
    }

    fn retention(&self, stream: Option<&StreamName>) -> StoreFuture<'_, RetentionInfo> {
        self.serve(|inner| {
            inner.check_retention(stream)?;
            let own = inner.retentions.get(&stream.cloned()).copied();
            let inherited = inner.retentions.get(&None).copied();
            Ok(RetentionInfo {
                own,
                applied: own.or(inherited).unwrap_or_default(),
            })
        })
    }

    fn identity(&self) -> Option<StoreId> {
        self.lock().identity
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.update(|inner| inner.closed = true);
        ready(Ok(()))
    }
}

impl MemoryStore {
    /// Counts a read, and never completes if the test stalled reads of the stream.
    async fn begin_read(&self, stream: &StreamName) {
        let is_stalled = {
            let mut inner = self.lock();
            inner.reads += 1;
            inner.controls.stalled_reads.as_ref() == Some(stream)
        };
        if is_stalled {
            core::future::pending::<()>().await;
        }
    }

    fn read_now(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError> {
        let mut inner = self.lock();
        inner.check_usable()?;
        if let Some(failure) = inner.controls.read_failures.pop_front() {
            return Err(failure);
        }
        let claimed_next = inner.controls.claimed_next;
        let found = inner.stream_mut(stream)?;
        if limit
            .created_unix_ms
            .is_some_and(|created| created != found.created_unix_ms)
        {
            return Err(StoreError::StreamNotFound(stream.clone()));
        }
        let mut batch = found.read(from, limit.max_bytes);
        if let Some(next) = claimed_next {
            batch.next = next;
        }
        Ok(batch)
    }
}

impl Inner {
    fn acquire(&mut self, name: &StreamName, owner: Owner) -> Result<Acquired, StoreError> {
        let epoch = self.last_epoch + 1;
        let stream = self.stream_mut(name)?;
        if let Some(other) = stream.owner().filter(|other| **other != owner) {
            return Ok(Acquired::OwnedBy(other.clone()));
        }
        stream.set_owner(Some((owner, epoch)));
        self.last_epoch = epoch;
        Ok(Acquired::Granted(Lease {
            stream: name.clone(),
            epoch,
        }))
    }
}

/// Counts a read as waiting for as long as the value lives.
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
