//! What handles ask of the driver's task.

use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::answer::{BulkReply, HandshakeReply, HostReply, Owner};
use super::error::RequestError;
use crate::driver::{Body, Token};

/// One message from a handle. A start takes permits with it that bound how many there are; a
/// cancellation follows its start.
pub(crate) enum Command {
    Start {
        token: Token,
        stream: Arc<str>,
        body: Body,
        reply: oneshot::Sender<Result<Reply, RequestError>>,
        room: Room,
    },
    Cancel(Token),
    Handshake(oneshot::Sender<Vec<HostReply<HandshakeReply>>>),
    SetAcceptNewStream {
        enabled: bool,
        reply: oneshot::Sender<Vec<HostReply<()>>>,
    },
    Close(oneshot::Sender<()>),
}

/// Room that an operation takes while it is under way: one place, and that for its bytes. Given
/// back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) _place: OwnedSemaphorePermit,
    pub(crate) _bytes: OwnedSemaphorePermit,
}

/// How an operation succeeded. Writes have a position, other operations may.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Option<Dlsn>),
    Bulk(BulkReply),
    Owner(Owner),
}
