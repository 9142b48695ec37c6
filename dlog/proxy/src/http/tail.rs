use core::time::Duration;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode as Http, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use distributedlog::{Dlsn, StatusCode};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::line::{Encoder, Framing, Payloads, Reason};
use super::position;
use super::problem::Problem;
use super::route::{Parameters, StreamPath};
use super::{Face, Phase};
use distributedlog_reader::{LogReader, ReadEvent};
use distributedlog_store::{StoreError, StreamName};

/// How much is put together before it is sent, when there is much: a large record may be more.
const CHUNK_BYTES: usize = 64 << 10;

/// How long a response may be silent, unless the client says.
const HEARTBEAT_MS: u64 = 15_000;
/// What a client may say.
const HEARTBEAT_MS_BOUNDS: core::ops::RangeInclusive<u64> = 100..=60_000;

/// What browsers send when they resume.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    from: Option<String>,
    after: Option<String>,
    #[serde(default = "yes")]
    follow: bool,
    #[serde(default)]
    payload: Payloads,
    #[serde(default = "default_heartbeat_ms")]
    heartbeat_ms: u64,
    limit: Option<u64>,
}

const fn yes() -> bool {
    true
}

const fn default_heartbeat_ms() -> u64 {
    HEARTBEAT_MS
}

/// Where to begin.
#[derive(Clone, Copy, Debug)]
enum Start {
    First,
    End,
    At(Dlsn),
}

impl Start {
    /// A browser that resumes sends what it asked for the first time, and where it was: that is
    /// what counts then.
    fn of(query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(id) = headers.get(LAST_EVENT_ID) {
            let text = id
                .to_str()
                .map_err(|_| Problem::bad_request("last-event-id: not a text"))?;
            return Ok(Self::At(position::parse("last-event-id", text)?.slot(1)));
        }
        match (query.from.as_deref(), query.after.as_deref()) {
            (None | Some("start"), None) => Ok(Self::First),
            (Some("end"), None) => Ok(Self::End),
            (Some(from), None) => Ok(Self::At(position::parse(
                "from (start, end or a DLSN)",
                from,
            )?)),
            (None, Some(after)) => Ok(Self::At(position::parse("after", after)?.slot(1))),
            (Some(_), Some(_)) => Err(Problem::bad_request(
                "from and after: one of them says where to begin, not both",
            )),
        }
    }
}

/// Reads a stream's records as they come.
pub(super) async fn tail(
    State(face): State<Arc<Face>>,
    StreamPath(stream): StreamPath,
    Parameters(query): Parameters<Query>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    begin(&face, &stream, &query, &headers)
        .await
        .map_err(Problem::of_a_read)
}

async fn begin(
    face: &Arc<Face>,
    stream: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let name = StreamName::new(stream)
        .map_err(|error| Problem::of_code(StatusCode::InvalidStreamName, error.to_string()))?;
    let start = Start::of(query, headers)?;
    if !HEARTBEAT_MS_BOUNDS.contains(&query.heartbeat_ms) {
        let (least, most) = HEARTBEAT_MS_BOUNDS.into_inner();
        let detail = format!(
            "heartbeat_ms: {} does not lie between {least} and {most}",
            query.heartbeat_ms
        );
        return Err(Problem::bad_request(detail));
    }
    let Ok(permit) = face.tails.clone().try_acquire_owned() else {
        let detail = format!(
            "{} streams are being read already, and more are not",
            face.settings.http_max_readers
        );
        return Err(Problem::new(
            Http::SERVICE_UNAVAILABLE,
            "TOO_MANY_READERS",
            detail,
        ));
    };
    let info = face
        .service
        .store()
        .describe(&name)
        .await
        .map_err(|error| Problem::of_store(&name, &error))?;
    let from = match start {
        Start::First => info.first.unwrap_or(Dlsn::INITIAL),
        Start::End => info.last.map_or(Dlsn::INITIAL, |last| last.slot(1)),
        Start::At(dlsn) => dlsn,
    };
    let framing = Framing::of(headers);
    let tail = Tail {
        reader: LogReader::new(face.service.store().clone(), name, from),
        encoder: Encoder {
            framing,
            payloads: query.payload,
        },
        heartbeat: Duration::from_millis(query.heartbeat_ms),
        follow: query.follow,
        left: query.limit.unwrap_or(u64::MAX),
        phase: face.phase.subscribe(),
        progress: Progress::New,
        reading: Reading::new(face.clone(), permit),
    };
    let headers = [
        (header::CONTENT_TYPE, framing.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies of the common kind hold answers back until they are whole; this one never is.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream::unfold(tail, Tail::next))).into_response())
}

/// A read under way. Nothing is read ahead of what the client takes, but one batch of the store.
struct Tail {
    reader: LogReader,
    encoder: Encoder,
    heartbeat: Duration,
    follow: bool,
    /// How many records may still be sent.
    left: u64,
    phase: watch::Receiver<Phase>,
    progress: Progress,
    reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    New,
    Reading,
    Ended,
}

/// What came while it waited.
enum Found {
    Event(ReadEvent),
    Silence,
    End(Reason, Option<String>),
}

impl Tail {
    /// The next part of the body.
    async fn next(mut self) -> Option<(Result<Bytes, core::convert::Infallible>, Self)> {
        let mut out = Vec::new();
        match self.progress {
            Progress::Ended => return None,
            Progress::New => {
                self.progress = Progress::Reading;
                self.encoder.heartbeat(self.reader.position(), &mut out);
                return Some((Ok(out.into()), self));
            }
            Progress::Reading => {}
        }
        match self.find().await {
            Found::Event(event) => self.put(event, &mut out),
            Found::Silence => self.encoder.heartbeat(self.reader.position(), &mut out),
            Found::End(reason, detail) => {
                self.progress = Progress::Ended;
                self.encoder
                    .end(reason, self.reader.position(), detail, &mut out);
            }
        }
        Some((Ok(out.into()), self))
    }

    async fn find(&mut self) -> Found {
        if self.left == 0 {
            return Found::End(Reason::Limit, None);
        }
        let (heartbeat, reader) = (self.heartbeat, &mut self.reader);
        let reading = async {
            if self.follow {
                match tokio::time::timeout(heartbeat, reader.next()).await {
                    Ok(event) => event.map(Found::Event),
                    Err(_) => Ok(Found::Silence),
                }
            } else {
                let event = reader.next_available().await?;
                Ok(event.map_or(Found::End(Reason::CaughtUp, None), Found::Event))
            }
        };
        let found = tokio::select! {
            biased;
            // Whoever reads on elsewhere begins at the position that the last line says.
            _ = self.phase.wait_for(|phase| *phase != Phase::Serving) => return Found::End(Reason::Draining, None),
            found = reading => found,
        };
        found.unwrap_or_else(|error| {
            if matches!(error, StoreError::StreamNotFound(_)) {
                Found::End(Reason::Deleted, None)
            } else if matches!(error, StoreError::Closed) {
                Found::End(Reason::Closed, None)
            } else {
                Found::End(Reason::Failed, Some(error.to_string()))
            }
        })
    }

    /// Puts an event, and what was read together with it, into lines.
    fn put(&mut self, event: ReadEvent, out: &mut Vec<u8>) {
        let mut next = Some(event);
        while let Some(event) = next {
            self.encoder.event(&event, out);
            self.reading.face.service.stats.http.records_read.inc();
            self.left -= 1;
            next = if self.left > 0 && out.len() < CHUNK_BYTES {
                self.reader.next_buffered()
            } else {
                None
            };
        }
    }
}

/// Counts a read while it lasts.
struct Reading {
    face: Arc<Face>,
    _permit: OwnedSemaphorePermit,
}

impl Reading {
    fn new(face: Arc<Face>, permit: OwnedSemaphorePermit) -> Self {
        face.service.stats.http.readers.inc();
        Self {
            face,
            _permit: permit,
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.face.service.stats.http.readers.dec();
    }
}
