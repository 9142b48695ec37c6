use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::output::counted;
use super::place::Place;
use super::position::Position;
use super::streams::as_argument;
use super::{CliError, Output, namespace};
use distributedlog_reader::{LogReader, MergeCounters, ReadEvent};
use distributedlog_store::{LogStore, StoreError, StreamInfo, StreamName};

/// Maximum number of records that wait to be printed. Readers pause until there is room.
const WAITING_RECORDS: usize = 256;

/// Pauses of a reader that cannot reach the store: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Readers of several streams, whose records arrive in one channel. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Tail {
    events: mpsc::Receiver<(StreamName, Result<ReadEvent, StoreError>)>,
    _readers: JoinSet<()>,
}

impl Tail {
    /// Opens a reader for each stream, and writes to `announce_to`, if given, the lines that the
    /// tutorial's reader prints.
    ///
    /// # Errors
    /// A stream does not exist, or the store does not answer.
    pub(crate) async fn open(
        store: &Arc<dyn LogStore>,
        streams: &[StreamName],
        from: Position,
        announce_to: Option<&Output>,
        place: Option<&Place>,
    ) -> Result<Self, CliError> {
        let starts = start_positions(
            store,
            streams,
            |info| from.in_stream(info),
            announce_to,
            place,
        )
        .await?;
        let (sender, events) = mpsc::channel(WAITING_RECORDS);
        let mut readers = JoinSet::new();
        for (stream, start) in starts {
            readers.spawn(read(
                LogReader::new(Arc::clone(store), stream, start),
                sender.clone(),
            ));
        }
        Ok(Self {
            events,
            _readers: readers,
        })
    }

    /// Returns the next record of any of the streams. Damaged record sets are logged and skipped.
    ///
    /// # Errors
    /// A stream can no longer be read, for instance because it was deleted.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<(StreamName, distributedlog_reader::Record), CliError> {
        loop {
            let (stream, event) = self
                .events
                .recv()
                .await
                .expect("readers end only with an error, and the first one ends the tail");
            match event {
                Ok(ReadEvent::Record(record)) => return Ok((stream, record)),
                Ok(ReadEvent::Malformed(set)) => {
                    tracing::error!("stream {stream}: {set}; skipped")
                }
                Err(error) => return Err(read_error(&stream, &error)),
            }
        }
    }
}

/// Returns the position at which reading starts in each stream, and writes to `announce_to`, if
/// given, the lines that the tutorial's reader prints.
///
/// # Errors
/// A stream does not exist, or the store does not answer.
pub(crate) async fn start_positions(
    store: &Arc<dyn LogStore>,
    streams: &[StreamName],
    from: impl Fn(&StreamInfo) -> Dlsn,
    announce_to: Option<&Output>,
    place: Option<&Place>,
) -> Result<Vec<(StreamName, Dlsn)>, CliError> {
    let announce = |text: String| announce_to.map_or(Ok(()), |output| output.line(text));
    for stream in streams {
        announce(format!("Opening log stream {stream}"))?;
    }
    let mut found = Vec::with_capacity(streams.len());
    let mut missing = Vec::new();
    for stream in streams {
        match store.describe(stream).await {
            Ok(info) => found.push((stream, from(&info), info.last.is_none())),
            Err(StoreError::StreamNotFound(_)) => missing.push(stream.clone()),
            Err(error) => return Err(namespace::store_error(&error, place)),
        }
    }
    if !missing.is_empty() {
        return Err(not_found(&missing, place));
    }
    for (stream, start, empty) in &found {
        if *empty {
            announce(format!("Log stream {stream} is empty."))?;
        }
        announce(format!(
            "Wait for records from {stream} starting from {start}"
        ))?;
        announce(format!("Open reader to read records from stream {stream}"))?;
    }
    Ok(found
        .into_iter()
        .map(|(stream, start, _)| (stream.clone(), start))
        .collect())
}

/// Returns the error of a stream that can no longer be read.
pub(crate) fn read_error(stream: &StreamName, error: &StoreError) -> CliError {
    CliError::failure(format!(
        "encountered an error on reading records from stream {stream}: {error}"
    ))
}

/// Logs the counters of a merged reader; `-v` shows them.
pub(crate) fn log_counters(counters: MergeCounters) {
    let MergeCounters {
        delivered,
        duplicates_dropped,
        beyond_window,
        writers_forgotten,
        ..
    } = counters;
    let read = counted(delivered, "record");
    let dropped = counted(duplicates_dropped, "duplicate");
    if beyond_window == 0 {
        tracing::info!("{read} read, {dropped} dropped; the dedup window covered all of them");
        return;
    }
    let beyond = counted(beyond_window, "record");
    let forgotten = counted(writers_forgotten, "writer");
    tracing::warn!(
        "{read} read, {dropped} dropped; {beyond} beyond the dedup window may still be duplicates; \
         {forgotten} forgotten to make room (raise --window-writers or --window-sequences)"
    );
}

/// Returns true if the store cannot be reached and the reader tries again.
pub(crate) const fn is_unreachable(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Disconnected { .. } | StoreError::Unreachable { .. }
    )
}

fn not_found(missing: &[StreamName], place: Option<&Place>) -> CliError {
    let lines: Vec<String> = missing
        .iter()
        .map(|stream| format!("Log stream {stream} is not found. Please create it first."))
        .collect();
    let uri = place.map_or_else(|| "URI".to_owned(), Place::to_string);
    CliError::failure(lines.join("\n")).tip(format!(
        "create it with: dlog tool create -u {uri} -e {}",
        as_argument(missing)
    ))
}

/// Reads one stream until the receiver is dropped or the stream can no longer be read. While the
/// store cannot be reached, it tries again.
async fn read(
    mut reader: LogReader,
    events: mpsc::Sender<(StreamName, Result<ReadEvent, StoreError>)>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let event = match reader.next().await {
            Err(error) if is_unreachable(&error) => {
                tracing::warn!("stream {}: {error}; trying again", reader.stream());
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            other => other,
        };
        pause = FIRST_PAUSE;
        let last = event.is_err();
        if events.send((reader.stream().clone(), event)).await.is_err() || last {
            return;
        }
    }
}
