use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::{LENGTH_BYTES, SetIdentity};

use super::event::Record;

/// Consecutive records of a stream that are delivered at once: those of a record set, or one that
/// was written alone. Their payloads are cut out of the set when they are looked at, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordRun {
    /// Position of its first slot. The records that follow are in the next slots.
    pub dlsn: Dlsn,
    /// Time at which the store wrote the records: milliseconds since 1970.
    pub written_unix_ms: u64,
    /// Identity of the record set, as in [`Record::set`].
    pub set: Option<SetIdentity>,
    payloads: Payloads,
}

/// A run of records, and the stream that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamRun {
    /// The stream. Duplicates of the records may be in others.
    pub stream: Arc<str>,
    /// The records.
    pub run: RecordRun,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Payloads {
    One(Bytes),
    Set {
        /// The records, each behind its length; what follows them is not looked at.
        bytes: Bytes,
        slots: u32,
        /// Slots of records that were delivered already, sorted.
        delivered: Vec<u32>,
    },
}

impl RecordRun {
    pub(crate) fn alone(record: Record) -> Self {
        Self {
            dlsn: record.dlsn,
            written_unix_ms: record.written_unix_ms,
            set: record.set,
            payloads: Payloads::One(record.payload),
        }
    }

    /// Creates the run of a set whose records were checked: `bytes` begins with that many, each
    /// behind its length.
    pub(crate) const fn of_set(
        dlsn: Dlsn,
        written_unix_ms: u64,
        set: Option<SetIdentity>,
        bytes: Bytes,
        slots: u32,
    ) -> Self {
        Self {
            dlsn,
            written_unix_ms,
            set,
            payloads: Payloads::Set {
                bytes,
                slots,
                delivered: Vec::new(),
            },
        }
    }

    /// Number of positions that it takes, with those of records that were delivered already.
    pub(crate) const fn slots(&self) -> u32 {
        match &self.payloads {
            Payloads::One(_) => 1,
            Payloads::Set { slots, .. } => *slots,
        }
    }

    /// Leaves out the records in these slots, which are sorted.
    pub(crate) fn leave_out(&mut self, slots: Vec<u32>) {
        if let Payloads::Set { delivered, .. } = &mut self.payloads {
            *delivered = slots;
        }
    }

    /// Returns the position of its last slot.
    #[must_use]
    pub fn last(&self) -> Dlsn {
        self.dlsn.slot(self.slots().saturating_sub(1))
    }

    /// Returns the number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        match &self.payloads {
            Payloads::One(_) => 1,
            Payloads::Set {
                slots, delivered, ..
            } => *slots as usize - delivered.len(),
        }
    }

    /// Returns true if it has no records.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the positions and the payloads of the records, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Dlsn, &[u8])> {
        let (alone, bytes, slots, delivered) = match &self.payloads {
            Payloads::One(payload) => (Some(&payload[..]), &[][..], 0, &[][..]),
            Payloads::Set {
                bytes,
                slots,
                delivered,
            } => (None, &bytes[..], *slots, &delivered[..]),
        };
        let cut = Cut { bytes, left: slots };
        // Most often nothing is left out, and the search ends at once.
        let kept = (0..)
            .zip(cut)
            .filter(|(slot, _)| delivered.binary_search(slot).is_err());
        let alone = alone.map(|payload| (0, payload));
        let all = alone.into_iter().chain(kept);
        all.map(|(slot, payload)| (self.dlsn.slot(slot), payload))
    }
}

/// Cuts records apart, each of which is behind its length.
pub(crate) struct Cut<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) left: u32,
}

impl<'a> Iterator for Cut<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.bytes.split_first_chunk::<LENGTH_BYTES>()?;
        let (record, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.bytes = rest;
        Some(record)
    }
}
