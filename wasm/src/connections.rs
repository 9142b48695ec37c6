use std::collections::VecDeque;
use std::vec::Vec;

use distributedlog::AttemptId;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<J> {
    /// Send this.
    Send(AttemptId, J),
    /// Abort what was sent.
    Abort(AttemptId),
}

/// Which requests are under way, and which wait until one is over: browsers open six connections to
/// a server over HTTP/1.1 and queue the rest where nobody sees it, behind whatever is stalled.
///
/// The invariant: no more than `limit` requests were sent and are neither over nor aborted.
#[derive(Debug)]
pub struct Connections<J> {
    limit: usize,
    sent: Vec<AttemptId>,
    waiting: VecDeque<(AttemptId, J)>,
    to_abort: VecDeque<AttemptId>,
}

impl<J> Connections<J> {
    /// None under way; `limit` is at least 1.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            sent: Vec::new(),
            waiting: VecDeque::new(),
            to_abort: VecDeque::new(),
        }
    }

    /// One more is to be sent. Bounded by the attempts that a writer makes: eight for each set in
    /// flight.
    pub fn start(&mut self, attempt: AttemptId, job: J) {
        self.waiting.push_back((attempt, job));
    }

    /// One is of no use any more: what waits is dropped, what was sent is aborted, what is over is
    /// unknown.
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

    /// One is over. Whether it was under way.
    pub fn finish(&mut self, attempt: AttemptId) -> bool {
        let place = self.sent.iter().position(|sent| *sent == attempt);
        if let Some(place) = place {
            self.sent.swap_remove(place);
        }
        place.is_some()
    }

    /// What to do next: aborts first, they make room.
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

    /// Aborts everything.
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

    fn with(limit: usize, attempts: u64) -> Connections<()> {
        let mut connections = Connections::new(limit);
        (0..attempts).for_each(|attempt| connections.start(AttemptId(attempt), ()));
        connections
    }

    #[test]
    fn no_more_than_the_limit_are_under_way_and_the_rest_go_in_their_order() {
        let mut connections = with(2, 5);
        assert_eq!(sent(&mut connections), [0, 1]);
        assert!(connections.finish(AttemptId(1)));
        assert_eq!(sent(&mut connections), [2]);
        assert!(connections.finish(AttemptId(0)) && connections.finish(AttemptId(2)));
        assert_eq!(sent(&mut connections), [3, 4]);
    }

    #[test]
    fn an_abort_goes_before_what_waits_for_its_connection() {
        let mut connections = with(1, 2);
        assert_eq!(sent(&mut connections), [0]);
        connections.cancel(AttemptId(0));
        assert_eq!(sent(&mut connections), [1_000, 1]);
        assert!(!connections.finish(AttemptId(0)), "it was aborted");
    }

    #[test]
    fn what_waits_and_is_cancelled_is_never_sent() {
        let mut connections = with(1, 3);
        connections.cancel(AttemptId(1));
        assert_eq!(sent(&mut connections), [0]);
        connections.finish(AttemptId(0));
        assert_eq!(sent(&mut connections), [2]);
        connections.cancel(AttemptId(7));
        assert_eq!(sent(&mut connections), [0; 0]);
    }

    #[test]
    fn at_the_end_everything_is_aborted() {
        let mut connections = with(2, 4);
        assert_eq!(sent(&mut connections), [0, 1]);
        connections.cancel_all();
        assert_eq!(sent(&mut connections), [1_000, 1_001]);
    }
}
