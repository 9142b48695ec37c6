//! Connections to all bookies that are used: one each, made when it is needed.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::call::{Call, CallError};
use super::connection::{Connection, End};
use super::dial::{Connect, Stream};
use crate::metadata::BookieId;

/// Pause after the first attempt to connect that failed, and the maximum to which it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Connections to bookies. Dropping it closes them.
pub(super) struct Pool {
    connect: Arc<dyn Connect>,
    /// Maximum bytes of requests that wait for one bookie.
    max_held_bytes: usize,
    bookies: RwLock<HashMap<BookieId, Bookie>>,
}

/// Way to one bookie's task.
#[derive(Clone)]
struct Bookie {
    calls: UnboundedSender<Call>,
    held_bytes: Arc<AtomicUsize>,
}

impl Pool {
    pub(super) fn new(connect: Arc<dyn Connect>, max_held_bytes: usize) -> Self {
        Self {
            connect,
            max_held_bytes,
            bookies: RwLock::default(),
        }
    }

    /// Sends a request to a bookie, in the order of these calls. Its outcome is reported once,
    /// before this returns if the request cannot be sent.
    ///
    /// Must be called within a tokio runtime.
    pub(super) fn send(&self, bookie: &BookieId, call: Call) {
        let target = self.bookie(bookie);
        let size = call.size();
        let held = target.held_bytes.fetch_add(size, Ordering::Relaxed);
        if held + size > self.max_held_bytes && held > 0 {
            target.held_bytes.fetch_sub(size, Ordering::Relaxed);
            let reason = format!("{held} bytes wait for {bookie}");
            call.done.report(Err(CallError::Unsent(reason.into())));
            return;
        }
        if let Err(refused) = target.calls.send(call) {
            // The runtime is being shut down.
            target.held_bytes.fetch_sub(size, Ordering::Relaxed);
            let reason = Arc::from("the client ends");
            refused.0.done.report(Err(CallError::Unsent(reason)));
        }
    }

    fn bookie(&self, id: &BookieId) -> Bookie {
        let known = self.bookies.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bookie) = known.get(id) {
            return bookie.clone();
        }
        drop(known);
        let mut bookies = self.bookies.write().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (calls, receiver) = unbounded_channel();
            let held_bytes = Arc::new(AtomicUsize::new(0));
            let task = Task {
                id: id.clone(),
                connect: Arc::clone(&self.connect),
                calls: receiver,
                held_bytes: Arc::clone(&held_bytes),
            };
            tokio::spawn(task.run());
            Bookie { calls, held_bytes }
        };
        bookies.entry(id.clone()).or_insert_with(start).clone()
    }
}

/// Keeps one bookie connected while something is asked of it.
struct Task {
    id: BookieId,
    connect: Arc<dyn Connect>,
    calls: UnboundedReceiver<Call>,
    held_bytes: Arc<AtomicUsize>,
}

impl Task {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        // The first call of a connection, which waits until it is made.
        while let Some(first) = self.calls.recv().await {
            let error = match self.connect.connect(&self.id).await {
                Ok(stream) => {
                    pause = FIRST_PAUSE;
                    let Some(error) = self.serve(stream, first).await else {
                        return;
                    };
                    tracing::debug!(bookie = %self.id, %error, "the connection to a bookie ended");
                    continue;
                }
                Err(error) => error,
            };
            tracing::debug!(bookie = %self.id, %error, "cannot connect to a bookie");
            let reason = Arc::from(format!("no connection to {}: {error}", self.id));
            self.refuse(first, &reason);
            if !self.refuse_until(Instant::now() + pause, &reason).await {
                return;
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Serves calls on a connection until it ends. Returns the reason, or `None` if nobody can make
    /// calls any more.
    async fn serve(&mut self, stream: Box<dyn Stream>, first: Call) -> Option<std::io::Error> {
        let (_, nobody) = unbounded_channel();
        let calls = core::mem::replace(&mut self.calls, nobody);
        let held_bytes = Arc::clone(&self.held_bytes);
        let (calls, end) = Connection::new(stream, calls, held_bytes).run(first).await;
        self.calls = calls;
        match end {
            End::Unwanted => None,
            End::Failed(error) => Some(error),
        }
    }

    /// Refuses all calls until this time: a bookie that is down is not asked for every entry.
    /// Returns false if nobody can make calls any more.
    async fn refuse_until(&mut self, until: Instant, reason: &Arc<str>) -> bool {
        let mut timer = core::pin::pin!(sleep_until(until));
        loop {
            tokio::select! {
                biased;
                () = &mut timer => return true,
                call = self.calls.recv() => match call {
                    Some(call) => self.refuse(call, reason),
                    None => return false,
                },
            }
        }
    }

    fn refuse(&self, call: Call, reason: &Arc<str>) {
        self.held_bytes.fetch_sub(call.size(), Ordering::Relaxed);
        call.done.report(Err(CallError::Unsent(Arc::clone(reason))));
    }
}
