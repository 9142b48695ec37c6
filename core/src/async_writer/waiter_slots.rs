use core::task::Waker;

use crate::StreamIndex;
use crate::writer::{AttemptReport, FlushMark, RecordId, WriteResult};

/// The event that a waiting task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitFor {
    /// Room for a record of this many bytes.
    Room(usize),
    /// The completion of every record that was written before the mark.
    Flush(FlushMark),
    /// The end of the attempts at a stream that was removed.
    Drain(StreamIndex),
    /// The end of the runner.
    End,
}

/// The state of a slot in the queues of [`Waiters`](super::waiters::Waiters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitState {
    Free,
    Waiting(WaitFor),
    /// Woken to take room, and not polled since.
    Woken,
}

/// Storage for the waker of one waiting task. Its content is private to the writer.
#[derive(Debug)]
pub struct WaiterSlot {
    pub(super) waker: Option<Waker>,
    pub(super) state: WaitState,
    pub(super) generation: u32,
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl WaiterSlot {
    /// A free slot.
    pub const EMPTY: Self = Self {
        waker: None,
        state: WaitState::Free,
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

/// The slots of a writer's tasks: one for each record row of the writer's storage, and one more for
/// each task that waits for room, for a flush or for the close at the same time.
///
/// A `Vec` or a boxed slice grows when more slots are needed. An array or a slice has a fixed
/// length: if more tasks wait, those without a slot wake themselves and try again until one is
/// free. That costs processor time, but no task is forgotten.
pub trait WaiterSlots: AsMut<[WaiterSlot]> {
    /// Appends slots and leaves the existing ones unchanged. Returns `false` if it cannot.
    fn grow(&mut self) -> bool {
        false
    }

    /// True if results that were not taken are kept here when their rows are needed for further
    /// records. Without it such a row is free only when its result is taken (R7).
    const KEEPS_RESULTS: bool = false;

    /// Keeps the result of a record, and the attempts that were made for it.
    fn keep(&mut self, _record: RecordId, _result: WriteResult, _reports: &[AttemptReport]) {}

    /// Takes the result of a record out of those that are kept.
    fn take_kept(&mut self, _record: RecordId) -> Option<WriteResult> {
        None
    }

    /// Returns the attempts made for a record whose result is kept.
    fn kept_reports(&self, _record: RecordId) -> &[AttemptReport] {
        &[]
    }
}

impl<const N: usize> WaiterSlots for [WaiterSlot; N] {}

impl WaiterSlots for &mut [WaiterSlot] {}

#[cfg(feature = "std")]
impl WaiterSlots for std::vec::Vec<WaiterSlot> {
    fn grow(&mut self) -> bool {
        let more = self.len().max(16);
        self.extend(core::iter::repeat_with(|| WaiterSlot::EMPTY).take(more));
        true
    }
}

#[cfg(feature = "std")]
impl WaiterSlots for std::boxed::Box<[WaiterSlot]> {
    fn grow(&mut self) -> bool {
        let mut slots = core::mem::take(self).into_vec();
        let grown = WaiterSlots::grow(&mut slots);
        *self = slots.into_boxed_slice();
        grown
    }
}
