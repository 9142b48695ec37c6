use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use distributedlog::merge::{MergeSettings, SavedDedup};
use distributedlog::stream_name;

use super::MultiStreamReader;
use super::error::BuildError;
use super::fault::{OnFault, StreamFault};
use super::tail::{GiveUp, Tail};
use crate::position::ReaderPosition;
use crate::source::{FetchSettings, Source, share_of_buffer};
use crate::start::ReadFrom;

/// Maximum number of streams of one reader. Each has a connection of its own.
const MAX_STREAMS: usize = 256;

/// Default of [`buffer_bytes`](MultiStreamReaderBuilder::buffer_bytes).
const BUFFER_BYTES: usize = 8 << 20;

/// Default of [`give_up_after`](MultiStreamReaderBuilder::give_up_after) for a reader that does not
/// follow: long enough for a proxy to be started again meanwhile.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// The same for a reader that follows, until the source has answered for the first time: an address
/// that is wrong is noticed.
const GIVE_UP_AFTER_NO_ANSWER: Duration = Duration::from_secs(60);

/// Settings of a [`MultiStreamReader`]; [`build`](Self::build) checks them. Each method's default
/// stands behind "Default".
#[must_use = "a builder does nothing until it is built"]
pub struct MultiStreamReaderBuilder {
    source: Source,
    streams: Option<Vec<String>>,
    from: ReadFrom,
    stream_from: BTreeMap<String, ReadFrom>,
    position: Option<ReaderPosition>,
    follow: bool,
    merge: Option<MergeSettings>,
    buffer_bytes: usize,
    give_up_after: Option<Option<Duration>>,
    on_fault: Option<OnFault>,
}

impl MultiStreamReaderBuilder {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            streams: None,
            from: ReadFrom::Start,
            stream_from: BTreeMap::new(),
            position: None,
            follow: true,
            merge: Some(MergeSettings::default()),
            buffer_bytes: BUFFER_BYTES,
            give_up_after: None,
            on_fault: None,
        }
    }

    /// Sets the streams to read, 1 to 256. Default: those of the position.
    pub fn streams<S: Into<String>>(mut self, streams: impl IntoIterator<Item = S>) -> Self {
        self.streams = Some(streams.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the start of reading in streams that the position does not name. Default:
    /// [`ReadFrom::Start`].
    pub const fn from(mut self, from: ReadFrom) -> Self {
        self.from = from;
        self
    }

    /// Sets the start of reading in one stream, if the position does not name it. Default: as
    /// [`from`](Self::from).
    pub fn stream_from(mut self, stream: impl Into<String>, from: ReadFrom) -> Self {
        self.stream_from.insert(stream.into(), from);
        self
    }

    /// Resumes at the [position](MultiStreamReader::position) of another reader: delivers what it
    /// did not. Streams that the position names and [`streams`](Self::streams) does not are not
    /// read. Default: none.
    pub fn position(mut self, position: impl Into<Option<ReaderPosition>>) -> Self {
        self.position = position.into();
        self
    }

    /// With `true` the reader waits for new records, and for streams that do not exist yet. With
    /// `false` it ends behind the last record; if a stream does not exist or cannot be read, the
    /// end is an error, after the others were read. Default: true.
    pub const fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Sets the size of the memory of delivered sets. `None`: duplicates are delivered too.
    /// Default: [`MergeSettings::default`].
    pub fn merge(mut self, settings: impl Into<Option<MergeSettings>>) -> Self {
        self.merge = settings.into();
        self
    }

    /// Sets the number of bytes that are read ahead of the application, over all streams. Each
    /// stream has an equal share, of at least 16 KiB and at most 1 MiB. The memory of the reader is
    /// bounded by twice that, and for each stream one record set (a store) or the line of one
    /// record (HTTP, at most 4 MiB). Default: 8 MiB.
    pub const fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Sets the time for which a stream may fail without any progress before the reader gives up.
    /// A reader that follows then ends with an error; one that does not, reads the other streams to
    /// their ends first. `None`: it tries for ever. Default: 30 s for a reader that does not
    /// follow; for one that does 60 s until the source has answered for the first time, and `None`
    /// from then on.
    pub const fn give_up_after(mut self, time: Option<Duration>) -> Self {
        self.give_up_after = Some(time);
        self
    }

    /// Sets a callback for problems of single streams, which runs while the reader is polled.
    /// Default: none; problems are logged as warnings, one a second, in both cases.
    pub fn on_fault(mut self, callback: impl FnMut(&StreamFault) + Send + 'static) -> Self {
        self.on_fault = Some(Box::new(callback));
        self
    }

    /// Creates the reader. It connects when it is polled.
    ///
    /// # Errors
    ///
    /// A setting is invalid.
    pub fn build(self) -> Result<MultiStreamReader, BuildError> {
        let ReaderPosition { mut streams, seen } =
            self.position.unwrap_or_else(|| ReaderPosition {
                streams: BTreeMap::new(),
                seen: SavedDedup::default(),
            });
        let names = match self.streams {
            Some(names) => check_names(&names)?,
            None => check_names(&streams.keys().cloned().collect::<Vec<_>>())?,
        };
        let follow = self.follow;
        let settings = FetchSettings {
            follow,
            buffer_bytes: share_of_buffer(self.buffer_bytes, names.len()),
        };
        let give_up = match self.give_up_after {
            Some(after) => GiveUp {
                after,
                until_answered: None,
            },
            None if follow => GiveUp {
                after: Some(GIVE_UP_AFTER_NO_ANSWER),
                until_answered: Some(Arc::default()),
            },
            None => GiveUp {
                after: Some(GIVE_UP_AFTER),
                until_answered: None,
            },
        };
        let source = self.source.prepare()?;
        let tails = names.into_iter().enumerate().map(|(index, stream)| {
            let from = self.stream_from.get(&*stream).unwrap_or(&self.from);
            let position = streams.remove(&*stream).unwrap_or_else(|| from.mark());
            let fetcher = source.fetcher(&stream, index, settings);
            Tail::new(stream, position, fetcher, follow, give_up.clone())
        });
        let tails = tails.collect();
        Ok(MultiStreamReader::new(
            source,
            tails,
            seen,
            self.merge,
            follow,
            self.on_fault,
        ))
    }
}

/// Checks the names of the streams, and removes the leading `/` that they may have.
fn check_names(names: &[String]) -> Result<Vec<Arc<str>>, BuildError> {
    if names.is_empty() || names.len() > MAX_STREAMS {
        return Err(BuildError::StreamCount {
            found: names.len(),
            most: MAX_STREAMS,
        });
    }
    let mut known = HashSet::new();
    let mut checked = Vec::with_capacity(names.len());
    for name in names {
        let name = stream_name::validate(name).map_err(BuildError::StreamName)?;
        if !known.insert(name) {
            return Err(BuildError::StreamTwice(name.to_owned()));
        }
        checked.push(name.into());
    }
    Ok(checked)
}

impl fmt::Debug for MultiStreamReaderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiStreamReaderBuilder")
            .field("source", &self.source)
            .field("streams", &self.streams)
            .field("from", &self.from)
            .field("follow", &self.follow)
            .finish_non_exhaustive()
    }
}
