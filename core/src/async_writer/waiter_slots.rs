use core::task::Waker;

use crate::StreamIndex;
use crate::tables::{Links, linked};
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
    links: Links,
}

impl WaiterSlot {
    /// A free slot.
    pub const EMPTY: Self = Self {
        waker: None,
        state: WaitState::Free,
        generation: 0,
        links: Links::NONE,
    };
}

linked! { WaiterSlot: links as 0; }

/// The slots of a writer's tasks: one for each record row of the writer's storage, and one more for
/// each task that waits for room, for a flush or for the close at the same time.
///
/// Those of an array or a slice are a fixed number, first those of the records: if more tasks wait,
/// those without a slot wake themselves and try again until one is free. That costs processor time,
/// but no task is forgotten. [`GrowingSlots`](super::GrowingSlots) and
/// [`HeapSlots`](super::HeapSlots) (feature `std`) grow when more slots are needed.
pub trait WaiterSlots {
    /// Returns the waker of the task that waits for the record in this row.
    fn record_waker(&mut self, row: usize) -> &mut Option<Waker>;

    /// Returns the slots of the other tasks, where the first `records` slots are those of records.
    fn waiting(&mut self, records: usize) -> &mut [WaiterSlot];

    /// Appends slots of other tasks and leaves the existing ones unchanged. Returns `false` if it
    /// cannot.
    fn grow(&mut self) -> bool {
        false
    }

    /// Returns `true` if there are slots for this number of record rows.
    fn has_room_for(&self, records: usize) -> bool;

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

impl<const N: usize> WaiterSlots for [WaiterSlot; N] {
    fn record_waker(&mut self, row: usize) -> &mut Option<Waker> {
        &mut self[row].waker
    }

    fn waiting(&mut self, records: usize) -> &mut [WaiterSlot] {
        self.get_mut(records..).unwrap_or_default()
    }

    fn has_room_for(&self, records: usize) -> bool {
        N >= records
    }
}

impl WaiterSlots for &mut [WaiterSlot] {
    fn record_waker(&mut self, row: usize) -> &mut Option<Waker> {
        &mut self[row].waker
    }

    fn waiting(&mut self, records: usize) -> &mut [WaiterSlot] {
        self.get_mut(records..).unwrap_or_default()
    }

    fn has_room_for(&self, records: usize) -> bool {
        self.len() >= records
    }
}
