use core::future::Future;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// A task of the tokio runtime that ends with this value.
pub(super) struct OwnedTask<T>(JoinHandle<T>);

impl<T: Send + 'static> OwnedTask<T> {
    /// Begins a task of this runtime.
    pub(super) fn begin(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(runtime.spawn(work))
    }

    /// Waits for the result. Must not be called again after it has completed.
    ///
    /// # Errors
    ///
    /// The task has panicked, or the runtime has shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn result(&mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `work` in a task of its own, where it goes on while this future is not polled and ends when
/// it is dropped. Outside of a tokio runtime it runs in place.
pub(crate) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let Ok(runtime) = Handle::try_current() else {
        return work.await;
    };
    match OwnedTask::begin(&runtime, work).result().await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime has shut down: nothing waits for the result any more.
            Err(_) => core::future::pending().await,
        },
    }
}
