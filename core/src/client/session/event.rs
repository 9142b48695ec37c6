use core::fmt;
use core::time::Duration;

use crate::client::RequestId;
use crate::wire::service::Reply;
use crate::wire::{BufferTooSmall, DecodeError, FrameTooLarge};
use crate::{Failure, WriteState};

/// Meaning of the bytes that the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The handshake is over: requests may be sent.
    Ready,
    /// The peer replied to a request. Its slot is free again.
    Reply {
        /// The request.
        request: RequestId,
        /// The reply, which may be an exception of the service.
        reply: Reply<'a>,
    },
    /// A request finished without a reply of the service: the peer refused to start it, or failed
    /// below the service. Its slot is free again.
    Failed {
        /// The request.
        request: RequestId,
        /// The failure's cause, and what is known of the write.
        failure: Failure,
        /// Description for people.
        reason: FailureReason<'a>,
    },
    /// A discarded request's slot is free again: the peer replied to it, or confirmed the discard.
    Discarded {
        /// The request.
        request: RequestId,
    },
    /// The peer drains the connection: it will reply to the requests in flight and accepts no more.
    Draining,
    /// The peer allows requests for this long from now; after it,
    /// [`Session::encode_request`](super::Session::encode_request) refuses until the next
    /// lease.
    Lease {
        /// Length of the lease.
        length: Duration,
    },
}

/// Description of a request's failure without a reply of the service, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason<'a> {
    /// Text from the peer; may be empty.
    Message(&'a str),
    /// This thrift message is the reply, and cannot be decoded. The error and its offset are
    /// computed when it is displayed, so that a device that never displays it contains no code for
    /// that.
    Unreadable(&'a [u8]),
}

impl fmt::Display for FailureReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(text) => f.write_str(text),
            Self::Unreadable(message) => match Reply::decode(message) {
                Err(error) => write!(f, "its reply cannot be read: {error}"),
                Ok(_) => f.write_str("its reply is not one to a write"),
            },
        }
    }
}

/// Error after which the connection cannot be used. Close it;
/// [`Session::poll_lost`](super::Session::poll_lost) returns the requests that were in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// A frame is larger than the settings allow. Known from its length: nothing was buffered.
    FrameTooLarge(FrameTooLarge),
    /// A frame, or the message in it, cannot be read.
    Malformed(DecodeError),
    /// A frame that is not valid in this state of the session: its type, and its tag (0 when the
    /// protocol has none).
    Unexpected {
        /// The mux frame's type; 0 for framed thrift.
        kind: i8,
        /// Its tag.
        tag: u32,
    },
    /// The peer speaks another version of mux.
    Version(u16),
    /// The peer did not reply to a ping in time, or the adapter gave it up.
    Unresponsive,
    /// The peer sends pings faster than the replies can be written.
    PingFlood,
}

/// Error of [`Session::encode_request`](super::Session::encode_request). Nothing was written and
/// nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    BufferTooSmall(BufferTooSmall),
    /// The session, or its protocol, has its maximum number of requests in flight.
    Full,
    /// The handshake is not over.
    NotReady,
    /// The peer goes away.
    Draining,
    /// The peer's lease is over.
    LeaseExpired,
}

/// A request that was in flight when its connection ended.
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
                write!(f, "unexpected frame of type {kind} with tag {tag}")
            }
            Self::Version(version) => write!(
                f,
                "the peer speaks mux version {version}; this client speaks version 1"
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
            Self::Full => {
                f.write_str("the connection has its maximum number of requests in flight")
            }
            Self::NotReady => f.write_str("the connection's handshake is not complete"),
            Self::Draining => f.write_str("the peer takes no more requests on this connection"),
            Self::LeaseExpired => f.write_str("the peer's lease has expired"),
        }
    }
}

impl core::error::Error for EncodeError {}
