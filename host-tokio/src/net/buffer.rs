//! The bytes of a connection between the session machine and the socket: two plain byte windows
//! that are initialised once, so that nothing is cleared, split or reference-counted per frame, and
//! many frames go through one system call.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Size of one read. Replies are about 100 bytes, so one read takes in hundreds of them.
const READ_BYTES: usize = 64 * 1024;

/// Memory that a transmit buffer keeps when all is sent. A peer that stopped reading for a while
/// costs no more than that afterwards.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that came in and were not looked at yet.
pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Result of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// This many bytes more.
    Bytes(usize),
    /// The peer closed its end.
    End,
}

impl ReceiveBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; READ_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// Returns the unread bytes, oldest first.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The first `count` bytes were dealt with.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(
            count <= self.end - self.start,
            "only what is there can be consumed"
        );
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.bytes.len() > READ_BYTES {
                self.bytes = vec![0; READ_BYTES];
            }
        }
    }

    /// Reads once. The caller bounds the unread bytes: the buffer grows while it is full (a frame
    /// larger than it is arriving), and only by doubling the bytes that have arrived, so that a
    /// length field alone cannot cause an allocation.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<Received>> {
        if self.start > 0 && self.bytes.len() - self.end < READ_BYTES / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        let mut into = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(stream).poll_read(cx, &mut into))?;
        let count = into.filled().len();
        self.end += count;
        Poll::Ready(Ok(if count == 0 {
            Received::End
        } else {
            Received::Bytes(count)
        }))
    }
}

/// Frames that wait to be written, back to back.
pub(crate) struct TransmitBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    written: u64,
}

impl TransmitBuffer {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            written: 0,
        }
    }

    /// Returns the number of bytes that wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.end - self.start
    }

    /// Returns the number of bytes that the socket has taken since the connection was made.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Returns space for at least `len` bytes behind the waiting ones. Bytes written into it are
    /// sent once [`commit`](Self::commit) was called.
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < len {
            self.make_room(len);
        }
        &mut self.bytes[self.end..]
    }

    /// Queues the first `len` bytes of the last [`room`](Self::room) for sending.
    pub(crate) fn commit(&mut self, len: usize) {
        self.end += len;
        debug_assert!(
            self.end <= self.bytes.len(),
            "only bytes of the room can be sent"
        );
    }

    /// Moving costs at most one copy per byte: the waiting bytes are moved only when the space
    /// before them is at least as large.
    #[cold]
    fn make_room(&mut self, len: usize) {
        let waiting = self.waiting();
        if self.start >= waiting {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = waiting;
        }
        let needed = self.end + len;
        if self.bytes.len() < needed {
            self.bytes.resize(needed.next_power_of_two(), 0);
        }
    }

    /// Writes until nothing waits or the socket takes no more. Ready when all is with the operating
    /// system.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let count =
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.start..self.end]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += count;
            self.written += count as u64;
        }
        self.start = 0;
        self.end = 0;
        if self.bytes.len() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        Pin::new(stream).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn put(buffer: &mut TransmitBuffer, frame: &[u8]) {
        buffer.room(frame.len())[..frame.len()].copy_from_slice(frame);
        buffer.commit(frame.len());
    }

    #[tokio::test]
    async fn frames_leave_in_order_for_any_size_of_writes() {
        let (mut ours, mut theirs) = tokio::io::duplex(7);
        let expected: Vec<u8> = (0..10_000_u32).flat_map(u32::to_be_bytes).collect();
        let copy = expected.clone();
        let sending = async move {
            let mut buffer = TransmitBuffer::new();
            for frame in copy.chunks(11) {
                put(&mut buffer, frame);
                // Half of the frames queue up behind one that the socket has taken in part.
                core::future::poll_fn(|cx| {
                    let _ = buffer.poll_flush(cx, &mut ours);
                    Poll::Ready(())
                })
                .await;
            }
            core::future::poll_fn(|cx| buffer.poll_flush(cx, &mut ours))
                .await
                .unwrap();
            assert_eq!((buffer.waiting(), buffer.written()), (0, copy.len() as u64));
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(sending, theirs.read_to_end(&mut received));
        read.unwrap();
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn what_is_received_is_kept_until_it_is_consumed() {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        let sent: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        theirs.write_all(&sent).await.unwrap();
        drop(theirs);
        let mut buffer = ReceiveBuffer::new();
        let mut seen = Vec::new();
        let mut round = 0;
        while let Received::Bytes(_) = core::future::poll_fn(|cx| buffer.poll_fill(cx, &mut ours))
            .await
            .unwrap()
        {
            round += 1;
            if round % 3 == 0 {
                let count = buffer.unread().len() - 1;
                seen.extend_from_slice(&buffer.unread()[..count]);
                buffer.consume(count);
            }
        }
        seen.extend_from_slice(buffer.unread());
        assert_eq!(seen, sent);
    }
}
