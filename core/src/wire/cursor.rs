use super::{DecodeError, DecodeErrorKind};

/// Reads big-endian values from the front of a slice, and keeps the name of the current field for
/// errors.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    /// Bytes not read yet. Split only behind a check that allows it, so that a parser contains no
    /// path to a panic; a linker proves it.
    rest: &'a [u8],
    offset: usize,
    field: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8], field: &'static str) -> Self {
        Self {
            rest: bytes,
            offset: 0,
            field,
        }
    }

    /// Names the field that is read from here on.
    pub(crate) const fn enter(&mut self, field: &'static str) -> &mut Self {
        self.field = field;
        self
    }

    pub(crate) const fn field(&self) -> &'static str {
        self.field
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes from `start`, this cursor as it was earlier, to here.
    pub(crate) fn since(&self, start: &Self) -> &'a [u8] {
        let read = start.rest.len().saturating_sub(self.rest.len());
        start.rest.get(..read).unwrap_or_default()
    }

    /// All that is left.
    pub(crate) const fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.offset += rest.len();
        self.rest = &[];
        rest
    }

    pub(crate) const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        self.error_at(self.offset, kind)
    }

    pub(crate) const fn error_at(&self, offset: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            field: self.field,
            offset,
            kind,
        }
    }

    /// The value of a field that must be there.
    pub(crate) fn required<T>(&self, value: Option<T>) -> Result<T, DecodeError> {
        value.ok_or_else(|| self.error(DecodeErrorKind::Missing))
    }

    /// Refuses bytes that were not read.
    pub(crate) const fn end(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(self.error(DecodeErrorKind::TrailingBytes(self.remaining())))
        }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.error(DecodeErrorKind::Truncated {
                needed: count,
                remaining: self.rest.len(),
            }));
        };
        self.rest = rest;
        self.offset += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.error(DecodeErrorKind::Truncated {
                needed: N,
                remaining: self.rest.len(),
            }));
        };
        self.rest = rest;
        self.offset += N;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u24(&mut self) -> Result<u32, DecodeError> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// `length` bytes that a length field just read, `width` bytes wide, announced.
    pub(crate) fn announced(
        &mut self,
        length: usize,
        width: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let remaining = self.remaining();
        if length > remaining {
            return Err(self.error_at(
                self.offset - width,
                DecodeErrorKind::LengthBeyondBuffer { length, remaining },
            ));
        }
        self.take(length)
    }

    /// Bytes behind a signed 32-bit length, as thrift has them.
    pub(crate) fn bytes_i32(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count_i32(1)?;
        self.announced(length, 4)
    }

    /// Bytes behind an unsigned 8-bit length.
    pub(crate) fn bytes_u8(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u8()?;
        self.announced(length.into(), 1)
    }

    /// Bytes behind an unsigned 16-bit length.
    pub(crate) fn bytes_u16(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.announced(length.into(), 2)
    }

    /// Bytes behind an unsigned 32-bit length.
    pub(crate) fn bytes_u32(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u32()?;
        self.announced(usize::try_from(length).unwrap_or(usize::MAX), 4)
    }

    /// A signed 32-bit count of things that take at least `width` bytes each, refused when they
    /// cannot be there.
    pub(crate) fn count_i32(&mut self, width: usize) -> Result<usize, DecodeError> {
        let offset = self.offset;
        let count = self.i32()?;
        let Ok(count) = usize::try_from(count) else {
            return Err(self.error_at(offset, DecodeErrorKind::NegativeLength(count)));
        };
        self.fits(count, width, offset)
    }

    /// Checks that `count` items of at least `width` bytes each can follow; `offset` is the count's
    /// offset.
    pub(crate) fn fits(
        &self,
        count: usize,
        width: usize,
        offset: usize,
    ) -> Result<usize, DecodeError> {
        let remaining = self.remaining();
        if count.saturating_mul(width) > remaining {
            return Err(self.error_at(
                offset,
                DecodeErrorKind::LengthBeyondBuffer {
                    length: count.saturating_mul(width),
                    remaining,
                },
            ));
        }
        Ok(count)
    }

    /// `bytes`, which were just read, as text.
    pub(crate) fn text(&self, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(bytes).map_err(|error| {
            let start = self.offset - bytes.len();
            self.error_at(start + error.valid_up_to(), DecodeErrorKind::NotUtf8)
        })
    }
}
