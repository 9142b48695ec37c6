//! Log segments: the texts of nodes below `<log>/<default>/ledgers`.

use core::fmt::Write as _;

use super::NamespaceError;
use crate::{EntryId, LedgerId};

/// A log segment's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSegment {
    /// Version of the text, 1 to 5. DistributedLog writes 5 since 0.3.
    pub version: u8,
    /// Region of the writer; 0 unless the namespace encodes regions.
    pub region: u8,
    /// The ledger.
    pub ledger: LedgerId,
    /// Log segment sequence number; 0 in version 1, which has none.
    pub sequence_number: i64,
    /// Transaction id of the first record.
    pub first_txid: i64,
    /// Truncation.
    pub truncation: Truncation,
    /// First entry and slot that are not truncated.
    pub min_active: (EntryId, i64),
    /// Sequence id of the first record; negative while the segment before is not completed, and in
    /// versions before 5.
    pub start_sequence_id: i64,
    /// State.
    pub state: SegmentState,
}

/// Part of a log segment that was truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncation {
    /// Nothing.
    Active,
    /// Everything before the segment's `min_active`.
    Partial,
    /// Everything: readers skip the segment, and its writer deletes it later.
    Whole,
}

/// State of a log segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// A writer appends, or left it for a recovery.
    InProgress,
    /// The last record is known.
    Completed(Completed),
}

/// End of a completed log segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Transaction id of the last record.
    pub last_txid: i64,
    /// Time of completion in milliseconds since 1970.
    pub completed_unix_ms: i64,
    /// Number of records; those of a record set count each.
    pub record_count: i32,
    /// Entry and slot of the last record.
    pub last: (EntryId, i64),
}

/// Version that DistributedLog writes.
const LATEST_VERSION: u8 = 5;

impl LogSegment {
    /// Returns a segment in progress, as a writer starts it.
    #[must_use]
    pub const fn started(ledger: LedgerId, sequence_number: i64, first_txid: i64) -> Self {
        Self {
            version: LATEST_VERSION,
            region: 0,
            ledger,
            sequence_number,
            first_txid,
            truncation: Truncation::Active,
            min_active: (0, 0),
            start_sequence_id: -1,
            state: SegmentState::InProgress,
        }
    }

    /// Returns the name of the node, in name version 1.
    #[must_use]
    pub fn node_name(&self) -> String {
        let prefix = match self.state {
            SegmentState::InProgress => "inprogress",
            SegmentState::Completed(_) => "logrecs",
        };
        format!("{prefix}_{:018}", self.sequence_number)
    }

    /// Decodes the data of a node. The number of fields, not the node's name, says whether the
    /// segment is completed.
    ///
    /// # Errors
    /// [`NamespaceError`] if the text has another version than 1 to 5, or a field is missing or out
    /// of range.
    pub fn decode(data: &[u8]) -> Result<Self, NamespaceError> {
        let text = core::str::from_utf8(data).map_err(|_| NamespaceError::Segment { field: 0 })?;
        // Bounded: no version has more than eleven fields.
        let mut fields = [0_i64; 11];
        let mut count = 0;
        for word in text.split(';') {
            let error = NamespaceError::Segment { field: count };
            *fields.get_mut(count).ok_or(error)? = word.parse().map_err(|_| error)?;
            count += 1;
        }
        let word = fields[0].cast_unsigned();
        let version = word as u8;
        // Fields behind the word, ledger and first transaction id, in progress and completed.
        let (in_progress, completed) = match version {
            1 => (3, 5),
            2 => (4, 8),
            3 | 4 => (6, 10),
            5 => (7, 11),
            _ => return Err(NamespaceError::SegmentVersion(version)),
        };
        let is_completed = count == completed;
        if !is_completed && count != in_progress {
            return Err(NamespaceError::Segment { field: count });
        }
        let mut rest = fields[3..].iter().copied();
        let mut next = || rest.next().unwrap_or(0);
        let (last_txid, completed_unix_ms) = if is_completed {
            (next(), next())
        } else {
            (0, 0)
        };
        let sequence_number = if version == 1 { 0 } else { next() };
        let last = if is_completed && version > 1 {
            (next(), next())
        } else {
            (0, 0)
        };
        let min_active = if version > 2 {
            (next(), next())
        } else {
            (0, 0)
        };
        let start_sequence_id = if version > 4 { next() } else { -1 };
        let completed = Completed {
            last_txid,
            completed_unix_ms,
            record_count: (word >> 32) as u32 as i32,
            last,
        };
        Ok(Self {
            version,
            region: (word >> 28 & 0xf) as u8,
            ledger: fields[1],
            sequence_number,
            first_txid: fields[2],
            truncation: match word >> 8 & 3 {
                0 => Truncation::Active,
                1 => Truncation::Partial,
                2 => Truncation::Whole,
                _ => return Err(NamespaceError::Segment { field: 0 }),
            },
            min_active,
            start_sequence_id,
            state: if is_completed {
                SegmentState::Completed(completed)
            } else {
                SegmentState::InProgress
            },
        })
    }

    /// Encodes the node's data in the segment's version.
    #[must_use]
    pub fn encode(&self) -> String {
        let truncation = match self.truncation {
            Truncation::Active => 0,
            Truncation::Partial => 1,
            Truncation::Whole => 2,
        };
        let count = match self.state {
            SegmentState::InProgress => 0,
            SegmentState::Completed(completed) => completed.record_count,
        };
        let word = u64::from(count.cast_unsigned()) << 32
            | u64::from(self.region & 0xf) << 28
            | truncation << 8
            | u64::from(self.version);
        let mut text = word.cast_signed().to_string();
        let mut put = |number: i64| {
            write!(text, ";{number}").expect("a string takes every text");
        };
        put(self.ledger);
        put(self.first_txid);
        if let SegmentState::Completed(completed) = self.state {
            put(completed.last_txid);
            put(completed.completed_unix_ms);
        }
        if self.version > 1 {
            put(self.sequence_number);
            if let SegmentState::Completed(completed) = self.state {
                put(completed.last.0);
                put(completed.last.1);
            }
        }
        if self.version > 2 {
            put(self.min_active.0);
            put(self.min_active.1);
        }
        if self.version > 4 {
            put(self.start_sequence_id);
        }
        text
    }
}
