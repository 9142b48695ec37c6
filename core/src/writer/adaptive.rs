//! Speculative timeouts that follow the latency (R10).

/// The recent latencies of one stream: a histogram whose buckets are a quarter of an octave wide, and which forgets.
///
/// When it holds [`WINDOW`] latencies, all counts are halved: the quantiles stay, and what is older weighs half of what is newer. An
/// answer is at most 9 % off (half a bucket). 200 bytes, no allocation, no floating point on the way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sketch {
    counts: [u16; BUCKETS],
    total: u32,
    /// How many latencies ever, up to the warm-up.
    seen: u32,
    /// The quantile as it was computed last, in microseconds, and how many latencies came since.
    quantile: u32,
    stale: u8,
}

const BUCKETS: usize = 96;
/// Latencies below 16 µs are as good as none; the last bucket begins at 2^28 µs × 7/4, far above any timeout.
const LOWEST_OCTAVE: u32 = 4;
const WINDOW: u32 = 1_024;
/// A quantile is computed anew after this many latencies.
const REFRESH: u8 = 16;

const _: () = assert!(WINDOW <= u16::MAX as u32, "one bucket may hold all");

impl Sketch {
    pub(crate) const EMPTY: Self = Self { counts: [0; BUCKETS], total: 0, seen: 0, quantile: 0, stale: 0 };

    /// Adds a latency. Whether the quantile changed with it.
    pub(crate) fn record(&mut self, micros: u64, quantile: f32) -> bool {
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.seen = self.seen.saturating_add(1);
        self.stale += 1;
        if self.total >= WINDOW {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += u32::from(*count);
            }
        }
        let refresh = self.stale >= REFRESH || self.seen <= u32::from(REFRESH);
        if refresh {
            self.stale = 0;
            self.quantile = self.compute(quantile);
        }
        refresh
    }

    /// The quantile in microseconds, once there are enough latencies.
    pub(crate) const fn quantile(&self, warm_up: u32) -> Option<u64> {
        if self.seen < warm_up { None } else { Some(self.quantile as u64) }
    }

    fn compute(&self, quantile: f32) -> u32 {
        let rank = (self.total as f32 * quantile) as u32;
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += u32::from(*count);
            if below > rank {
                return middle(index);
            }
        }
        middle(BUCKETS - 1)
    }
}

/// Octave and quarter of a latency.
const fn bucket(micros: u64) -> usize {
    let octave = micros.checked_ilog2();
    let Some(octave) = octave else { return 0 };
    if octave < LOWEST_OCTAVE {
        return 0;
    }
    let quarter = (micros >> (octave - 2)) & 3;
    let index = ((octave - LOWEST_OCTAVE) * 4) as usize + quarter as usize;
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// The middle of a bucket, in microseconds.
const fn middle(index: usize) -> u32 {
    let octave = LOWEST_OCTAVE + index as u32 / 4;
    let quarter = index as u32 % 4;
    // (4 + quarter) / 4 octaves is where it begins; an eighth further is its middle.
    (9 + 2 * quarter) << (octave - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_tenth_of_the_truth() {
        for quantile in [0.5, 0.9, 0.95, 0.99] {
            let mut sketch = Sketch::EMPTY;
            for micros in 1..=1_000_u64 {
                // Spread evenly from 1 to 100 ms, in an order that has nothing to do with the size.
                sketch.record(1_000 + (micros * 617 % 1_000) * 99, quantile);
            }
            let truth = 1_000.0 + 99_000.0 * quantile;
            let answer = sketch.compute(quantile) as f32;
            assert!((answer / truth - 1.0).abs() < 0.1, "{quantile}: {answer} instead of {truth}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut sketch = Sketch::EMPTY;
        for _ in 0..5_000 {
            sketch.record(100_000, 0.9);
        }
        assert!(sketch.quantile(1) > Some(90_000));
        for _ in 0..5_000 {
            sketch.record(1_000, 0.9);
        }
        assert!(sketch.quantile(1) < Some(1_100));
    }

    #[test]
    fn every_latency_has_a_bucket_that_it_lies_in() {
        for shift in 0..64 {
            for micros in [1_u64 << shift, (1 << shift) + (1 << shift) / 3, u64::MAX >> shift] {
                let index = bucket(micros);
                assert!(index < BUCKETS);
                if (32..1 << 28).contains(&micros) {
                    let off = middle(index) as f64 / micros as f64;
                    assert!((0.87..1.15).contains(&off), "{micros}: {off}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_said_before_the_warm_up() {
        let mut sketch = Sketch::EMPTY;
        for _ in 0..19 {
            sketch.record(500, 0.9);
        }
        assert_eq!(sketch.quantile(20), None);
        sketch.record(500, 0.9);
        assert!(sketch.quantile(20).is_some());
    }
}
