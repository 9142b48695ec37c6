use std::borrow::Cow;
use std::sync::Arc;

use distributedlog::wire::service::{ExceptionKind, ServerStatus};
use distributedlog::{Dlsn, Instant, StatusCode};
use regex::Regex;

use super::Fingerprint;
use distributedlog_store::{EntryRecord, StreamName};

/// A request that passed the checks which need no state, and its reply address.
#[derive(Debug)]
pub(crate) struct Call<'a, O> {
    /// Reply address: the machine hands it back with the reply and never looks at it.
    pub(crate) to: O,
    /// Time at which the client stops waiting. Work that has not started by then is not started.
    pub(crate) deadline: Option<Instant>,
    /// A write may create its stream, as far as the proxy's settings let it.
    pub(crate) may_create: bool,
    /// The action.
    pub(crate) action: Action<'a>,
}

/// Conditions of queued work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Time by which it must have started.
    pub(crate) deadline: Option<Instant>,
    /// A write may create its stream.
    pub(crate) may_create: bool,
}

/// The action that a request asks for. Stream names are valid, without the one leading `/` that is
/// dropped.
#[derive(Debug)]
pub(crate) enum Action<'a> {
    /// Returns the proxy's status and, if `ownerships` is true, the streams that it owns. With a
    /// `filter`, only those whose whole name matches.
    Handshake {
        ownerships: bool,
        filter: Option<Regex>,
    },
    /// Sets whether the proxy becomes the owner of further streams.
    SetAcceptNewStream(bool),
    /// Creates an empty stream.
    Create { stream: &'a str },
    /// Returns the proxy that owns a stream, or would own it.
    Owner { stream: &'a str },
    /// Work that only a stream's owner can do.
    Stream { stream: &'a str, work: Work },
}

/// Work that only a stream's owner can do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Appends one record or record set.
    Write(EntryRecord),
    /// Appends a record set whose duplicates can be detected, unless it is stored already.
    WriteOnce(EntryRecord, Fingerprint),
    /// Appends several records.
    Bulk(Bulk),
    /// Acquires the stream and writes nothing.
    Touch,
    /// Discards the records before a position.
    Truncate(Dlsn),
    /// Gives up the ownership of the stream.
    Release,
    /// Deletes the stream.
    Delete,
}

/// The records of a bulk write. The first one that is too large and those after it are not written.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    /// The records that are written, in order.
    pub(crate) records: Vec<EntryRecord>,
    /// Size of the record that is too large; `None` if none is.
    pub(crate) too_large: Option<usize>,
    /// Number of records after the one that is too large.
    pub(crate) cancelled: usize,
}

impl Bulk {
    /// Returns the payload bytes of the records that are to be written.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.records.iter().map(|record| record.payload.len()).sum()
    }
}

impl Action<'_> {
    /// Returns the stream that the action concerns, or `None` if it concerns the proxy.
    pub(crate) const fn stream(&self) -> Option<&str> {
        match self {
            Self::Create { stream } | Self::Owner { stream } | Self::Stream { stream, .. } => {
                Some(stream)
            }
            Self::Handshake { .. } | Self::SetAcceptNewStream(_) => None,
        }
    }

    /// Returns the number of payload bytes that the action would write.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::Stream { work, .. } => work.size(),
            Self::Handshake { .. }
            | Self::SetAcceptNewStream(_)
            | Self::Create { .. }
            | Self::Owner { .. } => 0,
        }
    }
}

impl Work {
    /// Returns the number of payload bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Write(record) | Self::WriteOnce(record, _) => record.payload.len(),
            Self::Bulk(bulk) => bulk.payload_bytes(),
            Self::Touch | Self::Truncate(_) | Self::Release | Self::Delete => 0,
        }
    }

    /// Returns true if a read-only proxy refuses the work.
    pub(crate) const fn changes(&self) -> bool {
        match self {
            Self::Write(_)
            | Self::WriteOnce(..)
            | Self::Bulk(_)
            | Self::Truncate(_)
            | Self::Delete => true,
            Self::Touch | Self::Release => false,
        }
    }
}

/// A reply to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Reply to a handshake. All `ownerships` are of this proxy.
    ServerInfo {
        status: ServerStatus,
        ownerships: Option<Vec<StreamName>>,
    },
    /// Reply to a request that concerns one stream. For a bulk write that was refused as a whole,
    /// this is its header.
    Stream(StreamReply),
    /// Reply to a bulk write, with one element for each record.
    Bulk(Vec<StreamReply>),
    /// Reply to `setAcceptNewStream`.
    Void,
    /// The request could not be carried out at all (TApplicationException).
    Exception {
        kind: ExceptionKind,
        message: Cow<'static, str>,
    },
    /// No part of the request was started.
    NotStarted(NotStarted),
}

/// Reason why a request was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// Its deadline passed while it was queued, or before it arrived.
    DeadlinePassed,
    /// Its client discarded it, or closed the connection.
    Discarded,
}

/// Reply to a request that concerns one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamReply {
    /// Status code.
    pub(crate) code: StatusCode,
    /// Reason, for people.
    pub(crate) message: Option<Cow<'static, str>>,
    /// Text of the stream's owner, with [`StatusCode::Found`].
    pub(crate) location: Option<Arc<str>>,
    /// Position of the record.
    pub(crate) dlsn: Option<Dlsn>,
}

impl StreamReply {
    /// Returns a success without a position.
    pub(crate) const fn success() -> Self {
        Self {
            code: StatusCode::Success,
            message: None,
            location: None,
            dlsn: None,
        }
    }

    /// Returns the success of a write, with the record's position.
    pub(crate) const fn written(dlsn: Dlsn) -> Self {
        Self {
            code: StatusCode::Success,
            message: None,
            location: None,
            dlsn: Some(dlsn),
        }
    }

    /// Returns a redirect to the owner with this text.
    pub(crate) const fn found(location: Arc<str>) -> Self {
        Self {
            code: StatusCode::Found,
            message: None,
            location: Some(location),
            dlsn: None,
        }
    }

    /// Returns a refusal with its reason.
    pub(crate) fn refused(code: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            location: None,
            dlsn: None,
        }
    }
}
