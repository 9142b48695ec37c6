use core::fmt::Debug;

use super::Tag;
use crate::tables::{Linked, Links, Memory, Queue, Row, Rows, Slab};

/// First tag of a request. Tag 0 is for messages that have no reply, tag 1 for pings and the
/// session's start.
const FIRST_TAG: u32 = 2;

/// Table of the calls in flight on a connection: slot `i` has tag `i + 2`.
#[derive(Debug)]
pub(super) struct Calls<T: Debug, const N: usize, M: Memory> {
    slots: M::Table<Slot<T>, N>,
    slab: Slab,
    /// Discarded calls for which the peer was not sent a `Tdiscarded` yet, in order.
    pending_discards: Queue,
}

/// One call's slot.
#[derive(Debug)]
pub(super) struct Slot<T> {
    state: CallState<T>,
    generation: u32,
    /// Its place among the discards that the peer was not notified of.
    links: Links,
}

#[derive(Debug)]
enum CallState<T> {
    Free,
    InFlight { value: T, stage: Stage },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Awaited,
    /// The caller discarded the call; its tag stays taken until the peer has replied.
    Discarded,
    /// The same, and the peer was notified.
    Notified,
}

impl<T: Debug> Row for Slot<T> {
    const EMPTY: Self = Self {
        state: CallState::Free,
        generation: 0,
        links: Links::NONE,
    };
}

impl<T> Linked for Slot<T> {
    fn in_list(&self) -> &Links {
        &self.links
    }

    fn in_list_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// A request on a connection, for discarding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    index: u32,
    generation: u32,
}

/// A call that the peer is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedCall<T> {
    /// What the client's user kept of it.
    pub value: T,
    /// True if the caller discarded it.
    pub discarded: bool,
}

impl<T: Debug, const N: usize, M: Memory> Calls<T, N, M> {
    const TAGS_SUFFICE: () = assert!(
        N >= 1 && N as u64 + FIRST_TAG as u64 <= Tag::MAX.get() as u64 + 1,
        "there are 1 to 8,388,606 calls"
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

    /// Registers a call, whose frame has the tag that [`next`](Self::next) returned.
    pub(super) fn start(&mut self, value: T) -> Call {
        self.slab.make_room(&mut self.slots);
        let index = self.slab.take(self.slots.as_ref());
        let slot = &mut self.slots.as_mut()[index];
        slot.state = CallState::InFlight {
            value,
            stage: Stage::Awaited,
        };
        Call {
            index: index as u32,
            generation: slot.generation,
        }
    }

    /// Marks the call as discarded, and lets `change` what is kept of it. Returns `false` if it was
    /// not in flight or was discarded before.
    pub(super) fn discard(&mut self, call: Call, change: impl FnOnce(&mut T)) -> bool {
        let index = call.index as usize;
        let slots = self.slots.as_mut();
        let Some(slot) = slots.get_mut(index) else {
            return false;
        };
        let CallState::InFlight { value, stage } = &mut slot.state else {
            return false;
        };
        if slot.generation != call.generation || *stage != Stage::Awaited {
            return false;
        }
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::TagReusedAtOnce) {
            self.release(index);
            return true;
        }
        *stage = Stage::Discarded;
        change(value);
        self.pending_discards.push_back(slots, index);
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
            && let CallState::InFlight { stage, .. } = &mut slots[index].state
        {
            *stage = Stage::Notified;
        }
    }

    /// The peer is done with the call under this tag; [`None`] when there is no such call.
    pub(super) fn finish(&mut self, tag: Tag) -> Option<FinishedCall<T>> {
        let (value, stage) = self.release(tag.get().checked_sub(FIRST_TAG)? as usize)?;
        Some(FinishedCall {
            value,
            discarded: stage != Stage::Awaited,
        })
    }

    /// Returns what is kept of the call under this tag, if it is discarded.
    pub(super) fn discarded(&self, tag: Tag) -> Option<&T> {
        let index = tag.get().checked_sub(FIRST_TAG)? as usize;
        match &self.slots.as_ref().get(index)?.state {
            CallState::InFlight { value, stage } if *stage != Stage::Awaited => Some(value),
            CallState::Free | CallState::InFlight { .. } => None,
        }
    }

    /// Ends the next awaited call at or after slot `cursor`, which moves on.
    pub(super) fn next_lost(&mut self, cursor: &mut u32) -> Option<T> {
        while (*cursor as usize) < self.slab.touched() {
            *cursor += 1;
            if let Some((value, Stage::Awaited)) = self.release(*cursor as usize - 1) {
                return Some(value);
            }
        }
        None
    }

    /// Frees a slot. Returns what was kept of its call, or [`None`] if there is none.
    fn release(&mut self, index: usize) -> Option<(T, Stage)> {
        let slots = self.slots.as_mut();
        let slot = slots.get_mut(index)?;
        let state = core::mem::replace(&mut slot.state, CallState::Free);
        let CallState::InFlight { value, stage } = state else {
            return None;
        };
        slot.generation = slot.generation.wrapping_add(1);
        if stage == Stage::Discarded {
            self.pending_discards.remove(slots, index);
        }
        self.slab.give_back(slots, index);
        Some((value, stage))
    }

    /// Returns the tag of the call in a slot.
    pub(super) const fn tag(index: usize) -> Tag {
        Tag::new(index as u32 + FIRST_TAG).expect("TAGS_SUFFICE bounds N")
    }
}
