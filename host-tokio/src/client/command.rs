//! Commands that handles send to the driver's task.

use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::reply::{BulkReply, HandshakeReply, HostReply, Owner};
use crate::driver::{Body, Token};
use crate::error::RequestError;

/// One message from a handle. A start takes permits with it that bound how many there are; a
/// cancellation follows its start.
pub(crate) enum Command {
    Start {
        token: Token,
        stream: Arc<str>,
        body: Body,
        reply: oneshot::Sender<Result<Reply, RequestError>>,
        room: InFlightPermit,
    },
    Cancel(Token),
    Handshake(oneshot::Sender<Vec<HostReply<HandshakeReply>>>),
    SetAcceptNewStream {
        enabled: bool,
        reply: oneshot::Sender<Vec<HostReply<()>>>,
    },
    Close(oneshot::Sender<()>),
}

/// Semaphore permits that an operation holds while it is in flight: one for the operation, and one
/// for each KiB of its records. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct InFlightPermit {
    pub(crate) _place: OwnedSemaphorePermit,
    pub(crate) _bytes: OwnedSemaphorePermit,
}

/// Result of an operation that succeeded. Writes have a position, other operations may.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Option<Dlsn>),
    Bulk(BulkReply),
    Owner(Owner),
}
