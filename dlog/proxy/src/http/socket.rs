use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Settings;
use crate::connection::min_taken;
use distributedlog_store::net::ByteStream;

/// First bytes of HTTP/2. While a connection's bytes are a prefix of it, its protocol is not known.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Limits for reading on from a peer after the last response to it: bytes and time.
const LINGER_BYTES: usize = 4 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Timeouts of a connection's peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketTimeouts {
    /// Time until its protocol is known.
    pub(super) opening: Duration,
    /// Time in which it must take `min_taken` of what is sent to it.
    pub(super) writing: Duration,
    /// In bytes; at least one.
    pub(super) min_taken: usize,
}

impl SocketTimeouts {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            opening: settings.handshake_timeout,
            writing: settings.write_timeout,
            min_taken: min_taken(settings),
        }
    }
}

/// A connection with timeouts where hyper has none: for detecting the protocol, and for receiving
/// responses.
///
/// It also closes properly: closing a socket with unread bytes resets the connection, and a client
/// that is busy sending a body which is refused would lose the response which contains the reason.
pub(super) struct HttpSocket<S> {
    stream: S,
    timeouts: SocketTimeouts,
    /// Number of bytes of the preface that have come; `None` once the protocol is known.
    preface: Option<usize>,
    reading: IoTimer,
    writing: IoTimer,
    flushing: IoTimer,
    /// Bytes that the peer took since `writing` began.
    taken: usize,
    linger: Option<usize>,
}

/// Timeout of one direction; runs while the socket waits for the peer.
#[derive(Default)]
struct IoTimer(Option<Pin<Box<Sleep>>>);

impl IoTimer {
    /// Is pending until the timeout expires, which runs from the first call after
    /// [`stop`](Self::stop).
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        allowed: Duration,
        what: &'static str,
    ) -> Poll<io::Error> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + allowed)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what))
    }

    fn stop(&mut self) {
        self.0 = None;
    }
}

impl<S: ByteStream> HttpSocket<S> {
    pub(super) fn new(stream: S, timeouts: SocketTimeouts) -> Self {
        Self {
            stream,
            timeouts,
            preface: Some(0),
            reading: IoTimer::default(),
            writing: IoTimer::default(),
            flushing: IoTimer::default(),
            taken: 0,
            linger: None,
        }
    }

    fn note_protocol(&mut self, came: &[u8]) {
        let Some(have) = self.preface else { return };
        let rest = &PREFACE[have..];
        if came.len() < rest.len() && rest.starts_with(came) {
            self.preface = Some(have + came.len());
        } else {
            self.preface = None;
            self.reading.stop();
        }
    }

    /// Fails when the peer takes too little of what waits for it. `wanted` is what was to be
    /// written.
    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let what = "the peer takes too little of what is sent to it";
        let count = match poll {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                let expired = ready!(self.writing.poll(cx, self.timeouts.writing, what));
                return Poll::Ready(Err(expired));
            }
        };
        self.taken = self.taken.saturating_add(count);
        // If all was taken, none waits.
        if count == wanted || self.taken >= self.timeouts.min_taken {
            self.writing.stop();
            self.taken = 0;
        }
        Poll::Ready(Ok(count))
    }

    /// Fails when flushing or closing takes too long.
    fn watch_flush(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if poll.is_ready() {
            self.flushing.stop();
            return poll;
        }
        Poll::Ready(Err(ready!(self.flushing.poll(
            cx,
            self.timeouts.writing,
            "the peer does not read"
        ))))
    }

    /// Drops the bytes that still come, within the limits.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4 << 10];
        loop {
            let left = self.linger.unwrap_or(0);
            if left == 0 {
                return Poll::Ready(());
            }
            let mut dropped = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => {
                    self.linger = Some(left.saturating_sub(dropped.filled().len()))
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    return self
                        .reading
                        .poll(cx, LINGER_TIME, "the peer does not stop sending")
                        .map(drop);
                }
            }
        }
    }
}

impl<S: ByteStream> AsyncRead for HttpSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                self.note_protocol(&buf.filled()[before..]);
                Poll::Ready(result)
            }
            Poll::Pending if self.preface.is_some() => {
                let allowed = self.timeouts.opening;
                Poll::Ready(Err(ready!(self.reading.poll(
                    cx,
                    allowed,
                    "the peer does not select a protocol"
                ))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: ByteStream> AsyncWrite for HttpSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch_write(cx, bytes.len(), poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_write(cx, wanted, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch_flush(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.watch_flush(cx, poll))?;
            self.reading.stop();
            self.linger = Some(LINGER_BYTES);
        }
        self.poll_linger(cx).map(Ok)
    }
}
