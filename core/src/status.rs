use core::fmt;

macro_rules! status_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $name:literal;)*) => {
        /// A write proxy's answer code. Numbers and names are DistributedLogService's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum StatusCode {
            $($(#[$doc])* $variant,)*
            /// A code that this crate does not know, as it was received.
            Other(i32),
        }

        impl StatusCode {
            /// The code with this number.
            #[must_use]
            pub const fn from_i32(code: i32) -> Self {
                match code { $($code => Self::$variant,)* other => Self::Other(other) }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn as_i32(self) -> i32 {
                match self { $(Self::$variant => $code,)* Self::Other(code) => code }
            }

            /// The name in DistributedLogService's interface, `UNKNOWN` for a code it does not
            /// have.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::Other(_) => "UNKNOWN" }
            }
        }
    };
}

status_codes! {
    /// The operation was carried out.
    Success = 200 "SUCCESS";
    /// The proxy's own client is closed.
    ClientClosed = 301 "CLIENT_CLOSED";
    /// Another proxy owns the stream; the answer's `location` says which.
    Found = 302 "FOUND";
    /// The proxy refuses this client or operation.
    RequestDenied = 403 "REQUEST_DENIED";
    /// The record, or the record set, is larger than the proxy stores.
    TooLargeRecord = 413 "TOO_LARGE_RECORD";
    /// The proxy failed in a way it has no name for.
    InternalServerError = 500 "INTERNAL_SERVER_ERROR";
    /// The proxy does not implement the operation.
    NotImplemented = 501 "NOT_IMPLEMENTED";
    /// The stream's writer was closed already.
    AlreadyClosed = 502 "ALREADY_CLOSED";
    /// The proxy is shutting down or takes no new streams.
    ServiceUnavailable = 503 "SERVICE_UNAVAILABLE";
    /// The stream's lock was lost or could not be taken.
    LockingException = 504 "LOCKING_EXCEPTION";
    /// The proxy's ZooKeeper failed.
    ZookeeperError = 505 "ZOOKEEPER_ERROR";
    /// The stream's metadata could not be read or written.
    MetadataException = 506 "METADATA_EXCEPTION";
    /// Transmitting to the storage failed.
    BkTransmitError = 507 "BK_TRANSMIT_ERROR";
    /// Flushing to the storage took too long.
    FlushTimeout = 508 "FLUSH_TIMEOUT";
    /// The log holds no record.
    LogEmpty = 509 "LOG_EMPTY";
    /// There is no such log.
    LogNotFound = 510 "LOG_NOT_FOUND";
    /// The transaction id lies before the truncation point.
    TruncatedTransaction = 511 "TRUNCATED_TRANSACTION";
    /// The stream was ended for good.
    EndOfStream = 512 "END_OF_STREAM";
    /// The transaction id is below an earlier one.
    TransactionOutOfOrder = 513 "TRANSACTION_OUT_OF_ORDER";
    /// Writing failed.
    WriteException = 514 "WRITE_EXCEPTION";
    /// The stream is not available on this proxy just now.
    StreamUnavailable = 515 "STREAM_UNAVAILABLE";
    /// The write was cancelled because an earlier one failed.
    WriteCancelledException = 516 "WRITE_CANCELLED_EXCEPTION";
    /// The proxy has more work than it takes.
    OverCapacity = 517 "OVER_CAPACITY";
    /// The stream is being set up.
    StreamNotReady = 518 "STREAM_NOT_READY";
    /// The proxy's region is not available.
    RegionUnavailable = 519 "REGION_UNAVAILABLE";
    /// An enveloped entry could not be read.
    InvalidEnvelopedEntry = 520 "INVALID_ENVELOPED_ENTRY";
    /// The metadata's version is not supported.
    UnsupportedMetadataVersion = 521 "UNSUPPORTED_METADATA_VERSION";
    /// There is such a log already.
    LogExists = 522 "LOG_EXISTS";
    /// The request's CRC-32 does not match its content.
    ChecksumFailed = 523 "CHECKSUM_FAILED";
    /// The proxy owns as many streams as it takes.
    TooManyStreams = 524 "TOO_MANY_STREAMS";
    /// There is no such log segment.
    LogSegmentNotFound = 525 "LOG_SEGMENT_NOT_FOUND";
    /// The log segment ends here.
    EndOfLogSegment = 526 "END_OF_LOG_SEGMENT";
    /// The log segment was truncated.
    LogSegmentIsTruncated = 527 "LOG_SEGMENT_IS_TRUNCATED";
    /// An exception that the proxy did not expect.
    Unexpected = 600 "UNEXPECTED";
    /// The proxy's thread was interrupted.
    Interrupted = 601 "INTERRUPTED";
    /// The stream's name is not a legal one.
    InvalidStreamName = 602 "INVALID_STREAM_NAME";
    /// The proxy was asked something in a state that does not allow it.
    IllegalState = 603 "ILLEGAL_STATE";
    /// Reading failed; trying again may help.
    RetryableRead = 1000 "RETRYABLE_READ";
    /// Reading failed.
    LogReadError = 1001 "LOG_READ_ERROR";
    /// The read was cancelled.
    ReadCancelledException = 1002 "READ_CANCELLED_EXCEPTION";
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.as_i32())
    }
}
