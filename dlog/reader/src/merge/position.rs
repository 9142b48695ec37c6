use core::fmt;
use std::collections::HashSet;

use distributedlog::Dlsn;
use distributedlog::merge::{MissingRecords, SavedDedup, SavedWriter};
use serde::{Deserialize, Serialize};

use distributedlog_store::StreamName;

/// Format of saved positions; the only one so far.
const FORMAT: u32 = 1;

/// Position of a [`MultiReader`](super::MultiReader): the next position in each stream, and the
/// sets that were delivered.
///
/// Applications save it with serde, in any format. Deserialization checks it, so a reader can
/// resume from every value of this type.
///
/// The [settings](super::MergeSettings) bound its size: it needs a few bytes for each writer
/// without missing sets, and at most the whole bitmap for a writer with gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct MergePosition(Saved);

/// Serialized form of a position, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    streams: Vec<StreamPosition>,
    writers: Vec<SavedWriter>,
    parts: Vec<MissingRecords>,
    /// True if writers were forgotten: which ones is not saved.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    forgotten: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StreamPosition {
    stream: StreamName,
    next: Dlsn,
    /// Time of creation of the stream, which tells streams of one name apart. `None` in positions
    /// that an older version saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_unix_ms: Option<u64>,
}

/// The deserialized value is no position of a merged reader.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergePositionError {
    /// The position has another format, probably that of a newer version.
    Format(u32),
    /// The position names a stream twice.
    StreamTwice(StreamName),
    /// The position describes the sets of a writer in an impossible way.
    Writer(String),
}

impl MergePosition {
    pub(super) fn new(
        streams: impl Iterator<Item = (StreamName, Dlsn, Option<u64>)>,
        seen: SavedDedup,
    ) -> Self {
        let streams = streams
            .map(|(stream, next, created_unix_ms)| StreamPosition {
                stream,
                next,
                created_unix_ms,
            })
            .collect();
        Self(Saved {
            format: FORMAT,
            streams,
            writers: seen.writers,
            parts: seen.parts,
            forgotten: seen.has_forgotten,
        })
    }

    /// Returns the streams, each with the position at or after which reading continues.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamName, Dlsn)> {
        self.0.streams.iter().map(|at| (&at.stream, at.next))
    }

    /// Returns the time of creation of a stream, in milliseconds since 1970. `None` if the position
    /// does not name the stream, if the stream was not read yet, or if a version that did not save
    /// the time saved the position.
    #[must_use]
    pub fn created_unix_ms(&self, stream: &StreamName) -> Option<u64> {
        self.0
            .streams
            .iter()
            .find(|entry| entry.stream == *stream)?
            .created_unix_ms
    }

    /// Adds a stream, which is read from `from` on. Its duplicates of sets that were delivered are
    /// not delivered again. A stream that the position already names keeps its position.
    #[must_use]
    pub fn with_stream(mut self, stream: StreamName, from: Dlsn) -> Self {
        if self.streams().all(|(there, _)| *there != stream) {
            self.0.streams.push(StreamPosition {
                stream,
                next: from,
                created_unix_ms: None,
            });
        }
        self
    }

    /// Returns the sets that were delivered.
    pub(crate) fn seen(&self) -> SavedDedup {
        SavedDedup {
            writers: self.0.writers.clone(),
            parts: self.0.parts.clone(),
            has_forgotten: self.0.forgotten,
        }
    }
}

impl From<MergePosition> for Saved {
    fn from(position: MergePosition) -> Self {
        position.0
    }
}

impl TryFrom<Saved> for MergePosition {
    type Error = MergePositionError;

    fn try_from(saved: Saved) -> Result<Self, Self::Error> {
        if saved.format != FORMAT {
            return Err(MergePositionError::Format(saved.format));
        }
        let mut streams = HashSet::new();
        if let Some(twice) = saved.streams.iter().find(|at| !streams.insert(&at.stream)) {
            return Err(MergePositionError::StreamTwice(twice.stream.clone()));
        }
        let mut writers = HashSet::new();
        for SavedWriter { writer, window, .. } in &saved.writers {
            if !writers.insert(*writer) || !window.is_sound() {
                return Err(MergePositionError::Writer(writer.to_string()));
            }
        }
        if let Some(part) = saved.parts.iter().find(|part| part.start >= part.end) {
            return Err(MergePositionError::Writer(part.set.to_string()));
        }
        Ok(Self(saved))
    }
}

impl fmt::Display for MergePositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(found) => write!(f, "its format is {found}, this program reads {FORMAT}"),
            Self::StreamTwice(stream) => write!(f, "it names stream {stream} twice"),
            Self::Writer(writer) => {
                write!(f, "it describes the sets of {writer} in an impossible way")
            }
        }
    }
}

distributedlog::debug_is_display!(MergePositionError);

impl core::error::Error for MergePositionError {}
