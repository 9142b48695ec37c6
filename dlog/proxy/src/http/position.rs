use std::fmt;

use axum::http::StatusCode as Http;
use distributedlog::Dlsn;
use serde::Serialize;

use super::problem::Problem;
use crate::machine::{MAX_QUOTE_CHARS, shorten};
use distributedlog_store::StreamInfo;
use distributedlog_store::dlsn_text::parse_dlsn;
use distributedlog_store::utc;

/// A position as JSON, in all its forms.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DlsnBody {
    text: String,
    serialized: String,
    log_segment: i64,
    entry: i64,
    slot: i64,
}

impl From<Dlsn> for DlsnBody {
    fn from(dlsn: Dlsn) -> Self {
        Self {
            text: ShortDlsn(dlsn).to_string(),
            serialized: dlsn.to_text().as_str().to_owned(),
            log_segment: dlsn.log_segment_sequence_no,
            entry: dlsn.entry_id,
            slot: dlsn.slot_id,
        }
    }
}

/// A position as `1,0,5`, which needs no escaping anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortDlsn(pub(super) Dlsn);

impl fmt::Display for ShortDlsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dlsn {
            log_segment_sequence_no,
            entry_id,
            slot_id,
        } = self.0;
        write!(f, "{log_segment_sequence_no},{entry_id},{slot_id}")
    }
}

impl Serialize for ShortDlsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Suffix of the event id of a read that is complete: there is nothing to resume.
const FINISHED: &str = ";end";

/// A position that is meant for one life of a stream, as `1,0,5@1795460313000`: the DLSN, and the
/// time at which the stream was created, in milliseconds since 1970. A stream that is deleted and
/// created again has other records at the same DLSNs, and another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamPosition {
    pub(super) dlsn: Dlsn,
    /// `None` if the client gave a DLSN alone, which is valid in any stream.
    pub(super) created_unix_ms: Option<u64>,
}

impl StreamPosition {
    /// Returns the position that follows in the same stream.
    pub(super) const fn next_slot(self) -> Self {
        Self {
            dlsn: self.dlsn.slot(1),
            ..self
        }
    }

    /// Returns the position after which `self` is the next one.
    pub(super) const fn previous_slot(self) -> Self {
        let mut previous = self;
        previous.dlsn.slot_id = previous.dlsn.slot_id.saturating_sub(1);
        previous
    }

    /// Checks that the position belongs to the stream and is not beyond its end.
    ///
    /// # Errors
    ///
    /// `STREAM_RECREATED` and `POSITION_BEYOND_END`: at such a position a reader would skip
    /// records, or wait for ever, in silence.
    pub(super) fn check(self, stream: &StreamInfo) -> Result<(), Problem> {
        let StreamInfo {
            name,
            created_unix_ms: created,
            ..
        } = stream;
        if let Some(known) = self.created_unix_ms.filter(|known| known != created) {
            let detail = format!(
                "the position {self} belongs to a stream that was created at {known} ms since 1970 \
                 and has been deleted; the stream {name} of today was created at {created} ms: \
                 read it with from=start"
            );
            return Err(Problem::new(Http::GONE, "STREAM_RECREATED", detail));
        }
        let end = end(stream);
        if self.dlsn > end {
            let detail = format!(
                "the position {self} is beyond the end of stream {name}, which is {}: it belongs \
                 to another stream, or to one of this name that was deleted; read with from=start",
                ShortDlsn(end)
            );
            return Err(Problem::new(Http::CONFLICT, "POSITION_BEYOND_END", detail));
        }
        Ok(())
    }
}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dlsn,
            created_unix_ms,
        } = self;
        ShortDlsn(*dlsn).fmt(f)?;
        created_unix_ms.map_or(Ok(()), |created| write!(f, "@{created}"))
    }
}

impl Serialize for StreamPosition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Id of an event: the position to resume after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    pub(super) after: StreamPosition,
    /// True if the read was complete. A browser asks again even then.
    pub(super) finished: bool,
}

impl EventId {
    /// Returns the id of an event that is not the end of a read.
    pub(super) const fn resume(after: StreamPosition) -> Self {
        Self {
            after,
            finished: false,
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.finished { FINISHED } else { "" };
        write!(f, "{}{suffix}", self.after)
    }
}

/// Parses a time such as `2026-11-28T10:00:00Z`, in milliseconds since 1970. `None` if the text is
/// none, and may be a position.
pub(super) fn parse_time(text: &str) -> Option<u64> {
    // A `+` of the zone that the client did not escape arrives as a blank.
    utc::parse(&text.replace(' ', "+"))
}

/// Parses the id of an event, from the header `place`.
pub(super) fn parse_event_id(place: &str, text: &str) -> Result<EventId, Problem> {
    let rest = text.strip_suffix(FINISHED);
    Ok(EventId {
        after: parse(place, rest.unwrap_or(text))?,
        finished: rest.is_some(),
    })
}

/// Parses a position in any of its forms, from the query parameter or header `place`.
pub(super) fn parse(place: &str, text: &str) -> Result<StreamPosition, Problem> {
    let (dlsn, created) = match text.split_once('@') {
        Some((dlsn, created)) => (dlsn, Some(created)),
        None => (text, None),
    };
    let created_unix_ms = created.map(|created| {
        created.parse().map_err(|_| {
            let created = shorten(created, MAX_QUOTE_CHARS);
            Problem::bad_request(format!(
                "{place}: '{created}' behind the @ is not a stream's time of creation, in \
                 milliseconds since 1970"
            ))
        })
    });
    // A `+` of base64 that the client did not escape arrives as a blank.
    let restored = if dlsn.contains(',') {
        dlsn.to_owned()
    } else {
        dlsn.replace(' ', "+")
    };
    Ok(StreamPosition {
        dlsn: parse_dlsn(&restored)
            .map_err(|error| Problem::bad_request(format!("{place}: {error}")))?,
        created_unix_ms: created_unix_ms.transpose()?,
    })
}

/// Returns the position behind every entry of the stream, also those without records.
fn end(stream: &StreamInfo) -> Dlsn {
    let entries = stream.segments.last().map(|last| {
        let entries = i64::try_from(last.entries).unwrap_or(i64::MAX);
        Dlsn::new(last.log_segment_sequence_no, entries, 0)
    });
    let truncated = stream.truncated_before;
    entries.max(truncated).unwrap_or(Dlsn::INITIAL)
}
