//! The tasks that wait for room, in the order in which they came, and those that wait for a flush
//! or the end.

use core::task::Waker;

use super::waiter_slots::{WaitFor, WaitState, WaiterSlot, WaiterSlots};
use crate::expect::expect_no_fmt;

/// Wakers to call once the state is free again: never while it is borrowed.
pub(in crate::async_writer) type Wakers = heapless::Vec<Waker, 32>;

/// Calls all wakers.
pub(super) fn wake_all(wakers: &mut Wakers) {
    // From the front: first come, first woken.
    for waker in wakers.drain(..) {
        waker.wake();
    }
}

/// A waiter in one of the queues. Dead once its row's generation has moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaiterId {
    row: u32,
    generation: u32,
}

const NONE: u32 = u32::MAX;

/// Two queues over the rows behind the records' seats: who waits for room, and who waits for
/// anything else.
#[derive(Debug)]
pub(super) struct Waiters {
    /// The first row that is a waiter's, not a record's.
    base: u32,
    free: u32,
    room: Queue,
    rest: Queue,
    /// Rows that are woken and not polled yet.
    woken: usize,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

impl Queue {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };
}

impl Waiters {
    pub(super) fn new(slots: &mut [WaiterSlot], base: usize) -> Self {
        Self {
            base: base as u32,
            free: chain(slots, base),
            room: Queue::EMPTY,
            rest: Queue::EMPTY,
            woken: 0,
        }
    }

    /// Tasks that were woken for room and have not been polled since.
    pub(super) const fn woken(&self) -> usize {
        self.woken
    }

    /// Whether nobody waits for room, those not counted who were woken for it.
    pub(super) const fn nobody_waits_for_room(&self) -> bool {
        self.room.first == NONE
    }

    /// The bytes for which the first in the queue for room waits.
    pub(super) fn first_for_room(&self, slots: &[WaiterSlot]) -> Option<usize> {
        match slots.get(self.room.first as usize)?.state {
            WaitState::Waiting(WaitFor::Room(len)) => Some(len),
            WaitState::Waiting(WaitFor::Flush(_) | WaitFor::End)
            | WaitState::Woken
            | WaitState::Free => None,
        }
    }

    /// Whether the waiter is that of a task that was woken for room: it may try, whoever else waits.
    pub(super) fn is_woken(&self, slots: &[WaiterSlot], waiter: Option<WaiterId>) -> bool {
        waiter.is_some_and(|waiter| {
            self.row(slots, waiter)
                .is_some_and(|row| slots[row as usize].state == WaitState::Woken)
        })
    }

    /// Waits, or waits on. Who was woken for room and found none goes to the front of the queue;
    /// who comes anew goes to its end.
    pub(super) fn wait(
        &mut self,
        table: &mut impl WaiterSlots,
        waiter: &mut Option<WaiterId>,
        wait_for: WaitFor,
        waker: &Waker,
    ) {
        let slots = table.as_mut();
        if let Some(row) = waiter.and_then(|waiter| self.row(slots, waiter)) {
            let slot = &mut slots[row as usize];
            slot.set_waker(waker);
            if slot.state == WaitState::Woken {
                self.woken -= 1;
                slot.state = WaitState::Waiting(wait_for);
                self.push_front(slots, row);
            }
            return;
        }
        let Some(row) = self.free_row(table) else {
            // No seat: look again and again.
            waker.wake_by_ref();
            return;
        };
        let slots = table.as_mut();
        let slot = &mut slots[row as usize];
        slot.set_waker(waker);
        slot.state = WaitState::Waiting(wait_for);
        *waiter = Some(WaiterId {
            row,
            generation: slot.generation,
        });
        self.push_back(slots, row, wait_for);
    }

    /// Waits no more.
    pub(super) fn leave(&mut self, slots: &mut [WaiterSlot], waiter: &mut Option<WaiterId>) {
        if let Some(row) = waiter.take().and_then(|waiter| self.row(slots, waiter)) {
            self.remove(slots, row);
        }
    }

    /// Wakes the first in the queue for room. It keeps its row until it is polled or dropped.
    pub(super) fn wake_first_for_room(&mut self, slots: &mut [WaiterSlot], wake: &mut Wakers) {
        let row = self.room.first;
        self.unlink(slots, row);
        let slot = &mut slots[row as usize];
        slot.state = WaitState::Woken;
        self.woken += 1;
        if let Some(waker) = slot.waker.take() {
            expect_no_fmt(
                wake.push(waker),
                "the caller looked whether there is room for a waker",
            );
        }
    }

    /// Wakes those whose wish `granted` grants and who do not wait for room, as many as fit.
    /// Whether all were.
    pub(super) fn wake_rest(
        &mut self,
        slots: &mut [WaiterSlot],
        wake: &mut Wakers,
        granted: impl Fn(WaitFor) -> bool,
    ) -> bool {
        let mut row = self.rest.first;
        while row != NONE {
            let next = slots[row as usize].next;
            if matches!(slots[row as usize].state, WaitState::Waiting(wait_for) if granted(wait_for))
            {
                if wake.is_full() {
                    return false;
                }
                self.evict(slots, row, wake);
            }
            row = next;
        }
        true
    }

    /// Wakes everybody who waits for room, as many as fit, though there may be none. Whether all
    /// were.
    pub(super) fn wake_all_for_room(
        &mut self,
        slots: &mut [WaiterSlot],
        wake: &mut Wakers,
    ) -> bool {
        while self.room.first != NONE {
            if wake.is_full() {
                return false;
            }
            self.evict(slots, self.room.first, wake);
        }
        true
    }

    fn row(&self, slots: &[WaiterSlot], waiter: WaiterId) -> Option<u32> {
        let slot = slots.get(waiter.row as usize)?;
        (waiter.row >= self.base && slot.generation == waiter.generation).then_some(waiter.row)
    }

    /// A free row, a new one if need be.
    fn free_row(&mut self, table: &mut impl WaiterSlots) -> Option<u32> {
        if self.free == NONE {
            let old = table.as_mut().len();
            if table.grow() {
                self.free = chain(table.as_mut(), old);
            }
        }
        let row = self.free;
        self.free = table.as_mut().get(row as usize)?.next;
        Some(row)
    }

    /// Wakes a row's task and frees the row: the task will look again, and wait again if it must.
    fn evict(&mut self, slots: &mut [WaiterSlot], row: u32, wake: &mut Wakers) {
        if let Some(waker) = slots[row as usize].waker.take() {
            expect_no_fmt(
                wake.push(waker),
                "the caller looked whether there is room for a waker",
            );
        }
        self.remove(slots, row);
    }

    fn remove(&mut self, slots: &mut [WaiterSlot], row: u32) {
        match slots[row as usize].state {
            WaitState::Free => return,
            WaitState::Woken => self.woken -= 1,
            WaitState::Waiting(_) => self.unlink(slots, row),
        }
        let slot = &mut slots[row as usize];
        slot.waker = None;
        slot.state = WaitState::Free;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next = self.free;
        self.free = row;
    }

    fn queue(&mut self, state: WaitState) -> &mut Queue {
        match state {
            WaitState::Waiting(WaitFor::Room(_)) => &mut self.room,
            WaitState::Waiting(WaitFor::Flush(_) | WaitFor::End)
            | WaitState::Free
            | WaitState::Woken => &mut self.rest,
        }
    }

    fn push_back(&mut self, slots: &mut [WaiterSlot], row: u32, wait_for: WaitFor) {
        let queue = self.queue(WaitState::Waiting(wait_for));
        let last = core::mem::replace(&mut queue.last, row);
        if last == NONE {
            queue.first = row;
        } else {
            slots[last as usize].next = row;
        }
        slots[row as usize].previous = last;
        slots[row as usize].next = NONE;
    }

    fn push_front(&mut self, slots: &mut [WaiterSlot], row: u32) {
        let queue = self.queue(slots[row as usize].state);
        let first = core::mem::replace(&mut queue.first, row);
        if first == NONE {
            queue.last = row;
        } else {
            slots[first as usize].previous = row;
        }
        slots[row as usize].previous = NONE;
        slots[row as usize].next = first;
    }

    fn unlink(&mut self, slots: &mut [WaiterSlot], row: u32) {
        let WaiterSlot {
            previous,
            next,
            state,
            ..
        } = slots[row as usize];
        let queue = self.queue(state);
        if previous == NONE {
            queue.first = next;
        }
        if next == NONE {
            queue.last = previous;
        }
        if previous != NONE {
            slots[previous as usize].next = next;
        }
        if next != NONE {
            slots[next as usize].previous = previous;
        }
    }
}

/// Links the rows from `first` on to a list of free ones; its head.
fn chain(slots: &mut [WaiterSlot], first: usize) -> u32 {
    let mut free = NONE;
    for row in (first..slots.len()).rev() {
        slots[row].next = free;
        free = row as u32;
    }
    free
}
