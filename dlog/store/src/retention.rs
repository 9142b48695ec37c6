//! How long records are kept.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits beyond which whole log segments of a stream are discarded, oldest first. Default: none,
/// records are kept until they are truncated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Age of a log segment's last record from which the segment is discarded. `None`: no limit.
    pub age: Option<Duration>,
    /// Payload bytes of a stream's log segments beyond which its oldest completed one is discarded,
    /// if at least as many are left. `None`: no limit.
    pub bytes: Option<u64>,
}

/// Retention of a stream, or of the namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionInfo {
    /// Retention that was set for the stream. `None`: it has the namespace's. For the namespace:
    /// what was set at run time; `None`: that of the store's settings.
    pub own: Option<Retention>,
    /// Retention that applies.
    pub applied: Retention,
}

/// Number of log segments in what is kept: discarding one leaves most of it.
const SEGMENTS_KEPT: u32 = 8;

impl Retention {
    /// Returns true if no record is ever discarded.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the size at which a log segment is completed so that this retention can be applied:
    /// an eighth of the bytes that are kept, or `most`.
    #[must_use]
    pub fn segment_bytes(&self, most: u64) -> u64 {
        self.bytes
            .map_or(most, |bytes| most.min(bytes / u64::from(SEGMENTS_KEPT)))
    }

    /// Returns the age at which a log segment is completed so that this retention can be applied:
    /// an eighth of the time for which records are kept, or `most`.
    #[must_use]
    pub fn segment_age(&self, most: Duration) -> Duration {
        self.age.map_or(most, |age| most.min(age / SEGMENTS_KEPT))
    }

    /// Returns the number of the stream's log segments that are to be discarded, oldest first.
    /// `unix_ms` is the present time in milliseconds since 1970.
    #[must_use]
    pub fn expired(
        &self,
        segments: impl Iterator<Item = RetainedSegment> + Clone,
        unix_ms: u64,
    ) -> usize {
        let sizes = segments.clone().map(|segment| segment.payload_bytes);
        let mut left: u64 = sizes.sum();
        segments
            .take_while(|segment| {
                let age_ms = unix_ms.saturating_sub(segment.last_unix_ms);
                let too_old = self
                    .age
                    .is_some_and(|age| u128::from(age_ms) >= age.as_millis());
                left = left.saturating_sub(segment.payload_bytes);
                let too_many = self.bytes.is_some_and(|bytes| left >= bytes);
                too_old || (too_many && segment.is_completed)
            })
            .count()
    }
}

/// The properties of a log segment that retention depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetainedSegment {
    /// True if no further entry will be added.
    pub is_completed: bool,
    /// Number of payload bytes.
    pub payload_bytes: u64,
    /// Time of its last entry in milliseconds since 1970.
    pub last_unix_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(sizes_and_ages: &[(u64, u64)]) -> Vec<RetainedSegment> {
        let last = sizes_and_ages.len() - 1;
        let segment = |(i, (payload_bytes, age_ms)): (usize, &(u64, u64))| RetainedSegment {
            is_completed: i < last,
            payload_bytes: *payload_bytes,
            last_unix_ms: 1_000_000 - age_ms,
        };
        sizes_and_ages.iter().enumerate().map(segment).collect()
    }

    #[test]
    fn segments_expire_by_age_and_by_bytes_and_the_open_one_by_age_only() {
        let four = segments(&[(100, 9_000), (100, 5_000), (100, 2_000), (100, 0)]);
        let expired = |age_ms: Option<u64>, bytes| {
            let age = age_ms.map(Duration::from_millis);
            Retention { age, bytes }.expired(four.iter().copied(), 1_000_000)
        };
        for (age_ms, bytes, expected) in [
            (None, None, 0),
            (Some(10_000), None, 0),
            (Some(9_000), None, 1),
            (Some(2_000), None, 3),
            (Some(0), None, 4),
            (None, Some(400), 0),
            (None, Some(301), 0),
            (None, Some(300), 1),
            (None, Some(299), 1),
            (None, Some(1), 3),
            (None, Some(0), 3),
            (Some(9_000), Some(200), 2),
            (Some(5_000), Some(300), 2),
        ] {
            assert_eq!(expired(age_ms, bytes), expected, "{age_ms:?} {bytes:?}");
        }
        let none = core::iter::empty();
        assert_eq!(Retention::default().expired(none, 7), 0);
    }
}
