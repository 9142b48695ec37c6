use core::time::Duration;

use crate::ledger::{ReaderSettings, RecoverySettings, WriterSettings};

/// Bounds and times of a [`Client`](super::Client).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Bounds and times of writing one ledger.
    pub writer: WriterSettings,
    /// Bounds and times of reading one ledger.
    pub reader: ReaderSettings,
    /// Bounds of recovering one ledger.
    pub recovery: RecoverySettings,
    /// Maximum time until a connection to a bookie can be used. Default: 1 s.
    pub connect_timeout: Duration,
    /// Time after which a read of one bookie counts as failed. Default: 5 s.
    pub read_timeout: Duration,
    /// Maximum bytes of requests that one bookie has not answered, of all ledgers together. Further
    /// requests to it fail at once. Default: 64 MiB.
    pub max_unanswered_bytes_per_bookie: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            writer: WriterSettings::default(),
            reader: ReaderSettings::default(),
            recovery: RecoverySettings::default(),
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(5),
            max_unanswered_bytes_per_bookie: 64 << 20,
        }
    }
}
