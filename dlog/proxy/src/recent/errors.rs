use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::machine::shorten;

/// Number of minutes that are kept.
const MINUTES: u64 = 60;
/// Maximum number of kinds of errors. DistributedLog has about forty codes, and HTTP a dozen names
/// of its own; errors of further kinds are counted as [`OTHERS`].
const MAX_KINDS: usize = 64;
const OTHERS: &str = "OTHERS";
/// Maximum length of a message.
const MAX_MESSAGE_CHARS: usize = 300;
/// Time in which the message of a kind is replaced once, in milliseconds: under a storm of errors
/// the others are only counted.
const MESSAGE_MS: u64 = 100;

/// Errors of the last hour by kind: a ring of counts by minute, and the newest message, of each.
#[derive(Debug, Default)]
pub(crate) struct RecentErrors(Mutex<BTreeMap<&'static str, Kind>>);

#[derive(Debug)]
struct Kind {
    counts: [u32; MINUTES as usize],
    /// Minute of the newest count, since 1970.
    minute: u64,
    unix_ms: u64,
    message: String,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecentError {
    pub(crate) kind: &'static str,
    /// Number of those in the last hour.
    pub(crate) count: u64,
    /// Time of the newest.
    pub(crate) last_unix_ms: u64,
    /// Message of the newest, or of one up to 100 ms before it.
    pub(crate) message: String,
}

impl RecentErrors {
    /// Counts an error.
    pub(crate) fn note(&self, unix_ms: u64, kind: &'static str, message: &str) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = kinds.contains_key(kind) || kinds.len() < MAX_KINDS;
        let kind = kinds.entry(if is_known { kind } else { OTHERS });
        let kind = kind.or_insert_with(Kind::new);
        kind.roll(unix_ms / 60_000);
        let count = &mut kind.counts[(unix_ms / 60_000 % MINUTES) as usize];
        *count = count.saturating_add(1);
        if unix_ms.saturating_sub(kind.unix_ms) >= MESSAGE_MS {
            kind.message = shorten(message, MAX_MESSAGE_CHARS);
        }
        kind.unix_ms = kind.unix_ms.max(unix_ms);
    }

    /// Returns the errors of the hour before this time, the newest first.
    pub(crate) fn list(&self, unix_ms: u64) -> Vec<RecentError> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|_, kind| {
            kind.roll(unix_ms / 60_000);
            kind.counts.iter().any(|count| *count > 0)
        });
        let mut errors: Vec<_> = kinds
            .iter()
            .map(|(name, kind)| RecentError {
                kind: name,
                count: kind.counts.iter().map(|count| u64::from(*count)).sum(),
                last_unix_ms: kind.unix_ms,
                message: kind.message.clone(),
            })
            .collect();
        errors.sort_by_key(|error| core::cmp::Reverse(error.last_unix_ms));
        errors
    }
}

impl Kind {
    const fn new() -> Self {
        Self {
            counts: [0; MINUTES as usize],
            minute: 0,
            unix_ms: 0,
            message: String::new(),
        }
    }

    /// Clears the counts of the minutes that have begun since the newest one.
    fn roll(&mut self, minute: u64) {
        let passed = minute.saturating_sub(self.minute);
        for ahead in 0..passed.min(MINUTES) {
            self.counts[((minute - ahead) % MINUTES) as usize] = 0;
        }
        self.minute = self.minute.max(minute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn errors_are_counted_by_kind_for_an_hour() {
        let errors = RecentErrors::default();
        let start = 1_000 * HOUR_MS;
        errors.note(start, "OVER_CAPACITY", "first");
        errors.note(start + 10, "OVER_CAPACITY", "too soon to be kept");
        errors.note(start + 50 * 60_000, "OVER_CAPACITY", "newest");
        errors.note(start + 20, "LOG_NOT_FOUND", "gone");
        let listed = errors.list(start + 59 * 60_000);
        let counts: Vec<_> = listed.iter().map(|it| (it.kind, it.count)).collect();
        assert_eq!(counts, [("OVER_CAPACITY", 3), ("LOG_NOT_FOUND", 1)]);
        assert_eq!(listed[0].message, "newest");
        let listed = errors.list(start + HOUR_MS);
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].count, 1);
        assert_eq!(errors.list(start + 3 * HOUR_MS), []);
    }

    #[test]
    fn a_storm_of_kinds_and_of_long_messages_is_bounded() {
        static NAMES: [&str; 100] = {
            // Each one a part of the same text, which no other one is equal to.
            const TEXT: &str = match str::from_utf8(&[b'X'; 100]) {
                Ok(text) => text,
                Err(_) => unreachable!(),
            };
            let mut names = [""; 100];
            let mut at = 0;
            while at < 100 {
                names[at] = TEXT.split_at(at).0;
                at += 1;
            }
            names
        };
        let errors = RecentErrors::default();
        let long = "é".repeat(100_000);
        for (ms, name) in (HOUR_MS..).step_by(200).zip(NAMES) {
            errors.note(ms, name, &long);
        }
        let listed = errors.list(HOUR_MS + 30_000);
        assert_eq!(listed.len(), MAX_KINDS + 1);
        assert_eq!(listed.iter().map(|it| it.count).sum::<u64>(), 100);
        let longest = listed.iter().map(|it| it.message.chars().count()).max();
        assert!(longest <= Some(MAX_MESSAGE_CHARS + 1), "{longest:?}");
    }
}
