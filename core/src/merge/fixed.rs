//! A merged reader in fixed memory.

use core::fmt;

use heapless::{Deque, Vec};

use super::window::{SetWindow, Sighting};
use crate::wire::record_set::{RecordSet, RecordSetError, Records, SetIdentity, WriterId};
use crate::{Dlsn, StreamIndex};

/// Delivers the records of several streams, each once, in fixed memory and without an allocator.
///
/// It does no I/O: the device reads the streams' entries in whatever way it has, and passes them
/// [in](Self::entry). What it gets back are the records of the entry, or none if another stream's
/// copy of the set was delivered before (R12).
///
/// It remembers the last `WRITERS` writers, and of each which of its newest `WORDS` × 64 sets were
/// delivered, at least `(WORDS - 1)` × 64; of a writer without a missing set, all. That takes about
/// 50 + 8 × `WORDS` bytes a writer, and 24 bytes a stream. Records of sets before that, and of
/// writers that were forgotten for others, are delivered and marked
/// ([`MergedRecords::may_be_duplicates`]). So are those of sets that were begun before a restart:
/// [positions](Self::position) are to be kept by the device, what was delivered is not.
///
/// ```
/// use distributedlog::merge::{MergedReader, Stored};
/// use distributedlog::{Dlsn, StreamIndex};
///
/// let mut reader = MergedReader::<2, 4, 2>::new();
/// let stored = Stored::Record(b"21.5 C");
/// let records = reader.entry(StreamIndex(0), Dlsn::INITIAL, stored, &mut [])?;
/// for (dlsn, record) in records {
///     println!("{dlsn}: {} bytes", record.len());
/// }
/// assert_eq!(reader.position(StreamIndex(0)), Some(Dlsn::new(1, 0, 1)));
/// # Ok::<(), distributedlog::merge::EntryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MergedReader<const STREAMS: usize, const WRITERS: usize, const WORDS: usize> {
    next: [Dlsn; STREAMS],
    /// Ordered by the time of their last set.
    writers: Vec<KnownWriter<WORDS>, WRITERS>,
    has_forgotten: bool,
    counts: ReadCounts,
}

#[derive(Clone, Debug)]
struct KnownWriter<const WORDS: usize> {
    writer: WriterId,
    window: SetWindow<Deque<u64, WORDS>>,
    /// The writer may have been forgotten before: nothing is certain of its sets.
    is_uncertain: bool,
}

/// Payload of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// A record.
    Record(&'a [u8]),
    /// A record set, header included.
    RecordSet(&'a [u8]),
}

/// Numbers of records that a [`MergedReader`] was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadCounts {
    /// Records that were delivered.
    pub delivered: u64,
    /// Records of copies of sets that had been delivered.
    pub duplicates: u64,
    /// Records that were delivered and may be duplicates.
    pub uncertain: u64,
    /// Record sets that could not be decoded.
    pub malformed: u64,
}

/// Reason for which an entry has no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The reader has no stream of this index.
    Stream {
        /// Number of its streams.
        streams: usize,
    },
    /// The record set is malformed. The position is behind its first record.
    RecordSet(RecordSetError),
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { streams } => write!(f, "the merged reader has {streams} streams"),
            Self::RecordSet(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EntryError {}

impl<const STREAMS: usize, const WRITERS: usize, const WORDS: usize> Default
    for MergedReader<STREAMS, WRITERS, WORDS>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const STREAMS: usize, const WRITERS: usize, const WORDS: usize>
    MergedReader<STREAMS, WRITERS, WORDS>
{
    /// A reader of the streams from their starts.
    #[must_use]
    pub const fn new() -> Self {
        Self::from_positions([Dlsn::INITIAL; STREAMS])
    }

    /// A reader from these positions on.
    #[must_use]
    pub const fn from_positions(next: [Dlsn; STREAMS]) -> Self {
        const { assert!(WRITERS > 0, "no writer would be remembered") };
        const { assert!(WORDS > 1, "a bitmap of one word does not slide") };
        Self {
            next,
            writers: Vec::new(),
            has_forgotten: false,
            counts: ReadCounts {
                delivered: 0,
                duplicates: 0,
                uncertain: 0,
                malformed: 0,
            },
        }
    }

    /// Returns the position from which the stream is to be read on, behind the last entry that was
    /// passed in; `None` if there is no such stream.
    #[must_use]
    pub fn position(&self, stream: StreamIndex) -> Option<Dlsn> {
        self.next.get(usize::from(stream.0)).copied()
    }

    /// Returns the numbers of records so far.
    #[must_use]
    pub const fn counts(&self) -> ReadCounts {
        self.counts
    }

    /// Takes an entry of a stream, whose first record is at `dlsn`, and returns those of its
    /// records that are at or behind the stream's position and were not delivered. Entries of a
    /// stream come in their order; those before its position have no records.
    ///
    /// A compressed set is decompressed into `scratch`; others need none.
    ///
    /// # Errors
    ///
    /// [`EntryError`]. The reader goes on with the next entry.
    pub fn entry<'a>(
        &mut self,
        stream: StreamIndex,
        dlsn: Dlsn,
        stored: Stored<'a>,
        scratch: &'a mut [u8],
    ) -> Result<MergedRecords<'a>, EntryError> {
        let Some(next) = self.next.get_mut(usize::from(stream.0)) else {
            return Err(EntryError::Stream { streams: STREAMS });
        };
        let from = *next;
        let set = match stored {
            Stored::Record(record) => {
                *next = from.max(dlsn.slot(1));
                return Ok(self.deliver(None, dlsn, from, Inner::Record(Some(record)), 1));
            }
            Stored::RecordSet(bytes) => match RecordSet::parse(bytes, scratch) {
                Ok(set) => set,
                Err(error) => {
                    *next = from.max(dlsn.slot(1));
                    self.counts.malformed = self.counts.malformed.wrapping_add(1);
                    return Err(EntryError::RecordSet(error));
                }
            },
        };
        // At most as many as bytes in an entry.
        let count = u32::try_from(set.len()).unwrap_or(u32::MAX);
        *next = from.max(dlsn.slot(count));
        let records = Inner::Set(set.records());
        Ok(self.deliver(set.identity(), dlsn, from, records, count))
    }

    /// Returns the records of an entry that are to be delivered, and counts all.
    fn deliver<'a>(
        &mut self,
        identity: Option<SetIdentity>,
        dlsn: Dlsn,
        from: Dlsn,
        mut records: Inner<'a>,
        count: u32,
    ) -> MergedRecords<'a> {
        let mut slot = 0;
        while slot < count && dlsn.slot(slot) < from {
            records.next();
            slot += 1;
        }
        let left = u64::from(count - slot);
        let sighting = match identity {
            Some(identity) if left > 0 => self.note(identity),
            Some(_) | None => Sighting::First,
        };
        let counts = &mut self.counts;
        let mut may_be_duplicates = false;
        match sighting {
            Sighting::Repeated => {
                counts.duplicates = counts.duplicates.wrapping_add(left);
                records = Inner::Record(None);
            }
            Sighting::Unknown => {
                counts.uncertain = counts.uncertain.wrapping_add(left);
                may_be_duplicates = true;
            }
            Sighting::First => {}
        }
        if sighting != Sighting::Repeated {
            counts.delivered = counts.delivered.wrapping_add(left);
        }
        MergedRecords {
            records,
            dlsn,
            slot,
            may_be_duplicates,
        }
    }

    /// Notes a set, and returns what was known of it.
    fn note(&mut self, set: SetIdentity) -> Sighting {
        let place = self.writers.iter().rposition(|it| it.writer == set.writer);
        let mut writer = match place {
            Some(place) => self.writers.remove(place),
            None => {
                if self.writers.is_full() {
                    self.writers.remove(0);
                    self.has_forgotten = true;
                }
                KnownWriter {
                    writer: set.writer,
                    window: SetWindow::ending_with(set.sequence, WORDS),
                    is_uncertain: self.has_forgotten,
                }
            }
        };
        let sighting = match writer.window.note(set.sequence, WORDS) {
            Sighting::First if writer.is_uncertain => Sighting::Unknown,
            sighting @ (Sighting::First | Sighting::Repeated | Sighting::Unknown) => sighting,
        };
        // One was taken out, or there was room.
        let pushed = self.writers.push(writer);
        debug_assert!(pushed.is_ok(), "there is room for a writer");
        sighting
    }
}

/// Records of an entry that were not delivered before.
#[derive(Clone, Debug)]
pub struct MergedRecords<'a> {
    records: Inner<'a>,
    dlsn: Dlsn,
    slot: u32,
    may_be_duplicates: bool,
}

#[derive(Clone, Debug)]
enum Inner<'a> {
    Record(Option<&'a [u8]>),
    Set(Records<'a>),
}

impl<'a> Iterator for Inner<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Record(record) => record.take(),
            Self::Set(records) => records.next(),
        }
    }
}

impl MergedRecords<'_> {
    /// Returns `true` if the records may have been delivered before: they lie before what is
    /// remembered of their writer, or it was forgotten.
    #[must_use]
    pub const fn may_be_duplicates(&self) -> bool {
        self.may_be_duplicates
    }
}

impl<'a> Iterator for MergedRecords<'a> {
    type Item = (Dlsn, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        let dlsn = self.dlsn.slot(self.slot);
        self.slot = self.slot.wrapping_add(1);
        Some((dlsn, record))
    }
}
