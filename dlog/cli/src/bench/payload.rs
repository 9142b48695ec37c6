use core::ops::Range;

/// Bytes in front of a record's filling: the run, the writer, and the record's number.
pub(super) const HEADER_BYTES: usize = 20;

const RUN: Range<usize> = 0..8;
const WRITER: Range<usize> = 8..12;
const NUMBER: Range<usize> = 12..HEADER_BYTES;

/// Filling of a record: text, so that readers show it as such.
const FILLING: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

/// The identity of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordId {
    /// The run of the command.
    pub(super) run: u64,
    /// The writer, from 0.
    pub(super) writer: u32,
    /// The record's number at its writer, from 0.
    pub(super) number: u64,
}

/// Creates a record of `bytes` bytes, without its identity.
pub(super) fn template(bytes: usize) -> Vec<u8> {
    FILLING.iter().copied().cycle().take(bytes).collect()
}

impl RecordId {
    /// Writes the identity into a record that is long enough for it.
    pub(super) fn write(self, record: &mut [u8]) {
        if record.len() < HEADER_BYTES {
            return;
        }
        record[RUN].copy_from_slice(&self.run.to_be_bytes());
        record[WRITER].copy_from_slice(&self.writer.to_be_bytes());
        record[NUMBER].copy_from_slice(&self.number.to_be_bytes());
    }

    /// Reads the identity of a record, which may be another program's.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        if record.len() < HEADER_BYTES {
            return None;
        }
        Some(Self {
            run: u64::from_be_bytes(record[RUN].try_into().ok()?),
            writer: u32::from_be_bytes(record[WRITER].try_into().ok()?),
            number: u64::from_be_bytes(record[NUMBER].try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_which_it_is() {
        let id = RecordId {
            run: 7,
            writer: 3,
            number: 1 << 40,
        };
        let mut record = template(100);
        id.write(&mut record);
        assert_eq!((record.len(), RecordId::read(&record)), (100, Some(id)));
        let mut short = template(HEADER_BYTES - 1);
        id.write(&mut short);
        assert_eq!(RecordId::read(&short), None);
        assert_eq!(short, FILLING[..HEADER_BYTES - 1]);
    }
}
