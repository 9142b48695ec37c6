use std::collections::BTreeMap;

use distributedlog::Instant;

use super::stream::QueuedWork;
use super::{Machine, NotStarted};
use distributedlog_store::StreamName;

/// Deadlines of queued work, the earliest first.
///
/// Only work that has to wait is in here: a request for a stream that is owned and not stalled
/// starts at once. The invariant: each entry is work in its stream's queue, so there are at most as
/// many as unanswered requests.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeMap<(Instant, u64), StreamName>);

impl Deadlines {
    /// Adds queued work, if it has a deadline.
    pub(super) fn add(&mut self, name: &StreamName, work: &QueuedWork) {
        if let Some(deadline) = work.deadline {
            self.0.insert((deadline, work.serial), name.clone());
        }
    }

    /// Removes work that is no longer queued.
    pub(super) fn remove(&mut self, work: &QueuedWork) {
        if let Some(deadline) = work.deadline {
            self.0.remove(&(deadline, work.serial));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.0.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Removes the earliest deadline that has passed.
    fn pop_passed(&mut self, now: Instant) -> Option<(u64, StreamName)> {
        self.first().filter(|deadline| *deadline < now)?;
        self.0.pop_first().map(|((_, serial), name)| (serial, name))
    }
}

impl<O: Clone> Machine<O> {
    /// Returns the earliest deadline of queued work. Once it has passed,
    /// [`handle_deadlines`](Self::handle_deadlines) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Replies to work that is still queued after its deadline: its stream is stalled, or the store
    /// has not yet replied who owns it.
    pub(crate) fn handle_deadlines(&mut self, now: Instant) {
        while let Some((serial, name)) = self.deadlines.pop_passed(now) {
            let stream = self
                .streams
                .get_mut(&name)
                .expect("a stream is kept while something waits for it");
            let at = stream
                .queue
                .partition_point(|(_, work)| work.serial < serial);
            let (to, work) = stream
                .queue
                .remove(at)
                .expect("what has a deadline in the table waits");
            debug_assert!(
                work.serial == serial && work.part == 0,
                "{work:?} is not the work with this deadline"
            );
            self.abandon(&name, to, &work, NotStarted::DeadlinePassed);
            self.advance(now, &name);
        }
    }
}
