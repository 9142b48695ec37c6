//! Several streams read as one, each record once (R12).

mod input;
mod position;

pub use distributedlog::merge::MergeSettings;
pub use position::{MergePosition, MergePositionError};

use core::fmt;
use core::task::{Context, Poll};
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog::merge::{Deduplicator, Delivery};

use super::{LogReader, ReadEvent};
use distributedlog_store::{LogStore, StoreError, StreamName};
use input::Input;

/// How many sets are delivered from what was read already before the streams that wait are asked
/// again.
const BURST: u32 = 32;

/// How many copies are dropped before other tasks get their turn.
const DROPS_AT_ONCE: u32 = 1024;

/// What a [`MultiReader`] did since it was made. All of them count records, but the last, which
/// counts writers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeCounters {
    /// Delivered.
    pub delivered: u64,
    /// Not delivered, because another copy was.
    pub copies_dropped: u64,
    /// Delivered although nothing was known of them any more: copies may be among them. Counted in
    /// `delivered` too.
    pub beyond_window: u64,
    /// Writers that were forgotten to make room for others.
    pub writers_forgotten: u64,
}

/// What a [`MultiReader`] delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The stream that it comes from.
    pub stream: StreamName,
    /// A record that was not delivered before, or a set that cannot be read. If the set has a
    /// whole copy in another stream, its records are delivered from there.
    pub event: ReadEvent,
}

/// Something is wrong with a stream, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFault {
    /// Which one.
    pub stream: StreamName,
    /// What it is.
    pub trouble: StreamTrouble,
    /// Whether the reader has given it up: it was deleted, or the store was closed. If not, it is
    /// tried again after a pause of 0.1 s to 5 s, longer each time. The other streams are read
    /// on without a pause either way.
    pub ended: bool,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamTrouble {
    /// It could not be read.
    Unreadable(StoreError),
    /// The stream that its position was of was deleted, and another one has its name now. That one
    /// is read from its beginning; copies in it of sets that were delivered are dropped as
    /// anywhere.
    CreatedAnew,
}

/// Reads several streams as one and delivers each record once: copies of a set, which a writer
/// makes when a stream is slow, are dropped.
///
/// Copies are told by the identity that the writer put into each (R12). Sets without one, and
/// records that were written alone, are delivered as often as they are stored.
///
/// The invariant: a record is dropped only if it was delivered. So nothing is lost by merging,
/// whatever happens; and nothing is doubled while this holds:
///
/// - A copy's sequence is among the newest [`sequences`](MergeSettings::sequences) of its writer,
///   or every set of its writer from it up to there has been met. How much later a copy comes, and
///   in which order, does not matter.
/// - Fewer than [`writers`](MergeSettings::writers) other writers were met since its writer was
///   last met.
///
/// Beyond that the reader does not know whether a set was delivered, and delivers it;
/// [`counters`](Self::counters) say how often (a writer that was forgotten counts as a new one).
///
/// Records of one stream are delivered in their order, and a set's records one after the other.
/// Streams take turns, one set each; one that is silent, stalled or failing holds up no other. The
/// reader buffers up to 1 MiB and one set of each stream.
///
/// [`position`](Self::position) says where it is; a reader that [resumes](Self::resume) there
/// delivers what this one had not, and drops the copies of what it had. A stream deleted and
/// created anew is another stream, which is told by when it was created and read
/// [from its beginning](StreamTrouble::CreatedAnew). Was it not yet created anew when the reader
/// looked, then it counts as deleted.
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
///                 ReadEvent::Record(record) => println!("{} {}: {} bytes", merged.stream, record.dlsn, record.payload.len()),
///                 ReadEvent::Malformed(set) => eprintln!("{}: {set}", merged.stream),
///             },
///             Err(fault) => eprintln!("{fault}"),
///         }
///     }
/// }
/// ```
pub struct MultiReader {
    inputs: Vec<Input>,
    /// The input whose turn it is.
    turn: usize,
    /// Whether it is in the middle of a set, which comes in one piece.
    within_set: bool,
    /// Sets since the streams that wait were asked.
    burst: u32,
    seen: Deduplicator,
    counters: MergeCounters,
}

impl MultiReader {
    /// A reader of these streams, each from the first record at or after its position. A stream
    /// that is named twice is read from the first of its positions only. Nothing is read yet.
    #[must_use]
    pub fn new(
        store: &Arc<dyn LogStore>,
        starts: impl IntoIterator<Item = (StreamName, Dlsn)>,
        settings: MergeSettings,
    ) -> Self {
        Self::made(
            store,
            starts
                .into_iter()
                .map(|(stream, from)| (stream, from, None)),
            Deduplicator::new(settings),
        )
    }

    /// A reader that goes on where another one was when it answered `position`. The settings may be
    /// others than that one's: with smaller ones it forgets what it would have forgotten.
    #[must_use]
    pub fn resume(
        store: &Arc<dyn LogStore>,
        position: &MergePosition,
        settings: MergeSettings,
    ) -> Self {
        let starts = position
            .streams()
            .map(|(stream, from)| (stream.clone(), from, position.created_unix_ms(stream)));
        Self::made(
            store,
            starts,
            Deduplicator::restored(settings, position.writers(), position.parts()),
        )
    }

    fn made(
        store: &Arc<dyn LogStore>,
        starts: impl Iterator<Item = (StreamName, Dlsn, Option<u64>)>,
        seen: Deduplicator,
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
        Self {
            inputs,
            turn: 0,
            within_set: false,
            burst: 0,
            seen,
            counters: MergeCounters::default(),
        }
    }

    /// The next record of any of the streams that was not delivered yet; waits for it when there is
    /// none. `None` when every stream [ended](StreamFault::ended).
    ///
    /// # Errors
    /// A stream could not be read just now, or not any more, or is another one than it was. Calling
    /// again goes on with the others, and with it unless it ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing and doubles nothing: the next call delivers what this one
    /// would have. Reads of the store that wait go on waiting inside the reader.
    ///
    /// # Panics
    /// When called outside a tokio runtime with time enabled, after a stream could not be read.
    pub async fn next(&mut self) -> Option<Result<Merged, StreamFault>> {
        core::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Where it is: behind everything that [`next`](Self::next) delivered. Streams that were
    /// deleted are not part of it.
    #[must_use]
    pub fn position(&self) -> MergePosition {
        let streams = self.inputs.iter().filter(|input| !input.is_deleted());
        let (writers, parts) = self.seen.saved();
        let streams = streams.map(|input| {
            (
                input.stream().clone(),
                input.position(),
                input.created_unix_ms(),
            )
        });
        MergePosition::new(streams, writers.to_vec(), parts.to_vec())
    }

    /// What it did so far.
    #[must_use]
    pub const fn counters(&self) -> MergeCounters {
        MergeCounters {
            writers_forgotten: self.seen.forgotten(),
            ..self.counters
        }
    }

    /// The streams that it reads; those that ended are not among them.
    pub fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.inputs
            .iter()
            .filter(|input| !input.is_ended())
            .map(Input::stream)
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Merged, StreamFault>>> {
        for _ in 0..DROPS_AT_ONCE {
            let Some((index, result)) = self.next_event(context) else {
                return if self.inputs.iter().all(Input::is_ended) {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                };
            };
            let stream = self.inputs[index].stream().clone();
            match result {
                Ok(event) if self.delivers(&event) => {
                    return Poll::Ready(Some(Ok(Merged { stream, event })));
                }
                Ok(_) => {}
                Err(trouble) => {
                    let ended = self.inputs[index].is_ended();
                    return Poll::Ready(Some(Err(StreamFault {
                        stream,
                        trouble,
                        ended,
                    })));
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// What comes next, and from which input. Sets come in one piece, streams take turns, and those
    /// that wait are asked when there is nothing else, and after every [`BURST`] sets.
    fn next_event(
        &mut self,
        context: &mut Context<'_>,
    ) -> Option<(usize, Result<ReadEvent, StreamTrouble>)> {
        let (first, count) = (self.turn, self.inputs.len());
        if self.within_set
            && let Some(event) = self.inputs[first].buffered()
        {
            return Some(self.came_from(first, Ok(event)));
        }
        let order = (first..count).chain(0..first);
        if self.burst < BURST {
            for index in order.clone() {
                if let Some(event) = self.inputs[index].buffered() {
                    self.burst += 1;
                    return Some(self.came_from(index, Ok(event)));
                }
            }
        }
        self.burst = 0;
        for index in order {
            if let Poll::Ready(result) = self.inputs[index].poll(context) {
                return Some(self.came_from(index, result));
            }
        }
        None
    }

    /// Says whose turn is next.
    fn came_from(
        &mut self,
        index: usize,
        result: Result<ReadEvent, StreamTrouble>,
    ) -> (usize, Result<ReadEvent, StreamTrouble>) {
        self.within_set = matches!(&result, Ok(ReadEvent::Record(record)) if record.set_slot + 1 < record.set_slots);
        self.turn = if self.within_set {
            index
        } else {
            (index + 1) % self.inputs.len()
        };
        (index, result)
    }

    /// Counts, and takes note of what is delivered.
    fn delivers(&mut self, event: &ReadEvent) -> bool {
        let ReadEvent::Record(record) = event else {
            return true;
        };
        let verdict = record.set.map_or(Delivery::First, |set| {
            self.seen.check(set, record.set_slot, record.set_slots)
        });
        match verdict {
            Delivery::First => self.counters.delivered += 1,
            Delivery::Unknown => {
                self.counters.delivered += 1;
                self.counters.beyond_window += 1;
            }
            Delivery::Duplicate => {
                self.counters.copies_dropped += 1;
                return false;
            }
        }
        true
    }
}

impl fmt::Debug for MultiReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams: Vec<_> = self
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

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stream,
            trouble,
            ended,
        } = self;
        let error = match trouble {
            StreamTrouble::Unreadable(error) => error,
            StreamTrouble::CreatedAnew => {
                return write!(
                    f,
                    "stream {stream} was deleted and created anew since it was read last: it is \
                     read from its beginning"
                );
            }
        };
        let then = if *ended {
            "it is not read any more"
        } else {
            "trying again"
        };
        write!(f, "stream {stream}: {error}; {then}")
    }
}

impl core::error::Error for StreamFault {}

#[cfg(test)]
mod tests;
