//! The budget of extra attempts (R8).

use super::Budget;
use crate::Instant;

/// A token bucket. Each hedge, retry and probe takes a token; each set deposits its share, and time
/// deposits what the allowance grants beyond that.
///
/// It counts millionths of a token: then `per_second` tokens a second are `per_second` millionths a
/// microsecond, without a remainder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    unlimited: bool,
    share: u64,
    per_micro: u64,
    burst: u64,
    /// Tokens that hedges leave to retries: a quarter of the bucket, in whole tokens.
    reserve: u64,
    level: u64,
    /// Deposits of sets that time has not matched yet.
    deposited: u64,
    /// Time of the last refill; `Instant::MAX` before the first one.
    refilled: Instant,
}

const TOKEN: u64 = 1_000_000;

impl Tokens {
    pub(crate) fn new(budget: Budget) -> Self {
        let (unlimited, share, per_micro, burst) = match budget {
            Budget::Off => (true, 0, 0, 0),
            Budget::Share {
                share,
                per_second,
                burst,
            } => (
                false,
                (share * TOKEN as f32) as u64,
                u64::from(per_second),
                burst,
            ),
        };
        let (full, reserve) = (u64::from(burst) * TOKEN, u64::from(burst / 4) * TOKEN);
        // Start at the level to which the bucket tends: half of what hedges may take, and at least
        // one token.
        let level = (full - (full - reserve) / 2).max(TOKEN);
        Self {
            unlimited,
            share,
            per_micro,
            burst: full,
            reserve,
            level,
            deposited: 0,
            refilled: Instant::MAX,
        }
    }

    /// Returns the bucket with another budget: it keeps its level, as far as the new one holds it.
    pub(crate) fn changed(self, budget: Budget) -> Self {
        let new = Self::new(budget);
        if self.unlimited {
            return new;
        }
        Self {
            level: self.level.min(new.burst),
            deposited: self.deposited,
            refilled: self.refilled,
            ..new
        }
    }

    /// Deposits the share of a sealed set.
    pub(crate) fn deposit(&mut self) {
        self.level = (self.level + self.share).min(self.burst);
        self.deposited = self.deposited.saturating_add(self.share);
    }

    /// Deposits the allowance of the time since the last refill, as far as it exceeds the deposits
    /// of sets: the allowance serves a writer of few sets, and a writer of many keeps to its share.
    /// Deposits of sets also count against the time of the following second, so that such a writer
    /// gains nothing between two sets either. The time before the first refill deposits nothing.
    fn refill(&mut self, now: Instant) {
        let passed = now.as_micros().saturating_sub(self.refilled.as_micros());
        let granted = passed.saturating_mul(self.per_micro);
        self.level = self
            .level
            .saturating_add(granted.saturating_sub(self.deposited))
            .min(self.burst);
        self.deposited = self
            .deposited
            .saturating_sub(granted)
            .min(1_000_000 * self.per_micro);
        self.refilled = now;
    }

    /// Takes the token for a retry or a probe. Returns `false` if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_above(0, now)
    }

    /// Takes the token for a hedge, if there is one above the reserve for retries: a set whose
    /// attempt failed has no attempt outstanding, one that is only slow has.
    pub(crate) fn take_for_hedge(&mut self, now: Instant) -> bool {
        self.take_above(self.reserve, now)
    }

    fn take_above(&mut self, reserve: u64, now: Instant) -> bool {
        if self.unlimited {
            return true;
        }
        self.refill(now);
        let enough = self.level >= reserve + TOKEN;
        if enough {
            self.level -= TOKEN;
        }
        enough
    }

    /// Returns the level above the reserve, in 128ths of half of its maximum: 256 for a full
    /// bucket, 128 without a budget.
    ///
    /// Speculative timeouts follow it (R10): at half, as many hedges are sent as the configured
    /// quantile says; with more, more, and with less, fewer, so that the last tokens go to the sets
    /// that wait longest.
    pub(crate) fn fullness(&mut self, now: Instant) -> u32 {
        if self.unlimited {
            return 128;
        }
        self.refill(now);
        let (above, whole) = (
            self.level.saturating_sub(self.reserve),
            self.burst - self.reserve,
        );
        // Both shifted to 23 bits, so that the product with 2^8 and the division fit 32 bits, the
        // widest that some devices divide.
        let shift = (u64::BITS - 23).saturating_sub(whole.leading_zeros());
        (((above >> shift) as u32) << 8) / ((whole >> shift) as u32).max(1)
    }

    /// Returns the token of an attempt that was not made.
    pub(crate) fn refund(&mut self) {
        self.level = (self.level + TOKEN).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_percent_of_sets_buy_one_extra_attempt_in_ten() {
        let mut tokens = Tokens::new(Budget::Share {
            share: 0.1,
            per_second: 0,
            burst: 5,
        });
        let now = Instant::ZERO;
        let mut taken = 0;
        for _ in 0..1_000 {
            tokens.deposit();
            taken += u32::from(tokens.take(now));
        }
        // The three tokens of the start, and a tenth of the sets; the last token may be incomplete.
        assert!((102..=103).contains(&taken), "{taken}");
    }

    #[test]
    fn a_bucket_starts_half_full_at_any_time_of_the_clock() {
        for (burst, starts_with) in [(1, 1), (2, 1), (3, 1), (4, 2), (8, 5), (100, 62)] {
            let mut tokens = Tokens::new(Budget::Share {
                share: 0.01,
                per_second: 5,
                burst,
            });
            let now = Instant::from_millis(3_600_000);
            let taken = (0..burst).take_while(|_| tokens.take(now)).count();
            assert_eq!(taken, starts_with, "of {burst}");
        }
    }

    #[test]
    fn time_alone_grants_attempts_to_a_writer_of_few_sets() {
        let mut tokens = Tokens::new(Budget::Share {
            share: 0.01,
            per_second: 2,
            burst: 1,
        });
        assert!(tokens.take(Instant::ZERO));
        assert!(!tokens.take(Instant::from_micros(499_999)));
        assert!(tokens.take(Instant::from_micros(500_000)));
        // The bucket never holds more than the burst, however long the pause is.
        assert!(tokens.take(Instant::from_millis(60_000)));
        assert!(!tokens.take(Instant::from_millis(60_000)));
    }

    #[test]
    fn time_adds_nothing_to_what_many_sets_pay_in() {
        let mut tokens = Tokens::new(Budget::Share {
            share: 0.05,
            per_second: 10,
            burst: 5,
        });
        let mut taken = 0;
        // 1,000 sets a second pay in 50 tokens each second, 100 sets a second 5: these get the ten
        // that time grants.
        for millis in 0..10_000 {
            tokens.deposit();
            taken += u32::from(tokens.take(Instant::from_millis(millis)));
        }
        assert!((500..=506).contains(&taken), "{taken}");
        let mut taken = 0;
        for millis in 1_000..2_000 {
            tokens.deposit();
            taken += u32::from(tokens.take(Instant::from_millis(10 * millis)));
        }
        // Ten a second, less what the sets before paid in ahead of their second.
        assert!((89..=101).contains(&taken), "{taken}");
    }

    #[test]
    fn a_quarter_of_the_bucket_is_kept_for_retries() {
        let mut tokens = Tokens::new(Budget::Share {
            share: 0.1,
            per_second: 0,
            burst: 8,
        });
        let now = Instant::ZERO;
        assert_eq!(tokens.fullness(now), 128, "as it begins");
        (0..100).for_each(|_| tokens.deposit());
        assert_eq!(tokens.fullness(now), 256);
        for fullness in [213, 170, 128, 85, 42, 0] {
            assert!(tokens.take_for_hedge(now));
            assert_eq!(
                tokens.fullness(now),
                fullness,
                "the six above the two that are kept"
            );
        }
        assert!(!tokens.take_for_hedge(now));
        assert!(tokens.take(now) && tokens.take(now) && !tokens.take(now));
    }

    #[test]
    fn without_a_budget_every_attempt_is_free() {
        let mut tokens = Tokens::new(Budget::Off);
        assert!((0..1_000).all(|_| tokens.take(Instant::ZERO)));
    }
}
