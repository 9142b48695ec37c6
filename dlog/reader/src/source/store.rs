use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_store::dlsn_text::parse_dlsn;
use distributedlog_store::{LogStore, StoreError, StreamInfo, StreamName, utc};

use super::{Failure, FetchSettings, Item, SegmentEnd};
use crate::event::ReadEvent;
use crate::log_reader::{LogReader, WAIT};
use crate::position::{Mark, Place};
use crate::reader::ReadError;
use crate::run::RecordRun;
use crate::stream_position::StreamPosition;

/// Reads of one stream of a store.
pub(crate) struct StoreFetcher {
    store: Arc<dyn LogStore>,
    stream: String,
    settings: FetchSettings,
    /// `None` until the stream was found, and after a failure.
    reader: Option<OpenStream>,
    /// The next item, ahead of those of the reader.
    pending: Option<Item>,
}

struct OpenStream {
    reader: LogReader,
    created_unix_ms: u64,
    /// True once a read found nothing: the next one waits.
    at_end: bool,
}

impl StoreFetcher {
    pub(super) fn new(store: Arc<dyn LogStore>, stream: &str, settings: FetchSettings) -> Self {
        Self {
            store,
            stream: stream.to_owned(),
            settings,
            reader: None,
            pending: None,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        if let Some(item) = self.pending.take() {
            return Some(item);
        }
        let open = self.reader.as_mut()?;
        let event = open.reader.next_buffered()?;
        let last = match &event {
            ReadEvent::Record(record) => record.dlsn,
            ReadEvent::Malformed(set) => set.dlsn.slot(set.slots.saturating_sub(1)),
        };
        let after = Mark::After(open.at(last));
        Some(Item::Event(event, after))
    }

    /// Takes the next records, if they can be delivered as one run of at most `most`.
    pub(super) fn pop_run(&mut self, most: NonZeroUsize) -> Option<(RecordRun, Mark)> {
        if self.pending.is_some() {
            return None;
        }
        let open = self.reader.as_mut()?;
        let run = open.reader.next_buffered_run(most)?;
        let after = Mark::After(open.at(run.last()));
        Some((run, after))
    }

    pub(super) async fn fill(&mut self, position: &Mark) -> Result<(), Failure> {
        if self.reader.is_none() {
            let name = StreamName::new(&self.stream)
                .map_err(|error| Failure::Fatal(self.refused(error.to_string())))?;
            self.reader = Some(self.open(name, position).await?);
        }
        let open = self.reader.as_mut().expect("it was opened just now");
        let wait = if open.at_end { WAIT } else { Duration::ZERO };
        match open.reader.fill(wait).await {
            Ok(true) => open.at_end = false,
            Ok(false) => {
                open.at_end = true;
                let next = Mark::From(open.at(open.reader.position()));
                self.pending = Some(if self.settings.follow {
                    Item::Reached { next, at_end: true }
                } else {
                    Item::CaughtUp(next)
                });
            }
            Err(error) => {
                let created = open.created_unix_ms;
                self.reader = None;
                return Err(self.failed(error, created).await);
            }
        }
        Ok(())
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.reader
            .as_ref()
            .map_or(0, |open| open.reader.buffered_bytes())
    }

    /// Finds the position in the stream of today.
    async fn open(&self, name: StreamName, position: &Mark) -> Result<OpenStream, Failure> {
        let info = match self.store.describe(&name).await {
            Ok(info) => info,
            Err(error @ StoreError::StreamNotFound(_)) => {
                return Err(Failure::Missing(error.to_string()));
            }
            Err(error) => return Err(self.unavailable(&error)),
        };
        let from = self.find(&name, &info, position).await?;
        let mut reader = LogReader::new(Arc::clone(&self.store), name, from)
            .of_stream_created(info.created_unix_ms);
        reader.read_ahead(self.settings.buffer_bytes);
        Ok(OpenStream {
            reader,
            created_unix_ms: info.created_unix_ms,
            at_end: false,
        })
    }

    async fn find(
        &self,
        name: &StreamName,
        info: &StreamInfo,
        position: &Mark,
    ) -> Result<Dlsn, Failure> {
        let (place, after) = match position {
            Mark::After(place) => (place, true),
            Mark::From(place) => (place, false),
        };
        let position = match place {
            Place::At(position) => *position,
            Place::Text(text) if &**text == "start" => {
                return Ok(info.first.unwrap_or(Dlsn::INITIAL));
            }
            Place::Text(text) if &**text == "end" => {
                return Ok(info.last.map_or(Dlsn::INITIAL, |last| last.slot(1)));
            }
            Place::Text(text) => match utc::parse(text) {
                Some(unix_ms) => {
                    let found = self.store.position_at(name, unix_ms).await;
                    return found.map_err(|error| self.unavailable(&error));
                }
                None => parse(text).map_err(|detail| Failure::Fatal(self.refused(detail)))?,
            },
        };
        let next = StreamPosition {
            dlsn: if after {
                position.dlsn.slot(1)
            } else {
                position.dlsn
            },
            ..position
        };
        match next.check(info) {
            Ok(()) => Ok(next.dlsn),
            Err(error) => Err(Failure::Fatal(ReadError::of_position(&self.stream, error))),
        }
    }

    /// Returns the failure of a read. Another stream may have the name by now.
    async fn failed(&self, error: StoreError, created_unix_ms: u64) -> Failure {
        let StoreError::StreamNotFound(name) = &error else {
            return self.unavailable(&error);
        };
        match self.store.describe(name).await {
            Ok(info) if info.created_unix_ms != created_unix_ms => {
                let position = StreamPosition {
                    dlsn: Dlsn::INITIAL,
                    created_unix_ms: Some(created_unix_ms),
                };
                match position.check(&info) {
                    Err(error) => Failure::Fatal(ReadError::of_position(&self.stream, error)),
                    Ok(()) => Failure::Deleted,
                }
            }
            // It was found, so the store was about to delete it, or the next try finds it again.
            Ok(_) => Failure::transient(error.to_string()),
            Err(StoreError::StreamNotFound(_)) => Failure::Deleted,
            Err(error) => self.unavailable(&error),
        }
    }

    /// Returns the failure of an operation of the store, fatal if no other try can succeed.
    fn unavailable(&self, error: &StoreError) -> Failure {
        match error {
            StoreError::Closed
            | StoreError::Refused { .. }
            | StoreError::NewerVersion { .. }
            | StoreError::InvalidSetting { .. }
            | StoreError::Unsupported { .. } => Failure::Fatal(self.refused(error.to_string())),
            StoreError::StreamNotFound(_)
            | StoreError::StreamExists(_)
            | StoreError::Fenced(_)
            | StoreError::DiskFull { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::TooLarge { .. }
            | StoreError::InvalidEntry { .. }
            | StoreError::InUse { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Io { .. }
            | StoreError::Overloaded { .. }
            | StoreError::NotReady { .. }
            | StoreError::TooManyStreams { .. }
            | StoreError::TooManyCreations { .. }
            | StoreError::NotWritten { .. }
            | StoreError::Ended(_) => Failure::Transient {
                detail: error.to_string(),
                retry_after: None,
                at_once: false,
                answered: true,
            },
            StoreError::Disconnected { .. } | StoreError::Unreachable { .. } => {
                Failure::transient(error.to_string())
            }
        }
    }

    fn refused(&self, detail: String) -> ReadError {
        ReadError::Refused {
            stream: self.stream.clone(),
            status: None,
            detail,
        }
    }
}

impl OpenStream {
    const fn at(&self, dlsn: Dlsn) -> Place {
        Place::At(StreamPosition {
            dlsn,
            created_unix_ms: Some(self.created_unix_ms),
        })
    }
}

/// Parses a position in a form that only a server writes, such as base64.
fn parse(text: &str) -> Result<StreamPosition, String> {
    let (dlsn, created) = match text.split_once('@') {
        Some((dlsn, created)) => (dlsn, Some(created)),
        None => (text, None),
    };
    let created_unix_ms = created
        .map(|created| {
            created
                .parse()
                .map_err(|_| format!("'{created}' is not a stream's time of creation"))
        })
        .transpose()?;
    Ok(StreamPosition {
        dlsn: parse_dlsn(dlsn).map_err(|error| error.to_string())?,
        created_unix_ms,
    })
}

pub(super) async fn describe(
    store: &Arc<dyn LogStore>,
    streams: &[Arc<str>],
) -> Vec<Result<Vec<SegmentEnd>, String>> {
    let mut described = Vec::with_capacity(streams.len());
    for stream in streams {
        let info = match StreamName::new(stream) {
            Ok(name) => store
                .describe(&name)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        described.push(info.map(|info| {
            let end = |segment: &distributedlog_store::SegmentInfo| SegmentEnd {
                log_segment: segment.log_segment_sequence_no,
                entries: segment.entries,
                last_unix_ms: segment.last_unix_ms,
            };
            info.segments.iter().map(end).collect()
        }));
    }
    described
}
