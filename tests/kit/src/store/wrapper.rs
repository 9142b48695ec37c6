use core::ops::Deref;

use distributedlog::Dlsn;
use distributedlog_store::{
    Acquired, AppendDone, Entry, Lease, LogStore, NamesPage, Owner, ReadBatch, ReadLimit,
    Retention, RetentionInfo, StoreFuture, StoreId, StreamInfo, StreamName,
};

use super::MemoryStore;

/// Operations that a test changes: those that it does not define are passed on to a
/// [`MemoryStore`]. [`Wrapped`] makes a store of it.
///
/// ```
/// use std::sync::Arc;
///
/// use distributedlog_store::{LogStore, StoreError, StoreFuture, StreamName};
/// use distributedlog_testkit::store::{MemoryStore, StoreWrapper, Wrapped};
///
/// struct NoDeletes(Arc<MemoryStore>);
///
/// impl StoreWrapper for NoDeletes {
///     fn inner(&self) -> &MemoryStore {
///         &self.0
///     }
///
///     fn delete(&self, _: &StreamName) -> StoreFuture<'_, ()> {
///         Box::pin(async { Err(StoreError::Closed) })
///     }
/// }
///
/// let store: Arc<dyn LogStore> = Arc::new(Wrapped(NoDeletes(MemoryStore::new())));
/// ```
pub trait StoreWrapper: Send + Sync + 'static {
    /// Returns the store that operations are passed on to.
    fn inner(&self) -> &MemoryStore;

    /// [`LogStore::create`].
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.inner().create(stream)
    }

    /// [`LogStore::delete`].
    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.inner().delete(stream)
    }

    /// [`LogStore::list_page`].
    fn list_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> StoreFuture<'_, NamesPage> {
        self.inner().list_page(after, prefix, limit)
    }

    /// [`LogStore::acquire`].
    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        self.inner().acquire(stream, owner)
    }

    /// [`LogStore::append`].
    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        self.inner().append(lease, entry, done);
    }

    /// [`LogStore::read`].
    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        self.inner().read(stream, from, limit)
    }
}

/// The store whose operations are those of a [`StoreWrapper`].
#[derive(Debug)]
pub struct Wrapped<W>(pub W);

impl<W> Deref for Wrapped<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.0
    }
}

impl<W: StoreWrapper> LogStore for Wrapped<W> {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.0.create(stream)
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        self.0.delete(stream)
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        self.0.inner().list()
    }

    fn list_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> StoreFuture<'_, NamesPage> {
        self.0.list_page(after, prefix, limit)
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        self.0.inner().describe(stream)
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        self.0.acquire(stream, owner)
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        self.0.inner().release(lease)
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        self.0.append(lease, entry, done);
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        self.0.inner().truncate(stream, before)
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        self.0.read(stream, from, limit)
    }

    fn set_retention(
        &self,
        stream: Option<&StreamName>,
        retention: Option<Retention>,
    ) -> StoreFuture<'_, ()> {
        self.0.inner().set_retention(stream, retention)
    }

    fn retention(&self, stream: Option<&StreamName>) -> StoreFuture<'_, RetentionInfo> {
        self.0.inner().retention(stream)
    }

    fn identity(&self) -> Option<StoreId> {
        self.0.inner().identity()
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.0.inner().close()
    }
}
