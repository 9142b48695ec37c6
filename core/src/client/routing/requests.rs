use super::operation::{Operation, Resend, RetryPolicy, Target};
use super::sets::HostSet;
use super::{HostId, RequestId, Success};
use crate::{Failure, Instant};

/// No request: the end of a list.
const NONE: u32 = u32::MAX;

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
    previous: u32,
    next: u32,
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

impl Request {
    const FREE: Self = Self {
        generation: 0,
        previous: NONE,
        next: NONE,
        stage: Stage::Free,
        operation: Operation::Write,
        target: Target::Host(HostId::new(0, 0)),
        retry_policy: RetryPolicy::OneRound,
        resend: Resend::WhenNotWritten,
        checksum: None,
        deadline: Instant::MAX,
        host: None,
        epoch: 0,
        sent_to: HostSet::EMPTY,
        tried: HostSet::EMPTY,
        tries: 0,
        rounds: 0,
        maybe_written: false,
        last_failure: None,
        discard: false,
        result: None,
    };

    /// Keeps a failure, unless an earlier one says more: a proxy's answer says more than that no
    /// proxy could be reached afterwards.
    pub(crate) fn note_failure(&mut self, failure: Failure) {
        let is_answer = |failure: Failure| failure.cause.is_answer();
        if is_answer(failure) || !self.last_failure.is_some_and(is_answer) {
            self.last_failure = Some(failure);
        }
    }
}

/// A queue of requests, linked through their slots. A request is in at most one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    head: u32,
    tail: u32,
}

impl Queue {
    pub(crate) const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
    };

    pub(crate) const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    pub(crate) const fn front(&self) -> Option<usize> {
        if self.head == NONE {
            None
        } else {
            Some(self.head as usize)
        }
    }
}

/// The table of requests: slots with generations, free ones in a stack.
#[derive(Debug)]
pub(crate) struct Requests<const N: usize> {
    slots: [Request; N],
    free: Queue,
    /// Number of slots that were ever used: those above are not in `free` yet.
    touched: usize,
    len: usize,
}

impl<const N: usize> Requests<N> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [Request::FREE; N],
            free: Queue::EMPTY,
            touched: 0,
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Takes a free slot: a request in no queue, about which nothing is known yet.
    pub(crate) fn take(&mut self) -> Option<usize> {
        let mut free = self.free;
        let index = match self.pop_front(&mut free) {
            Some(index) => index,
            None if self.touched < N => {
                self.touched += 1;
                self.touched - 1
            }
            None => return None,
        };
        self.free = free;
        self.len += 1;
        let generation = self.slots[index].generation;
        self.slots[index] = Request {
            generation,
            stage: Stage::Between,
            ..Request::FREE
        };
        Some(index)
    }

    /// Gives a slot back. It is in no queue.
    pub(crate) fn give_back(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.stage = Stage::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.len -= 1;
        let mut free = self.free;
        self.push_front(&mut free, index);
        self.free = free;
    }

    pub(crate) const fn id(&self, index: usize) -> RequestId {
        RequestId::new(index as u32, self.slots[index].generation)
    }

    /// Returns the slot of a request that has not completed.
    pub(crate) fn find(&self, request: RequestId) -> Option<usize> {
        let index = request.index();
        let slot = self.slots.get(index)?;
        (slot.generation == request.generation() && slot.stage != Stage::Free).then_some(index)
    }

    pub(crate) fn used_mut(&mut self) -> impl Iterator<Item = &mut Request> {
        self.slots[..self.touched]
            .iter_mut()
            .filter(|slot| slot.stage != Stage::Free)
    }

    /// The slots that may be in use, in no order that means anything.
    pub(crate) const fn touched(&self) -> usize {
        self.touched
    }

    pub(crate) fn push_back(&mut self, queue: &mut Queue, index: usize) {
        let slot = &mut self.slots[index];
        (slot.previous, slot.next) = (queue.tail, NONE);
        match queue.tail {
            NONE => queue.head = index as u32,
            tail => self.slots[tail as usize].next = index as u32,
        }
        queue.tail = index as u32;
    }

    pub(crate) fn push_front(&mut self, queue: &mut Queue, index: usize) {
        let slot = &mut self.slots[index];
        (slot.previous, slot.next) = (NONE, queue.head);
        match queue.head {
            NONE => queue.tail = index as u32,
            head => self.slots[head as usize].previous = index as u32,
        }
        queue.head = index as u32;
    }

    pub(crate) fn pop_front(&mut self, queue: &mut Queue) -> Option<usize> {
        let index = queue.front()?;
        self.remove(queue, index);
        Some(index)
    }

    /// Takes a request out of the queue that it is in.
    pub(crate) fn remove(&mut self, queue: &mut Queue, index: usize) {
        let Request { previous, next, .. } = self.slots[index];
        match previous {
            NONE => queue.head = next,
            previous => self.slots[previous as usize].next = next,
        }
        match next {
            NONE => queue.tail = previous,
            next => self.slots[next as usize].previous = previous,
        }
    }
}

impl<const N: usize> core::ops::Index<usize> for Requests<N> {
    type Output = Request;

    fn index(&self, index: usize) -> &Request {
        &self.slots[index]
    }
}

impl<const N: usize> core::ops::IndexMut<usize> for Requests<N> {
    fn index_mut(&mut self, index: usize) -> &mut Request {
        &mut self.slots[index]
    }
}
