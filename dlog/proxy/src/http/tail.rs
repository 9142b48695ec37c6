use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode as Http, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use distributedlog::Dlsn;
use futures_util::stream;
use tokio::sync::watch;

use super::client::{ClientEnd, ClientWatch};
use super::guard::PeerAddress;
use super::line::{EndReason, EventEncoder, Framing, PayloadFormat};
use super::position::{self, next_slot};
use super::problem::Problem;
use super::query::{FromQuery, Parameters, QueryPairs};
use super::read_ahead::{BatchSize, ReadAhead};
use super::route::StreamPath;
use super::stored::StoredEncoder;
use super::streams::parse_name;
use super::{HttpState, ServerPhase};
use crate::stats::RaisedGauge;
use distributedlog_reader::{LogReader, StreamPosition};
use distributedlog_store::budget::Reservation;
use distributedlog_store::{StoreError, StreamInfo, StreamName};

/// Size from which a part of the body is sent, in bytes. A part ends with the record that reaches
/// it.
const CHUNK_BYTES: usize = 32 << 10;

/// Time after which a silent response sends a heartbeat, in milliseconds. Default: 15,000.
const HEARTBEAT_MS: u64 = 15_000;
/// Range of the heartbeat's time that a client can ask for, in milliseconds.
const HEARTBEAT_MS_BOUNDS: core::ops::RangeInclusive<u64> = 100..=60_000;

/// Number of heartbeats, and the time between them, after which a client that closed its sending
/// side is known to receive. One that has closed the connection answers the first one with a reset,
/// so that a later one cannot be sent, and the read ends.
const MAX_PROBES: u8 = 3;
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Header that browsers send when they resume.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Debug)]
pub(super) struct TailQuery {
    from: Option<String>,
    after: Option<String>,
    follow: bool,
    payload: PayloadFormat,
    heartbeat_ms: u64,
    limit: Option<u64>,
}

impl FromQuery for TailQuery {
    const NAMES: &'static [&'static str] = &[
        "from",
        "after",
        "follow",
        "payload",
        "heartbeat_ms",
        "limit",
    ];

    fn from_query(query: &QueryPairs) -> Result<Self, Problem> {
        Self::parse(query).map_err(Problem::of_a_read)
    }
}

impl TailQuery {
    fn parse(query: &QueryPairs) -> Result<Self, Problem> {
        let (least, most) = HEARTBEAT_MS_BOUNDS.into_inner();
        let heartbeat = format_args!("a number of milliseconds from {least} to {most}");
        let limit = "a number of records";
        Ok(Self {
            from: query.text("from"),
            after: query.text("after"),
            follow: query.parse("follow", "true or false")?.unwrap_or(true),
            payload: query
                .parse("payload", "base64 or text")?
                .unwrap_or_default(),
            heartbeat_ms: query
                .parse("heartbeat_ms", heartbeat)?
                .unwrap_or(HEARTBEAT_MS),
            limit: query.parse("limit", limit)?,
        })
    }
}

/// Position of the first record.
#[derive(Clone, Copy, Debug)]
enum StartPosition {
    First,
    End,
    At(StreamPosition),
    /// The first record that was written at this time, in milliseconds since 1970, or later.
    Time(u64),
}

impl StartPosition {
    /// Parses the position. A browser that resumes repeats its first query and adds the position
    /// that it reached in `last-event-id`, which takes precedence. `None` if that is behind the
    /// last record of a read that was complete.
    fn of(query: &TailQuery, headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        // A browser that has got no id yet sends an empty one, or none.
        if let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
            let text = id
                .to_str()
                .map_err(|_| Problem::bad_request("last-event-id: not a text"))?;
            let id = position::parse_event_id("last-event-id", text)?;
            return Ok((!id.finished).then(|| Self::At(next_slot(id.after))));
        }
        Ok(Some(
            match (query.from.as_deref(), query.after.as_deref()) {
                (None | Some("start"), None) => Self::First,
                (Some("end"), None) => Self::End,
                (Some(from), None) => match position::parse_time(from) {
                    Some(unix_ms) => Self::Time(unix_ms),
                    None => {
                        let place = "from (start, end, a DLSN or a time)";
                        Self::At(position::parse(place, from)?)
                    }
                },
                (None, Some(after)) => Self::At(next_slot(position::parse("after", after)?)),
                (Some(_), Some(_)) => {
                    let detail = "from and after: only one of them may be given";
                    return Err(Problem::bad_request(detail));
                }
            },
        ))
    }
}

/// Reads a stream's records as they come.
pub(super) async fn tail(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
    Parameters(query): Parameters<TailQuery>,
    headers: HeaderMap,
    client: ClientWatch,
    PeerAddress(peer): PeerAddress,
) -> Result<Response, Problem> {
    begin(&state, &stream, &query, &headers, client, peer.ip())
        .await
        .map_err(Problem::of_a_read)
}

async fn begin(
    state: &Arc<HttpState>,
    stream: &str,
    query: &TailQuery,
    headers: &HeaderMap,
    client: ClientWatch,
    peer: IpAddr,
) -> Result<Response, Problem> {
    let name = parse_name(stream)?;
    let start = StartPosition::of(query, headers)?;
    if !HEARTBEAT_MS_BOUNDS.contains(&query.heartbeat_ms) {
        let (least, most) = HEARTBEAT_MS_BOUNDS.into_inner();
        let detail = format!(
            "heartbeat_ms: {} is not between {least} and {most}",
            query.heartbeat_ms
        );
        return Err(Problem::bad_request(detail));
    }
    let framing = Framing::of(headers)?;
    let Some(start) = start else {
        // The only answer after which a browser's `EventSource` does not ask again.
        return Ok(Http::NO_CONTENT.into_response());
    };
    let seat = reserve_reader(state, peer)?;
    let info = state
        .service
        .store()
        .describe(&name)
        .await
        .map_err(|error| Problem::of_store(&name, &error))?;
    let from = first_position(state, &name, &info, start).await?;
    let tail = RecordStream {
        reader: LogReader::new(state.service.store().clone(), name, from)
            .of_stream_created(info.created_unix_ms),
        read_ahead: ReadAhead::new(
            state.service.bounds.read_ahead.of(peer),
            batch_size(framing),
        ),
        created_unix_ms: info.created_unix_ms,
        body: BodyEncoder::new(framing, query.payload),
        heartbeat: Duration::from_millis(query.heartbeat_ms),
        follow: query.follow,
        left: query.limit.unwrap_or(u64::MAX),
        phase: state.phase.subscribe(),
        progress: BodyProgress::New,
        client,
        probes: MAX_PROBES,
        reading: ReaderGuard::new(state.clone(), seat),
    };
    let headers = [
        (header::CONTENT_TYPE, framing.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        // nginx and proxies like it buffer responses until they are complete; this one never is.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((
        headers,
        Body::from_stream(stream::unfold(tail, RecordStream::next)),
    )
        .into_response())
}

/// Returns the position at or after which a read of the stream begins.
async fn first_position(
    state: &HttpState,
    name: &StreamName,
    info: &StreamInfo,
    start: StartPosition,
) -> Result<Dlsn, Problem> {
    Ok(match start {
        StartPosition::First => info.first.unwrap_or(Dlsn::INITIAL),
        StartPosition::End => info.last.map_or(Dlsn::INITIAL, |last| last.slot(1)),
        StartPosition::At(position) => {
            position::check(position, info)?;
            position.dlsn
        }
        StartPosition::Time(unix_ms) => state
            .service
            .store()
            .position_at(name, unix_ms)
            .await
            .map_err(|error| Problem::of_store(name, &error))?,
    })
}

const fn batch_size(framing: Framing) -> BatchSize {
    match framing {
        Framing::Entries => BatchSize::ENTRIES,
        Framing::Ndjson | Framing::Sse => BatchSize::LINES,
    }
}

/// Waits until the client closes its sending side, and until the next heartbeat to it is due.
async fn probe(client: &ClientWatch, probes_left: u8) -> ClientEnd {
    let end = client.ended().await;
    if probes_left < MAX_PROBES {
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
    end
}

/// Takes the place of one reader.
fn reserve_reader(state: &HttpState, peer: IpAddr) -> Result<Reservation, Problem> {
    let readers = &state.service.bounds.readers;
    let of_peer = readers.of(peer);
    if let Some(seat) = of_peer.try_reserve(1) {
        return Ok(seat);
    }
    let detail = if readers.all().is_spent() {
        let limit = state.settings.http_max_readers;
        format!("{limit} streams are being read, and that is the limit")
    } else {
        let limit = of_peer.limit();
        format!("{limit} streams are being read from {peer}, and that is the limit for one address")
    };
    Err(Problem::new(
        Http::SERVICE_UNAVAILABLE,
        "TOO_MANY_READERS",
        detail,
    ))
}

/// The body of a read. At most one batch of the store is read ahead of the client.
struct RecordStream {
    reader: LogReader,
    read_ahead: ReadAhead,
    /// Time of creation of the stream that is read.
    created_unix_ms: u64,
    body: BodyEncoder,
    heartbeat: Duration,
    follow: bool,
    /// Number of records that may still be sent.
    left: u64,
    phase: watch::Receiver<ServerPhase>,
    progress: BodyProgress,
    client: ClientWatch,
    /// Number of heartbeats that may still be sent to learn whether a client that closed its
    /// sending side still receives.
    probes: u8,
    reading: ReaderGuard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyProgress {
    New,
    Reading,
    Ended,
}

/// The body, in the format that the client prefers.
enum BodyEncoder {
    Lines {
        encoder: EventEncoder,
        /// Lines that were not sent.
        out: Vec<u8>,
    },
    Stored(StoredEncoder),
}

/// Result of waiting for the next record.
enum TailStep {
    /// The reader has something buffered.
    Buffered,
    Silence,
    End(EndReason, Option<String>),
}

impl RecordStream {
    /// Returns the next part of the body.
    async fn next(mut self) -> Option<(Result<Bytes, core::convert::Infallible>, Self)> {
        // Bounded: each round ends with a part, or leaves out what is before the start.
        loop {
            if let Some(part) = self.body.pop() {
                return Some((Ok(part), self));
            }
            match self.progress {
                BodyProgress::Ended => return None,
                BodyProgress::New => {
                    self.progress = BodyProgress::Reading;
                    let position = self.position();
                    self.body.start(position);
                    continue;
                }
                BodyProgress::Reading => {}
            }
            let step = self.find().await;
            let position = self.position();
            match step {
                TailStep::Buffered => self.put(),
                TailStep::Silence => self.body.heartbeat(position),
                TailStep::End(reason, detail) => {
                    self.progress = BodyProgress::Ended;
                    self.body.end(reason, position, detail);
                }
            }
        }
    }

    /// Returns the position of the next record.
    fn position(&self) -> StreamPosition {
        StreamPosition::new(self.reader.position(), Some(self.created_unix_ms))
    }

    async fn find(&mut self) -> TailStep {
        if self.left == 0 {
            return TailStep::End(EndReason::Limit, None);
        }
        let (client, probes) = (&self.client, &mut self.probes);
        let next = self.read_ahead.fill(&mut self.reader, self.follow);
        let reading = async {
            // Also while it waits for room, so that its client knows that it lives.
            match tokio::time::timeout(self.heartbeat, next).await {
                Ok(filled) => Ok(if filled? {
                    TailStep::Buffered
                } else {
                    TailStep::End(EndReason::CaughtUp, None)
                }),
                Err(_) => Ok(TailStep::Silence),
            }
        };
        let found = tokio::select! {
            biased;
            // A client that reads on from another proxy begins at the position in the last line.
            _ = self.phase.wait_for(|phase| *phase != ServerPhase::Serving) => {
                return TailStep::End(EndReason::Draining, None);
            }
            found = reading => found,
            // A read that does not follow ends by itself.
            end = probe(client, *probes), if self.follow && *probes > 0 => {
                return match end {
                    ClientEnd::Closed => {
                        *probes -= 1;
                        TailStep::Silence
                    }
                    ClientEnd::Broken => TailStep::End(EndReason::Closed, None),
                };
            }
        };
        match found {
            Ok(step) => step,
            Err(StoreError::StreamNotFound(_)) => self.deleted().await,
            Err(StoreError::Closed) => TailStep::End(EndReason::Closed, None),
            Err(error) => TailStep::End(EndReason::Failed, Some(error.to_string())),
        }
    }

    /// Returns the end of a read whose stream is gone. Another one may have its name already.
    async fn deleted(&self) -> TailStep {
        let store = self.reading.state.service.store();
        match store.describe(self.reader.stream()).await {
            Ok(info) if info.created_unix_ms != self.created_unix_ms => {
                let detail = format!(
                    "the stream was deleted, and another one of this name was created at {} ms \
                     since 1970: read it with from=start",
                    info.created_unix_ms
                );
                TailStep::End(EndReason::Recreated, Some(detail))
            }
            Ok(_) | Err(_) => TailStep::End(EndReason::Deleted, None),
        }
    }

    /// Encodes what is buffered, as far as a part of the body has room for it.
    fn put(&mut self) {
        let (reader, created) = (&mut self.reader, self.created_unix_ms);
        let count = match &mut self.body {
            BodyEncoder::Stored(encoder) => encoder.put(reader, created, self.left),
            BodyEncoder::Lines { encoder, out } => {
                let mut count = 0;
                while count < self.left
                    && out.len() < CHUNK_BYTES
                    && let Some(event) = reader.next_buffered()
                {
                    encoder.event(&event, created, out);
                    count += 1;
                }
                count
            }
        };
        self.left = self.left.saturating_sub(count);
        let http = &self.reading.state.service.stats.http;
        http.records_read.inc_by(count);
    }
}

impl BodyEncoder {
    fn new(framing: Framing, payloads: PayloadFormat) -> Self {
        let is_sse = match framing {
            Framing::Entries => return Self::Stored(StoredEncoder::default()),
            Framing::Sse => true,
            Framing::Ndjson => false,
        };
        Self::Lines {
            encoder: EventEncoder { is_sse, payloads },
            out: Vec::new(),
        }
    }

    /// Takes what was encoded. `None` if there is nothing.
    fn pop(&mut self) -> Option<Bytes> {
        match self {
            Self::Lines { out, .. } if out.is_empty() => None,
            Self::Lines { out, .. } => Some(core::mem::take(out).into()),
            Self::Stored(encoder) => encoder.pop(),
        }
    }

    /// Encodes the position at which reading begins.
    fn start(&mut self, next: StreamPosition) {
        match self {
            Self::Lines { encoder, out } => encoder.heartbeat(next, out),
            Self::Stored(encoder) => encoder.start(next),
        }
    }

    fn heartbeat(&mut self, next: StreamPosition) {
        match self {
            Self::Lines { encoder, out } => encoder.heartbeat(next, out),
            Self::Stored(encoder) => encoder.heartbeat(next),
        }
    }

    fn end(&mut self, reason: EndReason, next: StreamPosition, detail: Option<String>) {
        match self {
            Self::Lines { encoder, out } => encoder.end(reason, next, detail, out),
            Self::Stored(encoder) => encoder.end(reason, next, detail.as_deref()),
        }
    }
}

/// Counts a read while it lasts.
struct ReaderGuard {
    state: Arc<HttpState>,
    _seat: Reservation,
    _counted: RaisedGauge,
}

impl ReaderGuard {
    fn new(state: Arc<HttpState>, seat: Reservation) -> Self {
        Self {
            _counted: RaisedGauge::new(&state.service.stats.http.readers),
            state,
            _seat: seat,
        }
    }
}
