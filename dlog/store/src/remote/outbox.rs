use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::{ByteBudget, Reservation};

/// A buffer that grew beyond this many bytes is freed after it was written.
const KEPT_BYTES: usize = 1 << 20;

/// No further frame is taken from a peer while this many bytes of small answers to it wait.
const MAX_SMALL_BYTES: usize = 256 << 10;

/// Frames that wait to be written to a connection.
///
/// Any thread can append a frame to the buffer without waiting; one task writes. Frames that are
/// appended during a write go out with the next one, so a busy connection needs few system calls.
///
/// A large frame is appended with the [`Reservation`] of its bytes, which is freed when it is
/// written. Small ones are counted as they come; see [`room`](Self::room).
#[derive(Debug, Default)]
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
    bytes: Vec<u8>,
    /// Of the frames in `bytes` that were reserved.
    reservations: Vec<Reservation>,
    /// Of the frames in `bytes` that were counted as they came.
    small: Option<Reservation>,
    /// Bytes of small frames that are not written, also of those that are being written.
    small_bytes: usize,
    closed: bool,
}

/// Rate at which a peer must take what waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteRate {
    /// Time over which the rate is measured.
    pub(super) window: Duration,
    /// Bytes per second.
    pub(super) min: usize,
}

impl WriteRate {
    /// Returns the bytes that a peer must take in a window, if there are `waiting` for it: one at
    /// least.
    pub(super) fn required(self, waiting: usize) -> usize {
        let millis = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        let bytes = (self.min as u64).saturating_mul(millis) / 1000;
        usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .clamp(1, waiting.max(1))
    }
}

impl Outbox {
    /// Returns an outbox whose bytes count against a budget.
    pub(super) fn counted(budget: ByteBudget) -> Self {
        Self {
            budget: Some(budget),
            ..Self::default()
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
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
        let before = pending.bytes.len();
        encode(&mut pending.bytes);
        let added = pending.bytes.len() - before;
        match (reservation, &self.budget) {
            (Some(mut reservation), _) => {
                // The answer's own memory is free, and the encoded frame takes less.
                reservation.shrink_to(added);
                pending.reservations.push(reservation);
            }
            (None, Some(budget)) => {
                pending.small_bytes += added;
                let counted = budget.reserve_free(added);
                match &mut pending.small {
                    Some(small) => small.merge(counted),
                    none => *none = Some(counted),
                }
            }
            (None, None) => {}
        }
        drop(pending);
        if before == 0 {
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
                let waiting = pending.small_bytes;
                let spent = || self.budget.as_ref().is_some_and(ByteBudget::is_spent);
                if pending.closed || waiting == 0 || (waiting < MAX_SMALL_BYTES && !spent()) {
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
        let mut buffer = Vec::new();
        loop {
            let (reserved, small, small_bytes, closed) = {
                let mut pending = self.pending();
                core::mem::swap(&mut pending.bytes, &mut buffer);
                (
                    core::mem::take(&mut pending.reservations),
                    pending.small.take(),
                    pending.small_bytes,
                    pending.closed,
                )
            };
            if buffer.is_empty() {
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
            write_some(io, &buffer, rate).await?;
            buffer.clear();
            if buffer.capacity() > KEPT_BYTES {
                buffer = Vec::new();
            }
            drop((reserved, small));
            self.pending().small_bytes -= small_bytes;
            self.written.notify_waiters();
        }
    }
}

/// Writes the bytes as the peer takes them, which it must do at the minimum rate.
async fn write_some(
    io: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    rate: WriteRate,
) -> io::Result<()> {
    // Bounded: the peer takes at least a byte in each window.
    while !bytes.is_empty() {
        let (end, required) = (Instant::now() + rate.window, rate.required(bytes.len()));
        let mut taken = 0;
        while !bytes.is_empty() {
            let Ok(written) = timeout_at(end, io.write(bytes)).await else {
                break;
            };
            let written = written?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            taken += written;
            bytes = &bytes[written..];
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
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;

    use super::*;

    const RATE: WriteRate = WriteRate {
        window: Duration::from_secs(5),
        min: 1,
    };

    #[tokio::test]
    async fn frames_go_out_in_order_and_the_stream_ends_after_close() {
        let outbox = Arc::new(Outbox::default());
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
        let outbox = Outbox::default();
        let (ours, _theirs) = tokio::io::duplex(8);
        outbox.push(|out| out.extend([7; 64]));
        let error = outbox.run(ours, RATE).await.expect_err("stuck");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!outbox.push(|out| out.push(0)), "closed by the failure");
        outbox.room().await;
    }
}
