use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::output::counted;
use super::position::Position;
use super::{Fault, Output, namespace};
use distributedlog_reader::{LogReader, MergeCounters, ReadEvent};
use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, StoreError, StreamInfo, StreamName};

/// How many records may wait to be printed. Readers stop reading until there is room.
const WAITING_RECORDS: usize = 256;

/// The pauses of a reader whose store went away: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Readers of several streams whose records come out of one place. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Tail {
    events: mpsc::Receiver<(StreamName, Result<ReadEvent, StoreError>)>,
    _readers: JoinSet<()>,
}

impl Tail {
    /// Opens a reader for each stream and says so as the tutorial's reader does, when there is an
    /// output for that.
    ///
    /// # Errors
    /// A stream is missing, or the store does not answer.
    pub(crate) async fn open(
        store: &Arc<dyn LogStore>,
        streams: &[StreamName],
        from: Position,
        told: Option<&Output>,
        uri: Option<&Uri>,
    ) -> Result<Self, Fault> {
        let starts = starts(store, streams, |info| from.in_stream(info), told, uri).await?;
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

    /// The next record of any of the streams. Record sets that cannot be read are logged and
    /// skipped.
    ///
    /// # Errors
    /// A stream cannot be read any more, for instance because it was deleted.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<(StreamName, distributedlog_reader::Record), Fault> {
        loop {
            let (stream, event) = self
                .events
                .recv()
                .await
                .expect("readers end only with an error, and the first one ends the tail");
            match event {
                Ok(ReadEvent::Record(record)) => return Ok((stream, record)),
                Ok(ReadEvent::Malformed(set)) => {
                    tracing::error!("stream {stream}: {set}; reading goes on behind it")
                }
                Err(error) => return Err(cannot_be_read(&stream, &error)),
            }
        }
    }
}

/// Where reading starts in each stream, after saying so as the tutorial's reader does, when there
/// is an output for that.
///
/// # Errors
/// A stream is missing, or the store does not answer.
pub(crate) async fn starts(
    store: &Arc<dyn LogStore>,
    streams: &[StreamName],
    from: impl Fn(&StreamInfo) -> Dlsn,
    told: Option<&Output>,
    uri: Option<&Uri>,
) -> Result<Vec<(StreamName, Dlsn)>, Fault> {
    let tell = |text: String| told.map_or(Ok(()), |output| output.line(text));
    for stream in streams {
        tell(format!("Opening log stream {stream}"))?;
    }
    let mut found = Vec::with_capacity(streams.len());
    let mut missing = Vec::new();
    for stream in streams {
        match store.describe(stream).await {
            Ok(info) => found.push((stream, from(&info), info.last.is_none())),
            Err(StoreError::StreamNotFound(_)) => missing.push(stream.clone()),
            Err(error) => return Err(namespace::fault(&error, uri)),
        }
    }
    if !missing.is_empty() {
        return Err(not_found(&missing, uri));
    }
    for (stream, start, empty) in &found {
        if *empty {
            tell(format!("Log stream {stream} is empty."))?;
        }
        tell(format!(
            "Wait for records from {stream} starting from {start}"
        ))?;
        tell(format!("Open reader to read records from stream {stream}"))?;
    }
    Ok(found
        .into_iter()
        .map(|(stream, start, _)| (stream.clone(), start))
        .collect())
}

/// A stream that cannot be read any more.
pub(crate) fn cannot_be_read(stream: &StreamName, error: &StoreError) -> Fault {
    Fault::failure(format!(
        "encountered an error on reading records from stream {stream}: {error}"
    ))
}

/// Logs what a merged reader did: `-v` shows it.
pub(crate) fn log_counters(counters: MergeCounters) {
    let MergeCounters {
        delivered,
        copies_dropped,
        beyond_window,
        writers_forgotten,
    } = counters;
    tracing::info!(
        "{} read, {copies_dropped} copies dropped, {beyond_window} of the records may be copies \
         all the same; {} forgotten for others",
        counted(delivered, "record"),
        counted(writers_forgotten, "writer")
    );
}

/// Whether the store went away and is waited for.
pub(crate) const fn is_away(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Disconnected { .. } | StoreError::Unreachable { .. }
    )
}

fn not_found(missing: &[StreamName], uri: Option<&Uri>) -> Fault {
    let said: Vec<String> = missing
        .iter()
        .map(|stream| format!("Log stream {stream} is not found. Please create it first."))
        .collect();
    let names: Vec<&str> = missing.iter().map(StreamName::as_str).collect();
    let place = uri.map_or_else(|| "URI".to_owned(), Uri::to_string);
    Fault::failure(said.join("\n")).tip(format!(
        "create it with: dlog tool create -u {place} -e {}",
        names.join(",")
    ))
}

/// Reads one stream until nobody listens or it cannot be read any more. A store that went away is
/// waited for.
async fn read(
    mut reader: LogReader,
    events: mpsc::Sender<(StreamName, Result<ReadEvent, StoreError>)>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let event = match reader.next().await {
            Err(error) if is_away(&error) => {
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
