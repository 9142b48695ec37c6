//! Records in the payload of a ledger's entry.

use bytes::{BufMut, Bytes, BytesMut};

use super::NamespaceError;

/// Maximum bytes of a record with its header.
pub const MAX_RECORD_BYTES: usize = (1 << 20) - (8 << 10);

/// Maximum bytes of the records of one entry.
pub const MAX_ENTRY_BYTES: usize = (1 << 20) - (4 << 10);

/// Bytes in front of an envelope's records: version, flags and two lengths.
const ENVELOPE_BYTES: usize = 13;

/// Bytes in front of a record's payload: metadata, transaction id and length.
const RECORD_HEADER_BYTES: usize = 20;

/// Version of the envelope.
const ENVELOPE_VERSION: u8 = 1;

/// Kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A record of an application.
    User,
    /// A set of records of an application: takes a slot and a position for each.
    RecordSet,
    /// A record that makes the entries before it visible to readers, which skip it.
    Control,
    /// The end of the log: nothing is ever written behind it.
    EndOfStream,
}

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Kind.
    pub kind: RecordKind,
    /// Number of the application's records of the segment up to this one. That of a record set is
    /// its first record's; that of a control record is the last one's.
    pub position: u32,
    /// Transaction id.
    pub txid: i64,
    /// Payload.
    pub payload: Bytes,
}

impl LogRecord {
    /// Returns the bytes of the record with its header.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), NamespaceError> {
        let bytes = self.payload.len();
        if self.encoded_len() > MAX_RECORD_BYTES {
            return Err(NamespaceError::RecordTooLarge { bytes });
        }
        let flags = match self.kind {
            RecordKind::User => 0,
            RecordKind::Control => CONTROL,
            RecordKind::EndOfStream => END_OF_STREAM,
            RecordKind::RecordSet => RECORD_SET,
        };
        out.put_u64(flags | u64::from(self.position) << 16);
        out.put_i64(self.txid);
        out.put_u32(bytes as u32);
        out.put_slice(&self.payload);
        Ok(())
    }
}

/// Compression of an entry's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// LZ4 blocks.
    Lz4,
}

const CONTROL: u64 = 1;
const END_OF_STREAM: u64 = 2;
const RECORD_SET: u64 = 4;

/// Payload of one entry, whose records are known to be readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopedEntry {
    records: Bytes,
}

impl EnvelopedEntry {
    /// Encodes records into the payload of an entry.
    ///
    /// # Errors
    /// [`NamespaceError::RecordTooLarge`] for a record above [`MAX_RECORD_BYTES`], and
    /// [`NamespaceError::EntryLength`] for records above [`MAX_ENTRY_BYTES`] together.
    pub fn encode(
        records: &[LogRecord],
        compression: Compression,
    ) -> Result<Bytes, NamespaceError> {
        let length: usize = records.iter().map(LogRecord::encoded_len).sum();
        if length > MAX_ENTRY_BYTES {
            return Err(NamespaceError::EntryLength);
        }
        let mut out = BytesMut::with_capacity(ENVELOPE_BYTES + length);
        out.put_bytes(0, ENVELOPE_BYTES);
        for record in records {
            record.encode(&mut out)?;
        }
        let (flags, stored) = match compression {
            Compression::None => (0, length),
            Compression::Lz4 => {
                let compressed = lz4_flex::block::compress(&out[ENVELOPE_BYTES..]);
                out.truncate(ENVELOPE_BYTES);
                out.put_slice(&compressed);
                (1, compressed.len())
            }
        };
        // Both lengths are far below 2^32.
        let mut head = &mut out[..ENVELOPE_BYTES];
        head.put_u8(ENVELOPE_VERSION);
        head.put_u32(flags);
        head.put_u32(length as u32);
        head.put_u32(stored as u32);
        Ok(out.freeze())
    }

    /// Decodes the payload of an entry of a segment of version 4 or later. Compressed ones are
    /// decompressed, at most to [`MAX_ENTRY_BYTES`].
    ///
    /// # Errors
    /// [`NamespaceError`] if the payload is not an envelope with whole records.
    pub fn decode(payload: &Bytes) -> Result<Self, NamespaceError> {
        let (head, stored) = payload
            .split_first_chunk::<ENVELOPE_BYTES>()
            .ok_or(NamespaceError::EntryLength)?;
        let [version, fields @ ..] = head;
        if *version != ENVELOPE_VERSION {
            return Err(NamespaceError::EntryVersion(u32::from(*version)));
        }
        let [flags, length, stored_length] = numbers(fields);
        let length = usize::try_from(length).map_err(|_| NamespaceError::EntryLength)?;
        if u32::try_from(stored.len()) != Ok(stored_length) || length > MAX_ENTRY_BYTES {
            return Err(NamespaceError::EntryLength);
        }
        let records = match flags & 3 {
            0 if length == stored.len() => payload.slice_ref(stored),
            0 => return Err(NamespaceError::EntryLength),
            1 => lz4_flex::block::decompress(stored, length)
                .ok()
                .filter(|records| records.len() == length)
                .ok_or(NamespaceError::Compression)?
                .into(),
            codec => return Err(NamespaceError::EntryVersion(codec)),
        };
        let mut check = Records {
            rest: records.clone(),
        };
        while check.read()?.is_some() {}
        Ok(Self { records })
    }

    /// Returns the records in their order.
    #[must_use]
    pub fn records(&self) -> Records {
        Records {
            rest: self.records.clone(),
        }
    }
}

/// Records of an entry.
#[derive(Clone, Debug)]
pub struct Records {
    rest: Bytes,
}

impl Records {
    fn read(&mut self) -> Result<Option<LogRecord>, NamespaceError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (head, rest) = self
            .rest
            .split_first_chunk::<RECORD_HEADER_BYTES>()
            .ok_or(NamespaceError::EntryLength)?;
        let [high, low, txid_high, txid_low, length] = numbers(head);
        let metadata = u64::from(high) << 32 | u64::from(low);
        let length = usize::try_from(length).map_err(|_| NamespaceError::EntryLength)?;
        let payload = rest.get(..length).ok_or(NamespaceError::EntryLength)?;
        let record = LogRecord {
            kind: match metadata & (CONTROL | END_OF_STREAM | RECORD_SET) {
                0 => RecordKind::User,
                CONTROL => RecordKind::Control,
                RECORD_SET => RecordKind::RecordSet,
                // The end of the log goes before every other flag.
                flags if flags & END_OF_STREAM != 0 => RecordKind::EndOfStream,
                flags => return Err(NamespaceError::EntryVersion(flags as u32)),
            },
            position: (metadata >> 16) as u32,
            txid: (u64::from(txid_high) << 32 | u64::from(txid_low)).cast_signed(),
            payload: self.rest.slice_ref(payload),
        };
        self.rest = self.rest.slice(RECORD_HEADER_BYTES + length..);
        Ok(Some(record))
    }
}

impl Iterator for Records {
    type Item = LogRecord;

    fn next(&mut self) -> Option<LogRecord> {
        self.read().expect("`decode` read every record before")
    }
}

/// Splits bytes into big-endian numbers.
fn numbers<const COUNT: usize>(bytes: &[u8]) -> [u32; COUNT] {
    let mut numbers = [0; COUNT];
    for (number, chunk) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
        let mut four = [0; 4];
        four.copy_from_slice(chunk);
        *number = u32::from_be_bytes(four);
    }
    numbers
}
