use core::task::Waker;

use super::waiters::Standing;

/// Where a task that waits leaves its waker. Opaque to whoever provides the memory.
#[derive(Debug)]
pub struct Seat {
    pub(super) waker: Option<Waker>,
    pub(super) standing: Standing,
    pub(super) generation: u32,
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl Seat {
    /// A free seat.
    pub const EMPTY: Self = Self {
        waker: None,
        standing: Standing::Free,
        generation: 0,
        previous: u32::MAX,
        next: u32::MAX,
    };

    pub(super) fn set_waker(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(own) => own.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

/// The seats of a writer's tasks: one for each record row of the writer's memory, and one more for
/// each task that waits for room, for a flush or for the close at the same time.
///
/// On the heap there are as many as are needed. An array has as many as it has: when more tasks
/// wait, those without a seat look again and again until one is free, which costs time but loses
/// nobody.
pub trait Seats: AsMut<[Seat]> {
    /// Adds seats behind those that there are, which stay as they are. Whether it did.
    fn grow(&mut self) -> bool {
        false
    }
}

impl<const N: usize> Seats for [Seat; N] {}

impl Seats for &mut [Seat] {}

#[cfg(feature = "std")]
impl Seats for std::vec::Vec<Seat> {
    fn grow(&mut self) -> bool {
        let more = self.len().max(16);
        self.extend(core::iter::repeat_with(|| Seat::EMPTY).take(more));
        true
    }
}

#[cfg(feature = "std")]
impl Seats for std::boxed::Box<[Seat]> {
    fn grow(&mut self) -> bool {
        let mut seats = core::mem::take(self).into_vec();
        let grown = Seats::grow(&mut seats);
        *self = seats.into_boxed_slice();
        grown
    }
}
