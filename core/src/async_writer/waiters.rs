//! The queue of tasks that wait for room, in order of arrival, and the list of those that wait for
//! a flush or for the end of the runner.

use core::task::Waker;

use super::waiter_slots::{WaitFor, WaitState, WaiterSlot, WaiterSlots};
use crate::expect::expect_no_fmt;

/// Wakers to call once the state is free again, never while it is borrowed. Bounded, so that it
/// needs no allocator: a method that would wake more tasks reports it and is called again.
pub(in crate::async_writer) type Wakers = heapless::Vec<Waker, 32>;

/// Calls and removes all wakers.
pub(super) fn wake_all(wakers: &mut Wakers) {
    // From the front, so that tasks wake in order of arrival.
    for waker in wakers.drain(..) {
        waker.wake();
    }
}

/// Identifies a task in one of the queues. Invalid once its row has a later generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaiterId {
    row: u32,
    generation: u32,
}

const NONE: u32 = u32::MAX;

/// Two queues over the rows behind those of the records: tasks that wait for room, and tasks that
/// wait for anything else.
#[derive(Debug)]
pub(super) struct Waiters {
    /// The number of records' rows, and so the first row of a waiter.
    base: u32,
    free: u32,
    room: Queue,
    others: Queue,
    /// The number of tasks that were woken for room and have not been polled since.
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
            free: link_free(slots, base),
            room: Queue::EMPTY,
            others: Queue::EMPTY,
            woken: 0,
        }
    }

    /// Returns the number of tasks that were woken for room and have not been polled since.
    pub(super) const fn woken(&self) -> usize {
        self.woken
    }

    /// Returns `true` if no task waits for room, apart from those that were woken for it.
    pub(super) const fn is_room_queue_empty(&self) -> bool {
        self.room.first == NONE
    }

    /// Returns the length of the record for which the first task in the queue wants room.
    pub(super) fn first_for_room(&self, slots: &[WaiterSlot]) -> Option<usize> {
        match slots.get(self.room.first as usize)?.state {
            WaitState::Waiting(WaitFor::Room(len)) => Some(len),
            WaitState::Waiting(WaitFor::Flush(_) | WaitFor::Drain(_) | WaitFor::End)
            | WaitState::Woken
            | WaitState::Free => None,
        }
    }

    /// Returns `true` if the task was woken for room: it may take room before those in the queue.
    pub(super) fn is_woken(&self, slots: &[WaiterSlot], waiter: Option<WaiterId>) -> bool {
        waiter.is_some_and(|waiter| {
            self.row(slots, waiter)
                .is_some_and(|row| slots[row as usize].state == WaitState::Woken)
        })
    }

    /// Queues the task, or keeps it queued. A new task goes to the end of its queue; one that was
    /// woken for room and found none goes back to the front, to keep its turn.
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
            // Without a slot there is nowhere to keep the waker: the task polls again at once.
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

    /// Removes the task from its queue.
    pub(super) fn cancel(&mut self, slots: &mut [WaiterSlot], waiter: &mut Option<WaiterId>) {
        if let Some(row) = waiter.take().and_then(|waiter| self.row(slots, waiter)) {
            self.remove(slots, row);
        }
    }

    /// Wakes the first task in the queue for room. It keeps its row until it is polled or dropped.
    pub(super) fn wake_first_for_room(&mut self, slots: &mut [WaiterSlot], wakers: &mut Wakers) {
        let row = self.room.first;
        self.unlink(slots, row);
        let slot = &mut slots[row as usize];
        slot.state = WaitState::Woken;
        self.woken += 1;
        if let Some(waker) = slot.waker.take() {
            expect_no_fmt(
                wakers.push(waker),
                "the caller checked that `wakers` is not full",
            );
        }
    }

    /// Wakes those tasks that do not wait for room and whose event `granted` accepts. Returns
    /// `false` if `wakers` is full before all are woken.
    pub(super) fn wake_matching(
        &mut self,
        slots: &mut [WaiterSlot],
        wakers: &mut Wakers,
        granted: impl Fn(WaitFor) -> bool,
    ) -> bool {
        let mut row = self.others.first;
        while row != NONE {
            let next = slots[row as usize].next;
            let state = slots[row as usize].state;
            if matches!(state, WaitState::Waiting(event) if granted(event)) {
                if wakers.is_full() {
                    return false;
                }
                self.wake_and_free(slots, row, wakers);
            }
            row = next;
        }
        true
    }

    /// Wakes all tasks that wait for room, though there may be none. Returns `false` if `wakers` is
    /// full before all are woken.
    pub(super) fn wake_all_for_room(
        &mut self,
        slots: &mut [WaiterSlot],
        wakers: &mut Wakers,
    ) -> bool {
        while self.room.first != NONE {
            if wakers.is_full() {
                return false;
            }
            self.wake_and_free(slots, self.room.first, wakers);
        }
        true
    }

    fn row(&self, slots: &[WaiterSlot], waiter: WaiterId) -> Option<u32> {
        let slot = slots.get(waiter.row as usize)?;
        (waiter.row >= self.base && slot.generation == waiter.generation).then_some(waiter.row)
    }

    /// Takes a row off the free list, which grows first if it is empty. `None` if it cannot grow.
    fn free_row(&mut self, table: &mut impl WaiterSlots) -> Option<u32> {
        if self.free == NONE {
            let old = table.as_mut().len();
            if table.grow() {
                self.free = link_free(table.as_mut(), old);
            }
        }
        let row = self.free;
        self.free = table.as_mut().get(row as usize)?.next;
        Some(row)
    }

    /// Wakes a row's task and frees the row. The task checks its event when it is polled, and
    /// queues again if need be.
    fn wake_and_free(&mut self, slots: &mut [WaiterSlot], row: u32, wakers: &mut Wakers) {
        if let Some(waker) = slots[row as usize].waker.take() {
            expect_no_fmt(
                wakers.push(waker),
                "the caller checked that `wakers` is not full",
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
            WaitState::Waiting(WaitFor::Flush(_) | WaitFor::Drain(_) | WaitFor::End)
            | WaitState::Free
            | WaitState::Woken => &mut self.others,
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

/// Links the rows from `first` on into a list of free rows. Returns its head.
fn link_free(slots: &mut [WaiterSlot], first: usize) -> u32 {
    let mut free = NONE;
    for row in (first..slots.len()).rev() {
        slots[row].next = free;
        free = row as u32;
    }
    free
}
