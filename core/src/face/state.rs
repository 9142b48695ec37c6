use core::task::Waker;

use crate::Clock;
use crate::writer::{Memory, Writer};

/// Where a task that waits leaves its waker. Opaque to whoever provides the memory.
#[derive(Debug)]
pub struct Seat {
    waker: Option<Waker>,
}

impl Seat {
    /// A free seat.
    pub const EMPTY: Self = Self { waker: None };
}

/// What handles and runner share: the machine, the seats of waiting tasks, and the clock that stamps records.
///
/// `seats` has one seat for each record row of the writer's memory, and one more for each task that may wait for room, for a flush or
/// for the close at the same time. When more tasks than that wait, the one that waited longest is woken to look again.
#[derive(Debug)]
pub struct State<M: Memory, W: AsMut<[Seat]>, C: Clock> {
    writer: Writer<M>,
    seats: W,
    clock: C,
}

impl<M: Memory, W: AsMut<[Seat]>, C: Clock + Clone> State<M, W, C> {
    /// A writer that nobody drives yet: put it into a [`Shared`](crate::Shared) and give that to
    /// [`MultiStreamWriter::new`](super::MultiStreamWriter::new).
    pub fn new(writer: Writer<M>, seats: W, clock: C) -> Self {
        Self { writer, seats, clock }
    }

    /// The machine, to look at.
    pub const fn writer(&self) -> &Writer<M> {
        &self.writer
    }
}

/// What handles, futures and the runner ask of a [`State`], whatever its memory. Only `State` implements it.
pub trait Face: sealed::Sealed {
    /// The clock that stamps records.
    type Clock: Clock + Clone;
}

impl<M: Memory, W: AsMut<[Seat]>, C: Clock + Clone> Face for State<M, W, C> {
    type Clock = C;
}

mod sealed {
    pub trait Sealed {}
    impl<M: super::Memory, W: AsMut<[super::Seat]>, C: crate::Clock> Sealed for super::State<M, W, C> {}
}
