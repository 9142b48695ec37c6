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

/// Number of answers to a peer that may wait, where its frames are taken nevertheless. A peer that
/// takes what it asked for has few of them outstanding.
const MAX_ANSWERS: usize = 1024;

/// One end of a connection: its side of the mux session, and the frames that wait to be written.
///
/// Any thread can use the session and append frames without waiting; one task writes. Frames that
/// are appended during a write go out with the next one, so a busy connection needs few system
/// calls.
#[derive(Debug)]
pub(super) struct Endpoint<S> {
    state: Mutex<State<S>>,
    /// Budget of the bytes that wait. `None`: the caller bounds them.
    budget: Option<ByteBudget>,
    /// Notified when there is something to write or the output was closed.
    work: Notify,
    /// Notified when the output was written or closed.
    written: Notify,
}

#[derive(Debug)]
struct State<S> {
    session: S,
    output: Output,
}

/// Frames that wait to be written. Once it is closed, further ones are dropped.
///
/// A large frame is appended with the [`Reservation`] of its bytes, which is freed when it is
/// written. Small ones are counted as they come; see [`room`](Endpoint::room).
#[derive(Debug, Default)]
pub(super) struct Output {
    frames: FrameWriter,
    /// Bytes of small frames that are not written, also of those that are being written.
    small_bytes: usize,
    /// Number of [answers](Output::answer) that are not written.
    answers: usize,
    /// True if further frames are refused. Those that wait are still written.
    pub(super) closed: bool,
}

impl Output {
    /// Appends a frame.
    pub(super) fn send(&mut self, tag: Tag, message: Message<'_>) {
        self.push(|out| push(out, tag, message));
    }

    /// Appends the answer to a frame of the peer. Returns false, and appends nothing, if too many
    /// of them wait.
    pub(super) fn answer(&mut self, tag: Tag, message: Message<'_>) -> bool {
        if self.answers >= MAX_ANSWERS {
            return false;
        }
        if !self.closed {
            self.answers += 1;
        }
        self.send(tag, message);
        true
    }

    /// Calls `encode` to append a small frame, unless the output is closed.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if !self.closed {
            self.small_bytes += self.frames.write(None, encode);
        }
    }

    /// Calls `encode` to append a frame whose bytes are reserved, unless the output is closed.
    pub(super) fn push_reserved(
        &mut self,
        reservation: Reservation,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        if !self.closed {
            self.frames.write(Some(reservation), encode);
        }
    }
}

impl<S> Endpoint<S> {
    /// Returns the end of a new connection. The bytes that wait count against a budget, if there is
    /// one.
    pub(super) fn new(session: S, budget: Option<ByteBudget>) -> Self {
        let output = Output {
            frames: FrameWriter::new(LIMITS, budget.clone()),
            ..Output::default()
        };
        Self {
            state: Mutex::new(State { session, output }),
            budget,
            work: Notify::new(),
            written: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `act` with the session and the output, which no other thread uses meanwhile.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut S, &mut Output) -> R) -> R {
        let mut state = self.state();
        let State { session, output } = &mut *state;
        let (was_empty, was_closed) = (output.frames.is_empty(), output.closed);
        let result = act(session, output);
        let is_closed = output.closed && !was_closed;
        let has_work = (was_empty && !output.frames.is_empty()) || is_closed;
        drop(state);
        if has_work {
            self.work.notify_one();
        }
        if is_closed {
            self.written.notify_waiters();
        }
        result
    }

    /// Appends a frame.
    pub(super) fn send(&self, tag: Tag, message: Message<'_>) {
        self.with(|_, output| output.send(tag, message));
    }

    /// Refuses further frames. Those that wait are still written.
    pub(super) fn close(&self) {
        self.with(|_, output| output.closed = true);
    }

    /// Waits until there is room for the answer to another request: until few small answers wait,
    /// and none while the budget of all is spent, or until the output is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(super) async fn room(&self) {
        loop {
            let mut written = core::pin::pin!(self.written.notified());
            written.as_mut().enable();
            {
                let output = &self.state().output;
                if output.closed || !output.frames.is_full_with(output.small_bytes) {
                    return;
                }
            }
            written.await;
        }
    }

    /// Writes until the output is closed and empty, then shuts the stream down. Fails if the peer
    /// takes less than `rate`.
    ///
    /// # Errors
    /// The stream's error, or [`io::ErrorKind::TimedOut`]. The output is closed then, and its
    /// frames are lost.
    pub(super) async fn run(
        &self,
        mut io: impl AsyncWrite + Unpin,
        rate: WriteRate,
    ) -> io::Result<()> {
        let result = self.write_all(&mut io, rate).await;
        if result.is_err() {
            self.state().output = Output {
                closed: true,
                ..Output::default()
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
            let (small_bytes, answers, closed) = {
                let output = &mut self.state().output;
                swap(&mut output.frames, &mut frames);
                (output.small_bytes, output.answers, output.closed)
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
            {
                let output = &mut self.state().output;
                output.small_bytes -= small_bytes;
                output.answers -= answers;
            }
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
        let endpoint = Arc::new(Endpoint::new((), None));
        let (ours, mut theirs) = tokio::io::duplex(64);
        let writer = tokio::spawn({
            let endpoint = Arc::clone(&endpoint);
            async move { endpoint.run(ours, RATE).await }
        });
        for byte in 0..200 {
            endpoint.with(|(), output| output.push(|out| out.push(byte)));
        }
        endpoint.close();
        endpoint.with(|(), output| output.push(|_| panic!("it is closed")));
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
        let endpoint = Endpoint::new((), None);
        let (ours, _theirs) = tokio::io::duplex(8);
        endpoint.with(|(), output| output.push(|out| out.extend([7; 64])));
        let error = endpoint.run(ours, RATE).await.expect_err("stuck");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(endpoint.with(|(), output| output.closed));
        endpoint.room().await;
    }
}
