use core::fmt;

/// The position of a record in a log stream (DistributedLog sequence number), ordered as the records are.
///
/// Record `i` of a record set acknowledged at `dlsn` has the position [`dlsn.slot(i)`](Self::slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dlsn {
    /// Which log segment of the stream; the first is 1.
    pub log_segment_sequence_no: i64,
    /// Which entry of the log segment; the first is 0.
    pub entry_id: i64,
    /// Which record of the entry; the first is 0.
    pub slot_id: i64,
}

impl Dlsn {
    /// The position of a stream's first record.
    pub const INITIAL: Self = Self::new(1, 0, 0);
    /// Just before [`INITIAL`](Self::INITIAL).
    pub const NON_INCLUSIVE_LOWER_BOUND: Self = Self::new(1, 0, -1);
    /// The position of no record.
    pub const INVALID: Self = Self::new(0, -1, -1);

    /// The position with these three parts.
    #[must_use]
    pub const fn new(log_segment_sequence_no: i64, entry_id: i64, slot_id: i64) -> Self {
        Self { log_segment_sequence_no, entry_id, slot_id }
    }

    /// The position `count` slots further in the same entry.
    #[must_use]
    pub const fn slot(self, count: u32) -> Self {
        Self { slot_id: self.slot_id.saturating_add(count as i64), ..self }
    }
}

impl fmt::Display for Dlsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DLSN{{logSegmentSequenceNo={}, entryId={}, slotId={}}}", self.log_segment_sequence_no, self.entry_id, self.slot_id)
    }
}
