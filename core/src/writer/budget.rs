//! The budget of extra attempts (R8).

use super::Budget;
use crate::Instant;

/// A token bucket. Hedges, retries and probes take a token each; sets pay in their share, and time
/// pays in what it has to add to that.
///
/// Counted in millionths of a token: then `per_second` tokens a second are `per_second` millionths
/// a microsecond, without a remainder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    unlimited: bool,
    share: u64,
    per_micro: u64,
    burst: u64,
    /// What hedges leave to retries: a quarter of the bucket, in whole tokens.
    reserve: u64,
    level: u64,
    /// What sets paid in since time did.
    deposited: u64,
    /// When time paid in last; `Instant::MAX` before the first time.
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
        // Where it settles: half of what hedges may take is there, and a token at least.
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

    /// A set was sealed.
    pub(crate) fn deposit(&mut self) {
        self.level = (self.level + self.share).min(self.burst);
        self.deposited = self.deposited.saturating_add(self.share);
    }

    /// Time pays in what sets did not: the allowance is a writer's of few sets, and a writer of
    /// many keeps to its share. What its sets paid in stands against the time of the next
    /// second as well, so that it gets nothing between two sets either. What passed on the clock
    /// before the writer began pays nothing.
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

    /// Takes the token for a retry or a probe, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_above(0, now)
    }

    /// Takes the token for a hedge, if there is one beyond what is kept back for retries: a set
    /// whose attempt failed has none under way, one that is only slow has.
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

    /// How full the bucket is above what is kept back, in 128ths of half of that: 256 when it is
    /// full. As if half full where there is no budget.
    ///
    /// What speculative timeouts follow (R10): at half, as many hedges are sent as the settings'
    /// quantile says; the fuller the bucket, the more, and the emptier, the fewer, so that what
    /// is left goes to those sets that wait longest.
    pub(crate) fn fullness(&mut self, now: Instant) -> u32 {
        if self.unlimited {
            return 128;
        }
        self.refill(now);
        let (above, whole) = (
            self.level.saturating_sub(self.reserve),
            self.burst - self.reserve,
        );
        // Both without what is beyond 23 bits: 32 bits can divide them.
        let shift = (u64::BITS - 23).saturating_sub(whole.leading_zeros());
        (((above >> shift) as u32) << 8) / ((whole >> shift) as u32).max(1)
    }

    /// The attempt was not made after all.
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
        // The three that the bucket starts with, and a tenth of the sets; the last one may still be
        // saving up.
        assert!((102..=103).contains(&taken), "{taken}");
    }

    #[test]
    fn a_bucket_starts_half_full_whatever_the_clock_says() {
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
    fn time_alone_buys_attempts_for_a_writer_of_few_sets() {
        let mut tokens = Tokens::new(Budget::Share {
            share: 0.01,
            per_second: 2,
            burst: 1,
        });
        assert!(tokens.take(Instant::ZERO));
        assert!(!tokens.take(Instant::from_micros(499_999)));
        assert!(tokens.take(Instant::from_micros(500_000)));
        // However long it waits, no more than the burst is saved.
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
