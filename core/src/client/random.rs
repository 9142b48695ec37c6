/// SplitMix64: jitter and trace ids. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and `bound`, both included.
    pub(crate) const fn up_to(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is far below what jitter is for.
        if bound == u64::MAX { self.next_u64() } else { self.next_u64() % (bound + 1) }
    }
}
