use core::fmt;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use distributedlog::merge::SavedDedup;
use serde::{Deserialize, Serialize};

use crate::stream_position::StreamPosition;

/// Format of saved positions; the only one so far.
const FORMAT: u32 = 1;

/// Position of a [`MultiStreamReader`](crate::MultiStreamReader): the position in each stream, and
/// the record sets that were delivered.
///
/// Applications save it together with what they did with the records: as JSON by
/// [`to_json`](Self::to_json), or with serde in a format of their own. Deserialization checks it.
/// As JSON it is the position of the npm package's reader too, so that a reader in one language
/// resumes where one in the other stopped:
///
/// ```
/// use distributedlog_reader::ReaderPosition;
///
/// let json = r#"{"format":1,"streams":{"orders-1":{"after":"1,0,5@1795460313000"}},"seen":""}"#;
/// let position = ReaderPosition::from_json(json)?;
/// assert_eq!(position.streams().collect::<Vec<_>>(), ["orders-1"]);
/// # Ok::<(), distributedlog_reader::PositionError>(())
/// ```
///
/// Its size is bounded by the [merge settings](crate::MergeSettings): a few bytes for each writer
/// none of whose sets is missing, and at most the whole window, 8 KiB by default, for a writer with
/// gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct ReaderPosition {
    pub(crate) streams: BTreeMap<String, Mark>,
    pub(crate) seen: SavedDedup,
}

/// Place in a stream where reading goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The record at this position was delivered.
    After(Place),
    /// The record at this position is the next one.
    From(Place),
}

/// A position in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(StreamPosition),
    /// `start`, `end`, a time, or a form of a position that only its server knows.
    Text(Box<str>),
}

/// Serialized form of a position, not checked yet.
#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    streams: BTreeMap<String, SavedMark>,
    #[serde(default)]
    seen: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedMark {
    After(String),
    From(String),
}

/// The value is no position of a reader.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PositionError {
    /// The position has another format, probably that of a newer version.
    Format(u32),
    /// The record sets that were delivered cannot be read: the position is damaged.
    Seen(String),
    /// The text is not JSON, or JSON of something else.
    Json(String),
}

impl ReaderPosition {
    /// Reads a position from JSON.
    ///
    /// # Errors
    ///
    /// The text is no position, or one of a newer version.
    pub fn from_json(json: &str) -> Result<Self, PositionError> {
        let saved: Saved =
            serde_json::from_str(json).map_err(|error| PositionError::Json(error.to_string()))?;
        saved.try_into()
    }

    /// Returns the position as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers, into memory")
    }

    /// Returns the names of the streams, sorted.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.streams.keys().map(String::as_str)
    }

    /// Removes a stream. A reader that names it and resumes here starts where
    /// [`from`](crate::MultiStreamReaderBuilder::from) says, for instance at the beginning of a
    /// stream that was created again. Duplicates of sets that were delivered are still dropped.
    pub fn remove(&mut self, stream: &str) {
        self.streams.remove(stream);
    }
}

impl Place {
    pub(crate) fn parse(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Text(text.into()), Self::At)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(position) => position.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<ReaderPosition> for Saved {
    fn from(position: ReaderPosition) -> Self {
        let saved = |mark| match mark {
            Mark::After(place) => SavedMark::After(place.to_string()),
            Mark::From(place) => SavedMark::From(place.to_string()),
        };
        Self {
            format: FORMAT,
            streams: position
                .streams
                .into_iter()
                .map(|(stream, mark)| (stream, saved(mark)))
                .collect(),
            seen: STANDARD.encode(position.seen.to_bytes()),
        }
    }
}

impl TryFrom<Saved> for ReaderPosition {
    type Error = PositionError;

    fn try_from(saved: Saved) -> Result<Self, PositionError> {
        if saved.format != FORMAT {
            return Err(PositionError::Format(saved.format));
        }
        let seen = if saved.seen.is_empty() {
            SavedDedup::default()
        } else {
            let bytes = STANDARD
                .decode(&saved.seen)
                .map_err(|error| PositionError::Seen(error.to_string()))?;
            SavedDedup::from_bytes(&bytes)
                .map_err(|error| PositionError::Seen(error.to_string()))?
        };
        let mark = |mark| match mark {
            SavedMark::After(text) => Mark::After(Place::parse(&text)),
            SavedMark::From(text) => Mark::From(Place::parse(&text)),
        };
        Ok(Self {
            streams: saved
                .streams
                .into_iter()
                .map(|(stream, saved)| (stream, mark(saved)))
                .collect(),
            seen,
        })
    }
}

/// The position of the lower-level reader of a store, for applications that move from it.
#[cfg(feature = "store")]
impl From<&crate::MergePosition> for ReaderPosition {
    fn from(position: &crate::MergePosition) -> Self {
        let mark = |stream, dlsn| {
            Mark::From(Place::At(StreamPosition {
                dlsn,
                created_unix_ms: position.created_unix_ms(stream),
            }))
        };
        Self {
            streams: position
                .streams()
                .map(|(stream, dlsn)| (stream.to_string(), mark(stream, dlsn)))
                .collect(),
            seen: position.seen(),
        }
    }
}

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(found) => {
                write!(
                    f,
                    "the position has format {found}, this program reads {FORMAT}"
                )
            }
            Self::Seen(detail) => write!(f, "the position's `seen` is damaged: {detail}"),
            Self::Json(detail) => write!(f, "the text is no position of a reader: {detail}"),
        }
    }
}

distributedlog::debug_is_display!(PositionError);

impl core::error::Error for PositionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_it_was_read() {
        let json = concat!(
            r#"{"format":1,"streams":{"a":{"after":"1,0,5@1795460313000"},"#,
            r#""b":{"from":"start"},"c":{"from":"2026-11-28T10:00:00.000Z"},"#,
            r#""d":{"from":"2,3,0"}},"seen":"AQAAAAAAAAAA"}"#
        );
        let position = ReaderPosition::from_json(json).expect("a position");
        assert_eq!(position.to_json(), json);
        let again: ReaderPosition = serde_json::from_str(json).expect("also by serde");
        assert_eq!(again, position);
    }

    #[test]
    fn what_is_no_position_is_refused_with_the_reason() {
        for (json, said) in [
            (
                r#"{"format":2,"streams":{},"seen":""}"#,
                "has format 2, this program reads 1",
            ),
            (
                r#"{"format":1,"streams":{},"seen":"AQ=="}"#,
                "end too early",
            ),
            (r#"{"format":1,"streams":{},"seen":"§"}"#, "is damaged"),
            (
                r#"{"format":1,"streams":{"a":{"at":"1,0,0"}}}"#,
                "no position",
            ),
            ("", "no position"),
        ] {
            let error = ReaderPosition::from_json(json).expect_err(json).to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
