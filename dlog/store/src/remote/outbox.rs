use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A buffer that grew beyond this is given back once it is written.
const KEPT_BYTES: usize = 1 << 20;

/// Frames on their way out of one connection.
///
/// Whoever has a frame encodes it at the end of the buffer, from any thread and without waiting;
/// one task writes. What gathers during one write goes out with the next, so a busy connection
/// needs few system calls.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// There is something to write, or the outbox was closed.
    work: Notify,
    /// The buffer was taken away to be written.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    closed: bool,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `encode` append a frame. False when the outbox is closed; then nothing was appended.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut waiting = self.waiting();
        if waiting.closed {
            return false;
        }
        let was_empty = waiting.bytes.is_empty();
        encode(&mut waiting.bytes);
        drop(waiting);
        if was_empty {
            self.work.notify_one();
        }
        true
    }

    /// Takes no more frames; what is there is written still.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.work.notify_one();
        self.taken.notify_waiters();
    }

    /// Returns when fewer than `limit` bytes wait, or the outbox is closed.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub(super) async fn room(&self, limit: usize) {
        loop {
            let taken = self.taken.notified();
            {
                let waiting = self.waiting();
                if waiting.closed || waiting.bytes.len() < limit {
                    return;
                }
            }
            taken.await;
        }
    }

    /// Writes until the outbox is closed and empty, then ends the stream. A peer that takes nothing
    /// for `patience` is given up.
    ///
    /// # Errors
    /// The stream's, or [`io::ErrorKind::TimedOut`]. The outbox is closed then, and what waited in
    /// it is gone.
    pub(super) async fn run(
        &self,
        mut io: impl AsyncWrite + Unpin,
        patience: Duration,
    ) -> io::Result<()> {
        let result = self.write_all(&mut io, patience).await;
        if result.is_err() {
            let mut waiting = self.waiting();
            waiting.closed = true;
            waiting.bytes = Vec::new();
            drop(waiting);
            self.taken.notify_waiters();
        }
        result
    }

    async fn write_all(
        &self,
        io: &mut (impl AsyncWrite + Unpin),
        patience: Duration,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let closed = {
                let mut waiting = self.waiting();
                core::mem::swap(&mut waiting.bytes, &mut buffer);
                waiting.closed
            };
            if buffer.is_empty() {
                if closed {
                    return timeout(patience, io.shutdown())
                        .await
                        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                }
                self.work.notified().await;
                // Others that are about to push get their turn, and share the system call.
                tokio::task::yield_now().await;
                continue;
            }
            self.taken.notify_waiters();
            write_some(io, &buffer, patience).await?;
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
    patience: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(patience, io.write(bytes)).await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the peer took nothing for {} ms", patience.as_millis()),
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
    async fn a_peer_that_takes_nothing_is_given_up() {
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
