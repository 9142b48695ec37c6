use core::fmt;
use core::hash::{BuildHasher, Hasher};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::SystemTime;

/// Clock and random numbers of a client. A simulation gives its own.
#[derive(Clone)]
pub struct Environment {
    /// Returns milliseconds since 1970.
    pub unix_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Returns a random number, never the same twice.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl Default for Environment {
    /// Returns the system's clock and random numbers that its keys seed.
    fn default() -> Self {
        Self {
            unix_ms: Arc::new(|| {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                since.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX))
            }),
            random: Arc::new(|| {
                // Each state has keys of its own, which the system seeds.
                let half = || RandomState::new().build_hasher().finish();
                u128::from(half()) << 64 | u128::from(half())
            }),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}
