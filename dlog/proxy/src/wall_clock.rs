use core::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Source of the time of day, in which the deadlines of requests are given.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// Returns the nanoseconds since 1970.
    fn unix_nanos(&self) -> u64;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn unix_nanos(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
