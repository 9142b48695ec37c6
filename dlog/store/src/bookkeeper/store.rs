//! The store: streams, leases and reads.

use core::fmt;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use distributedlog::Dlsn;
use distributedlog_bookkeeper::driver::Environment;
use distributedlog_bookkeeper::zookeeper::ZooKeeper;
use tokio::time::{Instant, sleep};

use super::batch::Append;
use super::log_writer::LogWriter;
use super::names::{Acquiring, Names};
use super::read::Reading;
use super::settings::BookKeeperSettings;
use super::view::{Segments, View};
use crate::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreError,
    StoreFuture, StreamInfo, StreamName,
};

/// Streams whose segments are kept in memory for readers.
const MAX_VIEWS: usize = 4096;

/// Pause before the write lock of a deletion that failed is released again.
const LEAVE_PAUSE: Duration = Duration::from_secs(5);

/// Maximum tries of that: ten minutes, longer than a session lives without its ensemble.
const MAX_LEAVES: u32 = 120;

/// A [`LogStore`] on BookKeeper. The [module](super) lists its guarantees.
pub struct BookKeeperStore<Z: ZooKeeper> {
    inner: Arc<Inner<Z>>,
}

pub(super) struct Inner<Z: ZooKeeper> {
    settings: Arc<BookKeeperSettings>,
    environment: Environment,
    names: Names<Z>,
    state: Mutex<State<Z>>,
}

struct State<Z: ZooKeeper> {
    leases: HashMap<StreamName, Held<Z>>,
    /// Streams that are being acquired, released or deleted, one at a time.
    busy: HashMap<StreamName, Arc<tokio::sync::Mutex<()>>>,
    views: HashMap<StreamName, Arc<View>>,
    /// Streams whose write lock a deletion that failed may have left: one task tries to release it.
    leaving: HashSet<StreamName>,
    is_closed: bool,
}

/// A lease that this process holds.
struct Held<Z: ZooKeeper> {
    epoch: u64,
    owner: Owner,
    writer: Arc<LogWriter<Z>>,
}

impl<Z: ZooKeeper> BookKeeperStore<Z> {
    /// Returns a store over a cluster and a namespace that is bound to it.
    pub(super) fn over(
        settings: BookKeeperSettings,
        environment: Environment,
        names: Names<Z>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings: Arc::new(settings),
                environment,
                names,
                state: Mutex::new(State {
                    leases: HashMap::new(),
                    busy: HashMap::new(),
                    views: HashMap::new(),
                    leaving: HashSet::new(),
                    is_closed: false,
                }),
            }),
        }
    }
}

impl<Z: ZooKeeper> BookKeeperStore<Z> {
    /// Runs a change on a task of its own: dropping the future does not leave it half done.
    fn run<T, F>(&self, change: impl FnOnce(Arc<Inner<Z>>) -> F) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = tokio::spawn(change(Arc::clone(&self.inner)));
        Box::pin(async {
            task.await.unwrap_or_else(|error| {
                Err(StoreError::Io {
                    path: "BookKeeper".to_owned(),
                    detail: format!("a bug ended the operation: {error}"),
                })
            })
        })
    }
}

impl<Z: ZooKeeper> Inner<Z> {
    fn lock(&self) -> MutexGuard<'_, State<Z>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State<Z>>, StoreError> {
        let state = self.lock();
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        Ok(state)
    }

    /// Waits until nobody else changes the owner of a stream.
    async fn busy(
        &self,
        stream: &StreamName,
    ) -> Result<tokio::sync::OwnedMutexGuard<()>, StoreError> {
        let mutex = {
            let mut state = self.open()?;
            // Those that nobody holds or waits for are forgotten.
            state.busy.retain(|_, mutex| Arc::strong_count(mutex) > 1);
            Arc::clone(state.busy.entry(stream.clone()).or_default())
        };
        Ok(mutex.lock_owned().await)
    }

    fn view(&self, stream: &StreamName) -> Result<Arc<View>, StoreError> {
        let mut state = self.open()?;
        if let Some(view) = state.views.get(stream) {
            return Ok(Arc::clone(view));
        }
        if state.views.len() >= MAX_VIEWS {
            // Those that no reader uses are read again when they are needed.
            state.views.retain(|_, view| Arc::strong_count(view) > 1);
        }
        Ok(Arc::clone(state.views.entry(stream.clone()).or_default()))
    }

    fn forget_view(&self, stream: &StreamName) {
        if let Some(view) = self.lock().views.remove(stream) {
            view.set_segments(None);
        }
    }

    fn held(&self, stream: &StreamName) -> Option<Arc<LogWriter<Z>>> {
        let state = self.lock();
        state.leases.get(stream).map(|it| Arc::clone(&it.writer))
    }

    /// Returns a stream's segments as they are now.
    async fn segments(
        &self,
        stream: &StreamName,
        view: &View,
    ) -> Result<Arc<Segments>, StoreError> {
        if let Some(segments) = view.segments() {
            return Ok(segments);
        }
        let _loading = view.loading.lock().await;
        if let Some(segments) = view.segments() {
            return Ok(segments);
        }
        match self.names.segments(stream).await {
            Ok(segments) => {
                view.set_segments(Some(Arc::clone(&segments)));
                Ok(segments)
            }
            Err(error) => {
                view.set_segments(None);
                Err(error)
            }
        }
    }

    async fn create(&self, stream: &StreamName) -> Result<(), StoreError> {
        drop(self.open()?);
        self.names.create(stream).await?;
        self.forget_view(stream);
        Ok(())
    }

    async fn delete(self: &Arc<Self>, stream: &StreamName) -> Result<(), StoreError> {
        let _busy = self.busy(stream).await?;
        let held = self.lock().leases.remove(stream);
        if let Some(held) = held {
            held.writer.fence();
            held.writer.give_up_lock().await;
        }
        let deleted = self.names.delete(stream).await;
        // A lock that nobody uses must not keep others out.
        if deleted.is_err()
            && self.names.leave_deletion(stream).await.is_err()
            && self.lock().leaving.insert(stream.clone())
        {
            tokio::spawn(leave_deletion(Arc::downgrade(self), stream.clone()));
        }
        self.forget_view(stream);
        deleted
    }

    async fn acquire(
        self: &Arc<Self>,
        stream: &StreamName,
        owner: &Owner,
    ) -> Result<Acquired, StoreError> {
        let _busy = self.busy(stream).await?;
        let held = {
            let mut state = self.open()?;
            match state.leases.get(stream) {
                Some(held) if held.owner != *owner && !held.writer.is_lost() => {
                    return Ok(Acquired::OwnedBy(held.owner.clone()));
                }
                Some(_) => state.leases.remove(stream),
                None => None,
            }
        };
        if let Some(held) = held {
            // The same owner again: the old lease ends, its segment is completed by recovery.
            held.writer.fence();
            held.writer.give_up_lock().await;
        }
        let log = match self.names.acquire(stream, owner).await? {
            Acquiring::Held(log) => log,
            Acquiring::OwnedBy(owner) => return Ok(Acquired::OwnedBy(owner)),
        };
        let recovered = log.recover(None);
        #[cfg(seeded_bugs)]
        let recovered = async {
            if super::seeded_bugs::is_on(super::seeded_bugs::Bug::AcquisitionDoesNotRecover) {
                return Ok(());
            }
            recovered.await
        };
        if let Err(error) = recovered.await {
            // A lock that nobody uses must not keep others out.
            if let Err(error) = log.release().await {
                tracing::warn!(%stream, %error, "a write lock is left to its session");
            }
            return Err(error.of(stream));
        }
        let last_txid = log.last_txid().await;
        let writer = LogWriter::new(
            stream.clone(),
            Arc::clone(&self.settings),
            Arc::clone(&self.environment.unix_ms),
            *log,
            last_txid,
        );
        let epoch = (self.environment.random)() as u64;
        let held = Held {
            epoch,
            owner: owner.clone(),
            writer: Arc::clone(&writer),
        };
        self.open()?.leases.insert(stream.clone(), held);
        tokio::spawn(async move { writer.watch_ownership().await });
        Ok(Acquired::Granted(Lease {
            stream: stream.clone(),
            epoch,
        }))
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let _busy = self.busy(&lease.stream).await?;
        let held = {
            let mut state = self.open()?;
            match state.leases.get(&lease.stream) {
                Some(held) if held.epoch == lease.epoch => state.leases.remove(&lease.stream),
                Some(_) | None => None,
            }
        };
        match held {
            Some(held) => held
                .writer
                .release()
                .await
                .map_err(|error| error.of(&lease.stream)),
            None => Ok(()),
        }
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        let writer = match self.open() {
            Ok(state) => match state.leases.get(&lease.stream) {
                Some(held) if held.epoch == lease.epoch => Ok(Arc::clone(&held.writer)),
                Some(_) | None => Err(StoreError::Fenced(lease.stream.clone())),
            },
            Err(error) => Err(error),
        };
        match writer {
            Ok(writer) => writer.append(Append {
                entry,
                since: Instant::now(),
                done,
            }),
            Err(error) => done(Err(error)),
        }
    }

    async fn truncate(&self, stream: &StreamName, before: Dlsn) -> Result<(), StoreError> {
        drop(self.open()?);
        if let Some(writer) = self.held(stream)
            && let Some(open) = writer.open_segment()
            && before > Dlsn::new(open.sequence_number(), 0, 0)
        {
            // Completed segments alone can be truncated.
            writer.roll_now().await;
        }
        let retention_ms = self.settings.retention_ms();
        self.names.truncate(stream, before, retention_ms).await?;
        self.forget_view(stream);
        Ok(())
    }

    async fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError> {
        let until = Instant::now() + limit.wait;
        let view = self.view(stream)?;
        loop {
            let segments = self.segments(stream, &view).await?;
            let created_unix_ms = segments.created_unix_ms;
            if limit
                .created_unix_ms
                .is_some_and(|it| it != created_unix_ms)
            {
                return Err(StoreError::StreamNotFound(stream.clone()));
            }
            let start = segments.truncated_before().map_or(from, |it| it.max(from));
            let reading = self.reading(stream, &view, limit.max_bytes);
            let found = match reading.available(&segments, start).await {
                Err(StoreError::Corrupt { .. }) if segments.have_changed().await => continue,
                found => found?,
            };
            if !found.is_empty() || Instant::now() >= until {
                return Ok(ReadBatch {
                    entries: found.entries,
                    next: found.next,
                    start,
                    created_unix_ms,
                });
            }
            if self.lock().is_closed {
                return Err(StoreError::Closed);
            }
            reading.wait(&segments, &found, until).await;
        }
    }

    fn reading<'a>(
        &'a self,
        stream: &'a StreamName,
        view: &'a View,
        max_bytes: usize,
    ) -> Reading<'a> {
        let cluster = self.names.cluster();
        Reading {
            client: &cluster.client,
            access: &cluster.access,
            stream,
            view,
            own: self.held(stream).and_then(|it| it.open_segment()),
            max_bytes,
            read_ahead_bytes: self.settings.read_ahead_bytes,
        }
    }

    async fn describe(&self, stream: &StreamName) -> Result<StreamInfo, StoreError> {
        let view = self.view(stream)?;
        let owner = self.names.owner(stream).await?;
        let (segments, described) = loop {
            let segments = self.segments(stream, &view).await?;
            let reading = self.reading(stream, &view, usize::MAX);
            match reading.describe(&segments).await {
                // Bounded: each further turn is a change of the segments in between.
                Err(StoreError::Corrupt { .. }) if segments.have_changed().await => {}
                described => break (segments, described?),
            }
        };
        Ok(StreamInfo {
            name: stream.clone(),
            created_unix_ms: segments.created_unix_ms,
            segments: described.segments,
            first: described.first,
            last: described.last,
            truncated_before: segments.truncated_before(),
            owner,
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        let leases = {
            let mut state = self.lock();
            state.is_closed = true;
            core::mem::take(&mut state.leases)
        };
        let mut leases: Vec<_> = leases.into_iter().collect();
        leases.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        for (stream, held) in leases {
            if let Err(error) = held.writer.release().await {
                tracing::warn!(%stream, %error, "a log stream is left to its next owner");
            }
        }
        let views = core::mem::take(&mut self.lock().views);
        for view in views.into_values() {
            view.set_segments(None);
        }
        Ok(())
    }
}

/// Releases the write lock that a deletion which failed left, once ZooKeeper answers.
async fn leave_deletion<Z: ZooKeeper>(inner: Weak<Inner<Z>>, stream: StreamName) {
    for _ in 0..MAX_LEAVES {
        sleep(LEAVE_PAUSE).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        // Not that of another deletion, which would be under way now.
        let Ok(_busy) = inner.busy(&stream).await else {
            return;
        };
        if inner.names.leave_deletion(&stream).await.is_ok() {
            inner.lock().leaving.remove(&stream);
            return;
        }
    }
    if let Some(inner) = inner.upgrade() {
        inner.lock().leaving.remove(&stream);
    }
    tracing::warn!(%stream, "the write lock of a deletion is left to its session");
}

impl<Z: ZooKeeper> LogStore for BookKeeperStore<Z> {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        Box::pin(async move { self.inner.create(&stream).await })
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        self.run(|inner| async move { inner.delete(&stream).await })
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        Box::pin(async {
            drop(self.inner.open()?);
            self.inner.names.list().await
        })
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        let stream = stream.clone();
        Box::pin(async move { self.inner.describe(&stream).await })
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        let (stream, owner) = (stream.clone(), owner.clone());
        self.run(|inner| async move { inner.acquire(&stream, &owner).await })
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        let lease = lease.clone();
        self.run(|inner| async move { inner.release(&lease).await })
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        self.inner.append(lease, entry, done);
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        self.run(|inner| async move { inner.truncate(&stream, before).await })
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move { self.inner.read(&stream, from, limit).await })
    }

    fn check_health(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            drop(self.inner.open()?);
            let ack_quorum = self.inner.settings.ack_quorum;
            self.inner.names.check_health(ack_quorum).await
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.run(|inner| async move { inner.close().await })
    }
}

impl<Z: ZooKeeper> fmt::Debug for BookKeeperStore<Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BookKeeperStore").finish_non_exhaustive()
    }
}
