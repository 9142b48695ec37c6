use super::{Call, Lost};
use crate::client::RequestId;
use crate::tables::{Links, Memory, Queue, Row, Rows, Slab, linked};
use crate::wire::mux::Tag;
use crate::{Instant, WriteState};

/// First tag of a request. Tag 0 is for messages that have no reply, tag 1 for pings and the
/// session's start.
const FIRST_TAG: u32 = 2;

/// Table of the calls in flight on a connection: slot `i` has tag `i + 2`.
#[derive(Debug)]
pub(super) struct Calls<const N: usize, M: Memory> {
    slots: M::Table<Slot, N>,
    slab: Slab,
    /// Discarded calls for which the peer was not sent a `Tdiscarded` yet, in order.
    pending_discards: Queue,
}

/// One call's slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    request: RequestId,
    generation: u32,
    /// Its place among the discards that the peer was not notified of.
    links: Links,
    state: CallState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    Free,
    /// The request's frame begins at this offset in the outgoing byte stream.
    Awaited(u64),
    /// The caller discarded the call; its tag stays taken until the peer has replied.
    Discarded {
        at: Instant,
        /// `true` once the peer was notified.
        sent: bool,
    },
}

impl Row for Slot {
    const EMPTY: Self = Self {
        request: RequestId::new(0, 0),
        generation: 0,
        links: Links::NONE,
        state: CallState::Free,
    };
}

linked! { Slot: links as 0; }

/// A call that the peer is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FinishedCall {
    pub(super) request: RequestId,
    pub(super) discarded: bool,
}

impl<const N: usize, M: Memory> Calls<N, M> {
    const TAGS_SUFFICE: () = assert!(
        N >= 1 && N as u64 + FIRST_TAG as u64 <= Tag::MAX.get() as u64 + 1,
        "REQUESTS is 1 to 8,388,606"
    );

    pub(super) const fn new() -> Self {
        const { Self::TAGS_SUFFICE };
        Self {
            slots: Rows::NEW,
            slab: Slab::EMPTY,
            pending_discards: Queue::EMPTY,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slab.len()
    }

    /// The tag of the call that [`start`](Self::start) would begin; [`None`] when all are taken.
    pub(super) fn next(&self) -> Option<Tag> {
        self.slab.next(N).map(Self::tag)
    }

    /// Registers a request, whose frame has the tag that [`next`](Self::next) returned.
    pub(super) fn start(&mut self, request: RequestId, start: u64) -> Call {
        self.slab.make_room(&mut self.slots);
        let index = self.slab.take(self.slots.as_ref());
        let slot = &mut self.slots.as_mut()[index];
        (slot.request, slot.state) = (request, CallState::Awaited(start));
        Call {
            index: index as u32,
            generation: slot.generation,
        }
    }

    /// Marks the call as discarded. Returns `false` if it was not in flight or was discarded
    /// before.
    pub(super) fn discard(&mut self, now: Instant, call: Call) -> bool {
        let index = call.index as usize;
        let Some(slot) = self.slots.as_mut().get_mut(index) else {
            return false;
        };
        if slot.generation != call.generation || !matches!(slot.state, CallState::Awaited(_)) {
            return false;
        }
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::TagReusedAtOnce) {
            self.release(index);
            return true;
        }
        slot.state = CallState::Discarded {
            at: now,
            sent: false,
        };
        self.pending_discards.push_back(self.slots.as_mut(), index);
        true
    }

    /// Returns the tag of the next discarded call that the peer was not notified of.
    pub(super) fn next_discard(&self) -> Option<Tag> {
        self.pending_discards.first().map(Self::tag)
    }

    /// Removes the call that [`next_discard`](Self::next_discard) returns from the list: its
    /// `Tdiscarded` was written.
    pub(super) fn discard_sent(&mut self) {
        let slots = self.slots.as_mut();
        if let Some(index) = self.pending_discards.pop_front(slots)
            && let CallState::Discarded { sent, .. } = &mut slots[index].state
        {
            *sent = true;
        }
    }

    /// The peer is done with the call under this tag; [`None`] when there is no such call.
    pub(super) fn end(&mut self, tag: Tag) -> Option<FinishedCall> {
        let index = tag.get().checked_sub(FIRST_TAG)? as usize;
        let slots = self.slots.as_mut();
        let Slot { request, state, .. } = *slots.get(index)?;
        let discarded = match state {
            CallState::Free => return None,
            CallState::Awaited(_) => false,
            CallState::Discarded { sent, .. } => {
                if !sent {
                    self.pending_discards.remove(slots, index);
                }
                true
            }
        };
        self.release(index);
        Some(FinishedCall { request, discarded })
    }

    /// The call of a protocol that has only one at a time.
    pub(super) fn end_only(&mut self) -> Option<FinishedCall> {
        self.end(Self::tag(0))
    }

    /// Returns the time at which the call was discarded, for protocols with one call at a time.
    pub(super) fn only_discarded_at(&self) -> Option<Instant> {
        match self.slots.as_ref().first()?.state {
            CallState::Discarded { at, .. } => Some(at),
            CallState::Free | CallState::Awaited(_) => None,
        }
    }

    /// The next awaited call at or after slot `cursor`, which moves on, when the connection has
    /// finished with `transmitted` bytes sent.
    pub(super) fn next_lost(&mut self, cursor: &mut u32, transmitted: u64) -> Option<Lost> {
        while (*cursor as usize) < self.slab.touched() {
            let index = *cursor as usize;
            *cursor += 1;
            let Slot { request, state, .. } = self.slots.as_ref()[index];
            if let CallState::Awaited(start) = state {
                self.release(index);
                let known = if start >= transmitted {
                    WriteState::NotWritten
                } else {
                    WriteState::Unknown
                };
                return Some(Lost { request, known });
            }
        }
        None
    }

    fn release(&mut self, index: usize) {
        let slots = self.slots.as_mut();
        let slot = &mut slots[index];
        slot.state = CallState::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.slab.give_back(slots, index);
    }

    const fn tag(index: usize) -> Tag {
        Tag::new(index as u32 + FIRST_TAG).expect("TAGS_SUFFICE bounds N")
    }
}
