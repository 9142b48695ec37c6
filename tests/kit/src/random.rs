use core::time::Duration;

/// A small pseudo-random generator (SplitMix64). The same seed gives the same numbers on every
/// machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates a generator from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, or 0 if `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.bits() as u128 * bound as u128) >> 64) as u64
    }

    /// Returns an index below `length`, or 0 if `length` is 0.
    pub const fn index(&mut self, length: usize) -> usize {
        // The result is below `length`, which is a usize.
        self.below(length as u64) as usize
    }

    /// Returns `true` with a probability of 1 in `count`.
    pub const fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Returns `true` with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits, the precision of a double.
        ((self.bits() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// Returns a duration between `low` and `high`, both included.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let spread = high.saturating_sub(low).as_micros() as u64;
        low + Duration::from_micros(self.below(spread + 1))
    }
}
