use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::{Dlsn, FailureDomain, Instant, StatusCode};

/// Index of a stream in a writer's list, counted from 0 in the order of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StreamIndex(pub u16);

/// Identifies one attempt to write one record set to one stream. A writer never uses an id twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AttemptId(pub u64);

/// An attempt that a transport is to make.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Identifies the attempt in [`Transport::cancel`] and in the results of
    /// [`Transport::poll_finished`].
    pub id: AttemptId,
    /// The stream to write to.
    pub stream: StreamIndex,
    /// The whole record set, header included. Valid during the call only.
    pub record_set: &'a [u8],
    /// Number of records in the set.
    pub record_count: u32,
    /// Number of attempts that were made for this set before this one. Above 0 it is a hedge or a
    /// retry, and the transport may pass that on to the server.
    pub earlier_attempts: u32,
    /// Number of other attempts of this set that are outstanding. Above 0, a transport that has no
    /// room should refuse this one rather than let it wait: the set waits for another already.
    pub others_outstanding: u32,
    /// Time after which the answer is of no use.
    pub deadline: Instant,
}

/// Outcome of an attempt: the position of the set's first record, or the failure.
pub type Outcome = Result<Dlsn, Failure>;

/// Carries record sets to streams, in completion style: an attempt is started, may be cancelled,
/// and finishes later.
///
/// Every started attempt finishes exactly once, unless it is cancelled: then it finishes at most
/// once, and its outcome is ignored. A transport need not be `Send` and need not allocate.
pub trait Transport {
    /// Starts an attempt. It copies or encodes what it needs of `attempt.record_set` before it
    /// returns, and does its I/O in [`poll_finished`](Self::poll_finished). The writer's state is
    /// borrowed during the call, so the transport must not call the writer.
    ///
    /// # Errors
    ///
    /// [`StartRefused`] if the transport has no room for another attempt. Nothing was sent.
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused>;

    /// Cancels an attempt, because another one won or its set's deadline passed. Unknown ids are
    /// ignored.
    fn cancel(&mut self, now: Instant, attempt: AttemptId);

    /// Returns the next finished attempt. If there is none, registers the waker. This call also
    /// drives the transport's own I/O.
    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)>;

    /// Returns the failure domain of the stream's storage, as far as it is known: a hedge goes to
    /// another one first (R22). Called after each attempt that was started there, so that it
    /// follows a stream that moves. The default implementation returns `None`: the stream shares
    /// its storage with no other.
    fn failure_domain(&mut self, stream: StreamIndex) -> Option<FailureDomain> {
        let _ = stream;
        None
    }

    /// Sends pending data (cancellations among it) and closes the transport. Called once, after the
    /// last attempt. The default implementation is ready at once.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
}

/// Error of a transport that has no room for another attempt at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartRefused;

impl fmt::Display for StartRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transport has no room for another attempt")
    }
}

impl core::error::Error for StartRefused {}

/// Failure of an attempt: its cause, what is known of its records, and what the writer should do
/// next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Failure {
    /// Cause of the failure.
    pub cause: Cause,
    /// States if the records may be in the stream.
    pub known: WriteState,
    /// The writer's next step.
    pub advice: Advice,
}

/// Cause of an attempt's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cause {
    /// The proxy answered with this code.
    Status(StatusCode),
    /// No connection could be made, or no proxy is known.
    Unreachable,
    /// The connection ended before the answer.
    ConnectionLost,
    /// The attempt's own timeout passed.
    TimedOut,
    /// The peer refused to start the work (mux nack), or is draining.
    Refused,
    /// The peer sent bytes that violate its protocol.
    ProtocolError,
    /// The peer answered with an exception instead of a result.
    Exception,
    /// There were more redirects than the settings allow.
    TooManyRedirects,
    /// The transport had no room to start the attempt.
    TransportFull,
    /// The client or transport was closed.
    Closed,
}

/// State of a failed attempt's records, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WriteState {
    /// The records are not in the stream.
    NotWritten,
    /// The records are not in the stream, and no stream will accept them: the records themselves
    /// are at fault.
    Rejected,
    /// The records may be in the stream.
    Unknown,
}

/// The writer's next step after a failed attempt (the table of rule R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Advice {
    /// Try the next stream at once.
    NextStream,
    /// Try the next stream at once; this one is faulty and goes on probation (R9).
    NextStreamAndProbation,
    /// Try the next stream at once; this one asked for less load (R8) and pauses, for this long if
    /// it specified a time.
    NextStreamAndCoolDown(Option<Duration>),
    /// This stream will never accept these records, but others may. The set fails if all streams
    /// say so.
    FailOnThisStream,
    /// No stream will accept these records: fail them now.
    FailRecords,
}

impl Failure {
    /// Creates a failure from its parts, for a transport whose failures are none of those below.
    #[must_use]
    pub const fn new(cause: Cause, known: WriteState, advice: Advice) -> Self {
        Self {
            cause,
            known,
            advice,
        }
    }

    /// Returns the same failure with this state of its records.
    #[must_use]
    pub const fn with_known(self, known: WriteState) -> Self {
        Self { known, ..self }
    }

    /// Returns the failure for a proxy's answer code, by the table of [`StatusCode`].
    /// [`StatusCode::Success`] and [`StatusCode::Found`] are not failures by themselves; if an
    /// attempt ends with one of them nevertheless (a redirect without a destination), nothing was
    /// written.
    #[must_use]
    pub const fn of_status(code: StatusCode) -> Self {
        let (known, advice) = code.consequence();
        Self {
            cause: Cause::Status(code),
            known,
            advice,
        }
    }

    /// Returns the failure of an attempt that the peer rejected because of its load (HTTP 429 and
    /// 503, a mux nack): nothing was written. The set is not hedged any more, and the stream pauses
    /// for `retry_after`, or if it is `None` for the time in the writer's settings (R8).
    #[must_use]
    pub const fn overloaded(cause: Cause, retry_after: Option<Duration>) -> Self {
        Self {
            cause,
            known: WriteState::NotWritten,
            advice: Advice::NextStreamAndCoolDown(retry_after),
        }
    }

    /// Returns the failure of an attempt of which no byte was sent: nothing was written.
    #[must_use]
    pub const fn not_sent(cause: Cause) -> Self {
        Self {
            cause,
            known: WriteState::NotWritten,
            advice: Advice::NextStream,
        }
    }

    /// Returns the failure of an attempt of which some bytes were sent, so that it is unknown if
    /// the records were written.
    #[must_use]
    pub const fn unanswered(cause: Cause) -> Self {
        Self {
            cause,
            known: WriteState::Unknown,
            advice: Advice::NextStream,
        }
    }
}

impl Cause {
    /// Returns `true` if a proxy itself gave the reason. A redirect is none.
    pub(crate) const fn is_answer(self) -> bool {
        match self {
            Self::Status(code) => !matches!(code, StatusCode::Found),
            Self::Exception => true,
            Self::Unreachable
            | Self::ConnectionLost
            | Self::TimedOut
            | Self::Refused
            | Self::ProtocolError
            | Self::TooManyRedirects
            | Self::TransportFull
            | Self::Closed => false,
        }
    }

    /// Returns a name for programs: logs, metrics, other languages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Unreachable => "unreachable",
            Self::ConnectionLost => "connection-lost",
            Self::TimedOut => "timed-out",
            Self::Refused => "refused",
            Self::ProtocolError => "protocol-error",
            Self::Exception => "exception",
            Self::TooManyRedirects => "too-many-redirects",
            Self::TransportFull => "transport-full",
            Self::Closed => "closed",
        }
    }
}

impl WriteState {
    /// Returns a name for programs: logs, metrics, other languages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotWritten => "not-written",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "the proxy answered {code}"),
            Self::Unreachable => f.write_str("no proxy could be reached"),
            Self::ConnectionLost => f.write_str("the connection was lost"),
            Self::TimedOut => f.write_str("the proxy did not answer in time"),
            Self::Refused => f.write_str("the proxy refused to start the work"),
            Self::ProtocolError => f.write_str("the proxy's answer was malformed"),
            Self::Exception => f.write_str("the proxy answered with an exception"),
            Self::TooManyRedirects => f.write_str("the proxies redirected too often"),
            Self::TransportFull => f.write_str("the transport had no room for the attempt"),
            Self::Closed => f.write_str("the transport was closed"),
        }
    }
}

impl fmt::Display for WriteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotWritten => "not written",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown whether written",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cause, self.known)
    }
}

impl core::error::Error for Failure {}
