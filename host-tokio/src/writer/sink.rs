use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;

use distributedlog::writer::WriteError;
use futures_sink::Sink;

use super::{Acknowledgement, MultiStreamWriter};

/// A [`Sink`] of records, for `StreamExt::forward` and the like.
///
/// `poll_flush` is ready when all records before are written. The first record that is not ends the
/// sink with its [`WriteError`]; the results of those behind it are lost, as with any sink that
/// batches: use [`MultiStreamWriter::write`] where each result counts. At most `window` records are
/// outstanding; `poll_ready` waits beyond.
#[must_use = "sinks do nothing unless polled"]
pub struct RecordSink {
    writer: MultiStreamWriter,
    /// The record that waits for room.
    submitting: Option<Submitting>,
    /// Results that were not taken, in order. Bounded by `window`.
    outstanding: VecDeque<Acknowledgement>,
    window: usize,
}

type Submitting = Pin<Box<dyn Future<Output = Result<Acknowledgement, WriteError>> + Send>>;

impl MultiStreamWriter {
    /// Makes a sink of at most `window` outstanding records, at least 1.
    pub fn sink(&self, window: usize) -> RecordSink {
        RecordSink {
            writer: self.clone(),
            submitting: None,
            outstanding: VecDeque::new(),
            window: window.max(1),
        }
    }
}

impl RecordSink {
    /// Waits until at most `most` records are outstanding.
    fn poll_outstanding(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<(), WriteError>> {
        if let Some(submitting) = &mut self.submitting {
            let accepted = ready!(submitting.as_mut().poll(cx));
            self.submitting = None;
            self.outstanding.push_back(accepted?);
        }
        // Results that are there are taken, so that a failure shows soon.
        while let Some(first) = self.outstanding.front_mut() {
            match Pin::new(first).poll(cx) {
                Poll::Ready(result) => {
                    self.outstanding.pop_front();
                    result?;
                }
                Poll::Pending if self.outstanding.len() > most => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsRef<[u8]> + Send + 'static> Sink<R> for RecordSink {
    type Error = WriteError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        let most = self.window - 1;
        self.poll_outstanding(cx, most)
    }

    fn start_send(mut self: Pin<&mut Self>, record: R) -> Result<(), WriteError> {
        debug_assert!(self.submitting.is_none(), "`poll_ready` comes first");
        if let Ok(accepted) = self.writer.try_write(record.as_ref()) {
            self.outstanding.push_back(accepted);
            return Ok(());
        }
        let writer = self.writer.clone();
        let submit = async move { writer.submit(record.as_ref()).await };
        self.submitting = Some(Box::pin(submit));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        self.poll_outstanding(cx, 0)
    }

    /// Flushes. The writer stays open: other handles may use it.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        Sink::<R>::poll_flush(self, cx)
    }
}

impl core::fmt::Debug for RecordSink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecordSink")
            .field("outstanding", &self.outstanding.len())
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}
