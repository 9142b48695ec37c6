//! Sources of streams: the HTTP port of write proxies, and stores.

#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "store")]
mod store;

use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

#[cfg(feature = "store")]
use distributedlog_store::LogStore;

use crate::event::ReadEvent;
use crate::position::Mark;
use crate::reader::{BuildError, ReadError};
use crate::run::RecordRun;

#[cfg(feature = "http")]
pub use http::HttpSource;

/// Range of the share of one stream in a reader's buffer: a share below a few frames costs
/// throughput, and one above what a store reads at once is of no use.
const MIN_SHARE_BYTES: usize = 16 << 10;
const MAX_SHARE_BYTES: usize = 1 << 20;

/// Returns the share of one of `streams` streams in a reader's buffer.
pub(crate) fn share_of_buffer(buffer_bytes: usize, streams: usize) -> usize {
    (buffer_bytes / streams.max(1)).clamp(MIN_SHARE_BYTES, MAX_SHARE_BYTES)
}

/// Source of the streams of a [`MultiStreamReader`](crate::MultiStreamReader): an `HttpSource`, or
/// an `Arc<dyn LogStore>`. Both convert into it.
#[derive(Clone)]
pub struct Source(Kind);

#[derive(Clone)]
enum Kind {
    #[cfg(feature = "http")]
    Http(HttpSource),
    #[cfg(feature = "store")]
    Store(Arc<dyn LogStore>),
}

#[cfg(feature = "http")]
impl From<HttpSource> for Source {
    fn from(source: HttpSource) -> Self {
        Self(Kind::Http(source))
    }
}

#[cfg(feature = "store")]
impl From<Arc<dyn LogStore>> for Source {
    fn from(store: Arc<dyn LogStore>) -> Self {
        Self(Kind::Store(store))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            #[cfg(feature = "http")]
            Kind::Http(source) => source.fmt(f),
            #[cfg(feature = "store")]
            Kind::Store(_) => f.write_str("LogStore"),
        }
    }
}

/// A source that can be used: its settings are checked.
#[derive(Clone)]
pub(crate) enum Prepared {
    #[cfg(feature = "http")]
    Http(Arc<http::Servers>),
    #[cfg(feature = "store")]
    Store(Arc<dyn LogStore>),
}

impl Source {
    pub(crate) fn prepare(self) -> Result<Prepared, BuildError> {
        match self.0 {
            #[cfg(feature = "http")]
            Kind::Http(source) => Ok(Prepared::Http(Arc::new(source.prepare()?))),
            #[cfg(feature = "store")]
            Kind::Store(store) => Ok(Prepared::Store(store)),
        }
    }
}

impl Prepared {
    /// Creates the reads of the stream with this index.
    pub(crate) fn fetcher(&self, stream: &str, index: usize, settings: FetchSettings) -> Fetcher {
        match self {
            #[cfg(feature = "http")]
            Self::Http(servers) => {
                let servers = Arc::clone(servers);
                let fetcher = http::HttpFetcher::new(servers, stream, index, settings);
                Fetcher::Http(Box::new(fetcher))
            }
            #[cfg(feature = "store")]
            Self::Store(store) => {
                let _ = index;
                let store = Arc::clone(store);
                Fetcher::Store(Box::new(store::StoreFetcher::new(store, stream, settings)))
            }
        }
    }

    /// Describes the streams. The results are in the order of the names.
    pub(crate) async fn describe(
        &self,
        streams: &[Arc<str>],
    ) -> Vec<Result<Vec<SegmentEnd>, String>> {
        match self {
            #[cfg(feature = "http")]
            Self::Http(servers) => http::describe(servers, streams).await,
            #[cfg(feature = "store")]
            Self::Store(source) => store::describe(source, streams).await,
        }
    }
}

/// A log segment, for the distance to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentEnd {
    pub(crate) log_segment: i64,
    pub(crate) entries: u64,
    pub(crate) last_unix_ms: u64,
}

/// Settings of the reads of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchSettings {
    pub(crate) follow: bool,
    /// Maximum number of bytes that are read ahead.
    pub(crate) buffer_bytes: usize,
}

/// The reads of one stream. Owned by a future while it waits for the source.
pub(crate) enum Fetcher {
    #[cfg(feature = "http")]
    Http(Box<http::HttpFetcher>),
    #[cfg(feature = "store")]
    Store(Box<store::StoreFetcher>),
}

/// An item that was read.
#[derive(Debug)]
pub(crate) enum Item {
    /// A record or a damaged set, and the position behind it.
    Event(ReadEvent, Mark),
    /// Everything before this position was read.
    Reached {
        next: Mark,
        /// True if there was nothing behind it.
        at_end: bool,
    },
    /// There is nothing behind this position, and the reader does not follow.
    CaughtUp(Mark),
    /// Reading failed. A store says so when it is asked, a proxy in the response.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only proxies do"))]
    Failed(Failure),
}

/// Reason why a stream cannot be read.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The stream does not exist.
    Missing(String),
    /// The stream was deleted while it was read.
    Deleted,
    /// Another try may succeed.
    Transient {
        detail: String,
        /// Pause that the source asks for.
        retry_after: Option<Duration>,
        /// True if another server can be tried without a pause.
        at_once: bool,
        /// True if the source answered, although not with records.
        answered: bool,
    },
    /// No other try can succeed.
    Fatal(ReadError),
}

impl Failure {
    pub(crate) const fn transient(detail: String) -> Self {
        Self::Transient {
            detail,
            retry_after: None,
            at_once: false,
            answered: false,
        }
    }
}

impl Fetcher {
    /// Returns the next item that was read.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        match self {
            #[cfg(feature = "http")]
            Self::Http(fetcher) => fetcher.pop(),
            #[cfg(feature = "store")]
            Self::Store(fetcher) => fetcher.pop(),
        }
    }

    /// Takes the next records, if they were read and can be delivered as one run of at most `most`,
    /// and the position behind them. Otherwise [`pop`](Self::pop) has what comes next.
    pub(crate) fn pop_run(&mut self, most: NonZeroUsize) -> Option<(RecordRun, Mark)> {
        match self {
            #[cfg(feature = "http")]
            Self::Http(fetcher) => fetcher.pop_run(most),
            #[cfg(feature = "store")]
            Self::Store(fetcher) => fetcher.pop_run(most),
        }
    }

    /// Waits for the source, and reads. `position` is behind all items that [`pop`](Self::pop)
    /// returned; there are no others.
    pub(crate) async fn fill(&mut self, position: &Mark) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "http")]
            Self::Http(fetcher) => fetcher.fill(position).await,
            #[cfg(feature = "store")]
            Self::Store(fetcher) => fetcher.fill(position).await,
        }
    }

    /// Number of bytes that were read and not taken.
    pub(crate) fn buffered_bytes(&self) -> usize {
        match self {
            #[cfg(feature = "http")]
            Self::Http(fetcher) => fetcher.buffered_bytes(),
            #[cfg(feature = "store")]
            Self::Store(fetcher) => fetcher.buffered_bytes(),
        }
    }

    /// Number of connections made for this stream; 0 with a store, which has its own.
    pub(crate) fn connections(&self) -> u64 {
        match self {
            #[cfg(feature = "http")]
            Self::Http(fetcher) => fetcher.connections(),
            #[cfg(feature = "store")]
            Self::Store(_) => 0,
        }
    }
}
