//! Operations that go to every known proxy.

use core::net::SocketAddr;

use tokio::sync::oneshot;

use super::outcome::{error_of, handshake_reply};
use super::reply::{HandshakeReply, HostReply};
use crate::driver::{Body, FinishedRequest};
use crate::error::RequestError;

/// One such operation, until its last proxy has replied.
pub(super) struct Broadcast {
    /// Number of proxies that have not replied yet.
    pub(super) pending: usize,
    replies: Replies,
}

enum Replies {
    Handshake(
        Vec<HostReply<HandshakeReply>>,
        Option<oneshot::Sender<Vec<HostReply<HandshakeReply>>>>,
    ),
    Accept(
        bool,
        Vec<HostReply<()>>,
        Option<oneshot::Sender<Vec<HostReply<()>>>>,
    ),
}

impl Broadcast {
    pub(super) const fn handshake(reply: oneshot::Sender<Vec<HostReply<HandshakeReply>>>) -> Self {
        Self {
            pending: 0,
            replies: Replies::Handshake(Vec::new(), Some(reply)),
        }
    }

    pub(super) const fn accept(enabled: bool, reply: oneshot::Sender<Vec<HostReply<()>>>) -> Self {
        Self {
            pending: 0,
            replies: Replies::Accept(enabled, Vec::new(), Some(reply)),
        }
    }

    /// Returns the request for each proxy.
    pub(super) const fn body(&self) -> Body {
        match self.replies {
            Replies::Handshake(..) => Body::Handshake,
            Replies::Accept(enabled, ..) => Body::SetAcceptNewStream(enabled),
        }
    }

    /// Records a proxy's reply or failure. `host` is `None` if it was forgotten since: then it is
    /// left out.
    pub(super) fn replied(&mut self, host: Option<SocketAddr>, finished: FinishedRequest) {
        let Some(host) = host else { return };
        match &mut self.replies {
            Replies::Handshake(replies, _) => replies.push(handshake_reply(host, finished)),
            Replies::Accept(_, replies, _) => {
                let result = finished
                    .result
                    .map(drop)
                    .map_err(|failure| error_of(finished, failure, Some(host)));
                replies.push(HostReply { host, result });
            }
        }
    }

    /// Records that a request to a proxy could not be started.
    pub(super) fn failed(&mut self, host: Option<SocketAddr>, error: RequestError) {
        let Some(host) = host else { return };
        match &mut self.replies {
            Replies::Handshake(replies, _) => replies.push(HostReply {
                host,
                result: Err(error),
            }),
            Replies::Accept(_, replies, _) => replies.push(HostReply {
                host,
                result: Err(error),
            }),
        }
    }

    /// Hands out the replies once all are there. Whether they were.
    pub(super) fn finish_if_complete(&mut self) -> bool {
        if self.pending > 0 {
            return false;
        }
        // The caller may have dropped its future.
        match &mut self.replies {
            Replies::Handshake(replies, to) => {
                drop(to.take().map(|to| to.send(core::mem::take(replies))))
            }
            Replies::Accept(_, replies, to) => {
                drop(to.take().map(|to| to.send(core::mem::take(replies))))
            }
        }
        true
    }
}
