//! Streams that remember how their peers began.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::peer_protocol::{FIRST_BYTES, PeerProtocol};

/// The first bytes that a peer sent.
#[derive(Clone, Debug, Default)]
pub struct FirstBytes(Arc<Mutex<Vec<u8>>>);

impl FirstBytes {
    /// Returns the protocol that the peer speaks, if it can be told.
    pub fn protocol(&self) -> Option<PeerProtocol> {
        PeerProtocol::of(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, came: &[u8]) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = FIRST_BYTES - first.len();
        first.extend_from_slice(&came[..came.len().min(missing)]);
    }
}

/// A stream that keeps the first bytes that its peer sent, for the message if another protocol is
/// spoken.
#[derive(Debug)]
pub struct RecordedStream<S> {
    stream: S,
    first: FirstBytes,
    /// True once all first bytes have come.
    complete: bool,
    /// Bytes that were read ahead.
    ahead: Vec<u8>,
}

impl<S> RecordedStream<S> {
    /// Records what comes from `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            first: FirstBytes::default(),
            complete: false,
            ahead: Vec::new(),
        }
    }

    /// Returns the first bytes, which are noted as they come.
    pub fn first_bytes(&self) -> FirstBytes {
        self.first.clone()
    }
}

impl<S: AsyncRead + Unpin> RecordedStream<S> {
    /// Reads the first bytes ahead, and returns the protocol that the peer speaks, if it can be
    /// told.
    ///
    /// # Errors
    ///
    /// The stream failed.
    pub async fn sniff(&mut self) -> io::Result<Option<PeerProtocol>> {
        let mut space = [0; FIRST_BYTES];
        // Bounded: each round reads at least one of them.
        while self.ahead.len() < FIRST_BYTES {
            let missing = FIRST_BYTES - self.ahead.len();
            let count = self.stream.read(&mut space[..missing]).await?;
            if count == 0 {
                break;
            }
            self.ahead.extend_from_slice(&space[..count]);
        }
        Ok(PeerProtocol::of(&self.ahead))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RecordedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if !self.complete {
            self.first.note(&buf.filled()[before..]);
            let first = self.first.0.lock().unwrap_or_else(PoisonError::into_inner);
            let complete = first.len() >= FIRST_BYTES;
            drop(first);
            self.complete = complete;
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RecordedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
