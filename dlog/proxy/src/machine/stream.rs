use std::collections::VecDeque;

use distributedlog::{Dlsn, Instant, StatusCode};

use super::copies::WindowHint;
use super::{Fingerprint, Response};
use distributedlog_store::{Entry, EntryRecord, Lease};

/// One stream as this proxy sees it.
///
/// `waiting` is ordered by serial number and part. What waits starts in that order: appends as soon
/// as the stream is owned, `Release` and `Delete` when nothing of the stream is in the store's
/// hands any more.
#[derive(Debug)]
pub(super) struct Stream<O> {
    pub(super) phase: Phase<O>,
    /// The number of this proxy's latest ownership of the stream, among all its ownerships of all
    /// streams.
    pub(super) ownership: u64,
    /// Where what is remembered of the stream's last set is.
    pub(super) window: WindowHint,
    pub(super) waiting: VecDeque<(O, Waiting)>,
    /// How many appends and truncations the store works on.
    pub(super) in_store: usize,
    /// What is admitted and not answered: what waits and what the store works on.
    pub(super) usage: Usage,
}

/// Whose the stream is.
#[derive(Debug)]
pub(super) enum Phase<O> {
    /// Not known to be this proxy's.
    Unowned,
    /// The store was asked for it, or to make it first, which it was so many times.
    Acquiring { rounds: u8 },
    /// This proxy's.
    Owned(Lease),
    /// The store was asked to take it back; a client may wait for that.
    Releasing(Option<O>),
    /// The store was asked to delete it for a client. The lease is what remains when it refuses.
    Deleting(O, Lease),
}

/// One piece of work on a stream.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The request's number; the parts of a bulk write have the same.
    pub(super) serial: u64,
    /// Which part of a bulk write this is; 0 for everything else.
    pub(super) part: u32,
    /// When it must have started.
    pub(super) deadline: Option<Instant>,
    /// How many payload bytes the whole request holds.
    pub(super) size: usize,
    /// Whether the store refused it once because its lease had been lost.
    pub(super) fenced_before: bool,
    /// What tells copies of it, when it is a record set with an identity.
    pub(super) print: Option<Fingerprint>,
    pub(super) task: Task,
}

#[derive(Debug)]
pub(super) enum Task {
    Append(Records),
    AppendPart(Records),
    Touch,
    Truncate(Dlsn),
    Release,
    Delete,
}

/// The records of one entry. A clone shares the payloads' bytes.
#[derive(Clone, Debug)]
pub(super) enum Records {
    /// By far the most frequent, so it costs no vector of its own while it waits.
    One(EntryRecord),
    Many(Vec<EntryRecord>),
}

impl Records {
    pub(super) fn to_entry(&self) -> Entry {
        match self {
            Self::One(record) => Entry {
                records: vec![record.clone()],
            },
            Self::Many(records) => Entry {
                records: records.clone(),
            },
        }
    }
}

impl Task {
    /// Whether it makes a stream that does not exist.
    pub(super) const fn creates(&self) -> bool {
        match self {
            Self::Append(_) | Self::AppendPart(_) | Self::Touch => true,
            Self::Truncate(_) | Self::Release | Self::Delete => false,
        }
    }
}

impl<O> Stream<O> {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Unowned,
            ownership: 0,
            window: WindowHint(0),
            waiting: VecDeque::new(),
            in_store: 0,
            usage: Usage::NONE,
        }
    }

    /// Puts work where it belongs among what waits.
    pub(super) fn enqueue(&mut self, to: O, work: Waiting) {
        let place = (work.serial, work.part);
        let at = if self
            .waiting
            .back()
            .is_none_or(|(_, last)| (last.serial, last.part) < place)
        {
            self.waiting.len()
        } else {
            self.waiting
                .partition_point(|(_, other)| (other.serial, other.part) < place)
        };
        self.waiting.insert(at, (to, work));
    }

    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_forgettable(&self) -> bool {
        matches!(self.phase, Phase::Unowned)
            && self.waiting.is_empty()
            && self.in_store == 0
            && self.usage.requests == 0
    }
}

/// A bulk write whose parts are under way.
#[derive(Debug)]
pub(super) struct BulkProgress<O> {
    pub(super) to: O,
    pub(super) size: usize,
    /// For each part where its records start among all of them.
    pub(super) starts: Vec<usize>,
    /// For each record its outcome, once known.
    pub(super) outcomes: Vec<Option<Response>>,
    pub(super) parts_left: usize,
    /// The answers of the record that was too large and of those after it.
    pub(super) refused: Vec<Response>,
}

/// What is admitted and not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Requests.
    pub(crate) requests: usize,
    /// Their payload bytes.
    pub(crate) bytes: usize,
}

impl Usage {
    pub(super) const NONE: Self = Self {
        requests: 0,
        bytes: 0,
    };

    /// Whether another request of `size` bytes fits. One that is larger than the limit itself fits
    /// when nothing else is there.
    pub(super) const fn has_room(self, size: usize, limit: Self) -> bool {
        self.requests < limit.requests && (self.bytes + size <= limit.bytes || self.bytes == 0)
    }

    pub(crate) const fn add(&mut self, size: usize) {
        self.requests += 1;
        self.bytes += size;
    }

    pub(crate) const fn remove(&mut self, size: usize) {
        debug_assert!(
            self.requests > 0 && self.bytes >= size,
            "answered more than was admitted"
        );
        self.requests -= 1;
        self.bytes -= size;
    }
}

/// What is done to a stream on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing starts.
    Stalled,
    /// Everything is answered with this code.
    Failing(StatusCode),
}
