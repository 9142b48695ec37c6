use core::fmt;

use crate::{Advice, WriteState};

/// Action of a routing client on a request that a proxy answered with a code.
///
/// Both the answers of DistributedLog's own client and ours fall into these groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusAction {
    /// Completes the request.
    Succeed,
    /// Sends the request to the owner that the answer names.
    Redirect,
    /// Fails the request: it would fail at every host.
    Fail,
    /// Marks the host as unavailable for a while, and sends the request to another one.
    MarkUnavailable,
    /// Sends the request to another host; the owner that is cached for the stream stays.
    Reroute,
    /// Sends the request to another host and drops the cached owner: this host no longer owns the
    /// stream.
    ForgetOwner,
}

/// Makes [`StatusCode`] from rows: name, number, name in DistributedLogService's interface, what a
/// failure with this code says of the records (the write state and the advice to a writer), what
/// the routing client does, and the HTTP status that the proxy answers with.
macro_rules! status_codes {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $code:literal, $name:literal, $state:ident, $advice:expr,
            $action:ident, $http:literal;
    )*) => {
        /// A write proxy's answer code. Numbers and names are DistributedLogService's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StatusCode {
            $($(#[$doc])* $variant,)*
            /// A code that this crate does not know, as it was received. It is handled as
            /// [`Unexpected`](Self::Unexpected).
            Other(i32),
        }

        impl StatusCode {
            /// Every code with a name, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the code with this number.
            #[must_use]
            pub const fn from_i32(code: i32) -> Self {
                match code { $($code => Self::$variant,)* other => Self::Other(other) }
            }

            /// Returns the number on the wire.
            #[must_use]
            pub const fn as_i32(self) -> i32 {
                match self { $(Self::$variant => $code,)* Self::Other(code) => code }
            }

            /// Returns the name in DistributedLogService's interface, `UNKNOWN` for a code that it
            /// does not have.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::Other(_) => "UNKNOWN" }
            }

            /// Returns the HTTP status with which the proxy's HTTP interface answers. 302 is no
            /// redirect there but 421: the owner's address is that of its thrift port, where no
            /// HTTP client can go.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $http,)* Self::Other(_) => 500 }
            }

            /// Returns `true` if the proxy, or its region, takes no such request at present, and
            /// another proxy may: the routing client sends the request there. Over HTTP a
            /// `Retry-After` beside such a code says for how long.
            #[must_use]
            pub const fn is_unavailable(self) -> bool {
                matches!(
                    self.action(),
                    StatusAction::MarkUnavailable | StatusAction::Reroute
                )
            }

            /// Returns what a failure with this code says of the records, and what the writer
            /// should do next.
            pub(crate) const fn consequence(self) -> (WriteState, Advice) {
                use Advice::*;
                match self {
                    $(Self::$variant => (WriteState::$state, $advice),)*
                    Self::Other(_) => (WriteState::Unknown, NextStream),
                }
            }

            /// Returns what the routing client does with the request.
            pub(crate) const fn action(self) -> StatusAction {
                match self {
                    $(Self::$variant => StatusAction::$action,)*
                    Self::Other(_) => StatusAction::ForgetOwner,
                }
            }
        }
    };
}

// The routing client knows more of 515 than this table says (`rules::failure`): a proxy answers it
// before it hands a request to the stream's writer, so nothing was written. Over HTTP the answer's
// body says `known`, which may be more than the code alone does.
status_codes! {
    /// The operation was carried out.
    Success = 200, "SUCCESS", NotWritten, NextStream, Succeed, 200;
    /// The proxy's own client is closed.
    ClientClosed = 301, "CLIENT_CLOSED", Unknown, NextStream, ForgetOwner, 500;
    /// Another proxy owns the stream; the answer's `location` says which.
    Found = 302, "FOUND", NotWritten, NextStream, Redirect, 421;
    /// The proxy refuses this client or operation.
    RequestDenied = 403, "REQUEST_DENIED", NotWritten, FailOnThisStream, Fail, 403;
    /// The record, or the record set, is larger than the proxy stores.
    TooLargeRecord = 413, "TOO_LARGE_RECORD", Rejected, FailRecords, Fail, 413;
    /// The proxy failed for a reason that has no code of its own.
    InternalServerError = 500, "INTERNAL_SERVER_ERROR", Unknown, NextStream, ForgetOwner, 500;
    /// The proxy does not implement the operation.
    NotImplemented = 501, "NOT_IMPLEMENTED", NotWritten, FailOnThisStream, Fail, 501;
    /// The stream's writer is closed already.
    AlreadyClosed = 502, "ALREADY_CLOSED", Unknown, NextStream, ForgetOwner, 503;
    /// The proxy is shutting down or takes no new streams.
    ServiceUnavailable = 503, "SERVICE_UNAVAILABLE", NotWritten, NextStream, MarkUnavailable, 503;
    /// The stream's lock was lost or could not be taken.
    LockingException = 504, "LOCKING_EXCEPTION", Unknown, NextStream, ForgetOwner, 503;
    /// The proxy's ZooKeeper failed.
    ZookeeperError = 505, "ZOOKEEPER_ERROR", Unknown, NextStream, ForgetOwner, 502;
    /// The stream's metadata could not be read or written.
    MetadataException = 506, "METADATA_EXCEPTION", NotWritten, NextStreamAndProbation, Fail, 500;
    /// Transmitting to the storage failed.
    BkTransmitError = 507, "BK_TRANSMIT_ERROR", Unknown, NextStream, ForgetOwner, 502;
    /// Flushing to the storage took too long.
    FlushTimeout = 508, "FLUSH_TIMEOUT", Unknown, NextStream, ForgetOwner, 504;
    /// The log holds no record.
    LogEmpty = 509, "LOG_EMPTY", NotWritten, NextStreamAndProbation, Fail, 500;
    /// The log does not exist.
    LogNotFound = 510, "LOG_NOT_FOUND", NotWritten, NextStreamAndProbation, Fail, 404;
    /// The transaction id lies before the truncation point.
    TruncatedTransaction = 511, "TRUNCATED_TRANSACTION",
        NotWritten, NextStreamAndProbation, Fail, 409;
    /// The stream has ended: it takes no more records.
    EndOfStream = 512, "END_OF_STREAM", NotWritten, NextStreamAndProbation, Fail, 409;
    /// The transaction id is below an earlier one.
    TransactionOutOfOrder = 513, "TRANSACTION_OUT_OF_ORDER",
        NotWritten, NextStreamAndProbation, Fail, 409;
    /// Writing failed.
    WriteException = 514, "WRITE_EXCEPTION", Unknown, NextStream, ForgetOwner, 500;
    /// The stream is not available on this proxy at present.
    StreamUnavailable = 515, "STREAM_UNAVAILABLE", Unknown, NextStream, ForgetOwner, 503;
    /// The write was cancelled because an earlier one failed.
    WriteCancelledException = 516, "WRITE_CANCELLED_EXCEPTION",
        Unknown, NextStream, ForgetOwner, 503;
    /// The proxy has more work than it takes.
    OverCapacity = 517, "OVER_CAPACITY", NotWritten, NextStreamAndCoolDown(None), Fail, 429;
    /// The stream is being set up.
    StreamNotReady = 518, "STREAM_NOT_READY", NotWritten, NextStreamAndCoolDown(None), Fail, 503;
    /// The proxy's region is not available.
    RegionUnavailable = 519, "REGION_UNAVAILABLE", NotWritten, NextStream, Reroute, 503;
    /// An enveloped entry could not be read.
    InvalidEnvelopedEntry = 520, "INVALID_ENVELOPED_ENTRY", Unknown, NextStream, ForgetOwner, 500;
    /// The metadata's version is not supported.
    UnsupportedMetadataVersion = 521, "UNSUPPORTED_METADATA_VERSION",
        Unknown, NextStream, ForgetOwner, 500;
    /// The log exists already.
    LogExists = 522, "LOG_EXISTS", Unknown, NextStream, ForgetOwner, 409;
    /// The request's CRC-32 does not match its content.
    ChecksumFailed = 523, "CHECKSUM_FAILED", NotWritten, FailOnThisStream, Fail, 400;
    /// The proxy owns as many streams as it takes.
    TooManyStreams = 524, "TOO_MANY_STREAMS", NotWritten, NextStreamAndCoolDown(None), Reroute, 503;
    /// The log segment does not exist.
    LogSegmentNotFound = 525, "LOG_SEGMENT_NOT_FOUND", Unknown, NextStream, ForgetOwner, 404;
    /// The log segment ends here.
    EndOfLogSegment = 526, "END_OF_LOG_SEGMENT", Unknown, NextStream, ForgetOwner, 500;
    /// The log segment was truncated.
    LogSegmentIsTruncated = 527, "LOG_SEGMENT_IS_TRUNCATED", Unknown, NextStream, ForgetOwner, 500;
    /// An exception that the proxy did not expect.
    Unexpected = 600, "UNEXPECTED", Unknown, NextStream, ForgetOwner, 500;
    /// The proxy's thread was interrupted.
    Interrupted = 601, "INTERRUPTED", Unknown, NextStream, ForgetOwner, 500;
    /// The stream's name is not valid.
    InvalidStreamName = 602, "INVALID_STREAM_NAME", NotWritten, FailOnThisStream, Fail, 400;
    /// The proxy is in a state that does not allow the operation.
    IllegalState = 603, "ILLEGAL_STATE", Unknown, NextStream, ForgetOwner, 500;
    /// Reading failed; trying again may help.
    RetryableRead = 1000, "RETRYABLE_READ", Unknown, NextStream, ForgetOwner, 503;
    /// Reading failed.
    LogReadError = 1001, "LOG_READ_ERROR", Unknown, NextStream, ForgetOwner, 500;
    /// The read was cancelled.
    ReadCancelledException = 1002, "READ_CANCELLED_EXCEPTION",
        Unknown, NextStream, ForgetOwner, 503;
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.as_i32())
    }
}
