//! Framed thrift over a plain connection, one request at a time, and Finagle's upgrade of it.
//!
//! A frame is a length and a thrift message. A Finagle client first calls [`UPGRADE_METHOD`]; if
//! the peer replies with anything but an exception, every later message is preceded by a struct in
//! the same frame: a [`RequestHeader`] or a [`ResponseHeader`].

use super::cursor::Cursor;
use super::list::{Element, List};
use super::service::{ExceptionKind, Reply, Request, SequenceId};
use super::sink::Sink;
use super::thrift::{MessageHeader, MessageKind, Type, Value};
use super::{BufferTooSmall, DecodeError, DecodeErrorKind, FrameTooLarge};

/// Method that asks a peer if it speaks the upgraded protocol.
pub const UPGRADE_METHOD: &str = "__can__finagle__trace__v3__";

/// The length of the whole frame that begins with `bytes`, its four-byte length field included;
/// `None` while that field is incomplete.
///
/// # Errors
///
/// [`FrameTooLarge`] when the whole frame would be longer than `limit`: close the connection,
/// nothing can be read past it.
pub fn frame_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameTooLarge> {
    super::frame_len(bytes, limit)
}

/// Returns the body of a whole frame, after checking its length field.
///
/// # Errors
///
/// [`DecodeError`] when `bytes` are not exactly one frame, as [`frame_len`] measured it.
pub fn frame_body(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut cursor = Cursor::new(bytes, "frame.length");
    let length = cursor.u32()?;
    if u64::from(length) != cursor.remaining() as u64 {
        let expected = usize::try_from(length).unwrap_or(usize::MAX);
        return Err(cursor.error_at(
            0,
            DecodeErrorKind::WrongLength {
                expected,
                found: cursor.remaining(),
            },
        ));
    }
    Ok(cursor.rest())
}

/// Metadata of a request; the same keys and values as a mux dispatch's.
pub type Context<'a> = super::mux::Context<'a>;
/// A header's contexts.
pub type Contexts<'a> = List<'a, HeaderContext<'a>>;

/// A [`Context`] as a header writes it. Its fields are those of the context inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeaderContext<'a>(pub Context<'a>);

impl<'a> List<'a, HeaderContext<'a>> {
    /// The value of the first context with this key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|context| context.0.key == key.as_bytes())
            .map(|context| context.0.value)
    }

    /// The deadline, when there is one and it is whole.
    #[must_use]
    pub fn deadline(&self) -> Option<super::mux::Deadline> {
        super::mux::Deadline::from_bytes(self.value(Context::DEADLINE)?)
    }
}

/// Header of a call in the upgraded protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The id of the trace.
    pub trace_id: i64,
    /// The id of this request in it.
    pub span_id: i64,
    /// The id of the request that caused it.
    pub parent_span_id: Option<i64>,
    /// `true` if the trace is sampled; `None` if undecided.
    pub sampled: Option<bool>,
    /// The client's id.
    pub client_id: Option<&'a str>,
    /// Finagle's trace flags.
    pub flags: Option<i64>,
    /// Further metadata of the request.
    pub contexts: Option<Contexts<'a>>,
}

impl<'a> RequestHeader<'a> {
    /// The header at the front of a frame's `body`, and the thrift message behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the body does not begin with a header. Destination and delegations, which
    /// no client of DistributedLog sends, are skipped, as is every other field that is not kept.
    pub fn decode(body: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut cursor = Cursor::new(body, "RequestHeader");
        let header = Self::read(&mut cursor)?;
        Ok((header, cursor.rest()))
    }

    /// Returns the client's id, from its field or from the contexts.
    #[must_use]
    pub fn any_client_id(&self) -> Option<&'a str> {
        let from_contexts = || core::str::from_utf8(self.contexts?.value(Context::CLIENT_ID)?).ok();
        self.client_id.or_else(from_contexts)
    }

    /// Bytes that [`encode`](Self::encode) writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        Sink::count(|sink| self.write(sink))
    }

    /// Writes the header alone into `out`; the number of bytes written.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] gives the number of bytes that the header needs.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Sink::fill(out, |sink| self.write(sink))
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let (mut trace_id, mut span_id) = (None, None);
        let mut header = Self::default();
        while let Some(field) = cursor.enter("RequestHeader").next_field()? {
            match field.id {
                1 => trace_id = Some(cursor.field_i64(field, "RequestHeader.trace_id")?),
                2 => span_id = Some(cursor.field_i64(field, "RequestHeader.span_id")?),
                3 => {
                    header.parent_span_id =
                        Some(cursor.field_i64(field, "RequestHeader.parent_span_id")?)
                }
                5 => header.sampled = Some(cursor.field_bool(field, "RequestHeader.sampled")?),
                6 => {
                    header.client_id = Some(
                        cursor
                            .field_struct::<ClientId<'_>>(field, "RequestHeader.client_id")?
                            .0,
                    )
                }
                7 => header.flags = Some(cursor.field_i64(field, "RequestHeader.flags")?),
                8 => header.contexts = Some(cursor.field_list(field, "RequestHeader.contexts")?),
                _ => cursor.skip_field(field)?,
            }
        }
        header.trace_id = cursor.enter("RequestHeader.trace_id").required(trace_id)?;
        header.span_id = cursor.enter("RequestHeader.span_id").required(span_id)?;
        Ok(header)
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.field_i64(1, self.trace_id);
        sink.field_i64(2, self.span_id);
        if let Some(parent) = self.parent_span_id {
            sink.field_i64(3, parent);
        }
        if let Some(sampled) = self.sampled {
            sink.field_bool(5, sampled);
        }
        if let Some(client_id) = self.client_id {
            sink.field_struct(6, &ClientId(client_id));
        }
        if let Some(flags) = self.flags {
            sink.field_i64(7, flags);
        }
        if let Some(contexts) = &self.contexts {
            sink.field_list(8, contexts);
        }
        sink.stop();
    }
}

/// Header of a reply in the upgraded protocol. DistributedLog's proxy leaves it empty: a single
/// zero byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader<'a> {
    /// Metadata of the reply.
    pub contexts: Option<Contexts<'a>>,
}

impl<'a> ResponseHeader<'a> {
    /// The header at the front of a frame's `body`, and the thrift message behind it. Spans of old
    /// peers are skipped.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the body does not begin with a header.
    pub fn decode(body: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut cursor = Cursor::new(body, "ResponseHeader");
        let mut header = Self::default();
        while let Some(field) = cursor.enter("ResponseHeader").next_field()? {
            match field.id {
                2 => header.contexts = Some(cursor.field_list(field, "ResponseHeader.contexts")?),
                _ => cursor.skip_field(field)?,
            }
        }
        Ok((header, cursor.rest()))
    }

    /// Writes the header alone into `out`; the number of bytes written.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] gives the number of bytes that the header needs.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Sink::fill(out, |sink| self.write(sink))
    }

    fn write(&self, sink: &mut Sink<'_>) {
        if let Some(contexts) = &self.contexts {
            sink.field_list(2, contexts);
        }
        sink.stop();
    }
}

/// Writes a whole frame with `request` in it, behind `header` when the protocol is upgraded; the
/// number of bytes written.
///
/// # Errors
///
/// [`BufferTooSmall`] gives the number of bytes that the frame needs.
pub fn encode_request(
    header: Option<&RequestHeader<'_>>,
    sequence_id: SequenceId,
    request: &Request<'_>,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    Sink::fill(out, |sink| {
        write_request(header, sequence_id, request, sink)
    })
}

/// Bytes that [`encode_request`] writes.
#[must_use]
pub fn encoded_request_len(header: Option<&RequestHeader<'_>>, request: &Request<'_>) -> usize {
    Sink::count(|sink| write_request(header, SequenceId(0), request, sink))
}

/// Writes a whole frame with `reply` in it, behind `header` when the protocol is upgraded; the
/// number of bytes written. The reply is that of the method with this name to the call with this
/// sequence id.
///
/// # Errors
///
/// [`BufferTooSmall`] gives the number of bytes that the frame needs.
pub fn encode_reply(
    header: Option<&ResponseHeader<'_>>,
    method: &str,
    sequence_id: SequenceId,
    reply: &Reply<'_>,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    Sink::fill(out, |sink| {
        write_reply(header, method, sequence_id, reply, sink)
    })
}

/// Bytes that [`encode_reply`] writes.
#[must_use]
pub fn encoded_reply_len(
    header: Option<&ResponseHeader<'_>>,
    method: &str,
    reply: &Reply<'_>,
) -> usize {
    Sink::count(|sink| write_reply(header, method, SequenceId(0), reply, sink))
}

fn write_request(
    header: Option<&RequestHeader<'_>>,
    sequence_id: SequenceId,
    request: &Request<'_>,
    sink: &mut Sink<'_>,
) {
    write_frame(sink, |sink| {
        if let Some(header) = header {
            header.write(sink);
        }
        request.write(sequence_id, sink);
    });
}

fn write_reply(
    header: Option<&ResponseHeader<'_>>,
    method: &str,
    sequence_id: SequenceId,
    reply: &Reply<'_>,
    sink: &mut Sink<'_>,
) {
    write_frame(sink, |sink| {
        if let Some(header) = header {
            header.write(sink);
        }
        reply.write(method, sequence_id, sink);
    });
}

fn write_frame(sink: &mut Sink<'_>, body: impl FnOnce(&mut Sink<'_>)) {
    let start = sink.length();
    sink.u32(0);
    body(sink);
    sink.patch_length(start);
}

/// Returns the sequence id of a call that asks for the upgrade, or `None` if `message` is another
/// message.
#[must_use]
pub fn upgrade_request(message: &[u8]) -> Option<SequenceId> {
    let (header, _) = MessageHeader::decode(message).ok()?;
    (header.kind == MessageKind::Call && header.method == UPGRADE_METHOD)
        .then_some(header.sequence_id)
}

/// Returns `true` if the reply `message` accepts the upgrade: a result does, an exception does not.
///
/// # Errors
///
/// [`DecodeError`] if the message is no reply to the upgrade call.
pub fn upgrade_accepted(message: &[u8]) -> Result<bool, DecodeError> {
    let (header, _) = MessageHeader::decode(message)?;
    match header.kind {
        MessageKind::Reply if header.method == UPGRADE_METHOD => Ok(true),
        MessageKind::Exception => Ok(false),
        MessageKind::Reply => Err(DecodeError {
            field: "message.name",
            offset: 4,
            kind: DecodeErrorKind::UnknownMethod,
        }),
        MessageKind::Call | MessageKind::OneWay => {
            let kind = DecodeErrorKind::UnexpectedMessageKind(header.kind as u8);
            Err(DecodeError {
                field: "message.kind",
                offset: 3,
                kind,
            })
        }
    }
}

/// Writes a whole frame that asks for the upgrade. Returns the number of bytes written.
///
/// # Errors
///
/// [`BufferTooSmall`] gives the number of bytes that the frame needs.
pub fn encode_upgrade_request(out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    Sink::fill(out, |sink| {
        write_upgrade(MessageKind::Call, SequenceId(0), sink)
    })
}

/// Writes a whole frame that agrees to the upgrade; the number of bytes written.
///
/// # Errors
///
/// [`BufferTooSmall`] gives the number of bytes that the frame needs.
pub fn encode_upgrade_reply(
    sequence_id: SequenceId,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    Sink::fill(out, |sink| {
        write_upgrade(MessageKind::Reply, sequence_id, sink)
    })
}

/// Writes a whole frame that declines the upgrade, as a server without it replies to an unknown
/// method. Returns the number of bytes written.
///
/// # Errors
///
/// [`BufferTooSmall`] gives the number of bytes that the frame needs.
pub fn encode_upgrade_refusal(
    sequence_id: SequenceId,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    let reply = Reply::Exception {
        kind: ExceptionKind::UnknownMethod,
        message: "the upgrade is not offered",
    };
    encode_reply(None, UPGRADE_METHOD, sequence_id, &reply, out)
}

fn write_upgrade(kind: MessageKind, sequence_id: SequenceId, sink: &mut Sink<'_>) {
    write_frame(sink, |sink| {
        MessageHeader {
            kind,
            method: UPGRADE_METHOD,
            sequence_id,
        }
        .write(sink);
        sink.stop();
    });
}

/// The struct around a client's id.
#[derive(Clone, Copy)]
struct ClientId<'a>(&'a str);

impl<'a> Element<'a> for ClientId<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut name = None;
        while let Some(field) = cursor.enter("ClientId").next_field()? {
            match field.id {
                1 => name = Some(cursor.field_text(field, "ClientId.name")?),
                _ => cursor.skip_field(field)?,
            }
        }
        Ok(Self(cursor.enter("ClientId.name").required(name)?))
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.field_bytes(1, self.0.as_bytes());
        sink.stop();
    }
}

impl<'a> Element<'a> for HeaderContext<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let (mut key, mut value) = (None, None);
        while let Some(field) = cursor.enter("RequestContext").next_field()? {
            match field.id {
                1 => key = Some(cursor.field_bytes(field, "RequestContext.key")?),
                2 => value = Some(cursor.field_bytes(field, "RequestContext.value")?),
                _ => cursor.skip_field(field)?,
            }
        }
        let key = cursor.enter("RequestContext.key").required(key)?;
        let value = cursor.enter("RequestContext.value").required(value)?;
        Ok(Self(Context { key, value }))
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.field_bytes(1, self.0.key);
        sink.field_bytes(2, self.0.value);
        sink.stop();
    }
}

impl<'a> Value<'a> for ClientId<'a> {
    const TYPE: Type = Type::Struct;
}

impl<'a> Value<'a> for HeaderContext<'a> {
    const TYPE: Type = Type::Struct;
}
