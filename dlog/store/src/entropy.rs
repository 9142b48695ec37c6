//! Random numbers for secrets and jitter.

use core::hash::{BuildHasher, Hasher};
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::hash_map::RandomState;
use std::sync::Arc;

/// Source of random numbers for session secrets and jitter. Clones draw from the same source.
/// Default: the system's entropy.
#[derive(Clone, Debug, Default)]
pub struct Entropy(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Seeded(Arc<AtomicU64>),
}

impl Entropy {
    /// Creates a source that always produces the same numbers in the same order, for simulations.
    /// Not for use where secrets matter.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(AtomicU64::new(seed))))
    }

    /// Returns the next number.
    pub(crate) fn draw(&self) -> u64 {
        match &self.0 {
            // The standard library seeds its hashers from the system's entropy.
            Source::System => RandomState::new().build_hasher().finish(),
            // SplitMix64.
            Source::Seeded(state) => {
                const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
                let mixed = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
                let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_numbers_repeat_and_those_of_the_system_do_not() {
        let draw = |entropy: &Entropy| [entropy.draw(), entropy.draw()];
        let first = draw(&Entropy::seeded(7));
        assert_eq!(first, draw(&Entropy::seeded(7)));
        assert_ne!(first[0], first[1]);
        let system = Entropy::default();
        assert_ne!(draw(&system), draw(&system));
    }
}
