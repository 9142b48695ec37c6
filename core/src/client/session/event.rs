use core::fmt;
use core::time::Duration;

use crate::client::RequestId;
use crate::wire::service::Reply;
use crate::wire::{BufferTooSmall, DecodeError, FrameTooLarge};
use crate::{Failure, WriteState};

/// What the peer's bytes meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The handshake is over: requests may be sent.
    Ready,
    /// A request was answered. Its place is free again.
    Reply {
        /// The request.
        request: RequestId,
        /// The answer, an exception of the service included.
        reply: Reply<'a>,
    },
    /// A request finished without an answer of the service: the peer refused to start it, or failed
    /// below the service. Its place is free again.
    Failed {
        /// The request.
        request: RequestId,
        /// What is known of it.
        failure: Failure,
        /// Why, for people.
        reason: FailureReason<'a>,
    },
    /// A discarded request's place is free again: the peer answered it, or confirmed the discard.
    Discarded {
        /// The request.
        request: RequestId,
    },
    /// The peer goes away: what is under way will be answered, nothing more may be sent.
    Draining,
    /// The peer allows requests for this long from now; after it,
    /// [`Session::encode_request`](super::Session::encode_request) refuses until the next
    /// lease.
    Lease {
        /// How long.
        length: Duration,
    },
}

/// Why a request has no answer of the service, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason<'a> {
    /// What the peer said; may be empty.
    Message(&'a str),
    /// This thrift message is the answer, and it cannot be read. What is wrong with it, and where,
    /// is looked for when it is displayed: a device that displays nothing has no code for it.
    Unreadable(&'a [u8]),
}

impl fmt::Display for FailureReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(text) => f.write_str(text),
            Self::Unreadable(message) => match Reply::decode(message) {
                Err(error) => write!(f, "its reply cannot be read: {error}"),
                Ok(_) => f.write_str("its reply is none to a write"),
            },
        }
    }
}

/// Why a connection cannot go on. Close it; what was under way,
/// [`Session::poll_lost`](super::Session::poll_lost) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// A frame is larger than the settings allow. Known from its length: nothing was buffered.
    FrameTooLarge(FrameTooLarge),
    /// A frame, or the message in it, cannot be read.
    Malformed(DecodeError),
    /// A frame that has no place there: its type, and its tag (0 when the protocol has none).
    Unexpected {
        /// The mux frame's type; 0 for framed thrift.
        kind: i8,
        /// Its tag.
        tag: u32,
    },
    /// The peer speaks another version of mux.
    Version(u16),
    /// The peer did not answer in time after it was asked whether it lives, or was given up on.
    Unresponsive,
    /// The peer asks more often whether we live than the answers can be sent.
    PingFlood,
}

/// Why [`Session::encode_request`](super::Session::encode_request) did not take a request. Nothing
/// was written, nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    BufferTooSmall(BufferTooSmall),
    /// As many requests as the session or its protocol takes are under way.
    Full,
    /// The handshake is not over.
    NotReady,
    /// The peer goes away.
    Draining,
    /// The peer's lease is over.
    LeaseExpired,
}

/// A request on a connection, for [`Session::discard`](super::Session::discard).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A request that was under way when its connection finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The request.
    pub request: RequestId,
    /// [`WriteState::NotWritten`] when no byte of it left, [`WriteState::Unknown`] otherwise.
    pub known: WriteState,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooLarge(error) => error.fmt(f),
            Self::Malformed(error) => error.fmt(f),
            Self::Unexpected { kind, tag } => {
                write!(f, "a frame of type {kind} with tag {tag} has no place here")
            }
            Self::Version(version) => write!(
                f,
                "the peer speaks mux version {version}, version 1 is spoken here"
            ),
            Self::Unresponsive => f.write_str("the peer does not answer"),
            Self::PingFlood => f.write_str("the peer pings faster than it takes the answers"),
        }
    }
}

impl core::error::Error for SessionError {}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall(error) => error.fmt(f),
            Self::Full => f.write_str("the connection has no room for another request"),
            Self::NotReady => f.write_str("the connection's handshake is not over"),
            Self::Draining => f.write_str("the peer takes no more requests on this connection"),
            Self::LeaseExpired => f.write_str("the peer's lease is over"),
        }
    }
}

impl core::error::Error for EncodeError {}
