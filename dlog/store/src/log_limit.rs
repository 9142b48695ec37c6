//! Bounds the log lines that peers can cause: one of each kind in a minute, with the number of
//! those that were left out.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Time in which one line of each kind is logged.
pub const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Kind of a log line that peers, or every write on a broken disk, can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogKind {
    /// The system accepts no connection: it has no file descriptors or memory left.
    NotAccepted,
    /// A connection is closed because there are too many.
    TooManyConnections,
    /// A peer broke the protocol or speaks another one.
    ProtocolViolation,
    /// A peer closed its connection in the middle of a frame.
    IncompleteFrame,
    /// A frame is larger than the limit.
    TooLarge,
    /// A frame, a header or a request cannot be decoded.
    Malformed,
    /// A TLS handshake failed.
    TlsHandshake,
    /// A connection is closed because a timeout expired.
    Timeout,
    /// A connection to the store's server is closed by the server.
    StoreConnectionClosed,
    /// A session with the store's server ended without being resumed.
    SessionEnded,
    /// A stream cannot be released.
    ReleaseFailed,
    /// A stream was created.
    StreamCreated,
    /// A stream was deleted.
    StreamDeleted,
    /// A batch cannot be written.
    BatchFailed,
    /// A volume cannot be created.
    NoVolume,
}

impl fmt::Display for LogKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAccepted => "connections that cannot be accepted",
            Self::TooManyConnections => "connections beyond the limit",
            Self::ProtocolViolation => "connections whose clients broke the protocol",
            Self::IncompleteFrame => "connections that ended in the middle of a frame",
            Self::TooLarge => "frames that are too large",
            Self::Malformed => "frames and requests that cannot be decoded",
            Self::TlsHandshake => "TLS handshakes that failed",
            Self::Timeout => "connections that took too long",
            Self::StoreConnectionClosed => "connections that the store's server closed",
            Self::SessionEnded => "sessions that were not resumed",
            Self::ReleaseFailed => "streams that cannot be released",
            Self::StreamCreated => "streams that were created",
            Self::StreamDeleted => "streams that were deleted",
            Self::BatchFailed => "batches that failed",
            Self::NoVolume => "volumes that cannot be created",
        })
    }
}

/// Permission to log a line. Contains the number of lines of its kind that were left out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Number of lines of this kind that were left out since the last one, `None` for none: a field
    /// for `tracing`, which leaves out a `None`.
    pub left_out: Option<u64>,
}

/// Admits one log line of each kind in [`LOG_INTERVAL`], and counts the others.
///
/// A count is logged with the next line of its kind, or by [`report`](Self::report), which servers
/// call once in each interval. Bounded: one entry for each kind.
#[derive(Debug, Default)]
pub struct LogLimits(Mutex<BTreeMap<LogKind, KindState>>);

#[derive(Debug)]
struct KindState {
    /// Time of the last line.
    logged_at: Instant,
    left_out: u64,
}

impl KindState {
    /// Begins the next interval if this one has passed. Returns the number of lines left out.
    fn begin_next(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.logged_at) < LOG_INTERVAL {
            return None;
        }
        self.logged_at = now;
        Some(core::mem::take(&mut self.left_out))
    }
}

impl LogLimits {
    /// Returns `None` if a line of this kind was logged less than [`LOG_INTERVAL`] ago.
    pub fn admit(&self, kind: LogKind) -> Option<Admitted> {
        let now = Instant::now();
        let mut states = self.states();
        let Some(state) = states.get_mut(&kind) else {
            let first = KindState {
                logged_at: now,
                left_out: 0,
            };
            states.insert(kind, first);
            return Some(Admitted { left_out: None });
        };
        match state.begin_next(now) {
            Some(left_out) => Some(Admitted {
                left_out: (left_out > 0).then_some(left_out),
            }),
            None => {
                state.left_out = state.left_out.saturating_add(1);
                None
            }
        }
    }

    /// Logs the number of lines that were left out, for each kind whose interval has passed. That
    /// is the line of the kind's next interval.
    pub fn report(&self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (kind, state) in &mut *self.states() {
            if state.left_out > 0
                && let Some(left_out) = state.begin_next(now)
            {
                due.push((*kind, left_out));
            }
        }
        for (kind, left_out) in due {
            tracing::warn!(left_out, "left out of the log: {kind}");
        }
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<LogKind, KindState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_lines_of_a_kind_are_one_in_a_minute_and_a_count() {
        let limits = LogLimits::default();
        let admitted = |kind| (0..1000).filter_map(|_| limits.admit(kind)).collect();
        let first: Vec<Admitted> = admitted(LogKind::Malformed);
        assert_eq!(first, [Admitted { left_out: None }]);
        let other: Vec<Admitted> = admitted(LogKind::Timeout);
        assert_eq!(other.len(), 1, "each kind has its own");
        tokio::time::advance(LOG_INTERVAL).await;
        let second: Vec<Admitted> = admitted(LogKind::Malformed);
        let left_out = Some(999);
        assert_eq!(second, [Admitted { left_out }]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_is_the_line_of_its_minute() {
        let limits = LogLimits::default();
        for _ in 0..3 {
            limits.admit(LogKind::Malformed);
        }
        limits.report();
        assert_eq!(limits.states()[&LogKind::Malformed].left_out, 2, "too soon");
        tokio::time::advance(LOG_INTERVAL).await;
        limits.report();
        assert_eq!(limits.states()[&LogKind::Malformed].left_out, 0);
        assert_eq!(limits.admit(LogKind::Malformed), None, "this minute's");
    }
}
