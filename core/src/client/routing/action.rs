use core::fmt;

use super::{HostId, RequestId};
use crate::{Dlsn, Failure};

/// What a [`Client`](super::Client) asks of its adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to the host. When its [address](super::HostView::address) is not known, resolve its
    /// [name](super::HostView::name) first
    /// and tell [`handle_address`](super::Client::handle_address). Answer with
    /// [`handle_connected`](super::Client::handle_connected) once requests may be sent, or with
    /// [`handle_connect_failed`](super::Client::handle_connect_failed).
    Connect {
        /// The host.
        host: HostId,
    },
    /// Close the connection to the host, or give up making one. Nothing more is to be told about
    /// it.
    Disconnect {
        /// The host. Its id means nothing any more when the client forgot it.
        host: HostId,
    },
    /// Encode the request and send it to the host, with what
    /// [`write_context`](super::Client::write_context) says now.
    Send {
        /// The request.
        request: RequestId,
        /// The host.
        host: HostId,
    },
    /// Send `handshakeWithClientInfo` to the host and hand its reply to
    /// [`handle_reply`](super::Client::handle_reply) like every other. It is the client's own
    /// request: no `Complete` follows.
    Handshake {
        /// The request.
        request: RequestId,
        /// The host.
        host: HostId,
        /// `ClientInfo.getOwnerships`.
        ownerships: bool,
    },
    /// Nobody waits for the answer to this request any more; a `Send` or `Handshake` of it went
    /// before. Tell [`handle_discarded`](super::Client::handle_discarded) when its place on the
    /// connection is free again.
    Discard {
        /// The request.
        request: RequestId,
        /// The host.
        host: HostId,
    },
    /// The request has ended. Its id means nothing from here on.
    Complete {
        /// The request.
        request: RequestId,
        /// How it ended.
        result: Result<Success, Failure>,
        /// The host that answered or was tried last, if there was one.
        host: Option<HostId>,
        /// How often it was sent.
        tries: u16,
    },
}

/// How a request succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// The record, or the first one of the set, is at this position.
    Written(Dlsn),
    /// Each record has its own result, in the reply for which
    /// [`handle_reply`](super::Client::handle_reply) said [`Final`](super::AttemptOutcome::Final).
    Bulk,
    /// It was carried out.
    Done,
    /// The owner stands in the `location` of the final reply.
    Owner,
    /// What the host said of itself stands in the final reply.
    ServerInfo,
}

/// What [`Client::handle_reply`](super::Client::handle_reply) makes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// It ends the request, well or not: a `Complete` follows. Whoever needs more of the reply than
    /// [`Success`] holds (results of a bulk write, a message) takes it now.
    Final,
    /// The request goes on elsewhere.
    Continues,
    /// Nobody waits for it: the request was discarded, has ended, or is the client's own.
    Ignored,
}

/// Why [`Client::submit`](super::Client::submit) did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubmitError {
    /// As many requests as the client has room for are under way: wait for one to complete.
    Full,
    /// The client is closing.
    Closed,
    /// The request is for a host that the client does not know, or not any more.
    UnknownHost,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => {
                "the client has no room for another request until one of those under way completes"
            }
            Self::Closed => "the client is closed",
            Self::UnknownHost => "the client does not know the host",
        })
    }
}

impl core::error::Error for SubmitError {}
