use core::fmt;
use core::time::Duration;

use crate::{Cause, Dlsn, Instant, StreamIndex, WriteState};

/// Result of a write.
pub type WriteResult = Result<Written, WriteError>;

/// Position of a written record. Copies of the record may be in other streams too, if its set was
/// hedged or retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Written {
    /// The stream that answered first.
    pub stream: StreamIndex,
    /// The record's position in the stream.
    pub dlsn: Dlsn,
    /// The number of attempts made for its set, this one included. Above 1 the set was hedged or
    /// retried.
    pub attempts: u32,
}

/// Error of a write: its reason, and what is known of the record. Its `Debug` is its text, so that
/// a `main` which returns it shows what happened.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct WriteError {
    /// States if the record may be in a stream. [`WriteState::NotWritten`] only if no attempt can
    /// have written it.
    pub known: WriteState,
    /// The event that ended the write.
    pub reason: Reason,
    /// Cause of the last failed attempt that a proxy answered, or of the last failed attempt if
    /// none was answered; `None` if no attempt failed.
    pub last_cause: Option<Cause>,
    /// The number of attempts made.
    pub attempts: u32,
}

/// The event that ended a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reason {
    /// The record is larger than a set may be. Nothing was sent; write shorter records.
    TooLarge {
        /// The record's length in bytes.
        len: usize,
        /// The longest record that this writer accepts, in bytes.
        max: usize,
    },
    /// A proxy rejected the record itself, or every stream refused it permanently. See the last
    /// cause.
    Refused,
    /// Every stream was tried as often as the settings allow. Writing the record again may help.
    Exhausted,
    /// The request timeout passed. Writing the record again may help, and may duplicate it unless
    /// it is known to be unwritten.
    TimedOut,
    /// The writer was closed or dropped before the write completed.
    Closed,
}

impl Reason {
    /// Returns a name for programs: logs, metrics, other languages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Refused => "refused",
            Self::Exhausted => "exhausted",
            Self::TimedOut => "timed-out",
            Self::Closed => "closed",
        }
    }
}

impl WriteError {
    pub(crate) const fn unsent(known: WriteState, reason: Reason) -> Self {
        Self {
            known,
            reason,
            last_cause: None,
            attempts: 0,
        }
    }

    /// Returns `true` if writing the same record again can succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self.reason {
            Reason::TooLarge { .. } | Reason::Refused => false,
            Reason::Exhausted | Reason::TimedOut | Reason::Closed => true,
        }
    }

    /// Returns `true` if writing the same record again can duplicate it.
    #[must_use]
    pub const fn may_be_written(&self) -> bool {
        matches!(self.known, WriteState::Unknown)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::TooLarge { len, max } => write!(
                f,
                "the record has {len} bytes, more than the {max} that fit a set"
            )?,
            Reason::Refused => f.write_str("the record was refused")?,
            Reason::Exhausted => {
                f.write_str("every stream was tried as often as the settings allow")?
            }
            Reason::TimedOut => f.write_str("the request timeout passed")?,
            Reason::Closed => f.write_str("the writer was closed")?,
        }
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(
            f,
            " after {} attempt{plural} ({})",
            self.attempts, self.known
        )?;
        match self.last_cause {
            Some(cause) => write!(f, "; the last to fail: {cause}"),
            None => Ok(()),
        }
    }
}

crate::debug_is_display!(WriteError);

impl core::error::Error for WriteError {}

/// Reason for which a record was not accepted. The record stays with the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EnqueueError {
    /// A bound of R7 is reached. Try again after a write has completed.
    Full,
    /// The record is too long for any set of this writer.
    TooLarge {
        /// The record's length in bytes.
        len: usize,
        /// The longest record that this writer accepts, in bytes.
        max: usize,
    },
    /// The writer is closed.
    Closed,
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the writer has no room for the record at the moment"),
            Self::TooLarge { len, max } => write!(
                f,
                "the record has {len} bytes, more than the {max} that fit a set"
            ),
            Self::Closed => f.write_str("the writer is closed"),
        }
    }
}

impl core::error::Error for EnqueueError {}

/// One attempt of a set, in its state at the end of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptReport {
    /// The stream of the attempt.
    pub stream: StreamIndex,
    /// Start of the attempt.
    pub started: Instant,
    /// Duration until the attempt ended or was cancelled.
    pub took: Duration,
    /// Outcome of the attempt.
    pub outcome: AttemptOutcome,
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The attempt completed the set.
    Won,
    /// The attempt failed.
    Failed {
        /// Cause of the failure.
        cause: Cause,
        /// State of the records as far as it is known.
        known: WriteState,
    },
    /// The attempt was cancelled because another one won, or because the set's deadline passed.
    GivenUp,
    /// The attempt was still outstanding at the record's deadline; its set continued with later
    /// records.
    Outstanding,
}
