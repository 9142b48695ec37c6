//! Limit on concurrent requests.

use std::collections::VecDeque;
use std::vec::Vec;

use distributedlog::AttemptId;

/// Next action of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<J> {
    /// Send the request of this attempt.
    Send(AttemptId, J),
    /// Abort the request of this attempt, which was sent.
    Abort(AttemptId),
}

/// Queue of requests behind a limit on those in flight.
///
/// Browsers open six connections to a server over HTTP/1.1 and queue further requests invisibly,
/// behind the stalled ones. The queue is here instead, where a waiting request can be cancelled.
///
/// Invariant: at most `limit` requests are in flight, that is, sent and neither finished nor
/// aborted.
#[derive(Debug)]
pub struct Connections<J> {
    limit: usize,
    sent: Vec<AttemptId>,
    waiting: VecDeque<(AttemptId, J)>,
    to_abort: VecDeque<AttemptId>,
}

impl<J> Connections<J> {
    /// Creates an empty queue. A `limit` of 0 counts as 1.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            sent: Vec::new(),
            waiting: VecDeque::new(),
            to_abort: VecDeque::new(),
        }
    }

    /// Queues a request. The queue is bounded by the attempts that a writer makes: eight for each
    /// set in flight.
    pub fn start(&mut self, attempt: AttemptId, job: J) {
        self.waiting.push_back((attempt, job));
    }

    /// Cancels a request: drops it if it waits, queues its abort if it was sent, and ignores one
    /// that has finished.
    pub fn cancel(&mut self, attempt: AttemptId) {
        if let Some(place) = self
            .waiting
            .iter()
            .position(|(waiting, _)| *waiting == attempt)
        {
            self.waiting.remove(place);
        } else if self.finish(attempt) {
            self.to_abort.push_back(attempt);
        }
    }

    /// Marks a request as finished. Returns `false` if it was not in flight.
    pub fn finish(&mut self, attempt: AttemptId) -> bool {
        let place = self.sent.iter().position(|sent| *sent == attempt);
        if let Some(place) = place {
            self.sent.swap_remove(place);
        }
        place.is_some()
    }

    /// Returns the next action, or `None` if there is none. Aborts come first, because they make
    /// room.
    pub fn step(&mut self) -> Option<Step<J>> {
        debug_assert!(self.sent.len() <= self.limit);
        if let Some(attempt) = self.to_abort.pop_front() {
            return Some(Step::Abort(attempt));
        }
        if self.sent.len() >= self.limit {
            return None;
        }
        let (attempt, job) = self.waiting.pop_front()?;
        self.sent.push(attempt);
        Some(Step::Send(attempt, job))
    }

    /// Drops all waiting requests and queues an abort of each one in flight.
    pub fn cancel_all(&mut self) {
        self.waiting.clear();
        self.to_abort.extend(self.sent.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(connections: &mut Connections<()>) -> Vec<u64> {
        core::iter::from_fn(|| connections.step())
            .map(|step| match step {
                Step::Send(attempt, ()) => attempt.0,
                Step::Abort(attempt) => 1_000 + attempt.0,
            })
            .collect()
    }

    fn connections_with(limit: usize, attempts: u64) -> Connections<()> {
        let mut connections = Connections::new(limit);
        (0..attempts).for_each(|attempt| connections.start(AttemptId(attempt), ()));
        connections
    }

    #[test]
    fn at_most_the_limit_are_in_flight_and_the_rest_are_sent_in_order() {
        let mut connections = connections_with(2, 5);
        assert_eq!(sent(&mut connections), [0, 1]);
        assert!(connections.finish(AttemptId(1)));
        assert_eq!(sent(&mut connections), [2]);
        assert!(connections.finish(AttemptId(0)) && connections.finish(AttemptId(2)));
        assert_eq!(sent(&mut connections), [3, 4]);
    }

    #[test]
    fn an_abort_comes_before_the_request_that_waits_for_its_connection() {
        let mut connections = connections_with(1, 2);
        assert_eq!(sent(&mut connections), [0]);
        connections.cancel(AttemptId(0));
        assert_eq!(sent(&mut connections), [1_000, 1]);
        assert!(!connections.finish(AttemptId(0)), "it was aborted");
    }

    #[test]
    fn a_waiting_request_that_is_cancelled_is_never_sent() {
        let mut connections = connections_with(1, 3);
        connections.cancel(AttemptId(1));
        assert_eq!(sent(&mut connections), [0]);
        connections.finish(AttemptId(0));
        assert_eq!(sent(&mut connections), [2]);
        connections.cancel(AttemptId(7));
        assert_eq!(sent(&mut connections), [0; 0]);
    }

    #[test]
    fn cancel_all_aborts_what_is_in_flight_and_drops_what_waits() {
        let mut connections = connections_with(2, 4);
        assert_eq!(sent(&mut connections), [0, 1]);
        connections.cancel_all();
        assert_eq!(sent(&mut connections), [1_000, 1_001]);
    }
}
