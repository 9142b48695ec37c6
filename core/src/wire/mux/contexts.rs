use crate::wire::cursor::Cursor;
use crate::wire::list::{Element, List};
use crate::wire::sink::Sink;
use crate::wire::{DecodeError, DecodeErrorKind};

/// Contexts of a dispatch or its reply.
pub type Contexts<'a> = List<'a, Context<'a>>;
/// A dispatch's delegation table; DistributedLog's clients leave it empty.
pub type Delegations<'a> = List<'a, Delegation<'a>>;
/// The headers of `Tinit` and `Rinit`; DistributedLog's have none.
pub type InitHeaders<'a> = List<'a, InitHeader<'a>>;
/// The keys of a `Treq`.
pub type TraceKeys<'a> = List<'a, TraceKey<'a>>;

/// Metadata of a request: its client, its deadline, its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context<'a> {
    /// Key, at most 65,535 bytes; a constant of this type for the keys known here.
    pub key: &'a [u8],
    /// Value, at most 65,535 bytes.
    pub value: &'a [u8],
}

impl<'a> Context<'a> {
    /// The key of the client's id.
    pub const CLIENT_ID: &'static str = "com.twitter.finagle.thrift.ClientIdContext";
    /// The key of the trace's ids.
    pub const TRACE: &'static str = "com.twitter.finagle.tracing.TraceContext";
    /// The key of the deadline.
    pub const DEADLINE: &'static str = "com.twitter.finagle.Deadline";

    /// The client's id.
    #[must_use]
    pub const fn client_id(id: &'a str) -> Self {
        Self {
            key: Self::CLIENT_ID.as_bytes(),
            value: id.as_bytes(),
        }
    }

    /// The trace's ids, from [`TraceId::to_bytes`].
    #[must_use]
    pub const fn trace(ids: &'a [u8; TraceId::BYTES]) -> Self {
        Self {
            key: Self::TRACE.as_bytes(),
            value: ids,
        }
    }

    /// The deadline, from [`Deadline::to_bytes`].
    #[must_use]
    pub const fn deadline(deadline: &'a [u8; Deadline::BYTES]) -> Self {
        Self {
            key: Self::DEADLINE.as_bytes(),
            value: deadline,
        }
    }
}

impl<'a> List<'a, Context<'a>> {
    /// The value of the first context with this key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|context| context.key == key.as_bytes())
            .map(|context| context.value)
    }

    /// The client's id, when there is one and it is text.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a str> {
        core::str::from_utf8(self.value(Context::CLIENT_ID)?).ok()
    }

    /// The trace's ids, when they are there and whole.
    #[must_use]
    pub fn trace(&self) -> Option<TraceId> {
        TraceId::from_bytes(self.value(Context::TRACE)?)
    }

    /// The deadline, when there is one and it is whole.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        Deadline::from_bytes(self.value(Context::DEADLINE)?)
    }
}

/// The ids under which a request is traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceId {
    /// Id of this request.
    pub span_id: u64,
    /// Id of the request that caused it; equal to `span_id` for a root.
    pub parent_id: u64,
    /// The first request's of all.
    pub trace_id: u64,
    /// Finagle's flags: bit 0 debug, bit 1 whether bit 2 decides about sampling, bit 2 sampled.
    pub flags: u64,
}

impl TraceId {
    /// Bytes of the encoded form.
    pub const BYTES: usize = 32;

    /// A new trace under this id, not sampled by anyone's decision.
    #[must_use]
    pub const fn root(id: u64) -> Self {
        Self {
            span_id: id,
            parent_id: id,
            trace_id: id,
            flags: 0,
        }
    }

    /// The ids in a trace context's value; `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[span_id, parent_id, trace_id, flags], []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let word = u64::from_be_bytes;
        Some(Self {
            span_id: word(span_id),
            parent_id: word(parent_id),
            trace_id: word(trace_id),
            flags: word(flags),
        })
    }

    /// A trace context's value.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [self.span_id, self.parent_id, self.trace_id, self.flags];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// Time at which a request was sent and deadline for its reply, both in nanoseconds since 1970 by
/// the sender's clock.
///
/// A server does not start a request after its deadline. If the clocks disagree, the difference of
/// the two is the more reliable figure: the time that was left when the request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deadline {
    /// Time at which the request was sent.
    pub timestamp_ns: i64,
    /// Deadline.
    pub deadline_ns: i64,
}

impl Deadline {
    /// Bytes of the encoded form.
    pub const BYTES: usize = 16;

    /// The deadline in a deadline context's value; `None` unless it has 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[timestamp, deadline], []) = bytes.as_chunks::<8>() else {
            return None;
        };
        Some(Self {
            timestamp_ns: i64::from_be_bytes(timestamp),
            deadline_ns: i64::from_be_bytes(deadline),
        })
    }

    /// A deadline context's value.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.timestamp_ns.to_be_bytes());
        bytes[8..].copy_from_slice(&self.deadline_ns.to_be_bytes());
        bytes
    }

    /// The time that the request had when it was sent; zero when its deadline had passed already.
    #[must_use]
    pub const fn budget(self) -> core::time::Duration {
        let left = self.deadline_ns.saturating_sub(self.timestamp_ns);
        core::time::Duration::from_nanos(if left > 0 { left as u64 } else { 0 })
    }
}

/// One entry of a delegation table: names that begin with `source` begin with `destination` for
/// this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delegation<'a> {
    /// The prefix.
    pub source: &'a str,
    /// Name that replaces the source.
    pub destination: &'a str,
}

/// A header of `Tinit` or `Rinit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InitHeader<'a> {
    /// Key.
    pub key: &'a [u8],
    /// Value.
    pub value: &'a [u8],
}

/// A key of a `Treq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceKey<'a> {
    /// Key: 1 for the trace's ids, 2 for its flags.
    pub key: u8,
    /// Value, at most 255 bytes.
    pub value: &'a [u8],
}

impl<'a> Element<'a> for Context<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: cursor.bytes_u16()?,
            value: cursor.bytes_u16()?,
        })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.bytes_u16(self.key);
        sink.bytes_u16(self.value);
    }
}

impl<'a> Element<'a> for Delegation<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let source = cursor.bytes_u16()?;
        let source = cursor.text(source)?;
        let destination = cursor.bytes_u16()?;
        Ok(Self {
            source,
            destination: cursor.text(destination)?,
        })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.bytes_u16(self.source.as_bytes());
        sink.bytes_u16(self.destination.as_bytes());
    }
}

impl<'a> Element<'a> for InitHeader<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: cursor.bytes_u32()?,
            value: cursor.bytes_u32()?,
        })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.bytes_i32(self.key);
        sink.bytes_i32(self.value);
    }
}

impl<'a> Element<'a> for TraceKey<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: cursor.u8()?,
            value: cursor.bytes_u8()?,
        })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        sink.u8(self.key);
        sink.bytes_u8(self.value);
    }
}

impl<'a> List<'a, Context<'a>> {
    /// Contexts behind their 16-bit count.
    pub(super) fn read_counted(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        read_u16(cursor)
    }

    pub(super) fn write_counted(&self, sink: &mut Sink<'_>) {
        sink.count_u16(self.len());
        self.write(sink);
    }
}

impl<'a> List<'a, Delegation<'a>> {
    /// Delegations behind their 16-bit count.
    pub(super) fn read_counted(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        read_u16(cursor)
    }

    pub(super) fn write_counted(&self, sink: &mut Sink<'_>) {
        sink.count_u16(self.len());
        self.write(sink);
    }
}

impl<'a> List<'a, TraceKey<'a>> {
    /// Keys behind their 8-bit count.
    pub(super) fn read_counted(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let offset = cursor.offset();
        let count = cursor.u8()?;
        let count = cursor.fits(count.into(), 2, offset)?;
        Self::read(cursor, count)
    }

    pub(super) fn write_counted(&self, sink: &mut Sink<'_>) {
        sink.count_u8(self.len());
        self.write(sink);
    }
}

impl<'a> List<'a, InitHeader<'a>> {
    /// Headers up to the end of the frame.
    pub(super) fn read_rest(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut probe = *cursor;
        let mut count = 0;
        while probe.remaining() > 0 {
            InitHeader::read(&mut probe)?;
            count += 1;
        }
        Self::read(cursor, count)
    }
}

/// Pairs of strings with 16-bit lengths, behind their 16-bit count.
fn read_u16<'a, T: Element<'a>>(cursor: &mut Cursor<'a>) -> Result<List<'a, T>, DecodeError> {
    let offset = cursor.offset();
    let count = cursor.u16()?;
    let count = cursor.fits(count.into(), 4, offset)?;
    List::read(cursor, count)
}

/// A frame's rest as text.
pub(super) fn rest_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, DecodeError> {
    let bytes = cursor.rest();
    cursor.text(bytes)
}

/// A status byte.
pub(super) fn unknown_status(cursor: &Cursor<'_>, status: u8) -> DecodeError {
    cursor.error_at(cursor.offset() - 1, DecodeErrorKind::UnknownStatus(status))
}
