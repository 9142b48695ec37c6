//! Operations that go to every known proxy.

use core::net::SocketAddr;

use tokio::sync::oneshot;

use super::answer::{HandshakeReply, HostReply};
use super::error::RequestError;
use super::task::{error_of, handshake_reply};
use crate::driver::{Body, FinishedRequest};

/// One such operation, until its last proxy has answered.
pub(super) struct Broadcast {
    /// How many proxies have not answered yet.
    pub(super) left: usize,
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
            left: 0,
            replies: Replies::Handshake(Vec::new(), Some(reply)),
        }
    }

    pub(super) const fn accept(enabled: bool, reply: oneshot::Sender<Vec<HostReply<()>>>) -> Self {
        Self {
            left: 0,
            replies: Replies::Accept(enabled, Vec::new(), Some(reply)),
        }
    }

    /// What each proxy is asked.
    pub(super) const fn body(&self) -> Body {
        match self.replies {
            Replies::Handshake(..) => Body::Handshake,
            Replies::Accept(enabled, ..) => Body::SetAcceptNewStream(enabled),
        }
    }

    /// A proxy that is known has answered, or failed to. One that was forgotten meanwhile is left
    /// out.
    pub(super) fn answered(&mut self, host: Option<SocketAddr>, finished: FinishedRequest) {
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

    /// A proxy could not be asked.
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
        if self.left > 0 {
            return false;
        }
        // Whoever asked may have stopped waiting.
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
