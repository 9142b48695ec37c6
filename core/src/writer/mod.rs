//! The multi stream writer as a state machine without I/O: [`Writer`].
//!
//! A record's way through it, and the rules that hold there:
//!
//! | file | what happens | rules |
//! |---|---|---|
//! | `accept`, `fill` | records enter the set that fills, within the bounds; it is sealed by size, time, overflow or flush | R1, R6, R7, R13 |
//! | `rotation`, `transmit` | a sealed set gets its stream, its final bytes and its attempts | R4, R12 |
//! | `timeout`, `timers` | sets are hedged, retried, and expire; one table of timers | R1, R3 |
//! | `answer` | what an answer means: success, the next stream, the next round, the end | R2, R5 |
//! | `finish`, `results` | records complete, losers are cancelled, results are taken or forgotten | R1, R11, R14 |
//! | `budget`, `health`, `adaptive` | how many extra attempts, which streams, how long to wait | R8, R9, R10 |
//! | `settings`, `limits`, `storage`, `slots`, `heap` | what is valid, what is bounded, where it is kept | R7 |
//!
//! R15 holds everywhere: time and seed come in by argument, and the same calls give the same
//! answers.

mod accept;
mod adaptive;
mod answer;
mod budget;
mod build;
mod counters;
mod features;
mod fill;
mod finish;
mod health;
#[cfg(feature = "std")]
mod heap;
mod invariant;
mod limits;
mod machine;
mod result;
mod results;
mod rotation;
mod settings;
mod slots;
mod storage;
mod timeout;
mod timers;
mod transmit;

pub use accept::{FlushMark, Reservation};
pub use build::BuildError;
pub use counters::{Counters, StreamCounters, StreamStatus};
pub use features::{AllFeatures, OriginalFeatures, WriterFeatures};
#[cfg(feature = "std")]
pub use heap::{Heap, HeapBuffer};
pub use limits::{MAX_OUTSTANDING, MAX_STREAMS};
pub use machine::Writer;
pub use result::{
    AttemptOutcome, AttemptReport, AttemptReports, EnqueueError, Reason, WriteError, WriteResult,
    Written,
};
pub use settings::{
    Adaptive, Budget, Health, Identity, Rounds, Settings, SettingsBuilder, SettingsError,
    StreamCount, Window,
};
pub use slots::{RecordId, RecordSlot, ReportSlot, SetSlot, StreamSlot, TimerSlot};
pub use storage::{Fixed, SetBuffer, Storage, StorageTables, ram_bytes};

pub use crate::wire::record_set::{Codec, MAX_SET_BYTES, WriterId};
