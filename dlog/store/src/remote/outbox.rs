use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A buffer that grew beyond this many bytes is freed after it was written.
const KEPT_BYTES: usize = 1 << 20;

/// Frames that wait to be written to a connection.
///
/// Any thread can append a frame to the buffer without waiting; one task writes. Frames that are
/// appended during a write go out with the next one, so a busy connection needs few system calls.
///
/// The buffer has no bound of its own: see [`room`](Self::room) and the limits of requests in
/// flight.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pending: Mutex<Pending>,
    /// Notified when there is something to write or the outbox was closed.
    work: Notify,
    /// Notified when the buffer was taken to be written.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    closed: bool,
}

impl Outbox {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `encode` to append a frame. Returns false without calling it if the outbox is closed.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut pending = self.pending();
        if pending.closed {
            return false;
        }
        let was_empty = pending.bytes.is_empty();
        encode(&mut pending.bytes);
        drop(pending);
        if was_empty {
            self.work.notify_one();
        }
        true
    }

    /// Refuses further frames. Those in the buffer are still written.
    pub(super) fn close(&self) {
        self.pending().closed = true;
        self.work.notify_one();
        self.taken.notify_waiters();
    }

    /// Waits until fewer than `limit` bytes wait or the outbox is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(super) async fn room(&self, limit: usize) {
        loop {
            let taken = self.taken.notified();
            {
                let pending = self.pending();
                if pending.closed || pending.bytes.len() < limit {
                    return;
                }
            }
            taken.await;
        }
    }

    /// Writes until the outbox is closed and empty, then shuts the stream down. Fails if the peer
    /// accepts no byte for `write_timeout`.
    ///
    /// # Errors
    /// The stream's error, or [`io::ErrorKind::TimedOut`]. The outbox is closed then, and its
    /// frames are lost.
    pub(super) async fn run(
        &self,
        mut io: impl AsyncWrite + Unpin,
        write_timeout: Duration,
    ) -> io::Result<()> {
        let result = self.write_all(&mut io, write_timeout).await;
        if result.is_err() {
            let mut pending = self.pending();
            pending.closed = true;
            pending.bytes = Vec::new();
            drop(pending);
            self.taken.notify_waiters();
        }
        result
    }

    async fn write_all(
        &self,
        io: &mut (impl AsyncWrite + Unpin),
        write_timeout: Duration,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let closed = {
                let mut pending = self.pending();
                core::mem::swap(&mut pending.bytes, &mut buffer);
                pending.closed
            };
            if buffer.is_empty() {
                if closed {
                    return timeout(write_timeout, io.shutdown())
                        .await
                        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                }
                self.work.notified().await;
                // Let tasks that are about to push run first, so that they share the system call.
                tokio::task::yield_now().await;
                continue;
            }
            self.taken.notify_waiters();
            write_some(io, &buffer, write_timeout).await?;
            buffer.clear();
            if buffer.capacity() > KEPT_BYTES {
                buffer = Vec::new();
            }
        }
    }
}

async fn write_some(
    io: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    write_timeout: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(write_timeout, io.write(bytes))
            .await
            .map_err(|_| {
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "the peer accepted no byte for {} ms",
                        write_timeout.as_millis()
                    ),
                )
            })??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn frames_go_out_in_order_and_the_stream_ends_after_close() {
        let outbox = Arc::new(Outbox::default());
        let (ours, mut theirs) = tokio::io::duplex(64);
        let writer = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.run(ours, Duration::from_secs(5)).await }
        });
        for byte in 0..200 {
            assert!(outbox.push(|out| out.push(byte)));
        }
        outbox.close();
        assert!(!outbox.push(|out| out.push(0)), "closed");
        let mut seen = Vec::new();
        theirs
            .read_to_end(&mut seen)
            .await
            .expect("reads to the end");
        assert_eq!(seen, (0..200).collect::<Vec<u8>>());
        writer.await.expect("no panic").expect("written");
    }

    #[tokio::test(start_paused = true)]
    async fn writing_fails_when_the_peer_accepts_nothing() {
        let outbox = Outbox::default();
        let (ours, _theirs) = tokio::io::duplex(8);
        outbox.push(|out| out.extend([7; 64]));
        let error = outbox
            .run(ours, Duration::from_secs(5))
            .await
            .expect_err("stuck");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!outbox.push(|out| out.push(0)), "closed by the failure");
        outbox.room(1).await;
    }
}
