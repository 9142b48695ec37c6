//! Who decides which set is sent where, and when.

mod grpc;
mod original;
mod ours;
mod percentile;
mod races;
mod unhedged;

use distributedlog::wire::record_set::SetIdentity;
use distributedlog::{Instant, StreamIndex};

pub use grpc::{Grpc, GrpcSettings};
pub use original::Original;
pub use ours::Ours;
pub use percentile::{Percentile, PercentileSettings};
pub use unhedged::Unhedged;

/// Decides which set is sent to which streams, and when: a writer, or a model of one.
///
/// The simulation calls it as a transport and a clock would, and then does what is [`Todo`]. Every
/// set that arrives ends exactly once.
pub trait Policy {
    /// A record set is to be written.
    fn arrive(&mut self, now: Instant, set: u64, todo: &mut Todo);

    /// An attempt was answered. Attempts are answered once or never; what comes after the set ended
    /// changes nothing.
    fn answered(&mut self, now: Instant, answer: Answer, todo: &mut Todo);

    /// When to call [`handle_timeout`](Self::handle_timeout).
    fn next_timeout(&self) -> Option<Instant>;

    /// Time went by.
    fn handle_timeout(&mut self, now: Instant, todo: &mut Todo);
}

/// An attempt's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The set.
    pub set: u64,
    /// The stream that it was sent to.
    pub stream: StreamIndex,
    /// What the policy called the attempt.
    pub attempt: u64,
    /// Whether it was stored; if not, there was no room (OVER_CAPACITY).
    pub stored: bool,
}

/// An attempt to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The set.
    pub set: u64,
    /// The stream to send it to.
    pub stream: StreamIndex,
    /// What the policy calls the attempt.
    pub attempt: u64,
    /// How often the set was sent to this stream before.
    pub again: u32,
    /// What tells copies of the set, if anything does (R12).
    pub identity: Option<SetIdentity>,
}

/// What a policy wants done.
#[derive(Clone, Debug, Default)]
pub struct Todo {
    /// Attempts to start, in order.
    pub starts: Vec<Start>,
    /// Sets that ended, and whether they were written.
    pub ended: Vec<(u64, bool)>,
}
