use super::operation::{Operation, Resend, RetryPolicy, Target};
use super::sets::HostSet;
use super::{HostId, RequestId, Success};
use crate::tables::{Links, Memory, Queue, Row, Rows, Slab, TimerSlot, Timers, linked};
use crate::{Failure, Instant};

/// Stage of a request between `submit` and `Complete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nowhere: the slot is free.
    Free,
    /// In no queue, while it is being decided about.
    Between,
    /// Ready to be sent to its host; in the ready list.
    Sending,
    /// Waits for its host's connection, or for a free slot on it; in the host's waiting list.
    Waiting,
    /// Was sent; in the host's list of requests in flight.
    InFlight,
    /// Waits for its timer, then goes to this host, or to the one that the ring selects.
    Backoff(Option<HostId>),
    /// Waits until some host can be tried; in the list of what is parked.
    Parked,
    /// Has ended; in the list of what is ready.
    Ended,
}

/// One request's slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) generation: u32,
    /// Its place in a queue: a request is in at most one.
    links: Links,
    pub(crate) stage: Stage,
    pub(crate) operation: Operation,
    pub(crate) target: Target,
    pub(crate) retry_policy: RetryPolicy,
    pub(crate) resend: Resend,
    pub(crate) checksum: Option<u32>,
    /// Time at which it fails at the latest; [`Instant::MAX`] for never.
    pub(crate) deadline: Instant,
    /// The host that it is at, or was at last.
    pub(crate) host: Option<HostId>,
    /// Epoch of the host's connection that it was sent on.
    pub(crate) epoch: u32,
    /// Hosts that it was sent to: a redirect to one of them waits first, and `triedHosts` lists
    /// them.
    pub(crate) sent_to: HostSet,
    /// Hosts that replied or failed in this round: the ring skips them.
    pub(crate) tried: HostSet,
    pub(crate) tries: u16,
    pub(crate) rounds: u16,
    /// `true` if an attempt may have been carried out. Once set, every failure says so.
    pub(crate) maybe_written: bool,
    /// Failure of the last attempt that a proxy answered; of the last attempt if none was.
    pub(crate) last_failure: Option<Failure>,
    /// `true` if its host must get a discard after the request has ended.
    pub(crate) discard: bool,
    /// Result; `None` if the caller cancelled it.
    pub(crate) result: Option<Result<Success, Failure>>,
}

impl Row for Request {
    const EMPTY: Self = Self {
        generation: 0,
        links: Links::NONE,
        stage: Stage::Free,
        operation: Operation::Write,
        target: Target::Host(HostId::new(0, 0)),
        retry_policy: RetryPolicy::OneRound,
        resend: Resend::WhenNotWritten,
        checksum: None,
        deadline: Instant::MAX,
        host: None,
        epoch: 0,
        sent_to: HostSet::NONE,
        tried: HostSet::NONE,
        tries: 0,
        rounds: 0,
        maybe_written: false,
        last_failure: None,
        discard: false,
        result: None,
    };
}

linked! { Request: links as 0; }

impl Request {
    /// Keeps a failure, unless an earlier one says more: a proxy's answer says more than that no
    /// proxy could be reached afterwards.
    pub(crate) fn note_failure(&mut self, failure: Failure) {
        let is_answer = |failure: Failure| failure.cause.is_answer();
        if is_answer(failure) || !self.last_failure.is_some_and(is_answer) {
            self.last_failure = Some(failure);
        }
    }
}

/// The table of requests: slots with generations, and at most one timer for each.
#[derive(Debug)]
pub(crate) struct Requests<const N: usize, M: Memory> {
    slots: M::Table<Request, N>,
    slab: Slab,
    timer_slots: M::Table<TimerSlot, N>,
    timers: Timers,
}

impl<const N: usize, M: Memory> Requests<N, M> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Rows::NEW,
            slab: Slab::EMPTY,
            timer_slots: Rows::NEW,
            timers: Timers::NONE,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Takes a free slot: a request in no queue, about which nothing is known yet.
    pub(crate) fn take(&mut self) -> Option<usize> {
        if !self.slab.make_room(&mut self.slots) {
            return None;
        }
        let index = self.slab.take(self.slots.as_ref());
        if self.timer_slots.as_ref().len() <= index {
            // It grows as the slots do.
            self.timer_slots.grow();
        }
        let slot = &mut self.slots.as_mut()[index];
        *slot = Request {
            generation: slot.generation,
            stage: Stage::Between,
            ..Request::EMPTY
        };
        Some(index)
    }

    /// Gives a slot back. It is in no queue.
    pub(crate) fn give_back(&mut self, index: usize) {
        let slot = &mut self[index];
        slot.stage = Stage::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.slab.give_back(self.slots.as_mut(), index);
    }

    pub(crate) fn id(&self, index: usize) -> RequestId {
        RequestId::new(index as u32, self[index].generation)
    }

    /// Returns the slot of a request that has not completed.
    pub(crate) fn find(&self, request: RequestId) -> Option<usize> {
        let index = request.index();
        let slot = self.slots.as_ref().get(index)?;
        (slot.generation == request.generation() && slot.stage != Stage::Free).then_some(index)
    }

    pub(crate) fn used_mut(&mut self) -> impl Iterator<Item = &mut Request> {
        self.slots.as_mut()[..self.slab.touched()]
            .iter_mut()
            .filter(|slot| slot.stage != Stage::Free)
    }

    /// The slots that may be in use, in no order that means anything.
    pub(crate) const fn touched(&self) -> usize {
        self.slab.touched()
    }

    /// Returns the earliest timer, and whose it is.
    pub(crate) fn first_timer(&self) -> Option<(Instant, usize)> {
        self.timers.first(self.timer_slots.as_ref())
    }

    /// Sets the request's timer, instead of its previous time. [`Instant::MAX`] is never.
    pub(crate) fn set_timer(&mut self, index: usize, at: Instant) {
        self.timers.set(self.timer_slots.as_mut(), index, at);
    }

    pub(crate) fn clear_timer(&mut self, index: usize) {
        self.timers.clear(self.timer_slots.as_mut(), index);
    }

    pub(crate) fn push_back(&mut self, queue: &mut Queue, index: usize) {
        queue.push_back(self.slots.as_mut(), index);
    }

    pub(crate) fn pop_front(&mut self, queue: &mut Queue) -> Option<usize> {
        queue.pop_front(self.slots.as_mut())
    }

    /// Takes a request out of the queue that it is in.
    pub(crate) fn remove(&mut self, queue: &mut Queue, index: usize) {
        queue.remove(self.slots.as_mut(), index);
    }
}

impl<const N: usize, M: Memory> core::ops::Index<usize> for Requests<N, M> {
    type Output = Request;

    fn index(&self, index: usize) -> &Request {
        &self.slots.as_ref()[index]
    }
}

impl<const N: usize, M: Memory> core::ops::IndexMut<usize> for Requests<N, M> {
    fn index_mut(&mut self, index: usize) -> &mut Request {
        &mut self.slots.as_mut()[index]
    }
}
