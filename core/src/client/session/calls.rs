use super::{Call, Lost};
use crate::client::RequestId;
use crate::wire::mux::Tag;
use crate::{Instant, WriteState};

const NONE: u32 = u32::MAX;
/// First tag of a request. Tag 0 is for messages that have no reply, tag 1 for pings and the
/// session's start.
const FIRST_TAG: u32 = 2;

/// Table of the calls in flight on a connection: slot `i` has tag `i + 2`.
#[derive(Debug)]
pub(super) struct Calls<const N: usize> {
    slots: [Slot; N],
    /// Free slots among those that were used before, the one freed last in front.
    free: u32,
    /// Number of slots that were ever used; those above are free and in no list.
    touched: u32,
    len: usize,
    /// Discarded calls for which the peer was not sent a `Tdiscarded` yet, first and last, in
    /// order.
    pending_discards: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    request: RequestId,
    generation: u32,
    state: CallState,
    /// Next free slot, or next discarded call that the peer was not notified of.
    next: u32,
    /// Offset of the request's frame in the outgoing byte stream.
    start: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    Free,
    Awaited,
    /// The caller discarded the call at this time; its tag stays taken until the peer has replied.
    Discarded(Instant),
}

/// A call that the peer is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FinishedCall {
    pub(super) request: RequestId,
    pub(super) discarded: bool,
}

impl<const N: usize> Calls<N> {
    const TAGS_SUFFICE: () = assert!(
        N >= 1 && N as u64 + FIRST_TAG as u64 <= Tag::MAX.get() as u64 + 1,
        "REQUESTS is 1 to 8,388,606"
    );

    pub(super) const fn new() -> Self {
        const { Self::TAGS_SUFFICE };
        let free = Slot {
            request: RequestId::new(0, 0),
            generation: 0,
            state: CallState::Free,
            next: NONE,
            start: 0,
        };
        Self {
            slots: [free; N],
            free: NONE,
            touched: 0,
            len: 0,
            pending_discards: (NONE, NONE),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The slot and tag that [`start`](Self::start) would take; [`None`] when all are taken.
    pub(super) const fn next(&self) -> Option<(u32, Tag)> {
        let index = if self.free != NONE {
            self.free
        } else {
            self.touched
        };
        if index as usize >= N {
            None
        } else {
            Some((index, Self::tag(index)))
        }
    }

    /// Registers a request in slot `index`, which is the slot that [`next`](Self::next) returned.
    pub(super) fn start(&mut self, index: u32, request: RequestId, start: u64) -> Call {
        if index == self.free {
            self.free = self.slots[index as usize].next;
        } else {
            self.touched += 1;
        }
        self.len += 1;
        let slot = &mut self.slots[index as usize];
        (slot.request, slot.state, slot.start, slot.next) =
            (request, CallState::Awaited, start, NONE);
        Call {
            index,
            generation: slot.generation,
        }
    }

    /// Marks the call as discarded. Returns `false` if it was not in flight or was discarded
    /// before.
    pub(super) fn discard(&mut self, now: Instant, call: Call) -> bool {
        let Some(slot) = self.slots.get_mut(call.index as usize) else {
            return false;
        };
        if slot.generation != call.generation || slot.state != CallState::Awaited {
            return false;
        }
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::TagReusedAtOnce) {
            self.release(call.index);
            return true;
        }
        (slot.state, slot.next) = (CallState::Discarded(now), NONE);
        match self.pending_discards.1 {
            NONE => self.pending_discards.0 = call.index,
            last => self.slots[last as usize].next = call.index,
        }
        self.pending_discards.1 = call.index;
        true
    }

    /// Returns the tag of the next discarded call that the peer was not notified of.
    pub(super) const fn next_discard(&self) -> Option<Tag> {
        if self.pending_discards.0 == NONE {
            None
        } else {
            Some(Self::tag(self.pending_discards.0))
        }
    }

    /// Removes the call that [`next_discard`](Self::next_discard) returns from the list: its
    /// `Tdiscarded` was written.
    pub(super) fn discard_sent(&mut self) {
        self.pending_discards.0 = self.slots[self.pending_discards.0 as usize].next;
        if self.pending_discards.0 == NONE {
            self.pending_discards.1 = NONE;
        }
    }

    /// The peer is done with the call under this tag; [`None`] when there is no such call.
    pub(super) fn end(&mut self, tag: Tag) -> Option<FinishedCall> {
        let index = tag.get().checked_sub(FIRST_TAG)?;
        let slot = *self.slots.get(index as usize)?;
        let discarded = match slot.state {
            CallState::Free => return None,
            CallState::Awaited => false,
            CallState::Discarded(_) => true,
        };
        if discarded {
            self.remove_pending_discard(index);
        }
        self.release(index);
        Some(FinishedCall {
            request: slot.request,
            discarded,
        })
    }

    /// The call of a protocol that has only one at a time.
    pub(super) fn end_only(&mut self) -> Option<FinishedCall> {
        self.end(Self::tag(0))
    }

    /// Returns the time at which the call was discarded, for protocols with one call at a time.
    pub(super) const fn only_discarded_at(&self) -> Option<Instant> {
        match self.slots[0].state {
            CallState::Discarded(at) => Some(at),
            CallState::Free | CallState::Awaited => None,
        }
    }

    /// The next awaited call at or after slot `cursor`, which moves on, when the connection has
    /// finished with `transmitted` bytes sent.
    pub(super) fn next_lost(&mut self, cursor: &mut u32, transmitted: u64) -> Option<Lost> {
        while *cursor < self.touched {
            let index = *cursor;
            *cursor += 1;
            let slot = self.slots[index as usize];
            if slot.state == CallState::Awaited {
                self.release(index);
                let known = if slot.start >= transmitted {
                    WriteState::NotWritten
                } else {
                    WriteState::Unknown
                };
                return Some(Lost {
                    request: slot.request,
                    known,
                });
            }
        }
        None
    }

    fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.state = CallState::Free;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next = self.free;
        self.free = index;
        self.len -= 1;
    }

    /// Removes a slot from the discards that the peer was not notified of. The walk is short:
    /// discards leave with the next bytes written, so the list seldom has more than a few entries.
    fn remove_pending_discard(&mut self, index: u32) {
        let mut previous = NONE;
        let mut at = self.pending_discards.0;
        while at != NONE && at != index {
            (previous, at) = (at, self.slots[at as usize].next);
        }
        if at == NONE {
            return;
        }
        let next = self.slots[index as usize].next;
        match previous {
            NONE => self.pending_discards.0 = next,
            previous => self.slots[previous as usize].next = next,
        }
        if self.pending_discards.1 == index {
            self.pending_discards.1 = previous;
        }
    }

    const fn tag(index: u32) -> Tag {
        Tag::new(index + FIRST_TAG).expect("TAGS_SUFFICE bounds N")
    }
}
