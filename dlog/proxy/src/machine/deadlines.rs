use std::collections::BTreeMap;

use distributedlog::Instant;

use super::stream::Waiting;
use super::{Machine, NotStarted};
use distributedlog_store::StreamName;

/// When what waits must have started, the earliest first.
///
/// Only what has to wait is in here: a request for a stream that is owned and not stalled starts at
/// once. The invariant: each entry is work that waits in its stream, so there are no more than
/// there are unanswered requests.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeMap<(Instant, u64), StreamName>);

impl Deadlines {
    /// Notes work that waits, if it has a deadline.
    pub(super) fn add(&mut self, name: &StreamName, work: &Waiting) {
        if let Some(deadline) = work.deadline {
            self.0.insert((deadline, work.serial), name.clone());
        }
    }

    /// Forgets work that does not wait any more.
    pub(super) fn remove(&mut self, work: &Waiting) {
        if let Some(deadline) = work.deadline {
            self.0.remove(&(deadline, work.serial));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.0.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes out what has passed.
    fn pop_passed(&mut self, now: Instant) -> Option<(u64, StreamName)> {
        self.first().filter(|deadline| *deadline < now)?;
        self.0.pop_first().map(|((_, serial), name)| (serial, name))
    }
}

impl<O: Clone> Machine<O> {
    /// The earliest deadline of what waits. Once it has passed,
    /// [`handle_deadlines`](Self::handle_deadlines) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Answers what still waits after its deadline: its stream is stalled, or the store has not
    /// said yet whose it is.
    pub(crate) fn handle_deadlines(&mut self, now: Instant) {
        while let Some((serial, name)) = self.deadlines.pop_passed(now) {
            let stream = self
                .streams
                .get_mut(&name)
                .expect("a stream is kept while something waits for it");
            let at = stream
                .waiting
                .partition_point(|(_, work)| work.serial < serial);
            let (to, work) = stream
                .waiting
                .remove(at)
                .expect("what has a deadline in the table waits");
            debug_assert!(
                work.serial == serial && work.part == 0,
                "{work:?} is not what the table meant"
            );
            self.abandon(&name, to, &work, NotStarted::DeadlinePassed);
            self.advance(now, &name);
        }
    }
}
