//! Policies: models of writers, and the writer itself.

mod grpc;
mod in_flight;
mod original;
mod ours;
mod percentile;
mod unhedged;

use distributedlog::wire::record_set::SetIdentity;
use distributedlog::{Instant, StreamIndex};

pub use grpc::{Grpc, GrpcSettings};
pub use original::Original;
pub use ours::Ours;
pub use percentile::{Percentile, PercentileSettings};
pub use unhedged::Unhedged;

/// A writer, or a model of one: decides to which streams a set is sent, and when.
///
/// The simulation calls it as a transport and a clock would, and then carries out the [`Actions`].
/// A policy ends every set that arrives exactly once.
pub trait Policy {
    /// Handles the arrival of a record set that is to be written.
    fn handle_set(&mut self, now: Instant, set: u64, actions: &mut Actions);

    /// Handles the outcome of an attempt. An attempt has one outcome or none; an outcome after the
    /// end of its set has no effect.
    fn handle_outcome(&mut self, now: Instant, outcome: AttemptOutcome, actions: &mut Actions);

    /// Returns the time at which to call [`handle_timeout`](Self::handle_timeout), or `None` if no
    /// timer is set.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Handles the timers that are due at `now`.
    fn handle_timeout(&mut self, now: Instant, actions: &mut Actions);
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptOutcome {
    /// The set.
    pub set: u64,
    /// The stream that it was sent to.
    pub stream: StreamIndex,
    /// The policy's number of the attempt.
    pub attempt: u64,
    /// True if the stream stored the set; false if it had no room (OVER_CAPACITY).
    pub stored: bool,
}

/// An attempt to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptStart {
    /// The set.
    pub set: u64,
    /// The stream to send it to.
    pub stream: StreamIndex,
    /// The policy's number of the attempt.
    pub attempt: u64,
    /// Number of earlier attempts of this set at this stream.
    pub earlier_attempts: u32,
    /// Identity by which readers recognize duplicates of the set (R12); `None` if it has none.
    pub identity: Option<SetIdentity>,
}

/// Actions of a policy that the simulation carries out.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    /// Attempts to start, in order.
    pub starts: Vec<AttemptStart>,
    /// Sets that ended; true for those that were written.
    pub ended: Vec<(u64, bool)>,
    /// Attempts that are cancelled at their streams, by the policy's numbers.
    pub cancelled: Vec<u64>,
}
