use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use distributedlog::Dlsn;
use futures_util::FutureExt as _;
use tokio::time::MissedTickBehavior;

use super::place::Place;
use super::position::Position;
use super::position_file::PositionFile;
use super::tail::{self, Tail};
use super::target::{PlaceAndStreams, TargetArgs};
use super::{CliError, Format, Output, Shutdown, record_text};
use distributedlog_reader::{
    MergeSettings, MergedEvent, MultiReader, ReadEvent, StreamError, StreamErrorKind,
};
use distributedlog_store::{LogStore, StreamInfo, StreamName};

/// Interval at which the position is saved while records arrive.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Number of records after which signals and the clock are looked at while more can be had without
/// waiting.
const BETWEEN_LOOKS: u32 = 256;
/// Bytes that are read ahead of what is printed, over all streams of a merged reader.
const READ_AHEAD_BYTES: usize = 8 << 20;

/// Print the records of several streams, and new ones as they arrive.
///
/// Reads the store, not the proxy. Starts with each stream's last record, as the tutorial's reader
/// does. Ends on Ctrl-C, or after --count records. Tries again while the store
/// cannot be reached.
///
/// A writer may write a record to several streams when one of them is slow. With --merge each
/// record is printed once: duplicates are recognized by the identity that writers put into their
/// record sets, among the newest sets of the writers that wrote last (--window-writers,
/// --window-sequences).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog multi-reader $URI basic-stream-3,basic-stream-4
  dlog multi-reader --from oldest --count 5 $URI basic-stream-3
  dlog multi-reader --format json $URI basic-stream-3 | jq .payload
  dlog multi-reader --merge --position orders.position $URI basic-stream-3,basic-stream-4

A damaged record set is reported on the standard error with its position, and skipped.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: PlaceAndStreams,

    /// The position to start at: last (each stream's last record, included), oldest, latest (only
    /// records that are written from now on), or a DLSN such as 1,0,0
    #[arg(long, value_name = "POSITION", default_value = "last")]
    from: Position,

    /// Exit after this many records, counted over all streams
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print each record once, also when it was written to several of the streams (-v logs the
    /// number of duplicates at the end)
    #[arg(long)]
    merge: bool,

    /// The number of writers whose duplicates --merge recognizes. Records of a writer that was
    /// forgotten for others may be printed twice; the log counts them at the end
    #[arg(
        long,
        value_name = "N",
        requires = "merge",
        default_value_t = MergeSettings::default().writers
    )]
    window_writers: NonZeroU16,

    /// The number of record sets of each writer among which --merge recognizes duplicates, counted
    /// back from the newest; it goes further back while no set is missing
    #[arg(
        long,
        value_name = "N",
        requires = "merge",
        default_value_t = MergeSettings::default().sequences
    )]
    window_sequences: NonZeroU32,

    /// Continue at the position in this file, and save the position there once a second and at the
    /// end. Streams that it does not name start at --from, as all do when there is no such file.
    /// After a crash the records of the last second may be printed again
    #[arg(long, value_name = "FILE", requires = "merge")]
    position: Option<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Streams to read, and their store.
struct Reading {
    store: Arc<dyn LogStore>,
    place: Place,
    streams: Vec<StreamName>,
}

impl Args {
    /// Reads until the count is reached or shutdown is requested.
    ///
    /// # Errors
    /// A stream does not exist, the store cannot be reached at the start, or a stream can no longer
    /// be read.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let (target, streams) = self.place.resolve(&self.target)?;
        let store = tokio::select! {
            connected = target.store() => connected?,
            () = shutdown.requested() => return Ok(()),
        };
        let reading = Reading {
            store,
            place: target.records_at().clone(),
            streams,
        };
        if self.merge {
            return self.merge_from(&reading, output, shutdown).await;
        }
        self.read_from(&reading, output, shutdown).await
    }

    async fn read_from(
        &self,
        reading: &Reading,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let announce_to = (self.format == Format::Text).then_some(output);
        let Reading {
            store,
            place,
            streams,
        } = reading;
        let opening = Tail::open(store, streams, self.from, announce_to, Some(place));
        let mut tail = tokio::select! {
            opened = opening => opened?,
            () = shutdown.requested() => return Ok(()),
        };
        let output = output.collecting();
        let printed = self.print_tail(&mut tail, &output, shutdown).await;
        // Also in front of an error: the records before it.
        output.flush()?;
        printed
    }

    /// Prints until the count is reached or shutdown is requested.
    async fn print_tail(
        &self,
        tail: &mut Tail,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let (mut left, mut without_waiting) = (self.count, 0);
        while left != Some(0) {
            let mut ready = None;
            if without_waiting < BETWEEN_LOOKS {
                ready = at_once(tail.next(), output)?;
            }
            let (stream, record) = match ready {
                Some(next) => {
                    without_waiting += 1;
                    next?
                }
                None => {
                    without_waiting = 0;
                    tokio::select! {
                        biased;
                        () = shutdown.requested() => break,
                        next = tail.next() => next?,
                    }
                }
            };
            record_text::print(output, self.format, &stream, &record)?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }

    async fn merge_from(
        &self,
        reading: &Reading,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let Reading {
            store,
            place,
            streams,
        } = reading;
        let file = self
            .position
            .as_deref()
            .map(|path| PositionFile::new(path, place, store.identity()));
        let saved = file.as_ref().map_or(Ok(None), |file| file.load(streams))?;
        let saved_start = |info: &StreamInfo| {
            let saved = saved.as_ref()?;
            let (_, start) = saved.streams().find(|(name, _)| **name == info.name)?;
            // The reader detects a stream that was created again too, and reports it.
            let created_again = saved
                .created_unix_ms(&info.name)
                .is_some_and(|created| created != info.created_unix_ms);
            Some(if created_again { Dlsn::INITIAL } else { start })
        };
        let announce_to = (self.format == Format::Text).then_some(output);
        let from =
            |info: &StreamInfo| saved_start(info).unwrap_or_else(|| self.from.in_stream(info));
        let starts = tail::start_positions(store, streams, from, announce_to, Some(place)).await?;
        let settings = MergeSettings {
            sequences: self.window_sequences,
            writers: self.window_writers,
        };
        let reader = match saved {
            Some(saved) => {
                let position = starts.into_iter().fold(saved, |saved, (stream, start)| {
                    saved.with_stream(stream, start)
                });
                MultiReader::resume(store, &position, settings)
            }
            None => MultiReader::new(store, starts, settings),
        };
        let mut reader = reader.reading_ahead(READ_AHEAD_BYTES);
        let result = self
            .print_merged(&mut reader, file.as_ref(), output, shutdown)
            .await;
        tail::log_counters(reader.counters());
        result
    }

    /// Prints until the count is reached or shutdown is requested, and saves the position. A record
    /// that could not be printed does not count as read: the records since the last saved position
    /// are printed again by the next run.
    async fn print_merged(
        &self,
        reader: &mut MultiReader,
        file: Option<&PositionFile>,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let output = output.collecting();
        // What was printed is what the position is behind.
        let save = |reader: &MultiReader| {
            output.flush()?;
            file.map_or(Ok(()), |file| file.save(&reader.position()))
        };
        // A file that cannot be written must fail the command now, not after a day's records.
        save(reader)?;
        let mut saves = tokio::time::interval(SAVE_EVERY);
        saves.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut left, mut unsaved, mut without_waiting) = (self.count, false, 0);
        while left != Some(0) {
            let mut ready = None;
            if without_waiting < BETWEEN_LOOKS {
                ready = at_once(reader.next(), &output)?;
            }
            let next = match ready {
                Some(next) => {
                    without_waiting += 1;
                    next
                }
                None => {
                    without_waiting = 0;
                    tokio::select! {
                        biased;
                        () = shutdown.requested() => break,
                        _ = saves.tick(), if unsaved => {
                            save(reader)?;
                            unsaved = false;
                            continue;
                        }
                        next = reader.next() => next,
                    }
                }
            };
            match next {
                None => break,
                Some(Ok(MergedEvent { stream, event, .. })) => {
                    left = left.map(|left| left - u64::from(matches!(event, ReadEvent::Record(_))));
                    self.print_event(&output, &stream, &event)?;
                }
                Some(Err(fault)) => {
                    if let Some(error) = fatal(&fault) {
                        save(reader)?;
                        return Err(error);
                    }
                    tracing::warn!("{fault}");
                }
            }
            unsaved = true;
        }
        save(reader)
    }

    fn print_event(
        &self,
        output: &Output,
        stream: &StreamName,
        event: &ReadEvent,
    ) -> Result<(), CliError> {
        match event {
            ReadEvent::Record(record) => record_text::print(output, self.format, stream, record),
            ReadEvent::Malformed(set) => {
                tracing::error!("stream {stream}: {set}; skipped");
                Ok(())
            }
        }
    }
}

/// Returns what can be had without waiting. Otherwise nothing is there, and what was printed so far
/// is written: whoever reads the output gets it now.
fn at_once<T>(next: impl Future<Output = T>, output: &Output) -> Result<Option<T>, CliError> {
    // Unconstrained: a task that has used up its turn would seem to have to wait.
    let ready = tokio::task::unconstrained(next).now_or_never();
    if ready.is_none() {
        output.flush()?;
    }
    Ok(ready)
}

/// Returns the error of a problem that ends the reading.
fn fatal(fault: &StreamError) -> Option<CliError> {
    if let StreamErrorKind::Unreadable(error) = &fault.kind
        && !tail::is_unreachable(error)
    {
        return Some(tail::read_error(&fault.stream, error));
    }
    None
}

#[cfg(test)]
mod tests;
