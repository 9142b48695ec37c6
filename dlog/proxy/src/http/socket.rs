use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use distributedlog_store::net::ByteStream;

/// How HTTP/2 begins. While a connection's bytes are a part of it, nobody can tell yet which
/// protocol it will be.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is still read from a peer after the last word to it, and for how long.
const LINGER_BYTES: usize = 4 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// What a peer may take its time for.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketTimeouts {
    /// Until it is clear which protocol it speaks.
    pub(super) opening: Duration,
    /// While it takes nothing of what is sent to it.
    pub(super) writing: Duration,
}

/// A connection whose peer has limited time for what hyper sets no limits on: to say which protocol
/// it speaks, and to take what it asked for.
///
/// It also parts properly: a socket that is closed over unread bytes resets the connection, and a
/// client that is busy sending a body which is refused would lose the answer that tells it why.
pub(super) struct HttpSocket<S> {
    stream: S,
    timeouts: SocketTimeouts,
    /// How much of the preface has come; nothing once the protocol is clear.
    preface: Option<usize>,
    reading: IoTimer,
    writing: IoTimer,
    linger: Option<usize>,
}

/// Runs while something is waited for.
#[derive(Default)]
struct IoTimer(Option<Pin<Box<Sleep>>>);

impl IoTimer {
    /// Pending while there is time, from the first such call since [`stop`](Self::stop) on.
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

    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.writing.stop();
            return poll;
        }
        Poll::Ready(Err(ready!(self.writing.poll(
            cx,
            self.timeouts.writing,
            "the peer takes nothing"
        ))))
    }

    /// Drops what still comes, within bounds.
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
                        .poll(cx, LINGER_TIME, "the peer goes on")
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
                    "the peer does not say which protocol it speaks"
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
        self.watch_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch_write(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.watch_write(cx, poll))?;
            self.reading.stop();
            self.linger = Some(LINGER_BYTES);
        }
        self.poll_linger(cx).map(Ok)
    }
}
