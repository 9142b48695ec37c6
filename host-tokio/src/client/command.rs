//! What handles ask of the driver's task.

use distributedlog::Dlsn;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::answer::{BulkReply, HandshakeReply, HostReply, Owner};
use super::error::RequestError;

/// Names an operation between its start and its end or cancellation; never used twice by the same client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// One message from a handle. A start takes a permit with it that bounds how many there are; a cancellation follows its start.
#[derive(Debug)]
pub(crate) enum Command {
    Start { ticket: Ticket, operation: Operation, reply: oneshot::Sender<Result<Answer, RequestError>>, permit: OwnedSemaphorePermit },
    Cancel(Ticket),
    Handshake(oneshot::Sender<Vec<HostReply<HandshakeReply>>>),
    SetAcceptNewStream { enabled: bool, reply: oneshot::Sender<Vec<HostReply<()>>> },
    Close(oneshot::Sender<()>),
}

/// An operation on one stream, with all it needs to be sent more than once.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) stream: Box<str>,
    pub(crate) kind: OperationKind,
}

#[derive(Clone, Debug)]
pub(crate) enum OperationKind {
    Write { data: Vec<u8>, record_set: bool },
    BulkWrite { records: Vec<Vec<u8>> },
    Create,
    Delete,
    Truncate(Dlsn),
    Release,
    Heartbeat { to_reader: bool },
    Owner,
}

/// How an operation succeeded. Writes and heartbeats to the reader have a position, other operations may.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Option<Dlsn>),
    Bulk(BulkReply),
    Owner(Owner),
}

impl OperationKind {
    /// The operation's name in DistributedLogService.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Write { .. } => "writeWithContext",
            Self::BulkWrite { .. } => "writeBulkWithContext",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Truncate(_) => "truncate",
            Self::Release => "release",
            Self::Heartbeat { .. } => "heartbeatWithOptions",
            Self::Owner => "getOwner",
        }
    }
}
