use core::fmt;

use super::{Binaries, ClientInfo, HeartbeatOptions, Method, WriteContext};
use crate::Escaped;
use crate::wire::cursor::Cursor;
use crate::wire::sink::Sink;
use crate::wire::thrift::{Field, MessageHeader, MessageKind, SequenceId};
use crate::wire::{BufferTooSmall, DecodeError, DecodeErrorKind};

/// A call of DistributedLogService, with its arguments borrowed.
///
/// Calls carry their arguments as fields −1, −2, −3. Streams, data and positions are required; a
/// missing context, options or client info is an empty one, as to the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Returns the streams that the proxy owns, and if it takes more.
    Handshake,
    /// Like `Handshake`, for streams that match a pattern.
    HandshakeWithClientInfo {
        /// Filter of the streams.
        info: ClientInfo<'a>,
    },
    /// Checks a stream's writer. Superseded by
    /// [`HeartbeatWithOptions`](Self::HeartbeatWithOptions).
    Heartbeat {
        /// The stream.
        stream: &'a str,
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Checks a stream's writer, and lets readers know on request.
    HeartbeatWithOptions {
        /// The stream.
        stream: &'a str,
        /// The client's context of the request.
        context: WriteContext<'a>,
        /// Options of the heartbeat.
        options: HeartbeatOptions,
    },
    /// Writes one record. Superseded by [`WriteWithContext`](Self::WriteWithContext).
    Write {
        /// The stream.
        stream: &'a str,
        /// The record.
        data: &'a [u8],
    },
    /// Writes one record, or one record set if the context marks it as one.
    WriteWithContext {
        /// The stream.
        stream: &'a str,
        /// The record or record set.
        data: &'a [u8],
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Writes several records, each with its own result.
    WriteBulkWithContext {
        /// The stream.
        stream: &'a str,
        /// The records.
        data: Binaries<'a>,
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Discards the records before a position.
    Truncate {
        /// The stream.
        stream: &'a str,
        /// Position as text, unchecked: the proxy decides if it is valid.
        dlsn: &'a str,
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Releases a stream, so that another proxy may own it.
    Release {
        /// The stream.
        stream: &'a str,
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Creates a stream.
    Create {
        /// The stream.
        stream: &'a str,
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Deletes a stream.
    Delete {
        /// The stream.
        stream: &'a str,
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Returns a stream's owner.
    GetOwner {
        /// The stream.
        stream: &'a str,
        /// The client's context of the request.
        context: WriteContext<'a>,
    },
    /// Sets if the proxy takes streams that it does not own yet.
    SetAcceptNewStream {
        /// `true` if it takes them from now on.
        enabled: bool,
    },
}

/// Error of decoding a request. If the method's name and sequence id could be read, they are here
/// for the exception that replies to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError<'a> {
    /// A well-formed call of a method that DistributedLogService does not have. Its arguments were
    /// not read.
    UnknownMethod {
        /// The method's name.
        name: &'a str,
        /// The call's sequence id.
        sequence_id: SequenceId,
    },
    /// A call of a known method whose arguments are not what the method takes.
    BadArguments {
        /// The method.
        method: Method,
        /// The call's sequence id.
        sequence_id: SequenceId,
        /// Error in the arguments.
        error: DecodeError,
    },
    /// Not a call: no reply is possible, and the connection must be closed.
    Malformed(DecodeError),
}

impl<'a> Request<'a> {
    /// The request in a whole message, and its sequence id.
    ///
    /// # Errors
    ///
    /// [`RequestError`] when the message is none of the 13 calls.
    pub fn decode(message: &'a [u8]) -> Result<(SequenceId, Self), RequestError<'a>> {
        let mut cursor = Cursor::new(message, "message");
        let header = MessageHeader::read(&mut cursor).map_err(RequestError::Malformed)?;
        let sequence_id = header.sequence_id;
        if header.kind != MessageKind::Call {
            let kind = DecodeErrorKind::UnexpectedMessageKind(header.kind as u8);
            return Err(RequestError::Malformed(DecodeError {
                field: "message.kind",
                offset: 3,
                kind,
            }));
        }
        let Some(method) = Method::from_name(header.method) else {
            return Err(RequestError::UnknownMethod {
                name: header.method,
                sequence_id,
            });
        };
        match Self::read_arguments(method, &mut cursor) {
            Ok(request) => Ok((sequence_id, request)),
            Err(error) => Err(RequestError::BadArguments {
                method,
                sequence_id,
                error,
            }),
        }
    }

    /// The method that is called.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self {
            Self::Handshake => Method::Handshake,
            Self::HandshakeWithClientInfo { .. } => Method::HandshakeWithClientInfo,
            Self::Heartbeat { .. } => Method::Heartbeat,
            Self::HeartbeatWithOptions { .. } => Method::HeartbeatWithOptions,
            Self::Write { .. } => Method::Write,
            Self::WriteWithContext { .. } => Method::WriteWithContext,
            Self::WriteBulkWithContext { .. } => Method::WriteBulkWithContext,
            Self::Truncate { .. } => Method::Truncate,
            Self::Release { .. } => Method::Release,
            Self::Create { .. } => Method::Create,
            Self::Delete { .. } => Method::Delete,
            Self::GetOwner { .. } => Method::GetOwner,
            Self::SetAcceptNewStream { .. } => Method::SetAcceptNewStream,
        }
    }

    /// The stream that the request is about; `None` when it is about the proxy.
    #[must_use]
    pub const fn stream(&self) -> Option<&'a str> {
        match self {
            Self::Handshake
            | Self::HandshakeWithClientInfo { .. }
            | Self::SetAcceptNewStream { .. } => None,
            Self::Heartbeat { stream, .. }
            | Self::HeartbeatWithOptions { stream, .. }
            | Self::Write { stream, .. }
            | Self::WriteWithContext { stream, .. }
            | Self::WriteBulkWithContext { stream, .. }
            | Self::Truncate { stream, .. }
            | Self::Release { stream, .. }
            | Self::Create { stream, .. }
            | Self::Delete { stream, .. }
            | Self::GetOwner { stream, .. } => Some(stream),
        }
    }

    /// Bytes that [`encode`](Self::encode) writes.
    #[must_use]
    pub fn encoded_len(&self, sequence_id: SequenceId) -> usize {
        Sink::count(|sink| self.write(sequence_id, sink))
    }

    /// Writes the whole message into `out`; the number of bytes written.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] gives the number of bytes that the message needs.
    pub fn encode(&self, sequence_id: SequenceId, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Sink::fill(out, |sink| self.write(sequence_id, sink))
    }

    /// The message: its header, then the arguments from the last to the first, as the original's
    /// generated code has them.
    pub(crate) fn write(&self, sequence_id: SequenceId, sink: &mut Sink<'_>) {
        MessageHeader {
            kind: MessageKind::Call,
            method: self.method().name(),
            sequence_id,
        }
        .write(sink);
        match self {
            Self::Handshake => {}
            Self::HandshakeWithClientInfo { info } => sink.field_struct(-1, info),
            Self::SetAcceptNewStream { enabled } => sink.field_bool(-1, *enabled),
            Self::HeartbeatWithOptions {
                stream,
                context,
                options,
            } => {
                sink.field_struct(-3, options);
                sink.field_struct(-2, context);
                sink.field_bytes(-1, stream.as_bytes());
            }
            Self::Write { stream, data } => {
                sink.field_bytes(-2, data);
                sink.field_bytes(-1, stream.as_bytes());
            }
            Self::WriteWithContext {
                stream,
                data,
                context,
            } => {
                sink.field_struct(-3, context);
                sink.field_bytes(-2, data);
                sink.field_bytes(-1, stream.as_bytes());
            }
            Self::WriteBulkWithContext {
                stream,
                data,
                context,
            } => {
                sink.field_struct(-3, context);
                sink.field_list(-2, data);
                sink.field_bytes(-1, stream.as_bytes());
            }
            Self::Truncate {
                stream,
                dlsn,
                context,
            } => {
                sink.field_struct(-3, context);
                sink.field_bytes(-2, dlsn.as_bytes());
                sink.field_bytes(-1, stream.as_bytes());
            }
            Self::Heartbeat { stream, context }
            | Self::Release { stream, context }
            | Self::Create { stream, context }
            | Self::Delete { stream, context }
            | Self::GetOwner { stream, context } => {
                sink.field_struct(-2, context);
                sink.field_bytes(-1, stream.as_bytes());
            }
        }
        sink.stop();
    }

    fn read_arguments(method: Method, cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut arguments = Arguments::default();
        while let Some(field) = cursor.enter("arguments").next_field()? {
            arguments.read(method, field, cursor)?;
        }
        cursor.end()?;
        arguments.into_request(method, cursor.offset())
    }
}

/// Arguments read so far, for any method.
#[derive(Default)]
struct Arguments<'a> {
    info: ClientInfo<'a>,
    stream: Option<&'a str>,
    data: Option<&'a [u8]>,
    bulk: Option<Binaries<'a>>,
    dlsn: Option<&'a str>,
    context: WriteContext<'a>,
    options: HeartbeatOptions,
    enabled: Option<bool>,
}

impl<'a> Arguments<'a> {
    fn read(
        &mut self,
        method: Method,
        field: Field,
        cursor: &mut Cursor<'a>,
    ) -> Result<(), DecodeError> {
        use Method as M;
        match (method, field.id) {
            (M::HandshakeWithClientInfo, -1) => {
                self.info = cursor.field_struct(field, "clientInfo")?
            }
            (M::SetAcceptNewStream, -1) => {
                self.enabled = Some(cursor.field_bool(field, "enabled")?)
            }
            (M::Write | M::WriteWithContext, -2) => {
                self.data = Some(cursor.field_bytes(field, "data")?)
            }
            (M::WriteBulkWithContext, -2) => self.bulk = Some(cursor.field_list(field, "data")?),
            (M::Truncate, -2) => self.dlsn = Some(cursor.field_text(field, "dlsn")?),
            (M::HeartbeatWithOptions, -3) => {
                self.options = cursor.field_struct(field, "options")?
            }
            (M::WriteWithContext | M::WriteBulkWithContext | M::Truncate, -3)
            | (
                M::Heartbeat
                | M::HeartbeatWithOptions
                | M::Release
                | M::Create
                | M::Delete
                | M::GetOwner,
                -2,
            ) => {
                self.context = cursor.field_struct(field, "ctx")?;
            }
            (
                M::Heartbeat
                | M::HeartbeatWithOptions
                | M::Write
                | M::WriteWithContext
                | M::WriteBulkWithContext
                | M::Truncate
                | M::Release
                | M::Create
                | M::Delete
                | M::GetOwner,
                -1,
            ) => self.stream = Some(cursor.field_text(field, "stream")?),
            (_, _) => cursor.skip_field(field)?,
        }
        Ok(())
    }

    fn into_request(self, method: Method, end: usize) -> Result<Request<'a>, DecodeError> {
        let (context, options) = (self.context, self.options);
        let missing = |field| DecodeError {
            field,
            offset: end,
            kind: DecodeErrorKind::Missing,
        };
        let stream = || self.stream.ok_or_else(|| missing("stream"));
        let data = || self.data.ok_or_else(|| missing("data"));
        Ok(match method {
            Method::Handshake => Request::Handshake,
            Method::HandshakeWithClientInfo => Request::HandshakeWithClientInfo { info: self.info },
            Method::Heartbeat => Request::Heartbeat {
                stream: stream()?,
                context,
            },
            Method::HeartbeatWithOptions => Request::HeartbeatWithOptions {
                stream: stream()?,
                context,
                options,
            },
            Method::Write => Request::Write {
                stream: stream()?,
                data: data()?,
            },
            Method::WriteWithContext => Request::WriteWithContext {
                stream: stream()?,
                data: data()?,
                context,
            },
            Method::WriteBulkWithContext => {
                let (stream, data) = (stream()?, self.bulk.ok_or_else(|| missing("data"))?);
                Request::WriteBulkWithContext {
                    stream,
                    data,
                    context,
                }
            }
            Method::Truncate => {
                let (stream, dlsn) = (stream()?, self.dlsn.ok_or_else(|| missing("dlsn"))?);
                Request::Truncate {
                    stream,
                    dlsn,
                    context,
                }
            }
            Method::Release => Request::Release {
                stream: stream()?,
                context,
            },
            Method::Create => Request::Create {
                stream: stream()?,
                context,
            },
            Method::Delete => Request::Delete {
                stream: stream()?,
                context,
            },
            Method::GetOwner => Request::GetOwner {
                stream: stream()?,
                context,
            },
            Method::SetAcceptNewStream => Request::SetAcceptNewStream {
                enabled: self.enabled.ok_or_else(|| missing("enabled"))?,
            },
        })
    }
}

impl fmt::Display for RequestError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownMethod { name, .. } => {
                let name = Escaped(name);
                write!(f, "DistributedLogService has no method '{name}'")
            }
            Self::BadArguments { method, error, .. } => {
                write!(f, "the arguments of {method}: {error}")
            }
            Self::Malformed(error) => write!(f, "not a thrift call: {error}"),
        }
    }
}

impl core::error::Error for RequestError<'_> {}
