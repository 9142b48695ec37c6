//! Ledgers as state machines: time, replies and the bookies that are there come in by argument,
//! requests and results go out as values. No I/O, no clock, no random numbers but from a seed.

mod ensemble;
#[cfg(test)]
mod fixtures;
mod lac;
mod placement;
mod reader;
mod recovery;
mod update;
mod writer;

pub use placement::{NotEnoughBookies, Placement};
pub use reader::{LacReader, ReadError, ReadRequest, Reader, ReaderOutput, ReaderSettings};
pub use recovery::{
    ReadAnswer, Recovered, Recovery, RecoveryError, RecoveryOutput, RecoveryRequest,
    RecoverySettings,
};
pub use update::{MetadataReply, SetReply, Versioned};
pub use writer::{
    AppendError, BookieFailure, CloseReason, Fate, SendId, SendReply, Writer, WriterOutput,
    WriterSettings,
};
