use std::collections::VecDeque;

use distributedlog::{Dlsn, Instant, StatusCode};

use super::dedup::WindowHint;
use super::rate::RecentRate;
use super::{Fingerprint, StreamReply};
use distributedlog_store::{Entry, EntryRecord, Lease};

/// One stream as this proxy sees it.
///
/// `queue` is ordered by serial number and part. Queued work starts in that order: appends as soon
/// as the stream is owned, `Release` and `Delete` when the store works on nothing of the stream any
/// more.
#[derive(Debug)]
pub(super) struct Stream<O> {
    pub(super) phase: StreamPhase<O>,
    /// Number of this proxy's latest ownership of the stream, among all its ownerships of all
    /// streams.
    pub(super) ownership: u64,
    /// Dedup window of the stream's last set.
    pub(super) window: WindowHint,
    pub(super) queue: VecDeque<(O, QueuedWork)>,
    /// Number of appends and truncations that the store works on.
    pub(super) in_store: usize,
    /// Requests that are admitted and not answered: those in the queue and those that the store
    /// works on.
    pub(super) usage: Usage,
    pub(super) counters: StreamCounters,
    pub(super) recent: RecentRate,
}

/// Appends to a stream since this proxy last became its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamCounters {
    /// Entries that were written.
    pub(crate) writes: u64,
    /// Their payload bytes.
    pub(crate) bytes: u64,
    /// Appends that failed.
    pub(crate) failures: u64,
}

impl StreamCounters {
    /// Counts an append of `bytes`.
    pub(super) const fn count(&mut self, is_written: bool, bytes: usize) {
        if is_written {
            self.writes += 1;
            self.bytes += bytes as u64;
        } else {
            self.failures += 1;
        }
    }
}

/// State of this proxy's ownership of a stream.
#[derive(Debug)]
pub(super) enum StreamPhase<O> {
    /// The stream is not known to be this proxy's.
    Unowned,
    /// The store was asked to acquire the stream, or first to create it, for the `rounds`th time.
    Acquiring { rounds: u8 },
    /// The stream is this proxy's.
    Owned(Lease),
    /// The store was asked to release the stream; a client may wait for that.
    Releasing(Option<O>),
    /// The store was asked to delete the stream for a client. The lease stays valid if it refuses.
    Deleting(O, Lease),
}

/// Work on a stream that has not started, or may have to be repeated.
#[derive(Debug)]
pub(super) struct QueuedWork {
    /// Number of the request; the parts of a bulk write share it.
    pub(super) serial: u64,
    /// Index of the part of a bulk write; 0 for other work.
    pub(super) part: u32,
    /// Time by which it must have started.
    pub(super) deadline: Option<Instant>,
    /// A write may create its stream.
    pub(super) may_create: bool,
    /// Payload bytes of the whole request.
    pub(super) size: usize,
    /// True if the store refused it once because the lease had been lost.
    pub(super) fenced_before: bool,
    /// Identifies duplicates, if it is a record set with an identity.
    pub(super) fingerprint: Option<Fingerprint>,
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
    /// By far the most frequent, so it needs no vector of its own while it is queued.
    One(EntryRecord),
    Many(Vec<EntryRecord>),
}

impl Records {
    /// Returns the number of payload bytes.
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::One(record) => record.payload.len(),
            Self::Many(records) => records.iter().map(|record| record.payload.len()).sum(),
        }
    }

    /// Returns the number of slots: records, those of a set each for itself.
    pub(super) fn slots(&self) -> u64 {
        match self {
            Self::One(record) => record.slots.into(),
            Self::Many(records) => records.iter().map(|record| u64::from(record.slots)).sum(),
        }
    }

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
    /// Returns true if it creates a stream that does not exist.
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
            phase: StreamPhase::Unowned,
            ownership: 0,
            window: WindowHint(0),
            queue: VecDeque::new(),
            in_store: 0,
            usage: Usage::NONE,
            counters: StreamCounters {
                writes: 0,
                bytes: 0,
                failures: 0,
            },
            recent: RecentRate::NONE,
        }
    }

    /// Inserts work into the queue by its serial number and part.
    pub(super) fn enqueue(&mut self, to: O, work: QueuedWork) {
        let place = (work.serial, work.part);
        let at = if self
            .queue
            .back()
            .is_none_or(|(_, last)| (last.serial, last.part) < place)
        {
            self.queue.len()
        } else {
            self.queue
                .partition_point(|(_, other)| (other.serial, other.part) < place)
        };
        self.queue.insert(at, (to, work));
    }

    /// Returns true if the stream can be removed from the table without loss.
    pub(super) fn is_forgettable(&self) -> bool {
        matches!(self.phase, StreamPhase::Unowned)
            && self.queue.is_empty()
            && self.in_store == 0
            && self.usage.requests == 0
    }
}

/// A bulk write whose parts are under way.
#[derive(Debug)]
pub(super) struct BulkProgress<O> {
    pub(super) to: O,
    pub(super) size: usize,
    /// For each part, the index of its first record.
    pub(super) starts: Vec<usize>,
    /// For each record its reply, once known.
    pub(super) outcomes: Vec<Option<StreamReply>>,
    pub(super) parts_left: usize,
    /// Replies for the record that was too large and for those after it.
    pub(super) refused: Vec<StreamReply>,
}

/// Requests that are admitted and not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Number of requests.
    pub(crate) requests: usize,
    /// Their payload bytes.
    pub(crate) bytes: usize,
}

impl Usage {
    pub(super) const NONE: Self = Self {
        requests: 0,
        bytes: 0,
    };

    /// Returns true if another request of `size` bytes fits. One that exceeds the limit by itself
    /// fits when there is no other.
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

/// A fault injected into a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InjectedFault {
    /// No request is started.
    Stalled,
    /// Every request is refused with this code.
    Failing(StatusCode),
}
