use core::num::NonZeroUsize;
use core::task::{Context, Poll};

use distributedlog::merge::{Deduplicator, Delivery};
use distributedlog::wire::record_set::SetIdentity;

use crate::event::ReadEvent;
use crate::run::RecordRun;

/// Maximum number of sets delivered from buffers before the streams that wait for their source are
/// polled again: a stream with full buffers does not starve the others.
pub(super) const MAX_BURST: u32 = 32;

/// Maximum number of duplicates dropped in one poll, so that other tasks of the runtime can run.
const MAX_DROPS_PER_POLL: u32 = 1024;

/// Counters of a merged reader since it was created. All count records, except
/// `writers_forgotten`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeCounters {
    /// Records that were delivered.
    pub delivered: u64,
    /// Records that were not delivered because a duplicate was.
    pub duplicates_dropped: u64,
    /// Records that were delivered although the window of their writer no longer covers them, or
    /// their writer was forgotten and they are not newer than what was delivered of it: duplicates
    /// may be among them, and no other record of a set with an identity is one. Also counted in
    /// `delivered`.
    pub beyond_window: u64,
    /// Writers whose windows were dropped to make room for other writers. Once 65,536 of them have
    /// not come again, and after reading resumed at a saved position, it is not known which ones
    /// they were: all records of writers that come then count as beyond the window.
    pub writers_forgotten: u64,
}

impl MergeCounters {
    /// Counts records about which this was decided. Returns true if they are to be delivered.
    const fn count(&mut self, delivery: Delivery, records: u64) -> bool {
        match delivery {
            Delivery::First => self.delivered += records,
            Delivery::Unknown => {
                self.delivered += records;
                self.beyond_window += records;
            }
            Delivery::Duplicate => {
                self.duplicates_dropped += records;
                return false;
            }
        }
        true
    }
}

/// One stream of a merged reader.
pub(crate) trait MergeInput {
    /// Error of a read.
    type Error;

    /// Returns the next event that was already read.
    fn buffered(&mut self) -> Option<ReadEvent>;

    /// Returns the next records that were already read, if they can be delivered as one run of at
    /// most `most`. Otherwise [`buffered`](Self::buffered) has what comes next.
    fn buffered_run(&mut self, most: NonZeroUsize) -> Option<RecordRun>;

    /// Returns what was already read: a run of at most `most` records, if there is such a run, or
    /// the next event. With `None` records come one by one.
    fn take(&mut self, most: Option<NonZeroUsize>) -> Option<Taken> {
        let run = most.and_then(|most| self.buffered_run(most));
        run.map(Taken::Run)
            .or_else(|| self.buffered().map(Taken::Event))
    }

    /// Returns what [`take`](Self::take) does once it is read, or the error of the read. Always
    /// pending after the input has ended.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        most: Option<NonZeroUsize>,
    ) -> Poll<Result<Taken, Self::Error>>;

    /// Returns true if no further event will come.
    fn is_ended(&self) -> bool;
}

/// What was taken of an input.
#[derive(Debug)]
pub(crate) enum Taken {
    Event(ReadEvent),
    Run(RecordRun),
}

/// Index of an input, and what was taken of it, or its error.
type NextOf<I> = (usize, Result<Taken, <I as MergeInput>::Error>);

/// The turns of several streams, and the memory of the sets that were delivered.
///
/// Invariant: a record is dropped only if it was delivered.
pub(crate) struct Merger<I> {
    pub(crate) inputs: Vec<I>,
    /// Index of the input that is polled first.
    turn: usize,
    /// True between two records of one set of that input: a set is delivered without others
    /// between its records.
    within_set: bool,
    /// Number of sets since the streams that wait for their source were polled.
    burst: u32,
    /// `None`: duplicates are delivered too.
    deduplicator: Option<Deduplicator>,
    counters: MergeCounters,
}

impl<I: MergeInput> Merger<I> {
    pub(crate) fn new(inputs: Vec<I>, deduplicator: Option<Deduplicator>) -> Self {
        Self {
            inputs,
            turn: 0,
            within_set: false,
            burst: 0,
            deduplicator,
            counters: MergeCounters::default(),
        }
    }

    pub(crate) const fn deduplicator(&self) -> Option<&Deduplicator> {
        self.deduplicator.as_ref()
    }

    pub(crate) fn counters(&self) -> MergeCounters {
        MergeCounters {
            writers_forgotten: self.deduplicator().map_or(0, Deduplicator::forgotten),
            ..self.counters
        }
    }

    /// Returns the index of an input and what comes of it that is no duplicate, or its error: a run
    /// of at most `most` records if there is one, or the next event; always that with `None`.
    /// Returns `None` once all inputs have ended.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        most: Option<NonZeroUsize>,
    ) -> Poll<Option<NextOf<I>>> {
        for _ in 0..MAX_DROPS_PER_POLL {
            let Some((index, mut result)) = self.take_next(context, most) else {
                return if self.inputs.iter().all(MergeInput::is_ended) {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                };
            };
            let is_new = match &mut result {
                Ok(Taken::Event(event)) => self.accept(event),
                Ok(Taken::Run(run)) => self.accept_run(run),
                Err(_) => true,
            };
            if is_new {
                return Poll::Ready(Some((index, result)));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what comes next, and returns the index of its input. A set is delivered without others
    /// between its records unless its input must wait within it, and inputs take turns. Inputs that
    /// wait for their source are polled when no input has anything buffered, and after every
    /// [`MAX_BURST`] sets.
    fn take_next(
        &mut self,
        context: &mut Context<'_>,
        most: Option<NonZeroUsize>,
    ) -> Option<NextOf<I>> {
        let (first, count) = (self.turn, self.inputs.len());
        // The rest of a set may not have arrived over its connection yet: then others go on.
        if self.within_set
            && let Poll::Ready(result) = self.inputs[first].poll(context, most)
        {
            return Some(self.advance_turn(first, result));
        }
        let order = (first..count).chain(0..first);
        if self.burst < MAX_BURST {
            for index in order.clone() {
                if let Some(taken) = self.inputs[index].take(most) {
                    self.burst += 1;
                    return Some(self.advance_turn(index, Ok(taken)));
                }
            }
        }
        self.burst = 0;
        for index in order {
            if let Poll::Ready(result) = self.inputs[index].poll(context, most) {
                return Some(self.advance_turn(index, result));
            }
        }
        None
    }

    /// Decides which input is polled first next time. Returns its arguments.
    fn advance_turn(&mut self, index: usize, result: Result<Taken, I::Error>) -> NextOf<I> {
        self.within_set = match &result {
            Ok(Taken::Event(ReadEvent::Record(record))) => record.set_slot + 1 < record.set_slots,
            Ok(Taken::Event(ReadEvent::Malformed(_)) | Taken::Run(_)) | Err(_) => false,
        };
        self.turn = if self.within_set {
            index
        } else {
            (index + 1) % self.inputs.len()
        };
        (index, result)
    }

    /// Returns true if the event is to be delivered. Counts it, and marks its record as delivered.
    fn accept(&mut self, event: &ReadEvent) -> bool {
        let ReadEvent::Record(record) = event else {
            return true;
        };
        let delivery = match (record.set, &mut self.deduplicator) {
            (Some(set), Some(seen)) => seen.check(set, record.set_slot, record.set_slots),
            (None, _) | (_, None) => Delivery::First,
        };
        self.counters.count(delivery, 1)
    }

    /// Returns true if records of the run are to be delivered, and leaves out the others. Counts
    /// them, and marks them as delivered.
    fn accept_run(&mut self, run: &mut RecordRun) -> bool {
        let records = u64::from(run.slots());
        let (Some(set), Some(seen)) = (run.set, &mut self.deduplicator) else {
            return self.counters.count(Delivery::First, records);
        };
        let (_, missing) = seen.saved();
        if missing.iter().any(|part| part.set == set) {
            return self.accept_rest(run, set);
        }
        // No part of it was delivered, or all of it: what is decided about one record of such a set
        // holds for all of them.
        let delivery = seen.check(set, 0, 1);
        self.counters.count(delivery, records)
    }

    /// Does the same with a set of which a part was delivered from another stream.
    fn accept_rest(&mut self, run: &mut RecordRun, set: SetIdentity) -> bool {
        let (slots, counters) = (run.slots(), &mut self.counters);
        let mut delivered = Vec::new();
        if let Some(seen) = &mut self.deduplicator {
            let is_known = |slot: &u32| !counters.count(seen.check(set, *slot, slots), 1);
            delivered.extend((0..slots).filter(is_known));
        }
        run.leave_out(delivered);
        !run.is_empty()
    }
}
