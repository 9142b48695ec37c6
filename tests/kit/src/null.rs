use core::task::{Context, Poll};
use std::collections::VecDeque;

use distributedlog::{Attempt, AttemptId, Dlsn, Instant, Outcome, StartRefused, Transport};

/// A transport that answers every attempt with success at once and stores nothing, so that a
/// benchmark over it measures the writer alone.
#[derive(Debug, Default)]
pub struct NullTransport {
    started: VecDeque<AttemptId>,
    entry: i64,
}

impl NullTransport {
    /// Creates the transport.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: VecDeque::with_capacity(1024),
            entry: 0,
        }
    }
}

impl Transport for NullTransport {
    fn start(&mut self, _now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        self.started.push_back(attempt.id);
        Ok(())
    }

    fn cancel(&mut self, _now: Instant, attempt: AttemptId) {
        self.started.retain(|started| *started != attempt);
    }

    fn poll_finished(&mut self, _cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        match self.started.pop_front() {
            Some(attempt) => {
                self.entry += 1;
                Poll::Ready((attempt, Ok(Dlsn::new(1, self.entry, 0))))
            }
            None => Poll::Pending,
        }
    }
}
