use core::num::NonZeroUsize;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use distributedlog::Escaped;
use distributedlog::wire::record_set::{SetIdentity, WriterId};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;

use super::exchange::Exchange;
use super::frames::{Frames, Taken};
use super::lines::LineBuffer;
use super::problem;
use super::settings::{Servers, escape};
use crate::entries;
use crate::event::{MalformedSet, ReadEvent, Record};
use crate::position::{Mark, Place};
use crate::reader::ReadError;
use crate::run::RecordRun;
use crate::source::{Failure, FetchSettings, Item};
use crate::stream_position::StreamPosition;

/// Largest body of an error response that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 64 << 10;

/// Longest interval of heartbeats that a client can ask for, in milliseconds.
const MAX_HEARTBEAT_MS: u128 = 60_000;

/// Formats of a response. Proxies of earlier versions have lines only.
const ACCEPTED: &str = "application/vnd.distributedlog.entries, application/x-ndjson;q=0.5";

/// Range of the bytes that are taken of a connection at once, if they are there.
const MIN_TAKEN_BYTES: usize = 8 << 10;
const MAX_TAKEN_BYTES: usize = 256 << 10;

/// Reads of one stream over HTTP.
pub(crate) struct HttpFetcher {
    servers: Arc<Servers>,
    stream: String,
    settings: FetchSettings,
    /// Index of the proxy that is asked.
    server: usize,
    /// The response that is read. `None` if there is none.
    response: Option<(Exchange, Incoming)>,
    received: Received,
    connections: u64,
}

/// What came of the response.
#[derive(Debug)]
enum Received {
    Lines {
        buffer: LineBuffer,
        /// True once there was a line: the first is a heartbeat that is sent at once.
        begun: bool,
    },
    Frames(Frames),
}

impl Received {
    /// Nothing of a response of this content type.
    fn of(content_type: &[u8]) -> Self {
        if content_type == entries::CONTENT_TYPE.as_bytes() {
            Self::Frames(Frames::default())
        } else {
            Self::default()
        }
    }

    fn push(&mut self, piece: &[u8]) {
        match self {
            Self::Lines { buffer, .. } => buffer.push(piece),
            Self::Frames(frames) => frames.push(piece),
        }
    }

    /// Number of bytes that no line or frame was taken of.
    fn len(&self) -> usize {
        match self {
            Self::Lines { buffer, .. } => buffer.len(),
            Self::Frames(frames) => frames.received(),
        }
    }
}

impl Default for Received {
    fn default() -> Self {
        Self::Lines {
            buffer: LineBuffer::default(),
            begun: false,
        }
    }
}

/// A line of the response. The texts that are borrowed are those in which nothing is escaped.
#[derive(Deserialize)]
struct Line<'a> {
    event: &'a str,
    dlsn: Option<&'a str>,
    after: Option<&'a str>,
    next: Option<&'a str>,
    #[serde(default)]
    written_ms: u64,
    #[serde(default)]
    slot: u32,
    #[serde(default)]
    slots: u32,
    writer: Option<&'a str>,
    sequence: Option<u64>,
    payload: Option<&'a str>,
    reason: Option<&'a str>,
    detail: Option<String>,
}

impl HttpFetcher {
    /// Streams begin with different proxies, so that several share the work.
    pub(crate) fn new(
        servers: Arc<Servers>,
        stream: &str,
        index: usize,
        settings: FetchSettings,
    ) -> Self {
        Self {
            server: index % servers.urls.len(),
            servers,
            stream: stream.to_owned(),
            settings,
            response: None,
            received: Received::default(),
            connections: 0,
        }
    }

    pub(crate) const fn connections(&self) -> u64 {
        self.connections
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        match &self.received {
            Received::Lines { buffer, .. } => buffer.len(),
            Received::Frames(frames) => frames.len(),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        let item = match &mut self.received {
            Received::Lines { .. } => self.pop_line(),
            Received::Frames(frames) => match frames.pop() {
                Ok(None) => Ok(None),
                Ok(Some(Taken::Event(event, after))) => return Some(Item::Event(event, after)),
                Ok(Some(Taken::Reached { next, at_end })) => {
                    return Some(Item::Reached { next, at_end });
                }
                Ok(Some(Taken::End {
                    next,
                    reason,
                    detail,
                })) => {
                    let detail = Some(&*detail).filter(|detail| !detail.is_empty());
                    self.end(&reason, detail, Some(next)).map(Some)
                }
                Err(error) => Err(error.to_string()),
            },
        };
        match item {
            Ok(item) => {
                if matches!(item, Some(Item::Failed(_))) {
                    self.leave();
                }
                item
            }
            Err(detail) => {
                let server = &self.servers.urls[self.server];
                let detail = format!("{server}: {detail}");
                self.leave();
                Some(Item::Failed(Failure::transient(detail)))
            }
        }
    }

    /// Takes the next records, if they can be delivered as one run of at most `most`.
    pub(crate) fn pop_run(&mut self, most: NonZeroUsize) -> Option<(RecordRun, Mark)> {
        match &mut self.received {
            Received::Lines { .. } => None,
            Received::Frames(frames) => frames.pop_run(most),
        }
    }

    /// Takes the next item of lines. `None` if no line is whole.
    fn pop_line(&mut self) -> Result<Option<Item>, String> {
        // Bounded: each round takes a line out of the buffer.
        loop {
            let Received::Lines { buffer, .. } = &mut self.received else {
                return Ok(None);
            };
            let line = buffer.pop();
            let line = line.map_err(|_| "a line is longer than any of a write proxy".to_owned())?;
            match line {
                None => return Ok(None),
                Some(line) if line.is_empty() => {}
                Some(line) => {
                    if let Some(item) = self.item(&line)? {
                        return Ok(Some(item));
                    }
                }
            }
        }
    }

    pub(crate) async fn fill(&mut self, position: &Mark) -> Result<(), Failure> {
        let filled = self.read(position).await;
        if filled.is_err() {
            self.leave();
        }
        filled
    }

    /// Leaves the response, and asks the next proxy.
    fn leave(&mut self) {
        self.response = None;
        self.received = Received::default();
        self.server = (self.server + 1) % self.servers.urls.len();
    }

    async fn read(&mut self, position: &Mark) -> Result<(), Failure> {
        if self.response.is_none() {
            let (exchange, body, received) = self.open(position).await?;
            self.response = Some((exchange, body));
            self.received = received;
        }
        let (exchange, body) = self.response.as_mut().expect("it was opened just now");
        let server = &self.servers.urls[self.server];
        // All that is there, up to a share of the buffer: a wait costs more than a piece.
        let enough = self.settings.buffer_bytes / 4;
        let enough = enough.clamp(MIN_TAKEN_BYTES, MAX_TAKEN_BYTES);
        let received = &mut self.received;
        let take = |piece: &[u8]| {
            received.push(piece);
            received.len() < enough
        };
        match exchange.pieces(&self.servers, server, body, take).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::transient(format!(
                "{server} ended the response within a read"
            ))),
            Err(detail) => Err(Failure::transient(detail)),
        }
    }

    async fn open(&mut self, position: &Mark) -> Result<(Exchange, Incoming, Received), Failure> {
        let server = &self.servers.urls[self.server];
        let mut exchange = Exchange::connect(&self.servers, server, self.settings.buffer_bytes)
            .await
            .map_err(Failure::transient)?;
        self.connections += 1;
        let path = server.path(&self.stream, &self.query(position));
        let response = exchange
            .get(&self.servers, server, &path, ACCEPTED)
            .await
            .map_err(Failure::transient)?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            let content_type = head.headers.get(CONTENT_TYPE);
            let received = content_type.map_or_else(Received::default, |content_type| {
                Received::of(content_type.as_bytes())
            });
            return Ok((exchange, body, received));
        }
        let body = exchange
            .whole(&self.servers, server, body, MAX_PROBLEM_BYTES)
            .await
            .unwrap_or_default();
        let (status, headers) = (head.status, &head.headers);
        Err(problem::failure(
            server,
            &self.stream,
            status,
            headers,
            &body,
        ))
    }

    fn query(&self, position: &Mark) -> String {
        let (name, place) = match position {
            Mark::After(place) => ("after", place),
            Mark::From(place) => ("from", place),
        };
        // Two in the time after which a silent proxy counts as lost.
        let heartbeat = (self.servers.silence.as_millis() / 2).min(MAX_HEARTBEAT_MS);
        let follow = self.settings.follow;
        let place = escape(&place.to_string());
        format!("/records?heartbeat_ms={heartbeat}&follow={follow}&{name}={place}")
    }

    /// Reads a line. `None` for one that a later version of the proxy may send.
    fn item(&mut self, line: &[u8]) -> Result<Option<Item>, String> {
        let line: Line<'_> = serde_json::from_slice(line)
            .map_err(|error| format!("a line is none of a write proxy: {error}"))?;
        let first = match &mut self.received {
            Received::Lines { begun, .. } => !core::mem::replace(begun, true),
            Received::Frames(_) => false,
        };
        let place = |text: Option<&str>, name| {
            text.map(Place::parse)
                .ok_or_else(|| format!("a line has no {name}"))
        };
        Ok(Some(match line.event {
            "record" => {
                let after = Mark::After(place(line.after, "after")?);
                Item::Event(ReadEvent::Record(record(&line)?), after)
            }
            "malformed" => {
                let after = Mark::After(place(line.after, "after")?);
                let set = MalformedSet {
                    dlsn: dlsn(&line)?,
                    slots: line.slots,
                    stored_bytes: 0,
                    reason: Escaped(line.detail.unwrap_or_default()).to_string(),
                };
                Item::Event(ReadEvent::Malformed(set), after)
            }
            "heartbeat" => Item::Reached {
                next: Mark::From(place(line.next, "next")?),
                at_end: !first,
            },
            "end" => {
                let next = line.next.map(|next| Mark::From(Place::parse(next)));
                let reason = line.reason.unwrap_or_default();
                self.end(reason, line.detail.as_deref(), next)?
            }
            _ => return Ok(None),
        }))
    }

    /// Returns what the end of a response means.
    fn end(&self, reason: &str, detail: Option<&str>, next: Option<Mark>) -> Result<Item, String> {
        let server = &self.servers.urls[self.server];
        let stream = self.stream.clone();
        let detail = Escaped(detail.unwrap_or(reason)).to_string();
        Ok(match reason {
            "caught_up" => Item::CaughtUp(next.ok_or("a line has no next")?),
            "deleted" => Item::Failed(Failure::Deleted),
            "recreated" => Item::Failed(Failure::Fatal(ReadError::Recreated { stream, detail })),
            _ => Item::Failed(Failure::Transient {
                detail: format!("{server} ended the read: {detail}"),
                retry_after: None,
                at_once: reason == "draining" && self.servers.urls.len() > 1,
                answered: true,
            }),
        })
    }
}

fn record(line: &Line<'_>) -> Result<Record, String> {
    let payload = line.payload.ok_or("a record has no payload")?;
    let payload = STANDARD
        .decode(payload)
        .map_err(|error| format!("a record is not base64: {error}"))?;
    let set = match (line.writer, line.sequence) {
        (Some(writer), Some(sequence)) => Some(SetIdentity {
            writer: writer_id(writer).ok_or_else(|| format!("{writer} is no id of a writer"))?,
            sequence,
        }),
        (_, None) | (None, _) => None,
    };
    if line.slot >= line.slots {
        return Err(format!(
            "a record is number {} of {}",
            line.slot, line.slots
        ));
    }
    Ok(Record {
        dlsn: dlsn(line)?,
        payload: Bytes::from(payload),
        written_unix_ms: line.written_ms,
        set,
        set_slot: line.slot,
        set_slots: line.slots,
    })
}

fn dlsn(line: &Line<'_>) -> Result<distributedlog::Dlsn, String> {
    let text = line.dlsn.ok_or("a line has no dlsn")?;
    let position: StreamPosition = text.parse().map_err(|_| format!("{text} is no dlsn"))?;
    Ok(position.dlsn)
}

/// Parses 32 hex digits.
fn writer_id(text: &str) -> Option<WriterId> {
    let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(WriterId(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_text_acts_on_no_terminal_and_adds_no_line() {
        let line = concat!(
            r#"{"event":"end","reason":"error","detail":"x\u001b[2J\nforged"}"#,
            "\n"
        );
        let items = items(line.as_bytes());
        let [Item::Failed(Failure::Transient { detail, .. })] = &items[..] else {
            panic!("{items:?}");
        };
        assert!(
            detail.ends_with(r"ended the read: x\u{1b}[2J\nforged"),
            "{detail}"
        );
    }

    const LINES: &str = concat!(
        r#"{"event":"heartbeat","next":"1,0,0@1795460313000"}"#,
        "\n",
        r#"{"event":"record","dlsn":"1,0,0","after":"1,0,0@1795460313000","#,
        r#""written_ms":1795460313000,"slot":0,"slots":2,"#,
        r#""writer":"8f14e45f0000000000000000000000ff","sequence":17,"payload":"YW4gb3JkZXI="}"#,
        "\n",
        r#"{"event":"later","of":"a later version"}"#,
        "\n",
        r#"{"event":"malformed","dlsn":"1,1,0","after":"1,1,2@1795460313000","slots":3,"#,
        r#""detail":"it is \"damaged\""}"#,
        "\n",
        r#"{"event":"end","reason":"caught_up","next":"1,2,0@1795460313000"}"#,
        "\n",
    );

    /// The items of a response, up to its end or a failure.
    fn items(response: &[u8]) -> Vec<Item> {
        let source = crate::HttpSource::new(["http://127.0.0.1:1"]);
        let settings = FetchSettings {
            follow: false,
            buffer_bytes: 0,
        };
        let servers = Arc::new(source.prepare().expect("valid"));
        let mut fetcher = HttpFetcher::new(servers, "s", 0, settings);
        fetcher.received.push(response);
        core::iter::from_fn(|| fetcher.pop()).collect()
    }

    #[test]
    fn lines_are_read_as_they_are_documented_and_those_of_later_versions_skipped() {
        let items = items(LINES.as_bytes());
        let [
            Item::Reached { at_end: false, .. },
            Item::Event(ReadEvent::Record(record), Mark::After(_)),
            Item::Event(ReadEvent::Malformed(set), Mark::After(_)),
            Item::CaughtUp(Mark::From(_)),
        ] = &items[..]
        else {
            panic!("{items:?}")
        };
        assert_eq!(
            (&record.payload[..], record.set_slots),
            (&b"an order"[..], 2)
        );
        assert_eq!((set.slots, &*set.reason), (3, "it is \"damaged\""));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = distributedlog_testkit::Random::new(9);
        for _ in 0..20_000 {
            let mut bytes = LINES.as_bytes().to_vec();
            for _ in 0..=random.index(4) {
                let at = random.index(bytes.len());
                match random.index(4) {
                    0 => bytes[at] = u8::try_from(random.index(256)).expect("a byte"),
                    1 => {
                        bytes.remove(at);
                    }
                    2 => bytes.insert(at, b"0123456789,:\"{}"[random.index(15)]),
                    _ => bytes[at] = b'9',
                }
            }
            let _ = items(&bytes);
        }
        let last = LINES.replace("\"slot\":0", "\"slot\":4294967295");
        let items = items(last.as_bytes());
        assert!(matches!(items[1], Item::Failed(_)), "{items:?}");
    }

    #[test]
    fn a_writer_is_named_by_32_hex_digits() {
        let expected = WriterId([
            0x8f, 0x14, 0xe4, 0x5f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
        ]);
        for text in [
            "8f14e45f0000000000000000000000ff",
            "8F14E45F0000000000000000000000FF",
        ] {
            assert_eq!(writer_id(text), Some(expected));
        }
        for wrong in [
            "",
            "8f",
            "+f14e45f0000000000000000000000ff",
            "8f14e45f0000000000000000000000ff0",
        ] {
            assert_eq!(writer_id(wrong), None, "{wrong}");
        }
    }
}
