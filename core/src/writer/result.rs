use core::fmt;
use core::time::Duration;

use super::MAX_OUTSTANDING;
use crate::{Cause, Dlsn, Instant, StreamIndex, WriteState};

/// How a write ended.
pub type WriteResult = Result<Written, WriteError>;

/// Where a record was written. Copies may lie in other streams too, if the set was hedged or
/// retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Written {
    /// The stream whose answer came first.
    pub stream: StreamIndex,
    /// The record's position in it.
    pub dlsn: Dlsn,
    /// How many attempts were made for its set, this one included: above 1 it was hedged or
    /// retried.
    pub attempts: u32,
}

/// Why a write failed, and what is known of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteError {
    /// Whether the record may be in a stream: [`WriteState::NotWritten`] only when no attempt can have
    /// written it.
    pub known: WriteState,
    /// What ended the write.
    pub reason: Reason,
    /// What the last failed attempt met, if one failed.
    pub last_cause: Option<Cause>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// What ended a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// When the record is larger than a set may be. Nothing was sent; write less at a time.
    TooLarge {
        /// The record's length in bytes.
        len: usize,
        /// The longest that this writer takes.
        max: usize,
    },
    /// When a proxy said that the record is at fault, or every stream said that it will never take
    /// it. See the last cause.
    Refused,
    /// When every stream was tried as often as the settings allow. Writing again may help.
    Exhausted,
    /// When the request timeout passed. Writing again may help, and may duplicate the record if it
    /// is not known to be unwritten.
    TimedOut,
    /// When the writer was closed or dropped before the write was over.
    Closed,
}

impl Reason {
    /// A name for programs: logs, metrics, other languages.
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

    /// Whether writing the same record again can succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self.reason {
            Reason::TooLarge { .. } | Reason::Refused => false,
            Reason::Exhausted | Reason::TimedOut | Reason::Closed => true,
        }
    }

    /// Whether writing the same record again can duplicate it.
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
        write!(f, " after {} attempts ({})", self.attempts, self.known)?;
        match self.last_cause {
            Some(cause) => write!(f, "; the last to fail: {cause}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for WriteError {}

/// Why a record was not taken. It stays with the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueError {
    /// When a bound of R7 is reached: try again after a write completed.
    Full,
    /// When the record cannot fit a set of this writer, ever.
    TooLarge {
        /// The record's length in bytes.
        len: usize,
        /// The longest that this writer takes.
        max: usize,
    },
    /// When the writer takes no more records.
    Closed,
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the writer has no room for the record just now"),
            Self::TooLarge { len, max } => write!(
                f,
                "the record has {len} bytes, more than the {max} that fit a set"
            ),
            Self::Closed => f.write_str("the writer is closed"),
        }
    }
}

impl core::error::Error for EnqueueError {}

/// One attempt of a set, as it looked when the set ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// The stream it wrote to.
    pub stream: StreamIndex,
    /// When it was started.
    pub started: Instant,
    /// How long it ran until it ended or was given up.
    pub took: Duration,
    /// How it ended.
    pub outcome: AttemptOutcome,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Its answer completed the set.
    Won,
    /// It failed.
    Failed {
        /// What it met.
        cause: Cause,
        /// What is known of the records.
        known: WriteState,
    },
    /// It was cancelled because another one won, or because the set's time was over.
    GivenUp,
    /// It was still running when the record's time was over; its set went on with younger records.
    Outstanding,
}

/// The attempts of a set, oldest first. Bounded: of more than [`MAX_OUTSTANDING`] attempts, the
/// latest are kept.
pub type AttemptReports = heapless::Vec<AttemptReport, MAX_OUTSTANDING>;
