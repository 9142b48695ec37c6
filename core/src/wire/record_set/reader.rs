use super::{
    CODEC_MASK, Codec, HEADER_BYTES, LENGTH_BYTES, MAX_PAYLOAD_BYTES, SetIdentity, VERSION,
    VERSION_MASK,
};
use super::{RecordSetError, RecordSetErrorKind};

/// A set's header, checked against itself and its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Encoding of the payload.
    pub codec: Codec,
    /// Number of records.
    pub record_count: usize,
    /// Bytes of the payload when it is not compressed; at most [`MAX_PAYLOAD_BYTES`].
    pub payload_bytes: usize,
    /// Bytes of the stored payload.
    pub stored_bytes: usize,
}

impl Header {
    /// Decodes the header at the front of `bytes`. It gives the size of the buffer that
    /// [`RecordSet::parse`] needs: `payload_bytes` with LZ4, otherwise none.
    ///
    /// # Errors
    ///
    /// [`RecordSetError`] when there is no header, its numbers are impossible, or its payload would
    /// be too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordSetError> {
        let at = |offset, kind| RecordSetError { offset, kind };
        let ([metadata, count, payload, stored, ..], _) = bytes.as_chunks::<4>() else {
            return Err(at(0, RecordSetErrorKind::NoHeader { found: bytes.len() }));
        };
        let size = |offset, word: &[u8; 4]| {
            let number = i32::from_be_bytes(*word);
            usize::try_from(number).map_err(|_| at(offset, RecordSetErrorKind::Negative(number)))
        };
        let metadata = u32::from_be_bytes(*metadata);
        if metadata & VERSION_MASK != VERSION {
            return Err(at(0, RecordSetErrorKind::NotARecordSet { found: metadata }));
        }
        let codec = match metadata & CODEC_MASK {
            0 => Codec::None,
            1 => Codec::Lz4,
            other => return Err(at(0, RecordSetErrorKind::UnknownCodec(other as u8))),
        };
        let (record_count, payload_bytes, stored_bytes) =
            (size(4, count)?, size(8, payload)?, size(12, stored)?);
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(at(
                8,
                RecordSetErrorKind::TooLarge {
                    payload: payload_bytes,
                },
            ));
        }
        if record_count > payload_bytes / LENGTH_BYTES {
            return Err(at(
                4,
                RecordSetErrorKind::CountTooLarge {
                    count: record_count,
                    payload: payload_bytes,
                },
            ));
        }
        let found = bytes.len() - HEADER_BYTES;
        if stored_bytes > found {
            return Err(at(
                12,
                RecordSetErrorKind::StoredBeyondEnd {
                    stored: stored_bytes,
                    found,
                },
            ));
        }
        if codec == Codec::None && payload_bytes != stored_bytes {
            return Err(at(
                8,
                RecordSetErrorKind::LengthsDiffer {
                    payload: payload_bytes,
                    stored: stored_bytes,
                },
            ));
        }
        Ok(Self {
            codec,
            record_count,
            payload_bytes,
            stored_bytes,
        })
    }
}

/// Record set that was checked from end to end: every record is complete.
#[derive(Clone, Copy, Debug)]
pub struct RecordSet<'a> {
    header: Header,
    /// The records, each behind its length, without anything behind the last.
    records: &'a [u8],
    trailing: &'a [u8],
    identity: Option<SetIdentity>,
    beyond: &'a [u8],
}

impl<'a> RecordSet<'a> {
    /// Checks `bytes`, a whole stored record, from end to end. A compressed set is decompressed
    /// into `scratch`, which must hold the [`payload_bytes`](Header::payload_bytes) of its
    /// header ([`MAX_PAYLOAD_BYTES`] always suffice); an uncompressed one needs none.
    ///
    /// Bytes behind the last record and behind the payload are what the original's reader skips;
    /// they are handed out as they are.
    ///
    /// # Errors
    ///
    /// [`RecordSetError`] gives the error and its offset.
    pub fn parse(bytes: &'a [u8], scratch: &'a mut [u8]) -> Result<Self, RecordSetError> {
        let header = Header::parse(bytes)?;
        // The header was checked against what follows it: the empty slices are for a linker, which
        // finds no way to a panic.
        let (stored, beyond) = bytes
            .get(HEADER_BYTES..)
            .and_then(|rest| rest.split_at_checked(header.stored_bytes))
            .unwrap_or_default();
        let payload = match header.codec {
            Codec::None => stored,
            Codec::Lz4 => decompress(stored, header.payload_bytes, scratch)?,
        };
        let mut rest = payload;
        for record in 0..header.record_count {
            let offset = HEADER_BYTES + payload.len() - rest.len();
            let Some((_, after)) = split_record(rest) else {
                return Err(RecordSetError {
                    offset,
                    kind: beyond_end(record, rest),
                });
            };
            rest = after;
        }
        let records = payload
            .get(..payload.len() - rest.len())
            .unwrap_or_default();
        let (identity, trailing) = match SetIdentity::from_trailer(rest) {
            Some((identity, rest)) => (Some(identity), rest),
            None => (None, rest),
        };
        Ok(Self {
            header,
            records,
            trailing,
            identity,
            beyond,
        })
    }

    /// Returns the number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.header.record_count
    }

    /// Returns `true` if there are no records.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set's header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the set's identity, if its writer added one (R12).
    #[must_use]
    pub const fn identity(&self) -> Option<SetIdentity> {
        self.identity
    }

    /// Returns the bytes of the payload behind the last record and the identity: empty, unless a
    /// writer of another kind added some.
    #[must_use]
    pub const fn trailing(&self) -> &'a [u8] {
        self.trailing
    }

    /// Returns the bytes behind the payload: empty, unless the set was stored together with other
    /// data.
    #[must_use]
    pub const fn beyond(&self) -> &'a [u8] {
        self.beyond
    }

    /// The records, in the order of their slots.
    #[must_use]
    pub const fn records(&self) -> Records<'a> {
        Records {
            rest: self.records,
            left: self.header.record_count,
        }
    }
}

impl<'a> IntoIterator for &RecordSet<'a> {
    type Item = &'a [u8];
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.records()
    }
}

/// The records of a [`RecordSet`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let found = split_record(self.rest);
        // Not `expect`: a device's parsers are linked without a way to a panic.
        debug_assert!(
            found.is_some(),
            "every record was found whole when the set was parsed"
        );
        let (record, rest) = found?;
        self.rest = rest;
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Records<'_> {}

/// The first record of a payload and what follows it.
fn split_record(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = payload.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(i32::from_be_bytes(*length)).ok()?)
}

/// Returns the reason why a payload does not begin with a complete record.
fn beyond_end(record: usize, payload: &[u8]) -> RecordSetErrorKind {
    let length = payload
        .first_chunk::<LENGTH_BYTES>()
        .map_or(0, |length| i32::from_be_bytes(*length));
    RecordSetErrorKind::RecordBeyondEnd {
        record,
        length,
        left: payload.len().saturating_sub(LENGTH_BYTES),
    }
}

#[cfg(feature = "lz4")]
fn decompress<'s>(
    stored: &[u8],
    payload_bytes: usize,
    scratch: &'s mut [u8],
) -> Result<&'s [u8], RecordSetError> {
    let available = scratch.len();
    let Some(room) = scratch.get_mut(..payload_bytes) else {
        return Err(RecordSetError {
            offset: 8,
            kind: RecordSetErrorKind::ScratchTooSmall {
                needed: payload_bytes,
                available,
            },
        });
    };
    match lz4_flex::block::decompress_into(stored, room) {
        Ok(length) if length == payload_bytes => Ok(room),
        Ok(_) | Err(_) => Err(RecordSetError {
            offset: HEADER_BYTES,
            kind: RecordSetErrorKind::BadLz4 {
                expected: payload_bytes,
            },
        }),
    }
}

#[cfg(not(feature = "lz4"))]
fn decompress<'s>(
    _stored: &[u8],
    _payload_bytes: usize,
    _scratch: &'s mut [u8],
) -> Result<&'s [u8], RecordSetError> {
    Err(RecordSetError {
        offset: 0,
        kind: RecordSetErrorKind::Lz4NotEnabled,
    })
}
