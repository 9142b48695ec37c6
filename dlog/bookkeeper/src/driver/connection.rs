//! One connection to a bookie: requests go out as they come, responses arrive in any order.

#[cfg(test)]
mod tests;

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Sleep, sleep_until};

use super::call::{Call, CallError, Done};
use crate::wire::{MAX_FRAME_BYTES, Response, frame_len};

/// Bytes that one read asks for at least.
const READ_BYTES: usize = 64 * 1024;

/// Bytes of encoded requests above which no further ones are encoded until some are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Number of encoded bytes and of responses after which the task lets others run.
const ROUNDS: usize = 64;

/// Time for which a connection may be silent while requests wait for their responses. Longer than
/// any request may take: the bookie is stopped, or the path to it swallows everything.
const MAX_SILENCE: Duration = Duration::from_secs(15);

/// A connection, and everything that waits for it.
pub(super) struct Connection<S> {
    stream: S,
    calls: UnboundedReceiver<Call>,
    /// Bytes of the calls that were made and have no outcome.
    held_bytes: Arc<AtomicUsize>,
    next_txn_id: u64,
    waiting: HashMap<u64, Waiting>,
    /// Times at which requests have waited long enough.
    deadlines: BTreeSet<(Instant, u64)>,
    output: BytesMut,
    input: BytesMut,
    last_heard: Instant,
    timer: Pin<Box<Sleep>>,
}

/// A request without a response.
struct Waiting {
    done: Done,
    size: usize,
    deadline: Option<Instant>,
}

/// Reason for which a connection ended.
pub(super) enum End {
    /// The handle was dropped: nobody wants the bookie any more.
    Unwanted,
    /// The connection is of no use.
    Failed(io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        stream: S,
        calls: UnboundedReceiver<Call>,
        held_bytes: Arc<AtomicUsize>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            calls,
            held_bytes,
            next_txn_id: 0,
            waiting: HashMap::new(),
            deadlines: BTreeSet::new(),
            output: BytesMut::new(),
            input: BytesMut::new(),
            last_heard: now,
            timer: Box::pin(sleep_until(now + MAX_SILENCE)),
        }
    }

    /// Serves a first call and all others until the connection ends, then reports the loss to all
    /// that wait. Returns the receiver of further calls.
    pub(super) async fn run(mut self, first: Call) -> (UnboundedReceiver<Call>, End) {
        self.encode(first);
        let end = poll_fn(|cx| self.poll(cx)).await;
        let reason: Arc<str> = match &end {
            End::Unwanted => Arc::from("the client ended"),
            End::Failed(error) => Arc::from(error.to_string()),
        };
        // In the order of the requests, on which the order of all that follows depends.
        let mut waiting: Vec<_> = self.waiting.drain().collect();
        waiting.sort_unstable_by_key(|(txn_id, _)| *txn_id);
        for (_, waiting) in waiting {
            self.held_bytes.fetch_sub(waiting.size, Ordering::Relaxed);
            waiting
                .done
                .report(Err(CallError::Disconnected(Arc::clone(&reason))));
        }
        (self.calls, end)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.poll_all(cx) {
            Ok(Poll::Ready(())) => Poll::Ready(End::Unwanted),
            Ok(Poll::Pending) => Poll::Pending,
            Err(error) => Poll::Ready(End::Failed(error)),
        }
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let mut rounds = 0;
        loop {
            let mut progress = self.poll_read(cx)?.is_ready();
            match self.poll_calls(cx) {
                Poll::Ready(true) => progress = true,
                // Nobody can make a call any more, and none waits.
                Poll::Ready(false) if self.waiting.is_empty() => return Ok(Poll::Ready(())),
                Poll::Ready(false) | Poll::Pending => {}
            }
            progress |= self.poll_write(cx)?.is_ready();
            if !progress {
                break;
            }
            rounds += 1;
            if rounds == ROUNDS {
                cx.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
        }
        self.poll_time(cx)?;
        Ok(Poll::Pending)
    }

    /// Encodes calls. Ready with true if there were some, and with false if there can be none.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut encoded = false;
        while self.output.len() < WRITE_BYTES {
            match self.calls.poll_recv(cx) {
                Poll::Ready(Some(call)) => self.encode(call),
                Poll::Ready(None) => return Poll::Ready(encoded),
                Poll::Pending if encoded => return Poll::Ready(true),
                Poll::Pending => return Poll::Pending,
            }
            encoded = true;
        }
        if encoded {
            Poll::Ready(true)
        } else {
            Poll::Pending
        }
    }

    fn encode(&mut self, call: Call) {
        let now = Instant::now();
        if self.waiting.is_empty() {
            self.last_heard = now;
        }
        let txn_id = self.next_txn_id;
        self.next_txn_id += 1;
        let size = call.size();
        let deadline = call.timeout.map(|timeout| now + timeout);
        let (request, done) = call.into_request(txn_id);
        request.encode(&mut self.output);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, txn_id));
        }
        self.waiting.insert(
            txn_id,
            Waiting {
                done,
                size,
                deadline,
            },
        );
    }

    /// Writes what is encoded. Ready if something was written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let mut written = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(length) => self.output.advance(length),
                Poll::Pending => break,
            }
            written = true;
        }
        if self.output.is_empty() {
            // TLS keeps what it could not write yet.
            let _pending = Pin::new(&mut self.stream).poll_flush(cx)?;
        }
        Ok(if written {
            Poll::Ready(())
        } else {
            Poll::Pending
        })
    }

    /// Reads once, and takes the responses that are complete. Ready if something was read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let wanted = self.frame_rest()?.max(READ_BYTES);
        self.input.reserve(wanted);
        // Cancel safe: without a result nothing was read.
        match pin!(self.stream.read_buf(&mut self.input)).poll(cx)? {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the bookie closed the connection",
            )),
            Poll::Ready(_) => {
                self.last_heard = Instant::now();
                self.take_responses()?;
                Ok(Poll::Ready(()))
            }
        }
    }

    /// Bytes that the incomplete frame at the end of the input lacks; 0 if its length is not known.
    fn frame_rest(&self) -> io::Result<usize> {
        let whole = frame_len(&self.input, MAX_FRAME_BYTES).map_err(io::Error::other)?;
        Ok(whole.map_or(0, |whole| whole.saturating_sub(self.input.len())))
    }

    fn take_responses(&mut self) -> io::Result<()> {
        while let Some(whole) = frame_len(&self.input, MAX_FRAME_BYTES).map_err(io::Error::other)?
            && self.input.len() >= whole
        {
            let mut frame = self.input.split_to(whole).freeze();
            frame.advance(4);
            let response = Response::decode(&frame).map_err(io::Error::other)?;
            // Without a request that waits: its time was over.
            if let Some(waiting) = self.waiting.remove(&response.txn_id) {
                if let Some(deadline) = waiting.deadline {
                    self.deadlines.remove(&(deadline, response.txn_id));
                }
                self.held_bytes.fetch_sub(waiting.size, Ordering::Relaxed);
                waiting.done.report(Ok(response));
            }
        }
        Ok(())
    }

    /// Ends requests whose time is over, and the connection if nothing is heard for long.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            while let Some(&(deadline, txn_id)) = self.deadlines.first()
                && deadline <= now
            {
                self.deadlines.pop_first();
                if let Some(waiting) = self.waiting.remove(&txn_id) {
                    self.held_bytes.fetch_sub(waiting.size, Ordering::Relaxed);
                    waiting.done.report(Err(CallError::TimedOut));
                }
            }
            let silence = self.last_heard + MAX_SILENCE;
            let is_waiting = !self.waiting.is_empty() || !self.output.is_empty();
            if is_waiting && silence <= now {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the bookie is silent",
                ));
            }
            let first = self.deadlines.first().map(|&(deadline, _)| deadline);
            let Some(at) = first.into_iter().chain(is_waiting.then_some(silence)).min() else {
                return Ok(());
            };
            if self.timer.deadline() != at {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
        }
    }
}
