//! Protobuf's encoding, as far as BookKeeper uses it: varints and length-delimited fields.

use bytes::{BufMut, BytesMut};

use super::error::{DecodeError, DecodeErrorKind};

/// The value of a field as it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValue<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes, which no known field has.
    Fixed,
}

impl<'a> FieldValue<'a> {
    pub(crate) fn u64(self, field: &'static str) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed => {
                Err(DecodeError::new(field, DecodeErrorKind::WrongType))
            }
        }
    }

    /// A signed number: protobuf's `int64` is the two's complement in a varint.
    pub(crate) fn i64(self, field: &'static str) -> Result<i64, DecodeError> {
        self.u64(field).map(u64::cast_signed)
    }

    /// A number of 32 bits, also one of an enum.
    pub(crate) fn i32(self, field: &'static str) -> Result<i32, DecodeError> {
        let value = self.i64(field)?;
        i32::try_from(value)
            .map_err(|_| DecodeError::new(field, DecodeErrorKind::OutOfRange(value)))
    }

    pub(crate) fn bytes(self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed => {
                Err(DecodeError::new(field, DecodeErrorKind::WrongType))
            }
        }
    }

    pub(crate) fn text(self, field: &'static str) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes(field)?)
            .map_err(|_| DecodeError::new(field, DecodeErrorKind::NotUtf8))
    }
}

/// The fields of one message in their order, with the bytes that each was decoded from.
pub(crate) struct Fields<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            message,
            rest: bytes,
        }
    }

    /// The next field's number, value and encoded bytes; `None` at the end of the message.
    #[expect(
        clippy::type_complexity,
        reason = "a tuple that every caller takes apart at once"
    )]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, FieldValue<'a>, &'a [u8])>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let whole = self.rest;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3)
            .map_err(|_| self.error(DecodeErrorKind::OutOfRange(key.cast_signed())))?;
        let value = match key & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
                    return Err(self.error(DecodeErrorKind::LengthBeyondEnd));
                };
                self.rest = rest;
                FieldValue::Bytes(bytes)
            }
            5 => self.skip(4)?,
            // Groups: proto2 has them, BookKeeper does not.
            other => return Err(self.error(DecodeErrorKind::WireType(other as u8))),
        };
        let encoded = &whole[..whole.len() - self.rest.len()];
        Ok(Some((number, value, encoded)))
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        // Bounded: ten groups of seven bits hold 64.
        for index in 0..10 {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return Err(self.error(DecodeErrorKind::Truncated));
            };
            self.rest = rest;
            if index == 9 && byte > 1 {
                return Err(self.error(DecodeErrorKind::NumberTooLong));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::NumberTooLong))
    }

    fn skip(&mut self, count: usize) -> Result<FieldValue<'a>, DecodeError> {
        let Some((_, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.error(DecodeErrorKind::Truncated));
        };
        self.rest = rest;
        Ok(FieldValue::Fixed)
    }

    const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(self.message, kind)
    }
}

/// Appends fields of messages.
pub(crate) trait Sink {
    fn varint(&mut self, value: u64);
    fn field_u64(&mut self, number: u32, value: u64);
    fn field_i64(&mut self, number: u32, value: i64) {
        self.field_u64(number, value.cast_unsigned());
    }
    fn field_i32(&mut self, number: u32, value: i32) {
        // Negative numbers are sign extended to 64 bits, as protobuf does.
        self.field_i64(number, i64::from(value));
    }
    fn field_bytes(&mut self, number: u32, bytes: &[u8]);
}

impl Sink for BytesMut {
    fn varint(&mut self, mut value: u64) {
        // Bounded: seven bits go with each byte.
        while value >= 0x80 {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    fn field_u64(&mut self, number: u32, value: u64) {
        self.varint(u64::from(number) << 3);
        self.varint(value);
    }

    fn field_bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.put_slice(bytes);
    }
}

/// Bytes that a varint takes.
pub(crate) const fn varint_len(value: u64) -> usize {
    // Bounded by ten: the zero takes one byte, 64 bits take ten.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_the_edges_of_their_length_are_read_as_they_were_written() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX >> 1,
            u64::MAX,
        ] {
            let mut bytes = BytesMut::new();
            bytes.field_u64(3, value);
            assert_eq!(bytes.len(), 1 + varint_len(value));
            let mut fields = Fields::new("test", &bytes);
            let (number, found, encoded) = fields.next().expect("valid").expect("one field");
            assert_eq!(
                (number, found, encoded),
                (3, FieldValue::Varint(value), &bytes[..])
            );
            assert_eq!(fields.next(), Ok(None));
        }
    }

    #[test]
    fn minus_one_takes_ten_bytes_as_in_every_recorded_frame() {
        let mut bytes = BytesMut::new();
        bytes.field_i64(2, -1);
        assert_eq!(&bytes[..], b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }

    #[test]
    fn malformed_fields_are_errors_wherever_they_end() {
        let cases: [(&[u8], DecodeErrorKind); 7] = [
            (b"\x08", DecodeErrorKind::Truncated),
            (b"\x08\x80", DecodeErrorKind::Truncated),
            (
                b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                DecodeErrorKind::NumberTooLong,
            ),
            (b"\x0a\x02a", DecodeErrorKind::LengthBeyondEnd),
            (
                b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                DecodeErrorKind::LengthBeyondEnd,
            ),
            (b"\x0d\0\0\0", DecodeErrorKind::Truncated),
            (b"\x0b", DecodeErrorKind::WireType(3)),
        ];
        for (bytes, kind) in cases {
            assert_eq!(
                Fields::new("test", bytes).next(),
                Err(DecodeError::new("test", kind))
            );
        }
    }
}
