use distributedlog::Dlsn;

use super::Reply;
use super::dedup::WindowHint;
use super::stream::QueuedWork;
use distributedlog_store::metrics::StoreOperation;
use distributedlog_store::{Acquired, Entry, Lease, StoreError, StreamInfo, StreamName};

/// An action that the driver must carry out, in the order of the outputs.
#[derive(Debug)]
pub(crate) enum Output<O> {
    /// Send a reply to a client.
    Reply { to: O, reply: Reply },
    /// Append, then return the ticket to
    /// [`Machine::handle_appended`](super::Machine::handle_appended). Entries must reach the store
    /// in the order of these outputs.
    Append {
        lease: Lease,
        entry: Entry,
        ticket: Ticket<O>,
    },
    /// Send a request to the store, then pass its reply to
    /// [`Machine::handle_store`](super::Machine::handle_store).
    Request(StoreRequest<O>),
}

/// A request to the store other than an append.
#[derive(Debug)]
pub(crate) enum StoreRequest<O> {
    /// Acquire the stream.
    Acquire { stream: StreamName },
    /// Create a stream for which a write is queued.
    CreateMissing { stream: StreamName },
    /// Release the stream.
    Release { lease: Lease },
    /// Delete the stream.
    Delete { stream: StreamName },
    /// Discard the records before a position.
    Truncate {
        stream: StreamName,
        before: Dlsn,
        to: O,
    },
    /// Create a stream for a client.
    Create { stream: StreamName, to: O },
    /// Find a stream's owner for a client.
    Describe { stream: StreamName, to: O },
}

impl<O> StoreRequest<O> {
    /// Returns the operation as which it is counted.
    pub(crate) const fn operation(&self) -> StoreOperation {
        match self {
            Self::Acquire { .. } => StoreOperation::Acquire,
            Self::CreateMissing { .. } | Self::Create { .. } => StoreOperation::Create,
            Self::Release { .. } => StoreOperation::Release,
            Self::Delete { .. } => StoreOperation::Delete,
            Self::Truncate { .. } => StoreOperation::Truncate,
            Self::Describe { .. } => StoreOperation::Describe,
        }
    }
}

impl<O: Clone> StoreRequest<O> {
    /// Returns the reply of a store that fails at the request.
    pub(crate) fn failed(&self, error: StoreError) -> StoreReply<O> {
        match self {
            Self::Acquire { stream } => StoreReply::Acquired {
                stream: stream.clone(),
                result: Err(error),
            },
            Self::CreateMissing { stream } => StoreReply::CreatedMissing {
                stream: stream.clone(),
                result: Err(error),
            },
            Self::Release { lease } => StoreReply::Released {
                stream: lease.stream.clone(),
                result: Err(error),
            },
            Self::Delete { stream } => StoreReply::Deleted {
                stream: stream.clone(),
                result: Err(error),
            },
            Self::Truncate { stream, to, .. } => StoreReply::Truncated {
                stream: stream.clone(),
                result: Err(error),
                to: to.clone(),
            },
            Self::Create { stream, to } => StoreReply::Created {
                stream: stream.clone(),
                result: Err(error),
                to: to.clone(),
            },
            Self::Describe { stream, to } => StoreReply::Described {
                stream: stream.clone(),
                result: Err(error),
                to: to.clone(),
            },
        }
    }
}

/// The store's reply to a [`StoreRequest`].
#[derive(Debug)]
pub(crate) enum StoreReply<O> {
    /// Reply to [`StoreRequest::Acquire`].
    Acquired {
        stream: StreamName,
        result: Result<Acquired, StoreError>,
    },
    /// Reply to [`StoreRequest::CreateMissing`].
    CreatedMissing {
        stream: StreamName,
        result: Result<(), StoreError>,
    },
    /// Reply to [`StoreRequest::Release`].
    Released {
        stream: StreamName,
        result: Result<(), StoreError>,
    },
    /// Reply to [`StoreRequest::Delete`].
    Deleted {
        stream: StreamName,
        result: Result<(), StoreError>,
    },
    /// Reply to [`StoreRequest::Truncate`].
    Truncated {
        stream: StreamName,
        result: Result<(), StoreError>,
        to: O,
    },
    /// Reply to [`StoreRequest::Create`].
    Created {
        stream: StreamName,
        result: Result<(), StoreError>,
        to: O,
    },
    /// Reply to [`StoreRequest::Describe`].
    Described {
        stream: StreamName,
        result: Result<StreamInfo, StoreError>,
        to: O,
    },
}

impl<O> StoreReply<O> {
    /// Returns the store's error, or `None` if it carried the request out.
    pub(crate) const fn error(&self) -> Option<&StoreError> {
        match self {
            Self::Acquired {
                result: Err(error), ..
            }
            | Self::CreatedMissing {
                result: Err(error), ..
            }
            | Self::Released {
                result: Err(error), ..
            }
            | Self::Deleted {
                result: Err(error), ..
            }
            | Self::Truncated {
                result: Err(error), ..
            }
            | Self::Created {
                result: Err(error), ..
            }
            | Self::Described {
                result: Err(error), ..
            } => Some(error),
            Self::Acquired { result: Ok(_), .. }
            | Self::CreatedMissing { result: Ok(()), .. }
            | Self::Released { result: Ok(()), .. }
            | Self::Deleted { result: Ok(()), .. }
            | Self::Truncated { result: Ok(()), .. }
            | Self::Created { result: Ok(()), .. }
            | Self::Described { result: Ok(_), .. } => None,
        }
    }
}

/// The work that an append is for. Must be returned exactly once.
#[derive(Debug)]
#[must_use = "a ticket that is lost leaves its client without a reply and its bytes counted for \
              ever"]
pub(crate) struct Ticket<O> {
    /// Reply address.
    pub(crate) to: O,
    pub(super) stream: StreamName,
    pub(super) epoch: u64,
    pub(super) ownership: u64,
    pub(super) window: WindowHint,
    pub(super) work: QueuedWork,
}
