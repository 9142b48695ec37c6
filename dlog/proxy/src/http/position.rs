use std::fmt;

use axum::http::StatusCode as Http;
use distributedlog::Dlsn;
use serde::Serialize;

use super::problem::Problem;
use crate::machine::{MAX_QUOTE_CHARS, shorten};
use distributedlog_reader::{StreamPosition, StreamPositionError};
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

/// Returns the position that follows in the same stream.
pub(super) const fn next_slot(position: StreamPosition) -> StreamPosition {
    StreamPosition::new(position.dlsn.slot(1), position.created_unix_ms)
}

/// Returns the position after which this one is the next.
pub(super) const fn previous_slot(position: StreamPosition) -> StreamPosition {
    let mut previous = position;
    previous.dlsn.slot_id = previous.dlsn.slot_id.saturating_sub(1);
    previous
}

/// Checks that the position belongs to the stream and is not beyond its end.
///
/// # Errors
///
/// `STREAM_RECREATED` and `POSITION_BEYOND_END`: at such a position a reader would skip records, or
/// wait for ever, in silence.
pub(super) fn check(position: StreamPosition, stream: &StreamInfo) -> Result<(), Problem> {
    position.check(stream).map_err(|error| {
        let (status, name) = match error {
            StreamPositionError::Recreated { .. } => (Http::GONE, "STREAM_RECREATED"),
            StreamPositionError::BeyondEnd { .. } => (Http::CONFLICT, "POSITION_BEYOND_END"),
        };
        Problem::new(status, name, format!("{error}: read it with from=start"))
    })
}

/// Suffix of the event id of a read that is complete: there is nothing to resume.
const FINISHED: &str = ";end";

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
    let dlsn =
        parse_dlsn(&restored).map_err(|error| Problem::bad_request(format!("{place}: {error}")))?;
    Ok(StreamPosition::new(dlsn, created_unix_ms.transpose()?))
}
