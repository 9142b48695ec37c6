use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};

use super::position::ShortDlsn;
use distributedlog_reader::{MalformedSet, ReadEvent, Record};

/// Framing of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON object a line.
    Ndjson,
    /// Server-Sent Events.
    Sse,
}

/// Format of records' bytes in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PayloadFormat {
    #[default]
    Base64,
    /// Strings, where they are UTF-8.
    Text,
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
    /// The proxy is shutting down.
    Draining,
    /// The store was closed.
    Closed,
    /// The store failed.
    Failed,
}

/// One line of a read.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum EventLine<'a> {
    Record {
        dlsn: ShortDlsn,
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
        slots: u32,
        detail: &'a str,
    },
    Heartbeat {
        next: ShortDlsn,
    },
    End {
        reason: EndReason,
        next: ShortDlsn,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

/// Encodes the events of a read as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventEncoder {
    pub(super) framing: Framing,
    pub(super) payloads: PayloadFormat,
}

impl Framing {
    /// Returns the framing that the client accepts; NDJSON if it names none, or neither.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let sse = accepted
            .flat_map(|value| value.split(','))
            .any(|range| range.trim().starts_with("text/event-stream"));
        if sse { Self::Sse } else { Self::Ndjson }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Sse => "text/event-stream",
        }
    }
}

impl EventEncoder {
    /// Encodes a record, or the place of a set that cannot be decoded.
    pub(super) fn event(self, event: &ReadEvent, out: &mut Vec<u8>) {
        match event {
            ReadEvent::Record(record) => {
                self.put("record", Some(record.dlsn), &self.record(record), out)
            }
            ReadEvent::Malformed(set) => {
                let MalformedSet {
                    dlsn,
                    slots,
                    reason,
                    ..
                } = set;
                let line = EventLine::Malformed {
                    dlsn: ShortDlsn(*dlsn),
                    slots: *slots,
                    detail: reason,
                };
                self.put(
                    "malformed",
                    Some(dlsn.slot(slots.saturating_sub(1))),
                    &line,
                    out,
                );
            }
        }
    }

    /// Encodes a heartbeat: the next record will be at or after `next`.
    pub(super) fn heartbeat(self, next: Dlsn, out: &mut Vec<u8>) {
        self.put(
            "heartbeat",
            None,
            &EventLine::Heartbeat {
                next: ShortDlsn(next),
            },
            out,
        );
    }

    /// Encodes the last line.
    pub(super) fn end(
        self,
        reason: EndReason,
        next: Dlsn,
        detail: Option<String>,
        out: &mut Vec<u8>,
    ) {
        self.put(
            "end",
            None,
            &EventLine::End {
                reason,
                next: ShortDlsn(next),
                detail,
            },
            out,
        );
    }

    fn record(self, record: &Record) -> EventLine<'_> {
        let text = match self.payloads {
            PayloadFormat::Base64 => None,
            PayloadFormat::Text => core::str::from_utf8(&record.payload).ok(),
        };
        EventLine::Record {
            dlsn: ShortDlsn(record.dlsn),
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

    fn put(self, name: &str, id: Option<Dlsn>, line: &EventLine<'_>, out: &mut Vec<u8>) {
        if self.framing == Framing::Sse {
            out.extend_from_slice(format!("event: {name}\n").as_bytes());
            if let Some(dlsn) = id {
                out.extend_from_slice(format!("id: {}\n", ShortDlsn(dlsn)).as_bytes());
            }
            out.extend_from_slice(b"data: ");
        }
        serde_json::to_writer(&mut *out, line).expect("texts and numbers, into memory");
        out.extend_from_slice(match self.framing {
            Framing::Ndjson => b"\n",
            Framing::Sse => b"\n\n",
        });
    }
}
