use core::fmt;

use super::{BulkWriteResponse, Method, ServerInfo, WriteResponse};
use crate::wire::cursor::Cursor;
use crate::wire::sink::Sink;
use crate::wire::thrift::{MessageHeader, MessageKind, SequenceId, Value};
use crate::wire::{BufferTooSmall, DecodeError, DecodeErrorKind};

/// Reply to a [`Request`](super::Request), with its fields borrowed. Its message repeats the
/// method's name, which determines the result's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The result of the handshakes.
    ServerInfo(ServerInfo<'a>),
    /// The result of every method on one stream but a bulk write.
    Write(WriteResponse<'a>),
    /// The result of a bulk write.
    BulkWrite(BulkWriteResponse<'a>),
    /// The result of a method without one.
    Void,
    /// The call was not carried out, or failed in a way that its result cannot express.
    Exception {
        /// Kind of the exception.
        kind: ExceptionKind,
        /// Description for people.
        message: &'a str,
    },
}

/// The types of thrift's application exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExceptionKind {
    /// The server gives no kind.
    Unknown,
    /// The server has no such method.
    UnknownMethod,
    /// The message had a kind that is not valid here.
    InvalidMessageType,
    /// The reply is to another method than the call's.
    WrongMethodName,
    /// The reply has another sequence id than the call.
    BadSequenceId,
    /// The method gave no result.
    MissingResult,
    /// The method failed inside.
    InternalError,
    /// The message could not be read.
    ProtocolError,
    /// A number that this crate does not know, as received.
    Other(i32),
}

impl ExceptionKind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_i32(number: i32) -> Self {
        match number {
            0 => Self::Unknown,
            1 => Self::UnknownMethod,
            2 => Self::InvalidMessageType,
            3 => Self::WrongMethodName,
            4 => Self::BadSequenceId,
            5 => Self::MissingResult,
            6 => Self::InternalError,
            7 => Self::ProtocolError,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn as_i32(self) -> i32 {
        match self {
            Self::Unknown => 0,
            Self::UnknownMethod => 1,
            Self::InvalidMessageType => 2,
            Self::WrongMethodName => 3,
            Self::BadSequenceId => 4,
            Self::MissingResult => 5,
            Self::InternalError => 6,
            Self::ProtocolError => 7,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for ExceptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::UnknownMethod => "unknown method",
            Self::InvalidMessageType => "invalid message type",
            Self::WrongMethodName => "wrong method name",
            Self::BadSequenceId => "bad sequence id",
            Self::MissingResult => "missing result",
            Self::InternalError => "internal error",
            Self::ProtocolError => "protocol error",
            Self::Other(number) => return write!(f, "type {number}"),
        })
    }
}

impl<'a> Reply<'a> {
    /// The reply in a whole message, and its sequence id.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the message is no reply, or no reply of a method of
    /// DistributedLogService.
    pub fn decode(message: &'a [u8]) -> Result<(SequenceId, Self), DecodeError> {
        Self::decode_with(message, Self::read_result)
    }

    /// Like [`decode`](Self::decode), for replies to `write` and `writeWithContext` only: those to
    /// other methods are refused as unknown. A program that uses only this contains the code for a
    /// [`WriteResponse`] and no other.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_write(message: &'a [u8]) -> Result<(SequenceId, Self), DecodeError> {
        Self::decode_with(message, |name, cursor| {
            if !matches!(name, "write" | "writeWithContext") {
                return Err(UNKNOWN_METHOD);
            }
            read_success(cursor)?.map(Self::Write).ok_or_else(|| {
                cursor
                    .enter("result.success")
                    .error(DecodeErrorKind::Missing)
            })
        })
    }

    fn decode_with(
        message: &'a [u8],
        read_result: impl FnOnce(&str, &mut Cursor<'a>) -> Result<Self, DecodeError>,
    ) -> Result<(SequenceId, Self), DecodeError> {
        let mut cursor = Cursor::new(message, "message");
        let header = MessageHeader::read(&mut cursor)?;
        let reply = match header.kind {
            MessageKind::Reply => read_result(header.method, &mut cursor)?,
            MessageKind::Exception => Self::read_exception(&mut cursor)?,
            MessageKind::Call | MessageKind::OneWay => {
                let kind = DecodeErrorKind::UnexpectedMessageKind(header.kind as u8);
                return Err(DecodeError {
                    field: "message.kind",
                    offset: 3,
                    kind,
                });
            }
        };
        cursor.end()?;
        Ok((header.sequence_id, reply))
    }

    /// Bytes that [`encode`](Self::encode) writes.
    #[must_use]
    pub fn encoded_len(&self, method: &str, sequence_id: SequenceId) -> usize {
        Sink::count(|sink| self.write(method, sequence_id, sink))
    }

    /// Writes the whole message into `out`, as the reply to the method with this name. Returns the
    /// number of bytes written.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] gives the number of bytes that the message needs.
    pub fn encode(
        &self,
        method: &str,
        sequence_id: SequenceId,
        out: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        Sink::fill(out, |sink| self.write(method, sequence_id, sink))
    }

    pub(crate) fn write(&self, method: &str, sequence_id: SequenceId, sink: &mut Sink<'_>) {
        let kind = match self {
            Self::ServerInfo(_) | Self::Write(_) | Self::BulkWrite(_) | Self::Void => {
                MessageKind::Reply
            }
            Self::Exception { .. } => MessageKind::Exception,
        };
        MessageHeader {
            kind,
            method,
            sequence_id,
        }
        .write(sink);
        match self {
            Self::ServerInfo(info) => sink.field_struct(0, info),
            Self::Write(response) => sink.field_struct(0, response),
            Self::BulkWrite(response) => sink.field_struct(0, response),
            Self::Void => {}
            Self::Exception { kind, message } => {
                sink.field_bytes(1, message.as_bytes());
                sink.field_i32(2, kind.as_i32());
            }
        }
        sink.stop();
    }

    fn read_result(name: &str, cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let Some(method) = Method::from_name(name) else {
            return Err(UNKNOWN_METHOD);
        };
        match method {
            Method::Handshake | Method::HandshakeWithClientInfo => {
                read_success(cursor)?.map(Self::ServerInfo)
            }
            Method::WriteBulkWithContext => read_success(cursor)?.map(Self::BulkWrite),
            Method::Heartbeat
            | Method::HeartbeatWithOptions
            | Method::Write
            | Method::WriteWithContext
            | Method::Truncate
            | Method::Release
            | Method::Create
            | Method::Delete
            | Method::GetOwner => read_success(cursor)?.map(Self::Write),
            Method::SetAcceptNewStream => {
                while let Some(field) = cursor.enter("result").next_field()? {
                    cursor.skip_field(field)?;
                }
                Some(Self::Void)
            }
        }
        .ok_or_else(|| {
            cursor
                .enter("result.success")
                .error(DecodeErrorKind::Missing)
        })
    }

    fn read_exception(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let (mut kind, mut message) = (ExceptionKind::Unknown, "");
        while let Some(field) = cursor.enter("exception").next_field()? {
            match field.id {
                1 => message = cursor.field_text(field, "exception.message")?,
                2 => kind = ExceptionKind::from_i32(cursor.field_i32(field, "exception.type")?),
                _ => cursor.skip_field(field)?,
            }
        }
        Ok(Self::Exception { kind, message })
    }
}

const UNKNOWN_METHOD: DecodeError = DecodeError {
    field: "message.name",
    offset: 4,
    kind: DecodeErrorKind::UnknownMethod,
};

/// A result struct's field 0. The service declares no exceptions, so other fields are skipped.
fn read_success<'a, T: Value<'a>>(cursor: &mut Cursor<'a>) -> Result<Option<T>, DecodeError> {
    let mut success = None;
    while let Some(field) = cursor.enter("result").next_field()? {
        match field.id {
            0 => success = Some(cursor.field_struct(field, "result.success")?),
            _ => cursor.skip_field(field)?,
        }
    }
    Ok(success)
}
