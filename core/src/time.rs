use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A point in time: microseconds since the start of its [`Clock`](crate::Clock).
///
/// Instants of different clocks cannot be compared. Arithmetic saturates: a deadline beyond
/// [`MAX`](Self::MAX) is `MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Instant {
    micros: u64,
}

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self { micros: 0 };
    /// The last instant.
    pub const MAX: Self = Self { micros: u64::MAX };

    /// Returns the instant `micros` microseconds after the start of the clock.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// Returns the instant `millis` milliseconds after the start of the clock.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self {
            micros: millis.saturating_mul(1_000),
        }
    }

    /// Returns the microseconds since the start of the clock.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// Adds microseconds without the conversion to a [`Duration`].
    #[must_use]
    pub(crate) const fn plus_micros(self, micros: u64) -> Self {
        Self {
            micros: self.micros.saturating_add(micros),
        }
    }

    /// Returns the microseconds after `earlier` without the conversion to a [`Duration`]; zero if
    /// `self` is not later.
    #[must_use]
    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.micros.saturating_sub(earlier.micros)
    }

    /// Returns the time from `earlier` to this instant; zero if `self` is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        duration(self.micros_since(earlier), 1_000_000)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Self {
            micros: self.micros.saturating_add(micros),
        }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, length: Duration) {
        *self = *self + length;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Self {
            micros: self.micros.saturating_sub(micros),
        }
    }
}

/// Converts `units`, of which `per_second` (at most a million) are a second, as
/// [`Duration::from_micros`] and [`Duration::from_millis`] do. It divides 12 bits at a time,
/// because a 64-bit division takes a kilobyte of a small device's flash.
pub(crate) const fn duration(units: u64, per_second: u32) -> Duration {
    let (mut seconds, mut rest, mut shift) = (0, 0, 60);
    loop {
        // The remainder is below a million and so has at most 20 bits: with 12 more it fits 32
        // bits.
        let part = rest << 12 | (units >> shift) as u32 & 0xfff;
        seconds = seconds << 12 | (part / per_second) as u64;
        rest = part % per_second;
        if shift == 0 {
            return Duration::new(seconds, rest * (1_000_000_000 / per_second));
        }
        shift -= 12;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_the_core_library() {
        let near = |power: u32| (1_u64 << power).saturating_sub(2)..=(1 << power) + 2;
        for units in (0..64).flat_map(near).chain([
            u64::MAX,
            999,
            1_000,
            999_999,
            1_000_000,
            1_000_001,
            123_456_789_012_345,
        ]) {
            assert_eq!(
                duration(units, 1_000_000),
                Duration::from_micros(units),
                "{units} microseconds"
            );
            assert_eq!(
                duration(units, 1_000),
                Duration::from_millis(units),
                "{units} milliseconds"
            );
        }
    }
}
