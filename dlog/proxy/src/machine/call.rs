use std::borrow::Cow;
use std::sync::Arc;

use distributedlog::wire::service::{ExceptionKind, ServerStatus};
use distributedlog::{Dlsn, Instant, StatusCode};
use regex::Regex;

use super::Fingerprint;
use distributedlog_store::{EntryRecord, StreamName};

/// A request that passed the checks which need no state, and whom to answer.
#[derive(Debug)]
pub(crate) struct Call<'a, O> {
    /// Whom to answer: the machine hands it back with the answer and looks at nothing in it.
    pub(crate) to: O,
    /// When the client stops waiting. Work that has not started by then is not started.
    pub(crate) deadline: Option<Instant>,
    /// What to do.
    pub(crate) action: Action<'a>,
}

/// What a request asks for. Stream names are legal, without the one leading `/` that is dropped.
#[derive(Debug)]
pub(crate) enum Action<'a> {
    /// The proxy's status and, unless `ownerships` is off, the streams that it owns, of those the
    /// ones that `filter` matches as a whole.
    Handshake {
        ownerships: bool,
        filter: Option<Regex>,
    },
    /// Whether the proxy becomes the owner of further streams.
    SetAcceptNewStream(bool),
    /// Makes an empty stream.
    Create { stream: &'a str },
    /// Which proxy owns a stream, or would.
    Owner { stream: &'a str },
    /// What only a stream's owner can do.
    Stream { stream: &'a str, work: Work },
}

/// What only a stream's owner can do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Appends one record or record set.
    Write(EntryRecord),
    /// Appends a record set whose copies can be told, unless it is there already.
    WriteOnce(EntryRecord, Fingerprint),
    /// Appends several records.
    Bulk(Bulk),
    /// Becomes the stream's owner and writes nothing.
    Touch,
    /// Discards the records before a position.
    Truncate(Dlsn),
    /// Gives the stream up.
    Release,
    /// Deletes the stream.
    Delete,
}

/// The records of a bulk write. From the first that is too large on, none is written.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    /// What is written, in order.
    pub(crate) records: Vec<EntryRecord>,
    /// The size of the record that is too large, if there is one.
    pub(crate) too_large: Option<usize>,
    /// How many records came after it.
    pub(crate) cancelled: usize,
}

impl Action<'_> {
    /// The stream that it concerns, if it is one.
    pub(crate) const fn stream(&self) -> Option<&str> {
        match self {
            Self::Create { stream } | Self::Owner { stream } | Self::Stream { stream, .. } => {
                Some(stream)
            }
            Self::Handshake { .. } | Self::SetAcceptNewStream(_) => None,
        }
    }

    /// How many bytes it wants written.
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
    /// How many payload bytes it holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Write(record) | Self::WriteOnce(record, _) => record.payload.len(),
            Self::Bulk(bulk) => bulk.records.iter().map(|record| record.payload.len()).sum(),
            Self::Touch | Self::Truncate(_) | Self::Release | Self::Delete => 0,
        }
    }

    /// Whether a proxy that is read only refuses it.
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

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To handshakes. `ownerships` all belong to this proxy.
    ServerInfo {
        status: ServerStatus,
        ownerships: Option<Vec<StreamName>>,
    },
    /// To what concerns one stream; for a bulk write that was refused as a whole, this is its
    /// header.
    Stream(Response),
    /// To a bulk write: an answer for each record.
    Bulk(Vec<Response>),
    /// To `setAcceptNewStream`.
    Void,
    /// The request could not be worked on at all (TApplicationException).
    Exception {
        kind: ExceptionKind,
        message: Cow<'static, str>,
    },
    /// Nothing was started.
    NotStarted(NotStarted),
}

/// Why a request was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// Its deadline passed while it waited.
    DeadlinePassed,
    /// Its client discarded it, or went away.
    Discarded,
}

/// The outcome of what was asked of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// How it went.
    pub(crate) code: StatusCode,
    /// Why, for a person.
    pub(crate) message: Option<Cow<'static, str>>,
    /// The owner's text, for [`StatusCode::Found`].
    pub(crate) location: Option<Arc<str>>,
    /// Where the record is.
    pub(crate) dlsn: Option<Dlsn>,
}

impl Response {
    /// It was done.
    pub(crate) const fn success() -> Self {
        Self {
            code: StatusCode::Success,
            message: None,
            location: None,
            dlsn: None,
        }
    }

    /// It was written.
    pub(crate) const fn written(dlsn: Dlsn) -> Self {
        Self {
            code: StatusCode::Success,
            message: None,
            location: None,
            dlsn: Some(dlsn),
        }
    }

    /// Another proxy does this.
    pub(crate) const fn found(location: Arc<str>) -> Self {
        Self {
            code: StatusCode::Found,
            message: None,
            location: Some(location),
            dlsn: None,
        }
    }

    /// It was not done.
    pub(crate) fn refused(code: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            location: None,
            dlsn: None,
        }
    }
}
