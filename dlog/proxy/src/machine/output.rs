use distributedlog::Dlsn;

use super::Answer;
use super::copies::WindowHint;
use super::stream::Waiting;
use distributedlog_store::{Acquired, Entry, Lease, StoreError, StreamInfo, StreamName};

/// What the machine wants done, in this order.
#[derive(Debug)]
pub(crate) enum Output<O> {
    /// Tell a client.
    Reply { to: O, answer: Answer },
    /// Append, then hand the ticket back to
    /// [`Machine::handle_appended`](super::Machine::handle_appended). Entries must reach the store
    /// in the order of these outputs.
    Append {
        lease: Lease,
        entry: Entry,
        ticket: Ticket<O>,
    },
    /// Ask the store, then hand what it answers to
    /// [`Machine::handle_store`](super::Machine::handle_store).
    Ask(Question<O>),
}

/// What the store is asked besides appends.
#[derive(Debug)]
pub(crate) enum Question<O> {
    /// Become the stream's owner.
    Acquire { stream: StreamName },
    /// Make a stream that a write waits for.
    CreateMissing { stream: StreamName },
    /// Give the stream up.
    Release { lease: Lease },
    /// Delete the stream.
    Delete { stream: StreamName },
    /// Discard records.
    Truncate {
        stream: StreamName,
        before: Dlsn,
        to: O,
    },
    /// Make a stream for a client.
    Create { stream: StreamName, to: O },
    /// Find a stream's owner for a client.
    Describe { stream: StreamName, to: O },
}

/// What the store answered to a [`Question`].
#[derive(Debug)]
pub(crate) enum StoreAnswer<O> {
    /// To [`Question::Acquire`].
    Acquired {
        stream: StreamName,
        result: Result<Acquired, StoreError>,
    },
    /// To [`Question::CreateMissing`].
    CreatedMissing {
        stream: StreamName,
        result: Result<(), StoreError>,
    },
    /// To [`Question::Release`].
    Released {
        stream: StreamName,
        result: Result<(), StoreError>,
    },
    /// To [`Question::Delete`].
    Deleted {
        stream: StreamName,
        result: Result<(), StoreError>,
    },
    /// To [`Question::Truncate`].
    Truncated {
        stream: StreamName,
        result: Result<(), StoreError>,
        to: O,
    },
    /// To [`Question::Create`].
    Created {
        stream: StreamName,
        result: Result<(), StoreError>,
        to: O,
    },
    /// To [`Question::Describe`].
    Described {
        stream: StreamName,
        result: Result<StreamInfo, StoreError>,
        to: O,
    },
}

/// What an append was for. Must come back exactly once.
#[derive(Debug)]
#[must_use = "a ticket that is lost leaves its client without an answer and its bytes counted for \
              ever"]
pub(crate) struct Ticket<O> {
    /// Whom the outcome concerns.
    pub(crate) to: O,
    pub(super) stream: StreamName,
    pub(super) epoch: u64,
    pub(super) ownership: u64,
    pub(super) window: WindowHint,
    pub(super) waiting: Waiting,
}
