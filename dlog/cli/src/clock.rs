use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the current time in milliseconds since 1970; a clock before that counts as 1970, as the
/// store counts it.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
