//! Wall clocks of the simulated processes: each process has its own, which may be wrong and may
//! jump.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::Arc;

use distributedlog_proxy::WallClock;
use distributedlog_store::embedded::UnixClock;

/// Start of every run, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// A process's wall clock. Clones share the same clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimWallClock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    now: AtomicU64,
    offset: AtomicI64,
}

impl SimWallClock {
    pub(crate) fn set_now(&self, now: u64) {
        self.0.now.store(now, Ordering::Relaxed);
    }

    /// Sets the error of the clock from now on, in milliseconds; negative is behind.
    pub(crate) fn set_offset(&self, millis: i64) {
        self.0.offset.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        (EPOCH_MS + self.0.now.load(Ordering::Relaxed))
            .saturating_add_signed(self.0.offset.load(Ordering::Relaxed))
    }

    pub(crate) fn for_store(&self) -> UnixClock {
        let wall_clock = self.clone();
        Arc::new(move || wall_clock.unix_ms())
    }
}

impl WallClock for SimWallClock {
    fn unix_nanos(&self) -> u64 {
        self.unix_ms() * 1_000_000
    }
}
