/// A small pseudo-random generator (SplitMix64) for permutations, jitter and trace ids, not for
/// secrets. Deterministic for its seed (R15).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which is above 0. The bias of the multiplication is below
    /// 2⁻³² for the bounds used here.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// Returns a number between 0 and `bound`, both included.
    pub(crate) const fn up_to(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is far below what matters for jitter.
        if bound == u64::MAX {
            self.next_u64()
        } else {
            self.next_u64() % (bound + 1)
        }
    }

    /// Returns `length` reduced by a random part of up to a half, so that what failed together does
    /// not return together.
    pub(crate) const fn jittered(&mut self, length: u64) -> u64 {
        length - self.below(length / 2 + 1)
    }
}
