use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::{LogStore, ReadBatch, ReadLimit, StoreError, StreamName};
use tokio::runtime::Handle;

use super::task::OwnedTask;

/// A read of the store in a task of its own, which goes on while the reader is not polled: a store
/// may hold a lock of the stream within a read. Dropping it ends the task.
pub(super) struct ReadAhead(OwnedTask<Result<ReadBatch, StoreError>>);

impl ReadAhead {
    /// Begins a read. `None` outside of a tokio runtime.
    pub(super) fn begin(
        store: Arc<dyn LogStore>,
        stream: StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> Option<Self> {
        let read = async move { store.read(&stream, from, limit).await };
        let runtime = Handle::try_current().ok()?;
        Some(Self(OwnedTask::begin(&runtime, read)))
    }

    /// Waits for the batch. `None` if it is empty, or the read failed. Must not be called again
    /// after it has completed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn batch(&mut self) -> Option<ReadBatch> {
        let batch = self.0.result().await.ok()?.ok()?;
        (!batch.entries.is_empty()).then_some(batch)
    }
}

#[cfg(test)]
mod tests;
