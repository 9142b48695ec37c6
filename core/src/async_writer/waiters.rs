//! The queue of tasks that wait for room, in order of arrival, and the list of those that wait for
//! a flush or for the end of the runner.

use core::task::Waker;

use super::waiter_slots::{WaitFor, WaitState, WaiterSlot, WaiterSlots};
use crate::expect::expect_no_fmt;
use crate::tables::{Queue, Slab};

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
pub(super) struct WaiterId {
    row: u32,
    generation: u32,
}

/// Two queues over the slots behind those of the records: tasks that wait for room, and tasks that
/// wait for anything else.
#[derive(Debug)]
pub(super) struct Waiters {
    /// The number of records' rows, where they have slots in the same table.
    records: usize,
    slab: Slab,
    room: Queue,
    others: Queue,
    /// The number of tasks that were woken for room and have not been polled since.
    woken: usize,
}

impl Waiters {
    pub(super) const fn new(records: usize) -> Self {
        Self {
            records,
            slab: Slab::EMPTY,
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
        self.room.is_empty()
    }

    /// Returns the length of the record for which the first task in the queue wants room.
    pub(super) fn first_for_room(&self, slots: &mut impl WaiterSlots) -> Option<usize> {
        let first = self.room.first()?;
        match slots.waiting(self.records)[first].state {
            WaitState::Waiting(WaitFor::Room(len)) => Some(len),
            WaitState::Waiting(WaitFor::Flush(_) | WaitFor::Drain(_) | WaitFor::End)
            | WaitState::Woken
            | WaitState::Free => None,
        }
    }

    /// Returns `true` if the task was woken for room: it may take room before those in the queue.
    pub(super) fn is_woken(&self, slots: &mut impl WaiterSlots, waiter: Option<WaiterId>) -> bool {
        let slots = slots.waiting(self.records);
        waiter
            .and_then(|waiter| find(slots, waiter))
            .is_some_and(|row| slots[row].state == WaitState::Woken)
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
        let slots = table.waiting(self.records);
        if let Some(row) = waiter.and_then(|waiter| find(slots, waiter)) {
            let slot = &mut slots[row];
            set_waker(&mut slot.waker, waker);
            if slot.state == WaitState::Woken {
                self.woken -= 1;
                slot.state = WaitState::Waiting(wait_for);
                self.queue(wait_for).push_front(slots, row);
            }
            return;
        }
        if self.slab.next(slots.len()).is_none() && !table.grow() {
            // Without a slot there is nowhere to keep the waker: the task polls again at once.
            waker.wake_by_ref();
            return;
        }
        let slots = table.waiting(self.records);
        let row = self.slab.take(slots);
        let slot = &mut slots[row];
        set_waker(&mut slot.waker, waker);
        slot.state = WaitState::Waiting(wait_for);
        *waiter = Some(WaiterId {
            row: row as u32,
            generation: slot.generation,
        });
        self.queue(wait_for).push_back(slots, row);
    }

    /// Removes the task from its queue.
    pub(super) fn cancel(&mut self, slots: &mut impl WaiterSlots, waiter: &mut Option<WaiterId>) {
        let slots = slots.waiting(self.records);
        if let Some(row) = waiter.take().and_then(|waiter| find(slots, waiter)) {
            self.remove(slots, row);
        }
    }

    /// Wakes the first task in the queue for room. It keeps its row until it is polled or dropped.
    pub(super) fn wake_first_for_room(
        &mut self,
        slots: &mut impl WaiterSlots,
        wakers: &mut Wakers,
    ) {
        let slots = slots.waiting(self.records);
        let Some(row) = self.room.pop_front(slots) else {
            return;
        };
        slots[row].state = WaitState::Woken;
        self.woken += 1;
        push_waker(&mut slots[row], wakers);
    }

    /// Wakes those tasks that do not wait for room and whose event `granted` accepts. Returns
    /// `false` if `wakers` is full before all are woken.
    pub(super) fn wake_matching(
        &mut self,
        slots: &mut impl WaiterSlots,
        wakers: &mut Wakers,
        granted: impl Fn(WaitFor) -> bool,
    ) -> bool {
        let slots = slots.waiting(self.records);
        let mut next = self.others.first();
        while let Some(row) = next {
            next = Queue::<0>::after(slots, row);
            if matches!(slots[row].state, WaitState::Waiting(event) if granted(event)) {
                if wakers.is_full() {
                    return false;
                }
                push_waker(&mut slots[row], wakers);
                self.remove(slots, row);
            }
        }
        true
    }

    /// Wakes all tasks that wait for room, though there may be none. Returns `false` if `wakers` is
    /// full before all are woken.
    pub(super) fn wake_all_for_room(
        &mut self,
        slots: &mut impl WaiterSlots,
        wakers: &mut Wakers,
    ) -> bool {
        let slots = slots.waiting(self.records);
        while let Some(row) = self.room.first() {
            if wakers.is_full() {
                return false;
            }
            push_waker(&mut slots[row], wakers);
            self.remove(slots, row);
        }
        true
    }

    /// Frees a row. The task checks its event when it is polled, and queues again if need be.
    fn remove(&mut self, slots: &mut [WaiterSlot], row: usize) {
        let slot = &mut slots[row];
        slot.waker = None;
        slot.generation = slot.generation.wrapping_add(1);
        match core::mem::replace(&mut slot.state, WaitState::Free) {
            WaitState::Free => return,
            WaitState::Woken => self.woken -= 1,
            WaitState::Waiting(wait_for) => self.queue(wait_for).remove(slots, row),
        }
        self.slab.give_back(slots, row);
    }

    const fn queue(&mut self, wait_for: WaitFor) -> &mut Queue {
        match wait_for {
            WaitFor::Room(_) => &mut self.room,
            WaitFor::Flush(_) | WaitFor::Drain(_) | WaitFor::End => &mut self.others,
        }
    }
}

/// Returns the task's row, unless it was freed.
fn find(slots: &[WaiterSlot], waiter: WaiterId) -> Option<usize> {
    let row = waiter.row as usize;
    (slots.get(row)?.generation == waiter.generation).then_some(row)
}

/// Keeps the waker of a task that is polled: the one that is there, if it wakes the same task.
pub(super) fn set_waker(kept: &mut Option<Waker>, waker: &Waker) {
    match kept {
        Some(own) => own.clone_from(waker),
        none => *none = Some(waker.clone()),
    }
}

/// Moves the slot's waker to those that are to be called.
fn push_waker(slot: &mut WaiterSlot, wakers: &mut Wakers) {
    if let Some(waker) = slot.waker.take() {
        expect_no_fmt(
            wakers.push(waker),
            "the caller checked that `wakers` is not full",
        );
    }
}
