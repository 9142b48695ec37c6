use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::{Dlsn, Instant, StatusCode};

/// Which stream of a writer's set, counted from 0 in the order of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StreamIndex(pub u16);

/// One try to write one record set to one stream. Never used twice by the same writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// What a transport is asked to write.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Names the attempt in [`Transport::cancel`] and in what [`Transport::poll_finished`]
    /// answers.
    pub id: AttemptId,
    /// The stream to write to.
    pub stream: StreamIndex,
    /// The whole record set, header included. Valid during the call only.
    pub record_set: &'a [u8],
    /// How many records the set holds.
    pub record_count: u32,
    /// How many attempts were made for this set before this one: above 0 it is a hedge or a retry,
    /// and the server may be told.
    pub earlier_attempts: u32,
    /// When the answer is of no use any more.
    pub deadline: Instant,
}

/// How an attempt ended: the position of the set's first record, or why there is none.
pub type Outcome = Result<Dlsn, Failure>;

/// Carries record sets to streams, completion style: an attempt is started, may be cancelled, and
/// finishes later.
///
/// Every started attempt finishes exactly once, unless it is cancelled: then it may finish once or
/// not at all, and what it says is ignored. A transport need not be `Send` and need not allocate.
pub trait Transport {
    /// Starts an attempt. Copies or encodes what it needs of `attempt.record_set` before it
    /// returns, and does its I/O in [`poll_finished`](Self::poll_finished): the writer's state
    /// is borrowed meanwhile, so that it must not come back to the writer.
    ///
    /// # Errors
    ///
    /// [`StartRefused`] when the transport has no room for another attempt; nothing was sent.
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused>;

    /// Gives an attempt up, because another one won or its set's deadline passed. Unknown ids are
    /// ignored.
    fn cancel(&mut self, now: Instant, attempt: AttemptId);

    /// The next finished attempt. Pending registers the waker; this call also drives the
    /// transport's own I/O.
    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)>;

    /// Sends what is still to be sent (cancellations among it) and closes. Called once, after the
    /// last attempt; ready at once unless a transport has something to do.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
}

/// The transport has no room for another attempt just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartRefused;

impl fmt::Display for StartRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transport has no room for another attempt")
    }
}

impl core::error::Error for StartRefused {}

/// Why an attempt failed, what is known of its records, and what the writer should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// Whether the records may be in the stream.
    pub known: WriteState,
    /// What to do next.
    pub advice: Advice,
}

/// What happened to a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    /// The peer's bytes were not what its protocol allows.
    ProtocolError,
    /// The peer answered with an exception instead of a result.
    Exception,
    /// Redirects went on longer than the settings allow.
    TooManyRedirects,
    /// The transport had no room to start the attempt.
    TransportFull,
    /// The client or transport was closed.
    Closed,
}

/// What is known of the records of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WriteState {
    /// They are not in the stream.
    NotWritten,
    /// They are not in the stream, and no stream will take them: the fault is theirs.
    Rejected,
    /// They may be in the stream.
    Unknown,
}

/// What to do after a failed attempt (the table of rule R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Try the next stream at once.
    NextStream,
    /// Try the next stream at once; this one is sick and goes into probation (R9).
    NextStreamAndProbation,
    /// Try the next stream at once; this one asked for less load (R8) and cools down, for this long
    /// if it said so.
    NextStreamAndCoolDown(Option<Duration>),
    /// This stream will never take these records, others may: fail when all say so.
    FailOnThisStream,
    /// No stream will take these records: fail them now.
    FailRecords,
}

impl Failure {
    /// The failure that a proxy's answer code means. [`StatusCode::Success`] and
    /// [`StatusCode::Found`] are no failures by themselves; where they end an attempt all the
    /// same (a redirect that leads nowhere), nothing was written.
    #[must_use]
    pub const fn of_status(code: StatusCode) -> Self {
        use StatusCode as S;
        let (known, advice) = match code {
            S::TooLargeRecord => (WriteState::Rejected, Advice::FailRecords),
            S::RequestDenied | S::NotImplemented | S::ChecksumFailed | S::InvalidStreamName => {
                (WriteState::NotWritten, Advice::FailOnThisStream)
            }
            S::MetadataException
            | S::LogEmpty
            | S::LogNotFound
            | S::TruncatedTransaction
            | S::EndOfStream
            | S::TransactionOutOfOrder => (WriteState::NotWritten, Advice::NextStreamAndProbation),
            S::OverCapacity | S::StreamNotReady => {
                (WriteState::NotWritten, Advice::NextStreamAndCoolDown(None))
            }
            S::TooManyStreams => (WriteState::NotWritten, Advice::NextStreamAndCoolDown(None)),
            S::Success | S::Found | S::ServiceUnavailable | S::RegionUnavailable => {
                (WriteState::NotWritten, Advice::NextStream)
            }
            S::ClientClosed
            | S::InternalServerError
            | S::AlreadyClosed
            | S::LockingException
            | S::ZookeeperError
            | S::BkTransmitError
            | S::FlushTimeout
            | S::WriteException
            | S::StreamUnavailable
            | S::WriteCancelledException
            | S::InvalidEnvelopedEntry
            | S::UnsupportedMetadataVersion
            | S::LogExists
            | S::LogSegmentNotFound
            | S::EndOfLogSegment
            | S::LogSegmentIsTruncated
            | S::Unexpected
            | S::Interrupted
            | S::IllegalState
            | S::RetryableRead
            | S::LogReadError
            | S::ReadCancelledException
            | S::Other(_) => (WriteState::Unknown, Advice::NextStream),
        };
        Self {
            cause: Cause::Status(code),
            known,
            advice,
        }
    }

    /// The failure of an attempt that the peer turned down because it has too much to do (HTTP 429
    /// and 503, a mux nack): nothing was written. Its set is not hedged any more, and the
    /// stream is left alone for `retry_after` if the peer said so, else for as long as the
    /// writer's settings say (R8).
    #[must_use]
    pub const fn overloaded(cause: Cause, retry_after: Option<Duration>) -> Self {
        Self {
            cause,
            known: WriteState::NotWritten,
            advice: Advice::NextStreamAndCoolDown(retry_after),
        }
    }

    /// The failure of an attempt whose bytes never left: nothing was written.
    #[must_use]
    pub const fn not_sent(cause: Cause) -> Self {
        Self {
            cause,
            known: WriteState::NotWritten,
            advice: Advice::NextStream,
        }
    }

    /// The failure of an attempt whose bytes, or some of them, left: nobody can say.
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
    /// A name for programs: logs, metrics, other languages.
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
