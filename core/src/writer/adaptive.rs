//! Speculative timeouts that follow the latency (R10).

/// The recent latencies of one stream: a histogram whose buckets are a quarter of an octave wide,
/// and which forgets.
///
/// When it holds [`WINDOW`] latencies, all counts are halved: the quantiles stay, and what is older
/// weighs half of what is newer. An answer is a few percent off. 200 bytes, no allocation, no
/// floating point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatencyHistogram {
    counts: [u16; BUCKETS],
    total: u32,
    /// How many latencies ever, up to the warm-up.
    seen: u32,
    /// The quantile as it was computed last, in microseconds, and how many latencies came since.
    quantile: u32,
    stale: u8,
}

const BUCKETS: usize = 96;
/// Latencies below 16 µs are as good as none; the last bucket begins at 2^28 µs × 7/4, far above
/// any timeout.
const LOWEST_OCTAVE: u32 = 4;
const WINDOW: u32 = 1_024;
/// A quantile is computed anew after this many latencies.
const REFRESH: u8 = 16;

const _: () = assert!(WINDOW <= u16::MAX as u32, "one bucket may hold all");

impl LatencyHistogram {
    pub(crate) const EMPTY: Self = Self {
        counts: [0; BUCKETS],
        total: 0,
        seen: 0,
        quantile: 0,
        stale: 0,
    };

    /// Adds a latency. Whether the quantile was computed anew with it.
    pub(crate) fn record(&mut self, micros: u64, tail: Tail) -> bool {
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
            self.quantile = self.beyond(tail);
        }
        refresh
    }

    /// The quantile in microseconds, once there are enough latencies.
    pub(crate) const fn quantile(&self, warm_up: u32) -> Option<u64> {
        if self.seen < warm_up {
            None
        } else {
            Some(self.quantile as u64)
        }
    }

    /// The latency that this share of the latencies exceeds: within a bucket, they count as spread
    /// evenly.
    pub(crate) fn beyond(&self, tail: Tail) -> u32 {
        // At most 2^10 latencies times 2^14.
        let wanted = self.total * tail.0;
        let mut above = 0;
        for (index, count) in self.counts.iter().enumerate().rev() {
            let here = u32::from(*count) * Tail::ONE;
            if here > 0 && above + here >= wanted {
                // In 128ths of the bucket, which 32 bits can divide: some devices have no more.
                let down = ((wanted - above) << 7) / here;
                let width = u64::from(start(index + 1) - start(index));
                return start(index + 1) - ((width * u64::from(down)) >> 7) as u32;
            }
            above += here;
        }
        start(0)
    }
}

/// A share of the latencies, in 16,384ths: those beyond a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail(pub(crate) u32);

impl Tail {
    /// The share beyond a quantile.
    pub(crate) const fn beyond(quantile: f32) -> Self {
        Self(((1.0 - quantile) * Self::ONE as f32) as u32)
    }

    /// Twice as large for each of so many times.
    pub(crate) const fn doubled(self, times: u32) -> Self {
        let times = if times < 14 { times } else { 14 };
        let tail = self.0 << times;
        if tail < Self::HALF.0 {
            Self(tail)
        } else {
            Self::HALF
        }
    }

    /// The share beyond the median, the lowest quantile that makes sense as a timeout.
    pub(crate) const HALF: Self = Self(Self::ONE / 2);
    pub(crate) const ONE: u32 = 1 << 14;
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

/// Where a bucket begins, in microseconds: (4 + quarter) / 4 octaves.
const fn start(index: usize) -> u32 {
    let octave = LOWEST_OCTAVE + index as u32 / 4;
    (4 + index as u32 % 4) << (octave - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_tenth_of_the_truth() {
        for quantile in [0.5, 0.9, 0.95, 0.99] {
            let mut histogram = LatencyHistogram::EMPTY;
            for micros in 1..=1_000_u64 {
                // Spread evenly from 1 to 100 ms, in an order that has nothing to do with the size.
                histogram.record(1_000 + (micros * 617 % 1_000) * 99, Tail::beyond(quantile));
            }
            let truth = 1_000.0 + 99_000.0 * quantile;
            let answer = histogram.beyond(Tail::beyond(quantile)) as f32;
            assert!(
                (answer / truth - 1.0).abs() < 0.1,
                "{quantile}: {answer} instead of {truth}"
            );
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut histogram = LatencyHistogram::EMPTY;
        for _ in 0..5_000 {
            histogram.record(100_000, Tail::beyond(0.9));
        }
        assert!(histogram.quantile(1) > Some(85_000));
        for _ in 0..5_000 {
            histogram.record(1_000, Tail::beyond(0.9));
        }
        assert!(histogram.quantile(1) < Some(1_200));
    }

    #[test]
    fn every_latency_has_a_bucket_that_it_lies_in() {
        for shift in 0..64 {
            for micros in [
                1_u64 << shift,
                (1 << shift) + (1 << shift) / 3,
                u64::MAX >> shift,
            ] {
                let index = bucket(micros);
                assert!(index < BUCKETS);
                if (16..1 << 28).contains(&micros) {
                    assert!(
                        (u64::from(start(index))..u64::from(start(index + 1))).contains(&micros),
                        "{micros} in bucket {index}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_said_before_the_warm_up() {
        let mut histogram = LatencyHistogram::EMPTY;
        for _ in 0..19 {
            histogram.record(500, Tail::beyond(0.9));
        }
        assert_eq!(histogram.quantile(20), None);
        histogram.record(500, Tail::beyond(0.9));
        assert!(histogram.quantile(20).is_some());
    }
}
