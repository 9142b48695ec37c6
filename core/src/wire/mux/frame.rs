use core::fmt;

use super::contexts::{rest_text, unknown_status};
use super::{Contexts, Delegations, InitHeaders, TraceKeys};
use crate::wire::cursor::Cursor;
use crate::wire::sink::Sink;
use crate::wire::{BufferTooSmall, DecodeError, DecodeErrorKind};

/// Number that pairs a request and its reply: 23 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u32);

impl Tag {
    /// Tag of frames that have no reply. Never a request's.
    pub const ZERO: Self = Self(0);
    /// The tag of pings and of the session's start.
    pub const ONE: Self = Self(1);
    /// The largest: bit 23 marks fragments.
    pub const MAX: Self = Self(0x7f_ffff);

    /// The tag with this number; `None` beyond [`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let offset = cursor.offset();
        let number = cursor.u24()?;
        Self::new(number).ok_or_else(|| cursor.error_at(offset, DecodeErrorKind::Fragment))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! frame_types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal;)*) => {
        /// The types of frames, by their numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FrameType {
            $($(#[$doc])* $variant = $number,)*
        }

        impl FrameType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The type with this number.
            #[must_use]
            pub const fn from_i8(number: i8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The type's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }
    };
}

frame_types! {
    /// A request of mux's first clients.
    Treq = 1;
    /// Reply to a `Treq`.
    Rreq = -1;
    /// A request.
    Tdispatch = 2;
    /// Reply to a `Tdispatch`.
    Rdispatch = -2;
    /// The server asks the client to send no more requests.
    Tdrain = 64;
    /// The client agrees.
    Rdrain = -64;
    /// Is anyone there?
    Tping = 65;
    /// Someone is.
    Rping = -65;
    /// The client does not need a reply any more.
    Tdiscarded = 66;
    /// Reply to a discarded request: the server gave it up.
    Rdiscarded = -66;
    /// Time for which the server expects to serve.
    Tlease = 67;
    /// The session's start.
    Tinit = 68;
    /// Reply to a `Tinit`.
    Rinit = -68;
    /// The frame with this tag could not be handled.
    Rerr = -128;
    /// The same, from old peers, who got the sign wrong.
    BadRerr = 127;
    /// `Tdiscarded` from old peers, who got the sign wrong.
    BadTdiscarded = -62;
}

/// Result of a request at the level of mux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was carried out: the payload is the service's reply, which may report a failure.
    Ok,
    /// It failed: the payload is text.
    Error,
    /// It was not started, and may safely be sent elsewhere.
    Nack,
}

impl Status {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        match cursor.u8()? {
            0 => Ok(Self::Ok),
            1 => Ok(Self::Error),
            2 => Ok(Self::Nack),
            other => Err(unknown_status(cursor, other)),
        }
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Nack => 2,
        }
    }
}

/// Message of a frame. Types have mux's names: T for a request, R for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A request of mux's first clients.
    Treq {
        /// Trace of the request.
        keys: TraceKeys<'a>,
        /// The request.
        payload: &'a [u8],
    },
    /// Reply to a [`Treq`](Self::Treq).
    Rreq {
        /// Result.
        status: Status,
        /// The reply, or the reason why there is none.
        payload: &'a [u8],
    },
    /// A request.
    Tdispatch {
        /// Metadata of the request.
        contexts: Contexts<'a>,
        /// Name of the service; empty for the peer's only service.
        destination: &'a str,
        /// Names that mean something else for this request.
        delegations: Delegations<'a>,
        /// The request: a thrift message without a frame.
        payload: &'a [u8],
    },
    /// Reply to a [`Tdispatch`](Self::Tdispatch).
    Rdispatch {
        /// Result.
        status: Status,
        /// Metadata of the reply.
        contexts: Contexts<'a>,
        /// The reply, or the reason why there is none.
        payload: &'a [u8],
    },
    /// The server asks the client to send no more requests.
    Tdrain,
    /// The client agrees: the server may close once it has replied to the earlier requests.
    Rdrain,
    /// Is anyone there?
    Tping,
    /// Someone is.
    Rping,
    /// The client does not need a reply any more. Sent with [`Tag::ZERO`], without a reply.
    Tdiscarded {
        /// The request's tag.
        discarded: Tag,
        /// Reason, for people.
        reason: &'a str,
    },
    /// Reply to a discarded request: the server gave it up.
    Rdiscarded,
    /// Time for which the server expects to serve. Sent with [`Tag::ZERO`], without a reply.
    Tlease {
        /// Unit of the amount: 0 for milliseconds.
        unit: u8,
        /// Amount; 0 asks the client to use another server now.
        amount: u64,
    },
    /// The session's start.
    Tinit {
        /// The highest version of mux that the client speaks.
        version: u16,
        /// Options that the client offers.
        headers: InitHeaders<'a>,
    },
    /// Reply to a [`Tinit`](Self::Tinit).
    Rinit {
        /// The version of mux that is spoken.
        version: u16,
        /// Options that the server accepts.
        headers: InitHeaders<'a>,
    },
    /// The frame with this tag could not be handled.
    Rerr {
        /// Error, for people.
        error: &'a str,
    },
    /// The same, from old peers; also what the check for `Tinit` is made of.
    BadRerr {
        /// Error, for people.
        error: &'a str,
    },
    /// [`Tdiscarded`](Self::Tdiscarded) from old peers.
    BadTdiscarded {
        /// The request's tag.
        discarded: Tag,
        /// Reason, for people.
        reason: &'a str,
    },
}

/// One frame: a tag and a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The tag.
    pub tag: Tag,
    /// Its message.
    pub message: Message<'a>,
}

impl<'a> Frame<'a> {
    /// A frame under this tag.
    #[must_use]
    pub const fn new(tag: Tag, message: Message<'a>) -> Self {
        Self { tag, message }
    }

    /// The frame that `bytes`, the length field included, are: exactly one, as
    /// [`frame_len`](super::frame_len) measured it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are no frame. Fragments are refused: this version of mux does
    /// not have them. If the tag could be read, a server may reply to it with [`Message::Rerr`]:
    /// see [`peek_tag`](Self::peek_tag).
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes, "frame.length");
        let length = cursor.u32()?;
        if u64::from(length) != cursor.remaining() as u64 {
            let (length, remaining) = (
                usize::try_from(length).unwrap_or(usize::MAX),
                cursor.remaining(),
            );
            return Err(cursor.error_at(
                0,
                DecodeErrorKind::WrongLength {
                    expected: length,
                    found: remaining,
                },
            ));
        }
        let number = cursor.enter("frame.type").u8()? as i8;
        let Some(kind) = FrameType::from_i8(number) else {
            return Err(cursor.error_at(4, DecodeErrorKind::UnknownFrameType(number)));
        };
        let tag = Tag::read(cursor.enter("frame.tag"))?;
        let message = Message::read(kind, cursor.enter(kind.name()))?;
        cursor.end()?;
        Ok(Self { tag, message })
    }

    /// The tag of a frame whose rest may be unreadable; `None` when the frame ends before it, or is
    /// a fragment.
    #[must_use]
    pub fn peek_tag(bytes: &[u8]) -> Option<Tag> {
        let [a, b, c] = *bytes.get(5..)?.first_chunk()?;
        Tag::new(u32::from_be_bytes([0, a, b, c]))
    }

    /// Bytes that [`encode`](Self::encode) writes, the length field included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        Sink::count(|sink| self.write(sink))
    }

    /// Writes the frame into `out`, the length field included; the number of bytes written.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] gives the number of bytes that the frame needs.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        Sink::fill(out, |sink| self.write(sink))
    }

    fn write(&self, sink: &mut Sink<'_>) {
        write_frame(self.message.frame_type(), self.tag, sink, |sink| {
            self.message.write(sink)
        });
    }
}

/// Writes a frame's length, type and tag around what `body` writes.
pub(super) fn write_frame(
    kind: FrameType,
    tag: Tag,
    sink: &mut Sink<'_>,
    body: impl FnOnce(&mut Sink<'_>),
) {
    let start = sink.length();
    sink.u32(0);
    sink.u8((kind as i8) as u8);
    sink.u24(tag.get());
    body(sink);
    sink.patch_length(start);
}

impl<'a> Message<'a> {
    /// The frame's type.
    #[must_use]
    pub const fn frame_type(&self) -> FrameType {
        match self {
            Self::Treq { .. } => FrameType::Treq,
            Self::Rreq { .. } => FrameType::Rreq,
            Self::Tdispatch { .. } => FrameType::Tdispatch,
            Self::Rdispatch { .. } => FrameType::Rdispatch,
            Self::Tdrain => FrameType::Tdrain,
            Self::Rdrain => FrameType::Rdrain,
            Self::Tping => FrameType::Tping,
            Self::Rping => FrameType::Rping,
            Self::Tdiscarded { .. } => FrameType::Tdiscarded,
            Self::Rdiscarded => FrameType::Rdiscarded,
            Self::Tlease { .. } => FrameType::Tlease,
            Self::Tinit { .. } => FrameType::Tinit,
            Self::Rinit { .. } => FrameType::Rinit,
            Self::Rerr { .. } => FrameType::Rerr,
            Self::BadRerr { .. } => FrameType::BadRerr,
            Self::BadTdiscarded { .. } => FrameType::BadTdiscarded,
        }
    }

    fn read(kind: FrameType, cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        Ok(match kind {
            FrameType::Treq => Self::Treq {
                keys: TraceKeys::read_counted(cursor.enter("Treq.keys"))?,
                payload: cursor.rest(),
            },
            FrameType::Rreq => Self::Rreq {
                status: Status::read(cursor.enter("Rreq.status"))?,
                payload: cursor.rest(),
            },
            FrameType::Tdispatch => Self::read_tdispatch(cursor)?,
            FrameType::Rdispatch => Self::read_rdispatch(cursor)?,
            FrameType::Tdrain => Self::Tdrain,
            FrameType::Rdrain => Self::Rdrain,
            FrameType::Tping => Self::Tping,
            FrameType::Rping => Self::Rping,
            FrameType::Tdiscarded => {
                let discarded = Tag::read(cursor.enter("Tdiscarded.tag"))?;
                Self::Tdiscarded {
                    discarded,
                    reason: rest_text(cursor.enter("Tdiscarded.reason"))?,
                }
            }
            FrameType::BadTdiscarded => {
                let discarded = Tag::read(cursor.enter("BadTdiscarded.tag"))?;
                Self::BadTdiscarded {
                    discarded,
                    reason: rest_text(cursor.enter("BadTdiscarded.reason"))?,
                }
            }
            FrameType::Rdiscarded => Self::Rdiscarded,
            FrameType::Tlease => Self::Tlease {
                unit: cursor.enter("Tlease.unit").u8()?,
                amount: cursor.enter("Tlease.amount").u64()?,
            },
            FrameType::Tinit => {
                let version = cursor.enter("Tinit.version").u16()?;
                Self::Tinit {
                    version,
                    headers: InitHeaders::read_rest(cursor.enter("Tinit.headers"))?,
                }
            }
            FrameType::Rinit => {
                let version = cursor.enter("Rinit.version").u16()?;
                Self::Rinit {
                    version,
                    headers: InitHeaders::read_rest(cursor.enter("Rinit.headers"))?,
                }
            }
            FrameType::Rerr => Self::Rerr {
                error: rest_text(cursor.enter("Rerr.error"))?,
            },
            FrameType::BadRerr => Self::BadRerr {
                error: rest_text(cursor.enter("BadRerr.error"))?,
            },
        })
    }

    fn read_tdispatch(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let contexts = Contexts::read_counted(cursor.enter("Tdispatch.contexts"))?;
        let destination = cursor.enter("Tdispatch.destination").bytes_u16()?;
        let destination = cursor.text(destination)?;
        let delegations = Delegations::read_counted(cursor.enter("Tdispatch.delegations"))?;
        Ok(Self::Tdispatch {
            contexts,
            destination,
            delegations,
            payload: cursor.rest(),
        })
    }

    fn read_rdispatch(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let status = Status::read(cursor.enter("Rdispatch.status"))?;
        let contexts = Contexts::read_counted(cursor.enter("Rdispatch.contexts"))?;
        Ok(Self::Rdispatch {
            status,
            contexts,
            payload: cursor.rest(),
        })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Treq { keys, payload } => {
                keys.write_counted(sink);
                sink.put(payload);
            }
            Self::Rreq { status, payload } => {
                sink.u8(status.number());
                sink.put(payload);
            }
            Self::Tdispatch {
                contexts,
                destination,
                delegations,
                payload,
            } => {
                contexts.write_counted(sink);
                sink.bytes_u16(destination.as_bytes());
                delegations.write_counted(sink);
                sink.put(payload);
            }
            Self::Rdispatch {
                status,
                contexts,
                payload,
            } => {
                sink.u8(status.number());
                contexts.write_counted(sink);
                sink.put(payload);
            }
            Self::Tdrain | Self::Rdrain | Self::Tping | Self::Rping | Self::Rdiscarded => {}
            Self::Tdiscarded { discarded, reason } | Self::BadTdiscarded { discarded, reason } => {
                sink.u24(discarded.get());
                sink.put(reason.as_bytes());
            }
            Self::Tlease { unit, amount } => {
                sink.u8(*unit);
                sink.u64(*amount);
            }
            Self::Tinit { version, headers } | Self::Rinit { version, headers } => {
                sink.u16(*version);
                headers.write(sink);
            }
            Self::Rerr { error } | Self::BadRerr { error } => sink.put(error.as_bytes()),
        }
    }
}
