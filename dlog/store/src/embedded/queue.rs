//! The requests that wait for the committer, and whose turn it is to use it.

use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::committer::Committer;
use super::request::{AppendCaller, CommitRequest};
use super::shared::lock;
use crate::{Entry, Lease, StoreError};

/// Turns in a row, each for a single append that nothing else waited behind, after which a caller
/// may commit its append itself. What appends one at a time gets there at once, and several at
/// a time hardly ever: they share syncs, and what comes during a sync is staged meanwhile.
const CALM_TURNS: u8 = 16;

/// A turn that took longer ends the calm: a disk that may hold its caller up is waited for by the
/// store's own thread.
const QUICK_TURN: Duration = Duration::from_millis(2);

/// Time in which a caller ends its turn. Otherwise the runtime of its thread is told to go on
/// without it.
const WATCH_INTERVAL: Duration = Duration::from_millis(10);

/// Queue of requests to the committer, and the committer while nobody uses it.
///
/// A turn begins when a thread takes the committer and all requests, and ends when it brings the
/// committer back and the requests are answered. So requests are committed in their order.
#[derive(Default)]
pub(super) struct CommitQueue {
    state: Mutex<QueueState>,
    /// Notified of what the store's own thread waits for.
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    requests: Vec<CommitRequest>,
    /// Payload bytes of the appends in `requests`, and of those that a turn has taken.
    bytes: usize,
    /// True once nothing more is taken.
    closed: bool,
    /// True once nobody gets a turn any more.
    ended: bool,
    turn: Turn,
    /// `None` while somebody has a turn, and in a store without threads.
    committer: Option<Box<Committer>>,
    /// True while the only request is left to a caller, who flushes it.
    held: bool,
    calm_turns: u8,
    /// Number of requests that were left to callers.
    holds: u64,
    /// True while the store's own thread looks after callers' turns.
    watched: bool,
}

#[derive(Default)]
enum Turn {
    #[default]
    Nobodys,
    /// The store's own thread looks at the queue again when its turn ends.
    Own,
    /// A caller's, with the runtime of its thread until that was told to go on without it.
    Callers(Option<Handle>),
}

/// What a turn did.
pub(super) struct TurnReport {
    pub(super) took: Duration,
    /// True if it was for a single append.
    pub(super) was_single: bool,
    /// True if it closed the store.
    pub(super) has_ended: bool,
}

impl QueueState {
    /// Begins a turn, if nobody has one. The committer's own empty list of requests becomes the
    /// next queue, so that its memory is reused.
    fn begin(&mut self, turn: Turn) -> Option<Box<Committer>> {
        let mut committer = self.committer.take()?;
        self.turn = turn;
        self.held = false;
        core::mem::swap(&mut self.requests, &mut committer.requests);
        Some(committer)
    }

    /// Adds a request. Returns true if the store's own thread must be notified of it.
    fn push(&mut self, request: CommitRequest) -> bool {
        self.requests.push(request);
        // It was notified of the first, or somebody looks at the queue when a turn ends.
        let unheard = self.requests.len() == 1 || self.held;
        self.held = false;
        unheard && self.committer.is_some()
    }

    fn is_calm(&self) -> bool {
        self.calm_turns >= CALM_TURNS && self.requests.is_empty() && self.committer.is_some()
    }
}

impl CommitQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        lock(&self.state)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Returns the payload bytes of appends that are not durable yet.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Lets threads take turns with the committer.
    pub(super) fn start(&self, committer: Committer) {
        self.lock().committer = Some(Box::new(committer));
    }

    /// Ends the queue, whoever has a turn. Returns the requests that were in it.
    pub(super) fn end(&self) -> Vec<CommitRequest> {
        let mut state = self.lock();
        (state.closed, state.ended) = (true, true);
        let left = core::mem::take(&mut state.requests);
        drop(state);
        self.changed.notify_one();
        left
    }

    /// Queues a request that is not an append. Returns it if the queue is closed.
    pub(super) fn push(&self, request: CommitRequest) -> Result<(), CommitRequest> {
        let mut state = self.lock();
        if state.closed {
            return Err(request);
        }
        state.closed = matches!(request, CommitRequest::Close);
        let unheard = state.push(request);
        drop(state);
        if unheard {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Queues an append of `size` bytes. Completes it with an error if the queue is closed, or
    /// `limit` bytes are queued. If `may_hold` returns true, which is asked only in a calm, it is
    /// left to the caller, who calls [`take_held`](Self::take_held) soon.
    pub(super) fn push_append(
        &self,
        (lease, entry, size): (Lease, Entry, usize),
        done: AppendCaller,
        limit: usize,
        may_hold: impl FnOnce() -> bool,
    ) {
        let mut state = self.lock();
        let refused = if state.closed {
            StoreError::Closed
        } else if state.bytes.saturating_add(size) > limit {
            StoreError::Overloaded { limit }
        } else {
            state.bytes += size;
            let hold = state.is_calm() && may_hold();
            let mut unheard = state.push(CommitRequest::Append {
                lease,
                entry,
                size,
                done,
            });
            if hold {
                state.held = true;
                state.holds += 1;
                unheard = !core::mem::replace(&mut state.watched, true);
            }
            drop(state);
            if unheard {
                self.changed.notify_one();
            }
            return;
        };
        drop(state);
        done.complete(Err(refused));
    }

    /// Subtracts the bytes of appends that a turn has taken.
    pub(super) fn subtract(&self, bytes: usize) {
        self.lock().bytes -= bytes;
    }

    /// Begins a turn of this thread for the append that was left to a caller, if one is. If the
    /// thread may not wait for the disk, leaves it to the store's own one.
    pub(super) fn take_held(&self, may_wait: bool) -> Option<Box<Committer>> {
        let mut state = self.lock();
        if !state.held {
            return None;
        }
        if may_wait {
            return state.begin(Turn::Callers(Handle::try_current().ok()));
        }
        state.held = false;
        drop(state);
        self.changed.notify_one();
        None
    }

    /// Waits for requests that nobody else commits, and begins a turn of the store's own thread for
    /// them; looks after callers' turns meanwhile. Returns `None` once the queue has ended.
    pub(super) fn wait_for_turn(&self) -> Option<Box<Committer>> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if !state.requests.is_empty()
                && !state.held
                && let Some(committer) = state.begin(Turn::Own)
            {
                return Some(committer);
            }
            let waited = if state.watched {
                self.watch(state)
            } else {
                self.changed.wait(state)
            };
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a notification, or until no caller has begun or ended anything for a while.
    fn watch<'a>(
        &self,
        state: MutexGuard<'a, QueueState>,
    ) -> std::sync::LockResult<MutexGuard<'a, QueueState>>
    where
        Self: 'a,
    {
        let holds = state.holds;
        let waited = self.changed.wait_timeout(state, WATCH_INTERVAL);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if !timeout.timed_out() || state.holds != holds {
            return Ok(state);
        }
        if state.held {
            // A bug has ended its caller.
            state.held = false;
        }
        match &mut state.turn {
            // What a single thread of the runtime waited for, sockets and timers, another one does
            // once it is woken. The caller's own task goes on when the disk does.
            Turn::Callers(runtime) => {
                let stalled = runtime.take();
                state.calm_turns = 0;
                if let Some(runtime) = stalled {
                    runtime.spawn(async {});
                }
            }
            Turn::Nobodys | Turn::Own => state.watched = false,
        }
        Ok(state)
    }

    /// Ends the turn of this thread.
    pub(super) fn end_turn(&self, committer: Box<Committer>, turn: &TurnReport) {
        let mut state = self.lock();
        let was_own = matches!(state.turn, Turn::Own);
        state.turn = Turn::Nobodys;
        state.ended |= turn.has_ended;
        // Not that of a store that is closed: it keeps the store's memory.
        let mut ended = Some(committer);
        if !state.ended {
            state.committer = ended.take();
        }
        let is_calm = turn.was_single && turn.took < QUICK_TURN && state.requests.is_empty();
        state.calm_turns = if is_calm {
            state.calm_turns.saturating_add(1)
        } else {
            0
        };
        let unheard = !was_own && (state.ended || !state.requests.is_empty());
        drop(state);
        drop(ended);
        if unheard {
            self.changed.notify_one();
        }
    }

    /// Takes all requests, in a store without threads. `taken` is empty.
    pub(super) fn take_all(&self, taken: &mut Vec<CommitRequest>) {
        core::mem::swap(&mut self.lock().requests, taken);
    }
}
