use core::pin::Pin;
use core::task::{Context, Poll};

use distributedlog::StreamIndex;
use distributedlog::writer::{EnqueueError, WriteResult};
use distributedlog_tokio::{self as tokio_writer, KeyedWriter, MultiStreamWriter};

use super::http_writer::{self, HttpWriter};

/// A writer, over thriftmux or over HTTP.
#[derive(Clone)]
pub(super) enum Face {
    Streams(MultiStreamWriter),
    /// The records of a key keep their order.
    Keys(KeyedWriter),
    Http(HttpWriter),
}

/// Future of a record's result.
pub(super) enum Acknowledgement {
    Proxies(tokio_writer::Acknowledgement),
    Http(http_writer::Acknowledgement),
}

impl Future for Acknowledgement {
    type Output = WriteResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WriteResult> {
        match self.get_mut() {
            Self::Proxies(inner) => Pin::new(inner).poll(cx),
            Self::Http(inner) => Pin::new(inner).poll(cx),
        }
    }
}

impl Face {
    /// Takes a record if there is room. Keys are ignored by writers that keep no order.
    ///
    /// # Errors
    /// There is no room, the record is too large, or the writer is closed.
    pub(super) fn try_write(
        &self,
        key: &[u8],
        record: &[u8],
    ) -> Result<Acknowledgement, EnqueueError> {
        match self {
            Self::Streams(writer) => writer.try_write(record).map(Acknowledgement::Proxies),
            Self::Keys(writer) => writer.try_write(key, record).map(Acknowledgement::Proxies),
            Self::Http(writer) => writer.try_write(record).map(Acknowledgement::Http),
        }
    }

    /// Waits for room, and takes a record. The result of a record that was not taken is a write's.
    ///
    /// # Errors
    /// The record is too large, or the writer was closed.
    pub(super) async fn submit(
        &self,
        key: &[u8],
        record: &[u8],
    ) -> Result<Acknowledgement, distributedlog::writer::WriteError> {
        match self {
            Self::Streams(writer) => writer.submit(record).await.map(Acknowledgement::Proxies),
            Self::Keys(writer) => writer
                .submit(key, record)
                .await
                .map(Acknowledgement::Proxies),
            Self::Http(writer) => writer.submit(record).await.map(Acknowledgement::Http),
        }
    }

    /// Returns the maximum length of a record.
    pub(super) fn max_record_bytes(&self) -> usize {
        match self {
            Self::Streams(writer) => writer.max_record_bytes(),
            Self::Keys(writer) => writer.lanes()[0].max_record_bytes(),
            Self::Http(writer) => writer.max_record_bytes(),
        }
    }

    /// Sends what waits to be sent with others.
    pub(super) async fn flush(&self) {
        match self {
            Self::Streams(writer) => writer.flush().await,
            Self::Keys(writer) => writer.flush().await,
            Self::Http(writer) => writer.flush().await,
        }
    }

    /// Waits for what is in flight, and closes the connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Streams(writer) => drop(writer.close().await),
            Self::Keys(writer) => drop(writer.close().await),
            Self::Http(writer) => writer.close().await,
        }
    }

    /// Returns the name of a stream.
    pub(super) fn stream_name(&self, stream: StreamIndex) -> std::sync::Arc<str> {
        match self {
            Self::Streams(writer) => writer.stream_name(stream),
            Self::Keys(writer) => writer.lanes()[0].stream_name(stream),
            Self::Http(writer) => writer.stream_name(stream),
        }
    }
}
