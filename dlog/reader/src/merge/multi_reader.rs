use core::fmt;
use core::num::NonZeroUsize;
use core::task::{Context, Poll};
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog::merge::{Deduplicator, MergeSettings, SavedDedup};
use distributedlog_store::{LogStore, StoreError, StreamName};

use super::input::Input;
use super::merger::{MergeCounters, MergeInput as _, Merger, Taken};
use super::position::MergePosition;
use crate::source::share_of_buffer;
use crate::{LogReader, MalformedSet, ReadEvent, RecordRun};

/// An item that a [`MultiReader`] delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergedEvent {
    /// The stream that the item was read from.
    pub stream: StreamName,
    /// A record that was not delivered before, or a set that cannot be read. If the set has an
    /// undamaged duplicate in another stream, its records are delivered from there.
    pub event: ReadEvent,
}

/// An item that a [`MultiReader`] delivers, with the records of a set at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergedRun {
    /// The stream that the item was read from.
    pub stream: StreamName,
    /// Records that were not delivered before, or a set that cannot be read.
    pub event: RunEvent,
}

/// Records of a stream, or a set that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// Records of one set, or one record.
    Run(RecordRun),
    /// A set that cannot be read.
    Malformed(MalformedSet),
}

/// A stream could not be read, or was replaced by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamError {
    /// The stream.
    pub stream: StreamName,
    /// Kind of the error.
    pub kind: StreamErrorKind,
    /// True if the reader stopped reading the stream: it was deleted, or the store was closed.
    /// Otherwise the reader tries again after a pause, which doubles from 0.1 s to 5 s. The other
    /// streams are read without a pause in both cases.
    pub ended: bool,
}

/// Kind of a [`StreamError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// The stream could not be read.
    Unreadable(StoreError),
    /// The stream was deleted, and another one has its name now. The reader reads that one from its
    /// beginning, and drops duplicates of sets that it delivered.
    Recreated,
}

/// A reader that merges several streams and delivers each record once. It drops the duplicates
/// that a writer stores when a stream is slow.
///
/// The reader recognizes duplicates by the identity that the writer puts into each set (R12). Sets
/// without an identity, and records that were written alone, are delivered as often as they are
/// stored.
///
/// Invariant: a record is dropped only if it was delivered, so merging never loses a record. No
/// record is delivered twice while both of these hold:
///
/// - The sequence number of a duplicate is among the newest
///   [`sequences`](MergeSettings::sequences) of its writer, or the reader has seen every set of
///   that writer from it up to those. The delay and the order of duplicates do not matter.
/// - The reader has seen sets of fewer than [`writers`](MergeSettings::writers) other writers since
///   the last set of this writer.
///
/// Beyond that the reader does not know whether it delivered a set, and delivers it.
/// [`counters`](Self::counters) counts these records.
///
/// The records of one stream are delivered in their order, and those of a set without others
/// between them. Streams take turns, one set each; a stream that is idle, stalled or failing delays
/// no other. The reader buffers up to 1 MiB and one set for each stream, or what
/// [`reading_ahead`](Self::reading_ahead) sets.
///
/// A reader that [resumes](Self::resume) at a [`position`](Self::position) delivers the records
/// that were not delivered before it, and drops duplicates of those that were. Streams of one name
/// differ by their time of creation: if a stream was deleted and created again, the new one is read
/// [from its beginning](StreamErrorKind::Recreated). If it was not yet created again when the
/// reader noticed the deletion, the stream has ended.
///
/// ```
/// # use std::sync::Arc;
/// # use distributedlog_reader::{MergeSettings, MultiReader, ReadEvent};
/// # use distributedlog_store::{LogStore, StreamName};
/// async fn print_all(store: Arc<dyn LogStore>, streams: Vec<StreamName>) {
///     let starts = streams.into_iter().map(|stream| (stream, distributedlog::Dlsn::INITIAL));
///     let mut reader = MultiReader::new(&store, starts, MergeSettings::default());
///     while let Some(event) = reader.next().await {
///         match event {
///             Ok(merged) => match merged.event {
///                 ReadEvent::Record(record) => println!("{}: {}", merged.stream, record.dlsn),
///                 ReadEvent::Malformed(set) => eprintln!("{}: {set}", merged.stream),
///             },
///             Err(error) => eprintln!("{error}"),
///         }
///     }
/// }
/// ```
pub struct MultiReader(Merger<Input>);

impl MultiReader {
    /// Creates a reader of these streams, each from the first record at or after its position. A
    /// stream that is named twice is read from the first of its positions only. Reads nothing yet.
    #[must_use]
    pub fn new(
        store: &Arc<dyn LogStore>,
        starts: impl IntoIterator<Item = (StreamName, Dlsn)>,
        settings: MergeSettings,
    ) -> Self {
        Self::with_deduplicator(
            store,
            starts
                .into_iter()
                .map(|(stream, from)| (stream, from, None)),
            Deduplicator::new(settings),
        )
    }

    /// Creates a reader that continues at another reader's [`position`](Self::position). The
    /// settings may differ from that reader's: smaller windows drop what they have no room for.
    #[must_use]
    pub fn resume(
        store: &Arc<dyn LogStore>,
        position: &MergePosition,
        settings: MergeSettings,
    ) -> Self {
        let starts = position
            .streams()
            .map(|(stream, from)| (stream.clone(), from, position.created_unix_ms(stream)));
        Self::with_deduplicator(store, starts, position.seen().restore(settings))
    }

    /// Lets the store read the next batch of each stream while the last one is delivered. Reads are
    /// tasks of the tokio runtime, which go on while the reader is not polled and end with it: a
    /// store may hold a lock of a stream within a read. Has no effect outside of a runtime.
    ///
    /// `buffer_bytes` is the number of bytes that are read ahead, over all streams; each has an
    /// equal share, of at least 16 KiB and at most 1 MiB, and two batches within it if that is
    /// 256 KiB or more. The bytes are those that the store holds, compressed or not; the reader
    /// holds one set of each stream besides.
    #[must_use]
    pub fn reading_ahead(mut self, buffer_bytes: usize) -> Self {
        let share = share_of_buffer(buffer_bytes, self.0.inputs.len());
        for input in &mut self.0.inputs {
            input.read_ahead(share);
        }
        self
    }

    fn with_deduplicator(
        store: &Arc<dyn LogStore>,
        starts: impl Iterator<Item = (StreamName, Dlsn, Option<u64>)>,
        deduplicator: Deduplicator,
    ) -> Self {
        let mut inputs: Vec<Input> = Vec::new();
        for (stream, from, created_unix_ms) in starts {
            if inputs.iter().all(|input| *input.stream() != stream) {
                inputs.push(Input::new(
                    LogReader::new(Arc::clone(store), stream, from),
                    created_unix_ms,
                ));
            }
        }
        Self(Merger::new(inputs, Some(deduplicator)))
    }

    /// Returns the next record of any stream that was not delivered yet; waits for it if there is
    /// none. Returns `None` when every stream has [ended](StreamError::ended).
    ///
    /// # Errors
    ///
    /// A stream could not be read, has ended, or was replaced by another one. The next call goes on
    /// with the other streams, and with this one unless it has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no record and repeats none: the next call delivers what this one
    /// would have. Reads of the store that wait stay in the reader and go on waiting.
    ///
    /// # Panics
    ///
    /// If it is called outside a tokio runtime with time enabled after a stream could not be read.
    pub async fn next(&mut self) -> Option<Result<MergedEvent, StreamError>> {
        let next = core::future::poll_fn(|context| self.poll_taken(context, None)).await?;
        Some(next.map(|(stream, taken)| MergedEvent {
            stream,
            event: match taken {
                Taken::Event(event) => event,
                Taken::Run(_) => unreachable!("runs were not asked for"),
            },
        }))
    }

    /// Returns the next records of any stream as one run: those of a whole set if they are at most
    /// `most`, otherwise one record; waits for them if there are none. Returns `None` when every
    /// stream has [ended](StreamError::ended). The [position](Self::position) is then behind the
    /// whole run. For callers to which a record is its payload: nothing is made for each record.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no record and repeats none.
    ///
    /// # Panics
    ///
    /// As [`next`](Self::next).
    pub async fn next_run(&mut self, most: NonZeroUsize) -> Option<Result<MergedRun, StreamError>> {
        let next = core::future::poll_fn(|context| self.poll_taken(context, Some(most))).await?;
        Some(next.map(|(stream, taken)| MergedRun {
            stream,
            event: match taken {
                Taken::Run(run) => RunEvent::Run(run),
                Taken::Event(ReadEvent::Record(record)) => RunEvent::Run(RecordRun::alone(record)),
                Taken::Event(ReadEvent::Malformed(set)) => RunEvent::Malformed(set),
            },
        }))
    }

    /// Returns the position behind every record that [`next`](Self::next) delivered. It does not
    /// contain streams that were deleted.
    #[must_use]
    pub fn position(&self) -> MergePosition {
        let streams = self.0.inputs.iter().filter(|input| !input.is_deleted());
        let seen = self.0.deduplicator().map(SavedDedup::of);
        let streams = streams.map(|input| {
            (
                input.stream().clone(),
                input.position(),
                input.created_unix_ms(),
            )
        });
        MergePosition::new(streams, seen.unwrap_or_default())
    }

    /// Returns the counters.
    #[must_use]
    pub fn counters(&self) -> MergeCounters {
        self.0.counters()
    }

    /// Returns the streams that the reader reads, without those that have ended.
    pub fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.0
            .inputs
            .iter()
            .filter(|input| !input.is_ended())
            .map(Input::stream)
    }

    fn poll_taken(
        &mut self,
        context: &mut Context<'_>,
        most: Option<NonZeroUsize>,
    ) -> Poll<Option<Result<(StreamName, Taken), StreamError>>> {
        self.0.poll_next(context, most).map(|next| {
            next.map(|(index, result)| {
                let input = &self.0.inputs[index];
                let stream = input.stream().clone();
                match result {
                    Ok(taken) => Ok((stream, taken)),
                    Err(kind) => Err(StreamError {
                        stream,
                        kind,
                        ended: input.is_ended(),
                    }),
                }
            })
        })
    }
}

impl fmt::Debug for MultiReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams: Vec<_> = self
            .0
            .inputs
            .iter()
            .map(|input| (input.stream(), input.position()))
            .collect();
        f.debug_struct("MultiReader")
            .field("streams", &streams)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stream,
            kind,
            ended,
        } = self;
        let error = match kind {
            StreamErrorKind::Unreadable(error) => error,
            StreamErrorKind::Recreated => {
                return write!(
                    f,
                    "stream {stream} was deleted and created again since it was read last; the \
                     new stream is read from its beginning"
                );
            }
        };
        let then = if *ended {
            "reading has ended"
        } else {
            "trying again"
        };
        write!(f, "stream {stream}: {error}; {then}")
    }
}

impl core::error::Error for StreamError {}
