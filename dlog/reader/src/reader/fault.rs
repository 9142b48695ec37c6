use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use tokio::time::Instant;

/// A problem of one stream. The reader goes on with the others, and with this one unless
/// [`kind`](Self::kind) says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamFault {
    /// The stream.
    pub stream: Arc<str>,
    /// Kind of the problem.
    pub kind: FaultKind,
    /// Description of the problem.
    pub detail: String,
}

/// Kind of a [`StreamFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A read failed. The reader tries again after a pause, which doubles from 0.1 s to 5 s.
    Unavailable,
    /// The stream does not exist. A reader that follows waits for it to be created.
    Missing,
    /// The stream was deleted. The reader drops it.
    Deleted,
    /// A record set cannot be decoded. The reader goes on behind it.
    Malformed {
        /// First position of the set.
        dlsn: Dlsn,
        /// Number of positions of the set.
        slots: u32,
    },
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stream,
            kind,
            detail,
        } = self;
        match kind {
            FaultKind::Unavailable => write!(f, "stream {stream} cannot be read: {detail}"),
            FaultKind::Missing => write!(f, "stream {stream} does not exist: {detail}"),
            FaultKind::Deleted => write!(f, "stream {stream} was deleted: {detail}"),
            FaultKind::Malformed { dlsn, slots } => write!(
                f,
                "{slots} records of stream {stream} at {dlsn} cannot be decoded: {detail}"
            ),
        }
    }
}

/// Callback for faults.
pub(super) type OnFault = Box<dyn FnMut(&StreamFault) + Send>;

/// Shortest time between two lines in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Reports faults: each to the application's callback, and one a second to its log.
pub(super) struct FaultReporter {
    callback: Option<OnFault>,
    pub(super) faults: u64,
    logged: Option<Instant>,
    unlogged: u64,
}

impl FaultReporter {
    pub(super) const fn new(callback: Option<OnFault>) -> Self {
        Self {
            callback,
            faults: 0,
            logged: None,
            unlogged: 0,
        }
    }

    pub(super) fn report(&mut self, fault: &StreamFault) {
        self.faults += 1;
        if let Some(callback) = &mut self.callback {
            callback(fault);
        }
        if self
            .logged
            .is_some_and(|logged| logged.elapsed() < LOG_INTERVAL)
        {
            self.unlogged += 1;
            return;
        }
        let unlogged = core::mem::take(&mut self.unlogged);
        self.logged = Some(Instant::now());
        tracing::warn!(stream = %fault.stream, unlogged, "{fault}");
    }
}
