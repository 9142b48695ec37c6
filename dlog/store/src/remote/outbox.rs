use core::mem::swap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use distributedlog::wire::mux::{Message, Tag};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::push;
use crate::budget::{ByteBudget, Reservation};
use crate::frames::{FrameWriter, OutputLimits, WriteRate};

/// No further frame is taken from a peer while more bytes of small answers to it wait. A buffer
/// that grew beyond a mebibyte is freed after it was written.
const LIMITS: OutputLimits = OutputLimits {
    free: 0,
    full: 256 << 10,
    kept: 1 << 20,
};

/// Frames that wait to be written to a connection.
///
/// Any thread can append a frame to the buffer without waiting; one task writes. Frames that are
/// appended during a write go out with the next one, so a busy connection needs few system calls.
///
/// A large frame is appended with the [`Reservation`] of its bytes, which is freed when it is
/// written. Small ones are counted as they come; see [`room`](Self::room).
#[derive(Debug)]
pub(super) struct Outbox {
    pending: Mutex<Pending>,
    /// Budget of the bytes that wait. `None`: the caller bounds them.
    budget: Option<ByteBudget>,
    /// Notified when there is something to write or the outbox was closed.
    work: Notify,
    /// Notified when the buffer was written.
    written: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    frames: FrameWriter,
    /// Bytes of small frames that are not written, also of those that are being written.
    small_bytes: usize,
    closed: bool,
}

impl Outbox {
    /// Returns an outbox whose bytes count against a budget, if there is one.
    pub(super) fn new(budget: Option<ByteBudget>) -> Self {
        let pending = Pending {
            frames: FrameWriter::new(LIMITS, budget.clone()),
            ..Pending::default()
        };
        Self {
            pending: Mutex::new(pending),
            budget,
            work: Notify::new(),
            written: Notify::new(),
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a frame. Returns false if the outbox is closed.
    pub(super) fn send(&self, tag: Tag, message: Message<'_>) -> bool {
        self.push(|out| push(out, tag, message))
    }

    /// Calls `encode` to append a small frame. Returns false without calling it if the outbox is
    /// closed.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.append(None, encode)
    }

    /// Calls `encode` to append a frame whose bytes are reserved. Returns false without calling it
    /// if the outbox is closed.
    pub(super) fn push_reserved(
        &self,
        reservation: Reservation,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        self.append(Some(reservation), encode)
    }

    fn append(&self, reservation: Option<Reservation>, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut pending = self.pending();
        if pending.closed {
            return false;
        }
        let (was_empty, is_small) = (pending.frames.is_empty(), reservation.is_none());
        let added = pending.frames.write(reservation, encode);
        if is_small {
            pending.small_bytes += added;
        }
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
        self.written.notify_waiters();
    }

    /// Waits until there is room for the answer to another request: until few small answers wait,
    /// and none while the budget of all is spent, or until the outbox is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(super) async fn room(&self) {
        loop {
            let mut written = core::pin::pin!(self.written.notified());
            written.as_mut().enable();
            {
                let pending = self.pending();
                if pending.closed || !pending.frames.is_full_with(pending.small_bytes) {
                    return;
                }
            }
            written.await;
        }
    }

    /// Writes until the outbox is closed and empty, then shuts the stream down. Fails if the peer
    /// takes less than `rate`.
    ///
    /// # Errors
    /// The stream's error, or [`io::ErrorKind::TimedOut`]. The outbox is closed then, and its
    /// frames are lost.
    pub(super) async fn run(
        &self,
        mut io: impl AsyncWrite + Unpin,
        rate: WriteRate,
    ) -> io::Result<()> {
        let result = self.write_all(&mut io, rate).await;
        if result.is_err() {
            *self.pending() = Pending {
                closed: true,
                ..Pending::default()
            };
            self.written.notify_waiters();
        }
        result
    }

    async fn write_all(
        &self,
        io: &mut (impl AsyncWrite + Unpin),
        rate: WriteRate,
    ) -> io::Result<()> {
        let mut frames = FrameWriter::new(LIMITS, self.budget.clone());
        loop {
            let (small_bytes, closed) = {
                let mut pending = self.pending();
                swap(&mut pending.frames, &mut frames);
                (pending.small_bytes, pending.closed)
            };
            if frames.is_empty() {
                if closed {
                    return timeout(rate.window, io.shutdown())
                        .await
                        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                }
                self.work.notified().await;
                // Let tasks that are about to push run first, so that they share the system call.
                tokio::task::yield_now().await;
                continue;
            }
            write_some(io, &mut frames, rate).await?;
            self.pending().small_bytes -= small_bytes;
            self.written.notify_waiters();
        }
    }
}

/// Writes the frames as the peer takes them, which it must do at the minimum rate.
async fn write_some(
    io: &mut (impl AsyncWrite + Unpin),
    frames: &mut FrameWriter,
    rate: WriteRate,
) -> io::Result<()> {
    // Bounded: the peer takes at least a byte in each window.
    while !frames.is_empty() {
        let end = Instant::now() + rate.window;
        let required = rate.required(frames.unsent().len());
        let mut taken = 0;
        while !frames.is_empty() {
            let Ok(written) = timeout_at(end, io.write(frames.unsent())).await else {
                break;
            };
            let written = written?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            taken += written;
            frames.advance(written);
        }
        if taken < required {
            let window = rate.window.as_millis();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "the peer took less than {} bytes a second of what waits for it: {taken} bytes \
                     in {window} ms",
                    rate.min
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;

    use super::*;

    const RATE: WriteRate = WriteRate {
        window: Duration::from_secs(5),
        min: 1,
    };

    #[tokio::test]
    async fn frames_go_out_in_order_and_the_stream_ends_after_close() {
        let outbox = Arc::new(Outbox::new(None));
        let (ours, mut theirs) = tokio::io::duplex(64);
        let writer = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.run(ours, RATE).await }
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
        let outbox = Outbox::new(None);
        let (ours, _theirs) = tokio::io::duplex(8);
        outbox.push(|out| out.extend([7; 64]));
        let error = outbox.run(ours, RATE).await.expect_err("stuck");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!outbox.push(|out| out.push(0)), "closed by the failure");
        outbox.room().await;
    }
}
