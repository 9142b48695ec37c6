//! The records of a writer that are written and not acknowledged.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;

/// Number of runs that the records in flight are divided into. The first record of each is polled
/// whenever one may have completed.
const MOST_RUNS: usize = 16;

/// Futures that mostly complete in the order in which they were pushed: the records of a set
/// complete together, and follow each other.
///
/// They are kept in runs. A run is polled in order, so a completed future waits for those before it
/// in its run, and for no other: with up to 16 in flight, for none. That costs a poll for each
/// future and one for each run, where a waker for each future costs an allocation and several
/// atomic operations.
pub(super) struct InFlight<F> {
    runs: Vec<Run<F>>,
    /// Number of futures that are pushed to a run.
    run_length: usize,
    len: usize,
}

struct Run<F> {
    futures: VecDeque<F>,
    pushed: usize,
}

impl<F: Future + Unpin> InFlight<F> {
    /// Returns room for about `most` futures.
    pub(super) fn new(most: usize) -> Self {
        Self {
            runs: Vec::with_capacity(MOST_RUNS + 1),
            run_length: most.div_ceil(MOST_RUNS),
            len: 0,
        }
    }

    /// Returns the number of futures whose outputs were not taken.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends a future.
    pub(super) fn push(&mut self, future: F) {
        let run = match self.runs.last_mut() {
            Some(run) if run.pushed < self.run_length => run,
            _ => {
                self.runs.push(Run {
                    futures: VecDeque::with_capacity(self.run_length),
                    pushed: 0,
                });
                self.runs.last_mut().expect("one was pushed")
            }
        };
        run.futures.push_back(future);
        run.pushed += 1;
        self.len += 1;
    }

    /// Passes the outputs of completed futures to `each`. If there are none, registers the task to
    /// be woken by the next.
    pub(super) fn poll_completed(
        &mut self,
        cx: &mut Context<'_>,
        mut each: impl FnMut(F::Output),
    ) -> Poll<()> {
        let before = self.len;
        for run in &mut self.runs {
            while let Some(future) = run.futures.front_mut()
                && let Poll::Ready(output) = Pin::new(future).poll(cx)
            {
                run.futures.pop_front();
                self.len -= 1;
                each(output);
            }
        }
        // The last one keeps its place while it is filled.
        self.runs.retain(|run| !run.futures.is_empty());
        if self.len < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    fn completed(in_flight: &mut InFlight<oneshot::Receiver<u32>>) -> Vec<u32> {
        let mut found = Vec::new();
        let poll = in_flight.poll_completed(&mut Context::from_waker(Waker::noop()), |output| {
            found.push(output.expect("sent"));
        });
        assert_eq!(poll.is_ready(), !found.is_empty());
        found
    }

    #[test]
    fn up_to_16_futures_wait_for_no_other() {
        let mut in_flight = InFlight::new(16);
        let mut senders = Vec::new();
        for _ in 0..16 {
            let (sender, receiver) = oneshot::channel();
            senders.push(Some(sender));
            in_flight.push(receiver);
        }
        for number in (0..16_u32).rev() {
            let sender = senders[number as usize].take().expect("not yet");
            sender.send(number).expect("received");
            assert_eq!(completed(&mut in_flight), [number]);
        }
        assert_eq!((in_flight.len(), in_flight.runs.len()), (0, 0));
    }

    #[test]
    fn of_more_a_few_wait_for_those_of_their_run() {
        let mut in_flight = InFlight::new(256);
        let mut senders = Vec::new();
        for number in 0..256 {
            let (sender, receiver) = oneshot::channel();
            in_flight.push(receiver);
            if number == 20 {
                senders.push(sender);
            } else {
                sender.send(number).expect("received");
            }
        }
        // A run has 16: those behind 20 in the second one wait.
        let expected: Vec<u32> = (0..20).chain(32..256).collect();
        assert_eq!(completed(&mut in_flight), expected);
        assert!(completed(&mut in_flight).is_empty());
        senders.pop().expect("one").send(20).expect("received");
        assert_eq!(completed(&mut in_flight), (20..32).collect::<Vec<_>>());
    }
}
