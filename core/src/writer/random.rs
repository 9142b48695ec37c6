/// A small generator (SplitMix64): for permutations and jitter, not for secrets. Deterministic for its seed (R15).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is above 0. The bias of the multiplication is below 2⁻³² for the bounds used here.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// `length` less up to half of it, so that what failed together does not come back together.
    pub(crate) const fn jittered(&mut self, length: u64) -> u64 {
        length - self.below(length / 2 + 1)
    }
}
