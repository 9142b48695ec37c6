//! Limits of this process that a test needs raised.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the maximum number of open files of this process and its children. Returns the new
/// maximum, at most `wanted`.
pub fn raise_open_files(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let allowed = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    if allowed(now.current) >= wanted {
        return wanted;
    }
    // Only root may raise the hard limit; others get up to it.
    for maximum in [Some(wanted.max(allowed(now.maximum))), now.maximum] {
        let current = Some(wanted.min(allowed(maximum)));
        if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
            return allowed(current);
        }
    }
    allowed(now.current)
}
