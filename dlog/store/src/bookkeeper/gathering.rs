use core::time::Duration;
use std::sync::Arc;

use distributedlog_bookkeeper::namespace::Compression;

use super::settings::BookKeeperSettings;

/// Rules by which appends are gathered into entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathering {
    pub(super) compression: Compression,
    /// Number of entries in flight from which on appends are gathered.
    pub(super) pipeline: usize,
    /// Bytes that are sent whatever is in flight.
    pub(super) entry_bytes: usize,
    /// Time without an entry in flight after which a control record is sent.
    pub(super) control_delay: Duration,
    /// Time after which an append without an outcome is reported.
    pub(super) timeout: Duration,
}

impl Gathering {
    pub(super) const fn of(settings: &BookKeeperSettings) -> Self {
        Self {
            compression: if settings.compress_entries {
                Compression::Lz4
            } else {
                Compression::None
            },
            pipeline: settings.pipeline,
            entry_bytes: settings.entry_bytes,
            control_delay: settings.control_delay,
            timeout: settings.append_timeout,
        }
    }
}

/// Clock that returns milliseconds since 1970.
pub(super) type UnixClock = Arc<dyn Fn() -> i64 + Send + Sync>;
