//! Requests to bookies on their way, and their outcomes.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::wire::{Operation, Priority, Request, Response};

/// Outcome of a request to a bookie.
pub type Outcome = Result<Response, CallError>;

/// Reason for which a request has no response. Except for [`Unsent`](Self::Unsent), the bookie may
/// have carried it out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The request was not sent: no connection could be made, or too much is waiting for the
    /// bookie.
    Unsent(Arc<str>),
    /// The connection ended before the response came.
    Disconnected(Arc<str>),
    /// No response within the request's time.
    TimedOut,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(reason) => write!(f, "not sent: {reason}"),
            Self::Disconnected(reason) => write!(f, "the connection ended: {reason}"),
            Self::TimedOut => f.write_str("no response in time"),
        }
    }
}

impl core::error::Error for CallError {}

/// Receiver of outcomes. Runs on a connection's task, so it must return without blocking.
pub(super) trait Replies: Send + Sync {
    /// Distinction of one receiver's requests.
    type Tag: Send;

    /// Takes the outcome of the request with this tag. Called once for each request.
    fn replied(self: &Arc<Self>, tag: Self::Tag, outcome: Outcome);
}

/// A request with the receiver of its outcome. Dropping it reports a lost connection.
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) priority: Priority,
    /// Time to wait for the response, or `None` if the receiver watches the time itself.
    pub(super) timeout: Option<Duration>,
    pub(super) done: Done,
}

impl Call {
    /// Bytes that the request holds while it waits: its payload, and a share for everything else.
    pub(super) fn size(&self) -> usize {
        const OVERHEAD: usize = 256;
        let body = match &self.operation {
            Operation::Add(add) => add.body.len(),
            Operation::Read(_)
            | Operation::Auth(_)
            | Operation::WriteLac(_)
            | Operation::ReadLac(_)
            | Operation::BookieInfo
            | Operation::StartTls
            | Operation::ForceLedger(_)
            | Operation::ListEntries(_) => 0,
        };
        OVERHEAD + body
    }

    /// Splits the call into the request with this number, and the receiver.
    pub(super) fn into_request(self, txn_id: u64) -> (Request, Done) {
        let request = Request {
            txn_id,
            priority: self.priority,
            operation: self.operation,
        };
        (request, self.done)
    }
}

/// The receiver of one outcome, called exactly once: without an outcome when it is dropped.
pub(super) struct Done(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl Done {
    /// Returns the receiver of the outcome of one request.
    pub(super) fn new<R: Replies + 'static>(replies: &Arc<R>, tag: R::Tag) -> Self
    where
        R::Tag: 'static,
    {
        let replies = Arc::clone(replies);
        Self(Some(Box::new(move |outcome| replies.replied(tag, outcome))))
    }

    /// Returns a receiver that is a function.
    pub(super) fn call(receiver: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Some(Box::new(receiver)))
    }

    /// Reports the outcome.
    pub(super) fn report(mut self, outcome: Outcome) {
        if let Some(receiver) = self.0.take() {
            receiver(outcome);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(receiver) = self.0.take() {
            receiver(Err(CallError::Disconnected(Arc::from("the client ended"))));
        }
    }
}
