//! One transport for several writers, whose runners one task polls.

use core::task::{Context, Poll};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::{
    Attempt, AttemptId, FailureDomain, Instant, Outcome, StartRefused, StreamIndex, Transport,
};

/// A writer's share of a transport.
///
/// The task that polls it also polls all others of the same transport, and polls them again while
/// [`Deliveries::take`] returns `true`: an outcome may have arrived for a writer that was polled
/// before.
pub(super) struct SharedTransport<T> {
    shared: Arc<Mutex<Shared<T>>>,
    lane: usize,
}

/// Outcomes that arrived while another writer was polled.
pub(super) struct Deliveries<T>(Arc<Mutex<Shared<T>>>);

struct Shared<T> {
    transport: T,
    /// Writer and its own id of each attempt that is outstanding. A writer has at most as many as
    /// its settings and the machine allow.
    attempts: BTreeMap<AttemptId, (usize, AttemptId)>,
    /// The last id that an attempt got here. 64 bits are not used up.
    last: u64,
    /// Outcomes for each writer, at most one for each of its attempts.
    finished: Vec<VecDeque<(AttemptId, Outcome)>>,
    /// An outcome has arrived for another writer than the one that was polled.
    delivered: bool,
    /// Writers that are not closing yet.
    open: usize,
    closing: Vec<bool>,
    closed: bool,
}

/// Shares a transport between this number of writers.
pub(super) fn share<T: Transport>(
    transport: T,
    writers: usize,
) -> (Vec<SharedTransport<T>>, Deliveries<T>) {
    let shared = Arc::new(Mutex::new(Shared {
        transport,
        attempts: BTreeMap::new(),
        last: 0,
        finished: (0..writers).map(|_| VecDeque::new()).collect(),
        delivered: false,
        open: writers,
        closing: vec![false; writers],
        closed: false,
    }));
    let lane = |lane| SharedTransport {
        shared: Arc::clone(&shared),
        lane,
    };
    ((0..writers).map(lane).collect(), Deliveries(shared))
}

impl<T> Deliveries<T> {
    /// Returns `true` if outcomes have arrived for writers that were not being polled, since the
    /// last call.
    pub(super) fn take(&self) -> bool {
        core::mem::take(&mut lock(&self.0).delivered)
    }
}

impl<T: Transport> Shared<T> {
    /// Drives the transport, and gives each outcome to its writer.
    fn collect(&mut self, lane: usize, cx: &mut Context<'_>) {
        while let Poll::Ready((id, outcome)) = self.transport.poll_finished(cx) {
            // Those of cancelled attempts concern nobody.
            if let Some((writer, own)) = self.attempts.remove(&id) {
                self.finished[writer].push_back((own, outcome));
                self.delivered |= writer != lane;
            }
        }
    }
}

impl<T: Transport> Transport for SharedTransport<T> {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let mut shared = lock(&self.shared);
        shared.last += 1;
        let id = AttemptId(shared.last);
        let own = attempt.id;
        shared.transport.start(now, Attempt { id, ..attempt })?;
        shared.attempts.insert(id, (self.lane, own));
        Ok(())
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        let mut shared = lock(&self.shared);
        let wanted = (self.lane, attempt);
        // A few for each writer, and cancellations are rare: no second table.
        let found = shared.attempts.iter().find(|(_, it)| **it == wanted);
        if let Some(id) = found.map(|(id, _)| *id) {
            shared.attempts.remove(&id);
            shared.transport.cancel(now, id);
        }
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        let mut shared = lock(&self.shared);
        if shared.finished[self.lane].is_empty() {
            shared.collect(self.lane, cx);
        }
        match shared.finished[self.lane].pop_front() {
            Some(finished) => Poll::Ready(finished),
            None => Poll::Pending,
        }
    }

    fn failure_domain(&mut self, stream: StreamIndex) -> Option<FailureDomain> {
        lock(&self.shared).transport.failure_domain(stream)
    }

    /// Ready once every writer of the transport closes, and the transport is closed.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.shared);
        if !core::mem::replace(&mut shared.closing[self.lane], true) {
            shared.open -= 1;
            // The others wait for it.
            shared.delivered |= shared.open == 0;
        }
        if shared.open == 0 && !shared.closed {
            shared.closed = shared.transport.poll_close(cx).is_ready();
            shared.delivered |= shared.closed;
        }
        if shared.closed {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
