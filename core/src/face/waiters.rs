//! The tasks that wait for room, in the order in which they came, and those that wait for a flush
//! or the end.

use core::task::Waker;

use super::seats::{Seat, Seats};
use crate::expect::expect_no_fmt;
use crate::writer::FlushMark;

/// Wakers to call once the state is free again: never while it is borrowed.
pub(in crate::face) type Wakers = heapless::Vec<Waker, 32>;

/// Calls all wakers.
pub(super) fn wake_all(wakers: &mut Wakers) {
    // From the front: first come, first woken.
    for waker in wakers.drain(..) {
        waker.wake();
    }
}

/// A place in one of the queues. Dead once its row's generation has moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    row: u32,
    generation: u32,
}

/// What a waiting task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Room for a record of so many bytes.
    Room(usize),
    /// That all that was written before the mark has completed.
    Flushed(FlushMark),
    /// That the runner has ended.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Free,
    Waiting(Wish),
    /// Woken to take its room; it has not been polled since.
    Woken,
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
    pub(super) fn new(seats: &mut [Seat], base: usize) -> Self {
        Self {
            base: base as u32,
            free: chain(seats, base),
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
    pub(super) fn first_for_room(&self, seats: &[Seat]) -> Option<usize> {
        match seats.get(self.room.first as usize)?.standing {
            Standing::Waiting(Wish::Room(len)) => Some(len),
            Standing::Waiting(Wish::Flushed(_) | Wish::Ended)
            | Standing::Woken
            | Standing::Free => None,
        }
    }

    /// Whether the place is that of a task that was woken for room: it may try, whoever else waits.
    pub(super) fn is_woken(&self, seats: &[Seat], place: Option<Place>) -> bool {
        place.is_some_and(|place| {
            self.row(seats, place)
                .is_some_and(|row| seats[row as usize].standing == Standing::Woken)
        })
    }

    /// Waits, or waits on. Who was woken for room and found none goes to the front of the queue;
    /// who comes anew goes to its end.
    pub(super) fn wait(
        &mut self,
        table: &mut impl Seats,
        place: &mut Option<Place>,
        wish: Wish,
        waker: &Waker,
    ) {
        let seats = table.as_mut();
        if let Some(row) = place.and_then(|place| self.row(seats, place)) {
            let seat = &mut seats[row as usize];
            seat.set_waker(waker);
            if seat.standing == Standing::Woken {
                self.woken -= 1;
                seat.standing = Standing::Waiting(wish);
                self.push_front(seats, row);
            }
            return;
        }
        let Some(row) = self.free_row(table) else {
            // No seat: look again and again.
            waker.wake_by_ref();
            return;
        };
        let seats = table.as_mut();
        let seat = &mut seats[row as usize];
        seat.set_waker(waker);
        seat.standing = Standing::Waiting(wish);
        *place = Some(Place {
            row,
            generation: seat.generation,
        });
        self.push_back(seats, row, wish);
    }

    /// Waits no more.
    pub(super) fn leave(&mut self, seats: &mut [Seat], place: &mut Option<Place>) {
        if let Some(row) = place.take().and_then(|place| self.row(seats, place)) {
            self.remove(seats, row);
        }
    }

    /// Wakes the first in the queue for room. It keeps its row until it is polled or dropped.
    pub(super) fn wake_first_for_room(&mut self, seats: &mut [Seat], wake: &mut Wakers) {
        let row = self.room.first;
        self.unlink(seats, row);
        let seat = &mut seats[row as usize];
        seat.standing = Standing::Woken;
        self.woken += 1;
        if let Some(waker) = seat.waker.take() {
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
        seats: &mut [Seat],
        wake: &mut Wakers,
        granted: impl Fn(Wish) -> bool,
    ) -> bool {
        let mut row = self.rest.first;
        while row != NONE {
            let next = seats[row as usize].next;
            if matches!(seats[row as usize].standing, Standing::Waiting(wish) if granted(wish)) {
                if wake.is_full() {
                    return false;
                }
                self.evict(seats, row, wake);
            }
            row = next;
        }
        true
    }

    /// Wakes everybody who waits for room, as many as fit, though there may be none. Whether all
    /// were.
    pub(super) fn wake_all_for_room(&mut self, seats: &mut [Seat], wake: &mut Wakers) -> bool {
        while self.room.first != NONE {
            if wake.is_full() {
                return false;
            }
            self.evict(seats, self.room.first, wake);
        }
        true
    }

    fn row(&self, seats: &[Seat], place: Place) -> Option<u32> {
        let seat = seats.get(place.row as usize)?;
        (place.row >= self.base && seat.generation == place.generation).then_some(place.row)
    }

    /// A free row, a new one if need be.
    fn free_row(&mut self, table: &mut impl Seats) -> Option<u32> {
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
    fn evict(&mut self, seats: &mut [Seat], row: u32, wake: &mut Wakers) {
        if let Some(waker) = seats[row as usize].waker.take() {
            expect_no_fmt(
                wake.push(waker),
                "the caller looked whether there is room for a waker",
            );
        }
        self.remove(seats, row);
    }

    fn remove(&mut self, seats: &mut [Seat], row: u32) {
        match seats[row as usize].standing {
            Standing::Free => return,
            Standing::Woken => self.woken -= 1,
            Standing::Waiting(_) => self.unlink(seats, row),
        }
        let seat = &mut seats[row as usize];
        seat.waker = None;
        seat.standing = Standing::Free;
        seat.generation = seat.generation.wrapping_add(1);
        seat.next = self.free;
        self.free = row;
    }

    fn queue(&mut self, standing: Standing) -> &mut Queue {
        match standing {
            Standing::Waiting(Wish::Room(_)) => &mut self.room,
            Standing::Waiting(Wish::Flushed(_) | Wish::Ended)
            | Standing::Free
            | Standing::Woken => &mut self.rest,
        }
    }

    fn push_back(&mut self, seats: &mut [Seat], row: u32, wish: Wish) {
        let queue = self.queue(Standing::Waiting(wish));
        let last = core::mem::replace(&mut queue.last, row);
        if last == NONE {
            queue.first = row;
        } else {
            seats[last as usize].next = row;
        }
        seats[row as usize].previous = last;
        seats[row as usize].next = NONE;
    }

    fn push_front(&mut self, seats: &mut [Seat], row: u32) {
        let queue = self.queue(seats[row as usize].standing);
        let first = core::mem::replace(&mut queue.first, row);
        if first == NONE {
            queue.last = row;
        } else {
            seats[first as usize].previous = row;
        }
        seats[row as usize].previous = NONE;
        seats[row as usize].next = first;
    }

    fn unlink(&mut self, seats: &mut [Seat], row: u32) {
        let Seat {
            previous,
            next,
            standing,
            ..
        } = seats[row as usize];
        let queue = self.queue(standing);
        if previous == NONE {
            queue.first = next;
        }
        if next == NONE {
            queue.last = previous;
        }
        if previous != NONE {
            seats[previous as usize].next = next;
        }
        if next != NONE {
            seats[next as usize].previous = previous;
        }
    }
}

/// Links the rows from `first` on to a list of free ones; its head.
fn chain(seats: &mut [Seat], first: usize) -> u32 {
    let mut free = NONE;
    for row in (first..seats.len()).rev() {
        seats[row].next = free;
        free = row as u32;
    }
    free
}
