//! The multi stream writer as a state machine without I/O: [`Writer`].

mod adaptive;
mod counters;
mod health;
#[cfg(feature = "std")]
mod heap;
mod limits;
mod machine;
mod memory;
mod result;
mod settings;
mod slots;

pub use counters::Counters;
#[cfg(feature = "std")]
pub use heap::{Heap, HeapBuffer};
pub use limits::{MAX_OUTSTANDING, MAX_SET_BYTES, MAX_STREAMS};
pub use machine::{BuildError, FlushMark, Reservation, Writer};
pub use memory::{BufferFull, Fixed, Memory, SetBuffer, Tables};
pub use result::{AttemptOutcome, AttemptReport, AttemptReports, Reason, Refused, WriteError, WriteResult, Written};
pub use settings::{Adaptive, Budget, Codec, Health, Identity, Rounds, Settings, SettingsBuilder, SettingsError, StreamCount, WriterId};
pub use slots::{RecordId, RecordSlot, ReportSlot, SetSlot, StreamSlot};
