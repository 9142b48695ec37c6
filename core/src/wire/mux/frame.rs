use core::fmt;

use super::contexts::{rest_text, unknown_status};
use super::{Contexts, Delegations, InitHeaders, TraceKeys};
use crate::wire::cursor::Cursor;
use crate::wire::sink::Sink;
use crate::wire::{BufferTooSmall, DecodeError, DecodeErrorKind};

/// The number under which a request and its answer travel: 23 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u32);

impl Tag {
    /// The tag of frames that are not answered. Never a request's.
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
    /// The answer of a `Treq`.
    Rreq = -1;
    /// A request.
    Tdispatch = 2;
    /// The answer of a `Tdispatch`.
    Rdispatch = -2;
    /// The server asks the client to send no more requests.
    Tdrain = 64;
    /// The client agrees.
    Rdrain = -64;
    /// Is anyone there?
    Tping = 65;
    /// Someone is.
    Rping = -65;
    /// The client has no use for an answer any more.
    Tdiscarded = 66;
    /// A discarded request's answer: it was given up.
    Rdiscarded = -66;
    /// How long the server means to be there.
    Tlease = 67;
    /// The session's start.
    Tinit = 68;
    /// The answer of a `Tinit`.
    Rinit = -68;
    /// The frame with this tag could not be handled.
    Rerr = -128;
    /// The same, from old peers, who got the sign wrong.
    BadRerr = 127;
    /// `Tdiscarded` from old peers, who got the sign wrong.
    BadTdiscarded = -62;
}

/// How a request went, as far as mux is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was carried out: the payload is its answer, which may well say that it failed.
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

/// What a frame says. Types are named as mux names them: T for what asks, R for what answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A request of mux's first clients.
    Treq {
        /// What is said about the request.
        keys: TraceKeys<'a>,
        /// The request.
        payload: &'a [u8],
    },
    /// The answer of a [`Treq`](Self::Treq).
    Rreq {
        /// How it went.
        status: Status,
        /// The answer, or why there is none.
        payload: &'a [u8],
    },
    /// A request.
    Tdispatch {
        /// What is said about the request.
        contexts: Contexts<'a>,
        /// Where it is to go; empty for the one service that the peer has.
        destination: &'a str,
        /// Names that mean something else for this request.
        delegations: Delegations<'a>,
        /// The request: a thrift message without a frame.
        payload: &'a [u8],
    },
    /// The answer of a [`Tdispatch`](Self::Tdispatch).
    Rdispatch {
        /// How it went.
        status: Status,
        /// What is said about the answer.
        contexts: Contexts<'a>,
        /// The answer, or why there is none.
        payload: &'a [u8],
    },
    /// The server asks the client to send no more requests.
    Tdrain,
    /// The client agrees: the server may close when it has answered what came before.
    Rdrain,
    /// Is anyone there?
    Tping,
    /// Someone is.
    Rping,
    /// The client has no use for an answer any more. Travels under [`Tag::ZERO`] and is not
    /// answered.
    Tdiscarded {
        /// The request's tag.
        discarded: Tag,
        /// Why.
        reason: &'a str,
    },
    /// A discarded request's answer: it was given up.
    Rdiscarded,
    /// How long the server means to be there. Travels under [`Tag::ZERO`] and is not answered.
    Tlease {
        /// What the amount counts: 0 for milliseconds.
        unit: u8,
        /// How much of it; 0 asks the client to go elsewhere now.
        amount: u64,
    },
    /// The session's start.
    Tinit {
        /// The highest version of mux that the client speaks.
        version: u16,
        /// What else is to be agreed on.
        headers: InitHeaders<'a>,
    },
    /// The answer of a [`Tinit`](Self::Tinit).
    Rinit {
        /// The version of mux that is spoken.
        version: u16,
        /// What was agreed on.
        headers: InitHeaders<'a>,
    },
    /// The frame with this tag could not be handled.
    Rerr {
        /// Why.
        error: &'a str,
    },
    /// The same, from old peers; also what the check for `Tinit` is made of.
    BadRerr {
        /// Why.
        error: &'a str,
    },
    /// [`Tdiscarded`](Self::Tdiscarded) from old peers.
    BadTdiscarded {
        /// The request's tag.
        discarded: Tag,
        /// Why.
        reason: &'a str,
    },
}

/// One frame: a tag and what is said under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The tag.
    pub tag: Tag,
    /// What is said.
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
    /// [`DecodeError`] when they are none, among it fragments, which this version of mux does not
    /// have. When the tag could be read, a server may answer it with [`Message::Rerr`]: see
    /// [`peek_tag`](Self::peek_tag).
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
    /// [`BufferTooSmall`] says how many bytes the frame needs.
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
            FrameType::Tdispatch => {
                let contexts = Contexts::read_counted(cursor.enter("Tdispatch.contexts"))?;
                let destination = cursor.enter("Tdispatch.destination").bytes_u16()?;
                let destination = cursor.text(destination)?;
                let delegations = Delegations::read_counted(cursor.enter("Tdispatch.delegations"))?;
                Self::Tdispatch {
                    contexts,
                    destination,
                    delegations,
                    payload: cursor.rest(),
                }
            }
            FrameType::Rdispatch => {
                let status = Status::read(cursor.enter("Rdispatch.status"))?;
                let contexts = Contexts::read_counted(cursor.enter("Rdispatch.contexts"))?;
                Self::Rdispatch {
                    status,
                    contexts,
                    payload: cursor.rest(),
                }
            }
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
