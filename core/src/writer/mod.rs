//! The multi stream writer as a state machine without I/O: [`Writer`].

mod accept;
mod adaptive;
mod answer;
mod budget;
mod build;
mod counters;
mod fill;
mod finish;
mod health;
#[cfg(feature = "std")]
mod heap;
mod invariant;
mod limits;
mod machine;
mod memory;
mod random;
mod result;
mod results;
mod rotation;
mod settings;
mod slots;
mod timeout;
mod timers;
mod transmit;

pub use accept::{FlushMark, Reservation};
pub use build::BuildError;
pub use counters::{Counters, StreamCounters, StreamStatus};
#[cfg(feature = "std")]
pub use heap::{Heap, HeapBuffer};
pub use limits::{MAX_OUTSTANDING, MAX_STREAMS};
pub use machine::Writer;
pub use memory::{Fixed, Memory, SetBuffer, Tables, ram_bytes};
pub use result::{AttemptOutcome, AttemptReport, AttemptReports, Reason, Refused, WriteError, WriteResult, Written};
pub use settings::{Adaptive, Budget, Health, Identity, Rounds, Settings, SettingsBuilder, SettingsError, StreamCount};
pub use slots::{RecordId, RecordSlot, ReportSlot, SetSlot, StreamSlot, TimerSlot};

pub use crate::wire::record_set::{Codec, MAX_SET_BYTES, WriterId};
