//! Thrift's binary protocol, strict: message headers, structs with fields in any order, and
//! skipping what is unknown.

use super::cursor::Cursor;
use super::list::{Element, List};
use super::sink::Sink;
use super::{DecodeError, DecodeErrorKind};

/// Maximum nesting of structs and collections in unknown fields: below it, skipping recurses; at
/// it, decoding fails.
pub const MAX_DEPTH: u8 = 16;

const VERSION: u32 = 0x8001_0000;
const STOP: u8 = 0;

/// The number by which a reply finds its call. DistributedLog's clients always send 0; the
/// transport pairs the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SequenceId(pub i32);

/// Kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// A request that has a reply.
    Call = 1,
    /// Reply to a call that was carried out.
    Reply = 2,
    /// Reply to a call that was not carried out, or failed inside.
    Exception = 3,
    /// A request without a reply.
    OneWay = 4,
}

/// The head of every message: its kind, its method, its sequence id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader<'a> {
    /// Kind of the message.
    pub kind: MessageKind,
    /// Method of the call.
    pub method: &'a str,
    /// Pairs a reply with its call.
    pub sequence_id: SequenceId,
}

impl<'a> MessageHeader<'a> {
    /// The header at the front of `message`, and the struct of arguments or results behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the message does not begin with a strict header.
    pub fn decode(message: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut cursor = Cursor::new(message, "message");
        let header = Self::read(&mut cursor)?;
        Ok((header, cursor.rest()))
    }

    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let offset = cursor.enter("message.version").offset();
        let word = cursor.u32()?;
        if word & 0xffff_0000 != VERSION {
            return Err(cursor.error_at(offset, DecodeErrorKind::BadVersion(word)));
        }
        let kind = match word & 0xff {
            1 => MessageKind::Call,
            2 => MessageKind::Reply,
            3 => MessageKind::Exception,
            4 => MessageKind::OneWay,
            other => {
                return Err(cursor.error_at(
                    offset + 3,
                    DecodeErrorKind::UnexpectedMessageKind(other as u8),
                ));
            }
        };
        let method = <&str>::read(cursor.enter("message.name"))?;
        let sequence_id = SequenceId(cursor.enter("message.sequenceId").i32()?);
        Ok(Self {
            kind,
            method,
            sequence_id,
        })
    }

    pub(crate) fn write(&self, sink: &mut Sink<'_>) {
        sink.u32(VERSION | self.kind as u32);
        self.method.write(sink);
        sink.i32(self.sequence_id.0);
    }
}

/// The types of values, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool = 2,
    Byte = 3,
    Double = 4,
    I16 = 6,
    I32 = 8,
    I64 = 10,
    Bytes = 11,
    Struct = 12,
    Map = 13,
    Set = 14,
    List = 15,
}

impl Type {
    const fn of(number: u8) -> Option<Self> {
        Some(match number {
            2 => Self::Bool,
            3 => Self::Byte,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::Bytes,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            _ => return None,
        })
    }

    /// The fewest bytes that a value of this type takes.
    const fn min_width(self) -> usize {
        match self {
            Self::Bool | Self::Byte | Self::Struct => 1,
            Self::I16 => 2,
            Self::I32 | Self::Bytes => 4,
            Self::Set | Self::List => 5,
            Self::Map => 6,
            Self::I64 | Self::Double => 8,
        }
    }
}

/// A value that can be an element of a thrift list or set.
pub(crate) trait Value<'a>: Element<'a> {
    const TYPE: Type;
}

/// A field's head: what its value is, and which field it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) id: i16,
    pub(crate) kind: Type,
}

/// Reading structs.
impl<'a> Cursor<'a> {
    /// The next field of the struct being read, or `None` at its end.
    pub(crate) fn next_field(&mut self) -> Result<Option<Field>, DecodeError> {
        let offset = self.offset();
        let number = self.u8()?;
        if number == STOP {
            return Ok(None);
        }
        let Some(kind) = Type::of(number) else {
            return Err(self.error_at(offset, DecodeErrorKind::UnknownType(number)));
        };
        Ok(Some(Field {
            id: self.i16()?,
            kind,
        }))
    }

    /// Names the field whose head was just read, and checks that its type is the one of its
    /// interface.
    fn expect(&mut self, field: Field, kind: Type, name: &'static str) -> Result<(), DecodeError> {
        self.enter(name);
        if field.kind as u8 == kind as u8 {
            return Ok(());
        }
        let wrong = DecodeErrorKind::WrongType {
            expected: kind as u8,
            found: field.kind as u8,
        };
        Err(self.error_at(self.offset() - 3, wrong))
    }

    pub(crate) fn field_bool(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<bool, DecodeError> {
        self.expect(field, Type::Bool, name)?;
        Ok(self.u8()? == 1)
    }

    pub(crate) fn field_i32(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<i32, DecodeError> {
        self.expect(field, Type::I32, name)?;
        self.i32()
    }

    pub(crate) fn field_i64(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<i64, DecodeError> {
        self.expect(field, Type::I64, name)?;
        self.i64()
    }

    pub(crate) fn field_bytes(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        self.expect(field, Type::Bytes, name)?;
        self.bytes_i32()
    }

    pub(crate) fn field_text(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<&'a str, DecodeError> {
        self.expect(field, Type::Bytes, name)?;
        <&str>::read(self)
    }

    pub(crate) fn field_struct<T: Value<'a>>(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<T, DecodeError> {
        self.expect(field, Type::Struct, name)?;
        T::read(self)
    }

    pub(crate) fn field_list<T: Value<'a>>(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<List<'a, T>, DecodeError> {
        self.expect(field, Type::List, name)?;
        self.elements(name)
    }

    pub(crate) fn field_set<T: Value<'a>>(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<List<'a, T>, DecodeError> {
        self.expect(field, Type::Set, name)?;
        self.elements(name)
    }

    fn elements<T: Value<'a>>(&mut self, name: &'static str) -> Result<List<'a, T>, DecodeError> {
        let offset = self.offset();
        let found = self.u8()?;
        let count = self.count_i32(T::TYPE.min_width())?;
        self.element_type(T::TYPE, found, count, offset)?;
        let list = List::read(self, count)?;
        self.enter(name);
        Ok(list)
    }

    /// A map from text to text.
    pub(crate) fn field_map(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<List<'a, (&'a str, &'a str)>, DecodeError> {
        self.expect(field, Type::Map, name)?;
        let offset = self.offset();
        let (key, value) = (self.u8()?, self.u8()?);
        let count = self.count_i32(2 * Type::Bytes.min_width())?;
        self.element_type(Type::Bytes, key, count, offset)?;
        self.element_type(Type::Bytes, value, count, offset + 1)?;
        List::read(self, count)
    }

    /// An empty collection may give any element type: some implementations write type 0.
    fn element_type(
        &self,
        expected: Type,
        found: u8,
        count: usize,
        offset: usize,
    ) -> Result<(), DecodeError> {
        if found == expected as u8 || count == 0 {
            return Ok(());
        }
        Err(self.error_at(
            offset,
            DecodeErrorKind::WrongType {
                expected: expected as u8,
                found,
            },
        ))
    }

    /// Skips the value of a field that is not known. Collections and structs may be nested
    /// [`MAX_DEPTH`] deep.
    pub(crate) fn skip_field(&mut self, field: Field) -> Result<(), DecodeError> {
        let name = self.field();
        self.enter("unknown field");
        self.skip(field.kind, MAX_DEPTH)?;
        self.enter(name);
        Ok(())
    }

    fn skip(&mut self, kind: Type, depth: u8) -> Result<(), DecodeError> {
        match kind {
            Type::Bool | Type::Byte | Type::I16 | Type::I32 | Type::I64 | Type::Double => {
                self.take(kind.min_width()).map(drop)
            }
            Type::Bytes => self.bytes_i32().map(drop),
            Type::Struct => {
                let depth = self.deeper(depth)?;
                while let Some(field) = self.next_field()? {
                    self.skip(field.kind, depth)?;
                }
                Ok(())
            }
            Type::Set | Type::List => {
                let depth = self.deeper(depth)?;
                let element = self.skipped_type()?;
                let count = self.count_i32(element.map_or(1, Type::min_width))?;
                // `count` is bounded by the bytes left, and every element takes at least one of
                // them.
                (0..count).try_for_each(|_| self.skip_element(element, depth))
            }
            Type::Map => {
                let depth = self.deeper(depth)?;
                let (key, value) = (self.skipped_type()?, self.skipped_type()?);
                let count = self
                    .count_i32(key.map_or(1, Type::min_width) + value.map_or(1, Type::min_width))?;
                (0..count).try_for_each(|_| {
                    self.skip_element(key, depth)?;
                    self.skip_element(value, depth)
                })
            }
        }
    }

    fn deeper(&self, depth: u8) -> Result<u8, DecodeError> {
        depth
            .checked_sub(1)
            .ok_or_else(|| self.error(DecodeErrorKind::TooDeep { limit: MAX_DEPTH }))
    }

    /// A collection's element type: `None` is the 0 that an empty one may have.
    fn skipped_type(&mut self) -> Result<Option<Type>, DecodeError> {
        let offset = self.offset();
        let number = self.u8()?;
        match Type::of(number) {
            None if number != STOP => {
                Err(self.error_at(offset, DecodeErrorKind::UnknownType(number)))
            }
            known => Ok(known),
        }
    }

    fn skip_element(&mut self, kind: Option<Type>, depth: u8) -> Result<(), DecodeError> {
        match kind {
            Some(kind) => self.skip(kind, depth),
            None => Err(self.error(DecodeErrorKind::UnknownType(STOP))),
        }
    }
}

/// Writing structs.
impl Sink<'_> {
    fn head(&mut self, kind: Type, id: i16) {
        self.u8(kind as u8);
        self.i16(id);
    }

    pub(crate) fn stop(&mut self) {
        self.u8(STOP);
    }

    pub(crate) fn field_bool(&mut self, id: i16, value: bool) {
        self.head(Type::Bool, id);
        self.u8(value.into());
    }

    pub(crate) fn field_i32(&mut self, id: i16, value: i32) {
        self.head(Type::I32, id);
        self.i32(value);
    }

    pub(crate) fn field_i64(&mut self, id: i16, value: i64) {
        self.head(Type::I64, id);
        self.i64(value);
    }

    pub(crate) fn field_bytes(&mut self, id: i16, value: &[u8]) {
        self.head(Type::Bytes, id);
        self.bytes_i32(value);
    }

    pub(crate) fn field_struct<'a, T: Value<'a>>(&mut self, id: i16, value: &T) {
        self.head(Type::Struct, id);
        value.write(self);
    }

    pub(crate) fn field_list<'a, T: Value<'a>>(&mut self, id: i16, values: &List<'a, T>) {
        self.head(Type::List, id);
        self.elements(values);
    }

    pub(crate) fn field_set<'a, T: Value<'a>>(&mut self, id: i16, values: &List<'a, T>) {
        self.head(Type::Set, id);
        self.elements(values);
    }

    fn elements<'a, T: Value<'a>>(&mut self, values: &List<'a, T>) {
        self.u8(T::TYPE as u8);
        self.count_i32(values.len());
        values.write(self);
    }

    pub(crate) fn field_map<'a>(&mut self, id: i16, pairs: &List<'a, (&'a str, &'a str)>) {
        self.head(Type::Map, id);
        self.u8(Type::Bytes as u8);
        self.u8(Type::Bytes as u8);
        self.count_i32(pairs.len());
        pairs.write(self);
    }
}

impl<'a> Element<'a> for &'a [u8] {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        cursor.bytes_i32()
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.bytes_i32(self);
    }
}

impl<'a> Element<'a> for &'a str {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let bytes = cursor.bytes_i32()?;
        cursor.text(bytes)
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.bytes_i32(self.as_bytes());
    }
}

impl<'a> Element<'a> for (&'a str, &'a str) {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        Ok((<&str>::read(cursor)?, <&str>::read(cursor)?))
    }

    fn write(&self, sink: &mut Sink<'_>) {
        self.0.write(sink);
        self.1.write(sink);
    }
}

impl<'a> Value<'a> for &'a [u8] {
    const TYPE: Type = Type::Bytes;
}

impl<'a> Value<'a> for &'a str {
    const TYPE: Type = Type::Bytes;
}
