//! Contradictions among a log's nodes and ledgers.

use core::fmt;

use serde::Serialize;

/// Something that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The stream.
    pub stream: String,
    /// Sequence number of the log segment, or `None` if it is about the log.
    pub log_segment: Option<i64>,
    /// Kind.
    pub kind: FindingKind,
    /// Values that contradict each other.
    pub detail: String,
}

/// Kind of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// A node of the log is missing or does not decode.
    DamagedNode,
    /// A sequence number is missing between two log segments, or is there twice.
    SequenceNumbers,
    /// More log segments are in progress than a change of segments has.
    TooManyInProgress,
    /// A log segment in progress is before a completed one.
    InProgressBeforeCompleted,
    /// The ledger of a log segment does not exist.
    MissingLedger,
    /// The ledger of a completed log segment is not closed.
    OpenLedger,
    /// The ledger of a completed log segment ends before the segment's last entry.
    ShortLedger,
    /// The first transaction id of a log segment is above its last.
    TransactionIds,
    /// The sequence id of a log segment's first record does not follow the segment before.
    SequenceIds,
    /// The largest number of a log segment that was started is not the log segments' own.
    MaxSequenceNumber,
    /// The largest transaction id of the log is below that of a completed log segment.
    MaxTransactionId,
    /// Two log segments have the same ledger.
    SharedLedger,
    /// A member of the write lock does not end with its session: it locks the log for ever.
    PermanentLock,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DamagedNode => "damaged node",
            Self::SequenceNumbers => "sequence numbers",
            Self::TooManyInProgress => "too many segments in progress",
            Self::InProgressBeforeCompleted => "segment in progress before a completed one",
            Self::MissingLedger => "missing ledger",
            Self::OpenLedger => "ledger not closed",
            Self::ShortLedger => "ledger too short",
            Self::TransactionIds => "transaction ids",
            Self::SequenceIds => "sequence ids",
            Self::MaxSequenceNumber => "largest sequence number",
            Self::MaxTransactionId => "largest transaction id",
            Self::SharedLedger => "shared ledger",
            Self::PermanentLock => "permanent lock",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stream)?;
        if let Some(number) = self.log_segment {
            write!(f, ", log segment {number}")?;
        }
        write!(f, ": {}: {}", self.kind, self.detail)
    }
}
