//! The multi stream writer as a state machine without I/O: [`Writer`].
//!
//! The path of a record through its files, and the rules that each of them implements:
//!
//! | file | subject | rules |
//! |---|---|---|
//! | `machine`, `build`, `bounds` | the writer, its construction, its bounds | |
//! | `accept`, `fill` | records enter the filling set, which is sealed | R1, R6, R7, R13 |
//! | `rotation`, `transmit` | a sealed set gets its stream, bytes and attempts | R4, R12 |
//! | `choice` | of two streams the one with less load | R19 |
//! | `order` | one stream that keeps the records in order | R20 |
//! | `members`, `changes` | streams and settings change | R17, R18 |
//! | `timeout` | sets are hedged, retried, and expire | R1, R3 |
//! | `answer` | an answer leads to success, another attempt or the end | R2, R5 |
//! | `finish`, `results` | sets end, records complete, results are taken | R1, R11, R14 |
//! | `silence`, `domains` | streams that are silent, and what they share | R9, R21, R22 |
//! | `budget`, `health`, `adaptive` | limits, streams and timeouts of attempts | R8, R9, R10 |
//! | `settings`, `limits` | valid settings and the limits of everything | R7 |
//! | `storage`, `slots`, `heap`, `shrink`, `ram` | where the tables are, and their size | R7 |
//!
//! R15 holds everywhere: time and seed are arguments, and the same calls return the same results.

mod accept;
mod adaptive;
mod answer;
mod bounds;
mod budget;
mod build;
mod changes;
mod choice;
mod counters;
mod domains;
mod error;
mod features;
mod fill;
mod finish;
mod health;
#[cfg(feature = "std")]
mod heap;
mod invariant;
mod limits;
mod machine;
mod members;
mod order;
mod ram;
mod reports;
mod result;
mod results;
mod rotation;
mod settings;
#[cfg(feature = "std")]
mod shrink;
mod silence;
mod slots;
mod storage;
mod timeout;
mod transmit;

pub use accept::{FlushMark, Reservation};
pub use changes::ChangeError;
pub use counters::{Counters, StreamCounters, StreamStatus};
pub use error::BuildError;
pub use features::{AllFeatures, NoChanges, OriginalFeatures, WriterFeatures};
#[cfg(feature = "std")]
pub use heap::{Heap, HeapBuffer};
pub use limits::{MAX_OUTSTANDING, MAX_STREAMS};
pub use machine::Writer;
pub use members::MemberError;
pub use ram::ram_bytes;
pub use reports::{AttemptReports, AttemptReportsIntoIter};
pub use result::{
    AttemptOutcome, AttemptReport, EnqueueError, Reason, WriteError, WriteResult, Written,
};
pub use settings::{
    Adaptive, Budget, Choice, Health, Identity, Order, Rounds, Settings, SettingsBuilder,
    SettingsError, StreamCount, Window,
};
pub use slots::{RecordId, RecordSlot, ReportSlot, SetSlot, StreamSlot};
pub use storage::{Fixed, SetBuffer, Storage, StorageTables};

pub use crate::tables::TimerSlot;
pub use crate::wire::record_set::{Codec, MAX_SET_BYTES, WriterId};
