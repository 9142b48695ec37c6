use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A point in time: microseconds since whatever moment the [`Clock`](crate::Clock) started
/// counting.
///
/// Two instants of different clocks mean nothing to each other. Arithmetic saturates: a deadline
/// beyond the end of time is the end of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Instant {
    micros: u64,
}

impl Instant {
    /// The moment at which the clock started.
    pub const ZERO: Self = Self { micros: 0 };
    /// Later than every other instant.
    pub const MAX: Self = Self { micros: u64::MAX };

    /// The instant `micros` microseconds after the clock started.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// The instant `millis` milliseconds after the clock started.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self {
            micros: millis.saturating_mul(1_000),
        }
    }

    /// Microseconds since the clock started.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// So many microseconds later, without the way over a [`Duration`].
    #[must_use]
    pub(crate) const fn plus_micros(self, micros: u64) -> Self {
        Self {
            micros: self.micros.saturating_add(micros),
        }
    }

    /// Microseconds after `earlier`, without the way over a [`Duration`]; zero when it is not
    /// later.
    #[must_use]
    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.micros.saturating_sub(earlier.micros)
    }

    /// How long after `earlier` this instant is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        length(self.micros_since(earlier), 1_000_000)
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

/// So many units of which `per_second`, at most a million, are a second; as
/// [`Duration::from_micros`] and [`Duration::from_millis`] do it, but divided by hand, twelve bits
/// at a time: a 64-bit division is a kilobyte of a small device's flash.
pub(crate) const fn length(units: u64, per_second: u32) -> Duration {
    let (mut seconds, mut rest, mut shift) = (0, 0, 60);
    loop {
        // The rest has 20 bits at most.
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
    fn lengths_are_those_of_the_core_library() {
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
                length(units, 1_000_000),
                Duration::from_micros(units),
                "{units} microseconds"
            );
            assert_eq!(
                length(units, 1_000),
                Duration::from_millis(units),
                "{units} milliseconds"
            );
        }
    }
}
