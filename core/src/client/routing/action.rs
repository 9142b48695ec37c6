use core::fmt;

use super::{HostId, RequestId};
use crate::{Dlsn, Failure};

/// Action that a [`Client`](super::Client) requests from its adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to the host. If its [address](super::HostView::address) is `None`, resolve its
    /// [name](super::HostView::name) first and call
    /// [`handle_address`](super::Client::handle_address). Then call
    /// [`handle_connected`](super::Client::handle_connected) once requests may be sent, or
    /// [`handle_connect_failed`](super::Client::handle_connect_failed).
    Connect {
        /// The host.
        host: HostId,
    },
    /// Close the connection to the host, or stop connecting. No further call about this connection
    /// is needed.
    Disconnect {
        /// The host. Its id means nothing any more when the client forgot it.
        host: HostId,
    },
    /// Encode the request and send it to the host, with the current
    /// [`write_context`](super::Client::write_context).
    Send {
        /// The request.
        request: RequestId,
        /// The host.
        host: HostId,
    },
    /// Send `handshakeWithClientInfo` to the host and pass its reply to
    /// [`handle_reply`](super::Client::handle_reply) like any other. It is the client's own
    /// request: no `Complete` follows.
    Handshake {
        /// The request.
        request: RequestId,
        /// The host.
        host: HostId,
        /// `ClientInfo.getOwnerships`.
        ownerships: bool,
    },
    /// Discard this request, for which a `Send` or `Handshake` was emitted before. Call
    /// [`handle_discarded`](super::Client::handle_discarded) when its slot on the connection is
    /// free again.
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
        /// Result of the request.
        result: Result<Success, Failure>,
        /// Host that replied or was tried last, if there was one.
        host: Option<HostId>,
        /// Number of times it was sent.
        tries: u16,
    },
}

/// Result of a request that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// The record, or the first one of the set, is at this position.
    Written(Dlsn),
    /// Each record has its own result, in the reply for which
    /// [`handle_reply`](super::Client::handle_reply) returned
    /// [`Final`](super::AttemptOutcome::Final).
    Bulk,
    /// It was carried out.
    Done,
    /// The owner is in the `location` of the final reply.
    Owner,
    /// The host's status is in the final reply.
    ServerInfo,
}

/// Effect of a reply or a failure on its request: the result of
/// [`Client::handle_reply`](super::Client::handle_reply).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// It ends the request, with success or failure: a `Complete` follows. An adapter that needs
    /// more of the reply than [`Success`] holds (results of a bulk write, a message) must take it
    /// now.
    Final,
    /// The request continues, at this host or another one.
    Continues,
    /// It has no effect: the request was discarded, has ended, or is the client's own.
    Ignored,
}

/// Error of [`Client::submit`](super::Client::submit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubmitError {
    /// The client has its maximum number of requests in flight. Wait until one completes.
    Full,
    /// The client is closing.
    Closed,
    /// The request is for a host that the client does not know, or has forgotten.
    UnknownHost,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => {
                "the client has its maximum number of requests in flight: wait for one to complete"
            }
            Self::Closed => "the client is closed",
            Self::UnknownHost => "the client does not know the host",
        })
    }
}

impl core::error::Error for SubmitError {}
