use core::str::FromStr;

use axum::http::{HeaderMap, StatusCode as Http};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::accept::Accept;
use super::position::{EventId, ShortDlsn, previous_slot};
use super::problem::Problem;
use distributedlog_reader::entries::CONTENT_TYPE;
use distributedlog_reader::{MalformedSet, ReadEvent, Record, StreamPosition};

/// Framing of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON object a line.
    Ndjson,
    /// Server-Sent Events.
    Sse,
    /// Records and sets as they are stored, in frames.
    Entries,
}

/// Format of records' bytes in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PayloadFormat {
    #[default]
    Base64,
    /// Strings, where they are UTF-8.
    Text,
}

impl FromStr for PayloadFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "base64" => Ok(Self::Base64),
            "text" => Ok(Self::Text),
            _ => Err(()),
        }
    }
}

/// Reason why a response ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndReason {
    /// There are no more records, and the client does not follow.
    CaughtUp,
    /// The number of records that the client asked for was sent.
    Limit,
    /// The stream was deleted.
    Deleted,
    /// The stream was deleted, and another one was created with its name.
    Recreated,
    /// The proxy is shutting down.
    Draining,
    /// The store was closed.
    Closed,
    /// The store failed.
    Failed,
}

impl EndReason {
    /// Returns the name, as serialization has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CaughtUp => "caught_up",
            Self::Limit => "limit",
            Self::Deleted => "deleted",
            Self::Recreated => "recreated",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }
}

/// One line of a read.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum EventLine<'a> {
    Record {
        dlsn: ShortDlsn,
        after: StreamPosition,
        written_ms: u64,
        slot: u32,
        slots: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        writer: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
    },
    Malformed {
        dlsn: ShortDlsn,
        after: StreamPosition,
        slots: u32,
        detail: &'a str,
    },
    Heartbeat {
        next: StreamPosition,
    },
    End {
        reason: EndReason,
        next: StreamPosition,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

/// Encodes the events of a read as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventEncoder {
    /// True for Server-Sent Events.
    pub(super) is_sse: bool,
    pub(super) payloads: PayloadFormat,
}

impl Framing {
    /// Returns the framing that the client prefers: entries or Server-Sent Events if it names them
    /// with at least the weight of the others, otherwise NDJSON, also if it accepts none by name.
    ///
    /// # Errors
    ///
    /// The client excludes all.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let accept = Accept::of(headers);
        let sse = accept.weight(Self::Sse.content_type());
        let lines = [Self::Ndjson.content_type(), "application/json"].map(|it| accept.weight(it));
        let lines = if lines[0].named { lines[0] } else { lines[1] };
        // No client gets bytes that it did not ask for by name.
        let entries = accept.weight(Self::Entries.content_type());
        let most = sse.thousandths.max(lines.thousandths);
        if entries.named && entries.thousandths > 0 && entries.thousandths >= most {
            return Ok(Self::Entries);
        }
        if sse.named && sse.thousandths > 0 && sse.thousandths >= lines.thousandths {
            return Ok(Self::Sse);
        }
        // A client that names neither of them gets lines, unless it excludes them.
        if lines.thousandths > 0 || !lines.named {
            return Ok(Self::Ndjson);
        }
        if sse.thousandths > 0 {
            return Ok(Self::Sse);
        }
        if entries.named && entries.thousandths > 0 {
            return Ok(Self::Entries);
        }
        Err(Problem::new(
            Http::NOT_ACCEPTABLE,
            "NOT_ACCEPTABLE",
            "accept: records come as application/x-ndjson, as text/event-stream or as \
             application/vnd.distributedlog.entries, and the request excludes all of them",
        ))
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Sse => "text/event-stream",
            Self::Entries => CONTENT_TYPE,
        }
    }
}

impl EventEncoder {
    /// Encodes a record, or the place of a set that cannot be decoded, of the stream that was
    /// created at this time.
    pub(super) fn event(self, event: &ReadEvent, created_unix_ms: u64, out: &mut Vec<u8>) {
        let at = |dlsn| StreamPosition::new(dlsn, Some(created_unix_ms));
        match event {
            ReadEvent::Record(record) => {
                let after = at(record.dlsn);
                self.put(
                    "record",
                    EventId::resume(after),
                    &self.record(record, after),
                    out,
                );
            }
            ReadEvent::Malformed(set) => {
                let MalformedSet {
                    dlsn,
                    slots,
                    reason,
                    ..
                } = set;
                let after = at(dlsn.slot(slots.saturating_sub(1)));
                let line = EventLine::Malformed {
                    dlsn: ShortDlsn(*dlsn),
                    after,
                    slots: *slots,
                    detail: reason,
                };
                self.put("malformed", EventId::resume(after), &line, out);
            }
        }
    }

    /// Encodes a heartbeat: the next record will be at or after `next`. Its id lets a browser that
    /// has got no record resume there.
    pub(super) fn heartbeat(self, next: StreamPosition, out: &mut Vec<u8>) {
        let id = EventId::resume(previous_slot(next));
        self.put("heartbeat", id, &EventLine::Heartbeat { next }, out);
    }

    /// Encodes the last line.
    pub(super) fn end(
        self,
        reason: EndReason,
        next: StreamPosition,
        detail: Option<String>,
        out: &mut Vec<u8>,
    ) {
        let id = EventId {
            after: previous_slot(next),
            finished: matches!(reason, EndReason::CaughtUp | EndReason::Limit),
        };
        let line = EventLine::End {
            reason,
            next,
            detail,
        };
        self.put("end", id, &line, out);
    }

    fn record(self, record: &Record, after: StreamPosition) -> EventLine<'_> {
        let text = match self.payloads {
            PayloadFormat::Base64 => None,
            PayloadFormat::Text => core::str::from_utf8(&record.payload).ok(),
        };
        EventLine::Record {
            dlsn: ShortDlsn(record.dlsn),
            after,
            written_ms: record.written_unix_ms,
            slot: record.set_slot,
            slots: record.set_slots,
            writer: record
                .set
                .map(|set| format!("{:032x}", u128::from_be_bytes(set.writer.0))),
            sequence: record.set.map(|set| set.sequence),
            payload: text.is_none().then(|| STANDARD.encode(&record.payload)),
            text,
        }
    }

    fn put(self, name: &str, id: EventId, line: &EventLine<'_>, out: &mut Vec<u8>) {
        if self.is_sse {
            out.extend_from_slice(format!("event: {name}\nid: {id}\ndata: ").as_bytes());
        }
        serde_json::to_writer(&mut *out, line).expect("texts and numbers, into memory");
        out.extend_from_slice(if self.is_sse { b"\n\n" } else { b"\n" });
    }
}
