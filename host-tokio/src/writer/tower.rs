//! The writer as a service: a request is a record, the response its position.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use distributedlog::writer::{WriteError, Written};
use tower_service::Service;

use super::MultiStreamWriter;

/// Always ready: a call waits for room as [`MultiStreamWriter::write`] does. Put a
/// `ConcurrencyLimit` in front of it to bound what waits.
impl<R: AsRef<[u8]> + Send + Sync + 'static> Service<R> for MultiStreamWriter {
    type Response = Written;
    type Error = WriteError;
    type Future = Pin<Box<dyn Future<Output = Result<Written, WriteError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, record: R) -> Self::Future {
        let writer = self.clone();
        Box::pin(async move { writer.write(record.as_ref()).await })
    }
}
