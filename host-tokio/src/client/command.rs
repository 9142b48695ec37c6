//! Commands that handles send to the driver's task.

use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog::client::routing::StreamKey;
use tokio::sync::oneshot;

use super::attempts::ReplyTo;
use super::reply::{BulkReply, HandshakeReply, HostReply, Owner};
use super::room::InFlightPermit;
use crate::driver::{Body, NewRequest, Token};
use crate::error::RequestError;

/// One message from a handle, or from a writer that shares the client. A start and an attempt take
/// permits with them that bound how many there are; a cancellation follows its start.
pub(crate) enum Command {
    Start {
        token: Token,
        stream: Arc<str>,
        body: Body,
        reply: oneshot::Sender<Result<Reply, RequestError>>,
        room: InFlightPermit,
    },
    Attempt {
        request: NewRequest,
        reply_to: ReplyTo,
    },
    Cancel(Token),
    /// Streams that will be written to; see [`Driver::prepare`](crate::driver::Driver::prepare).
    Prepare(Vec<StreamKey>),
    Handshake(oneshot::Sender<Vec<HostReply<HandshakeReply>>>),
    SetAcceptNewStream {
        enabled: bool,
        reply: oneshot::Sender<Vec<HostReply<()>>>,
    },
    Close(oneshot::Sender<()>),
}

/// Result of an operation that succeeded. Writes have a position, other operations may.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Option<Dlsn>),
    Bulk(BulkReply),
    Owner(Owner),
}
