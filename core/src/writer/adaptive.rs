//! Speculative timeouts that follow the latency (R10).

/// Histogram of one stream's recent latencies, with buckets a quarter of an octave wide and
/// exponential decay.
///
/// When it holds [`WINDOW`] latencies, all counts are halved: the quantiles stay, and older
/// latencies weigh half as much as newer ones. A quantile is a few percent off. It takes 200 bytes
/// and needs no allocation and no floating point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatencyHistogram {
    counts: [u16; BUCKETS],
    total: u32,
    /// The number of latencies recorded so far, for the warm-up.
    seen: u32,
    /// The quantile as last computed, in microseconds.
    quantile: u32,
    /// The number of latencies recorded since then.
    stale: u8,
}

const BUCKETS: usize = 96;
/// Base-2 logarithm of the lowest bucket. Latencies below 16 µs share it; the last bucket begins at
/// 2^27 µs × 7/4, about 235 s, far above any useful timeout.
const LOWEST_OCTAVE: u32 = 4;
const WINDOW: u32 = 1_024;
/// The number of latencies after which the quantile is computed again: a pass over all buckets is
/// too expensive for each answer.
const REFRESH: u8 = 16;

const _: () = assert!(
    WINDOW <= u16::MAX as u32,
    "one bucket can count all latencies of the window"
);

impl LatencyHistogram {
    pub(crate) const EMPTY: Self = Self {
        counts: [0; BUCKETS],
        total: 0,
        seen: 0,
        quantile: 0,
        stale: 0,
    };

    /// Adds a latency. Returns `true` if the quantile was computed again with it.
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

    /// Returns the quantile in microseconds, or `None` before the warm-up is over.
    pub(crate) const fn quantile(&self, warm_up: u32) -> Option<u64> {
        if self.seen < warm_up {
            None
        } else {
            Some(self.quantile as u64)
        }
    }

    /// Returns the latency that this share of the latencies exceeds. The latencies within a bucket
    /// count as evenly spread.
    pub(crate) fn beyond(&self, tail: Tail) -> u32 {
        // At most 2^10 latencies times 2^14, which fits 32 bits.
        let wanted = self.total * tail.0;
        let mut above = 0;
        for (index, count) in self.counts.iter().enumerate().rev() {
            let here = u32::from(*count) * Tail::ONE;
            if here > 0 && above + here >= wanted {
                // In 128ths of the bucket, so that 32-bit division is enough: some devices have no
                // other.
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
    /// Returns the share beyond a quantile.
    pub(crate) const fn beyond(quantile: f32) -> Self {
        Self(((1.0 - quantile) * Self::ONE as f32) as u32)
    }

    /// Doubles the share this many times, up to [`HALF`](Self::HALF).
    pub(crate) const fn doubled(self, times: u32) -> Self {
        // The largest share is 2^14, so 14 doublings reach the limit from any share above zero, and
        // the shift cannot overflow.
        let times = if times < 14 { times } else { 14 };
        let tail = self.0 << times;
        if tail < Self::HALF.0 {
            Self(tail)
        } else {
            Self::HALF
        }
    }

    /// The share beyond the median, the lowest quantile that is useful as a timeout.
    pub(crate) const HALF: Self = Self(Self::ONE / 2);
    pub(crate) const ONE: u32 = 1 << 14;
}

/// Returns the index of a latency's bucket: its octave and quarter.
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

/// Returns the lower bound of a bucket in microseconds: (4 + quarter) / 4 octaves.
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
