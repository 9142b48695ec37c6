use core::fmt;
use std::collections::HashSet;

use distributedlog::Dlsn;
use distributedlog::merge::{MissingRecords, SavedWriter};
use serde::{Deserialize, Serialize};

use distributedlog_store::StreamName;

/// The one format there is.
const FORMAT: u32 = 1;

/// Where a [`MultiReader`](super::MultiReader) is: the next position in each stream, and which sets
/// were delivered. With serde it becomes whatever is kept of it; what is read back is checked, so
/// that one which exists can be resumed from.
///
/// Its size follows the [settings](super::MergeSettings): a few bytes for each writer none of whose
/// sets is missing, at most the whole bitmap for one with gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct MergePosition(Saved);

/// What is saved, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    streams: Vec<StreamPosition>,
    writers: Vec<SavedWriter>,
    parts: Vec<MissingRecords>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StreamPosition {
    stream: StreamName,
    next: Dlsn,
    /// When the stream was created: with its name, which stream it is. Not known to positions of
    /// older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_unix_ms: Option<u64>,
}

/// Why what was read is no position of a merged reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergePositionError {
    /// It has another format, probably that of a newer version.
    Format(u32),
    /// It names a stream twice.
    StreamTwice(StreamName),
    /// What it says of a writer's sets cannot be.
    Writer(String),
}

impl MergePosition {
    pub(super) fn new(
        streams: impl Iterator<Item = (StreamName, Dlsn, Option<u64>)>,
        writers: Vec<SavedWriter>,
        parts: Vec<MissingRecords>,
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
            writers,
            parts,
        })
    }

    /// The streams, each with the position at or after which reading goes on.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamName, Dlsn)> {
        self.0.streams.iter().map(|at| (&at.stream, at.next))
    }

    /// When the stream was created that its position is of, in milliseconds since 1970. `None` for
    /// a stream that it does not name, one that was not read yet, and one whose position was
    /// saved by a version that did not keep this.
    #[must_use]
    pub fn created_unix_ms(&self, stream: &StreamName) -> Option<u64> {
        self.0
            .streams
            .iter()
            .find(|at| at.stream == *stream)?
            .created_unix_ms
    }

    /// The same with another stream, which is read from `from` on. What it holds of sets that were
    /// delivered is not delivered again. A stream that is there already stays where it is.
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

    pub(super) fn writers(&self) -> &[SavedWriter] {
        &self.0.writers
    }

    pub(super) fn parts(&self) -> &[MissingRecords] {
        &self.0.parts
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
        for SavedWriter { writer, window } in &saved.writers {
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
            Self::Writer(writer) => write!(f, "what it says of the sets of {writer} cannot be"),
        }
    }
}

impl core::error::Error for MergePositionError {}
