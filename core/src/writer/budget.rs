//! The budget of extra attempts (R8).

use super::Budget;
use crate::Instant;

/// A token bucket. Hedges and retries take a token each; sets pay in their share, and time pays in a little.
///
/// Counted in millionths of a token: then `per_second` tokens a second are `per_second` millionths a microsecond, without a remainder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    unlimited: bool,
    share: u64,
    per_micro: u64,
    burst: u64,
    level: u64,
    refilled: Instant,
}

const TOKEN: u64 = 1_000_000;

impl Tokens {
    pub(crate) fn new(budget: Budget) -> Self {
        let (unlimited, share, per_micro, burst) = match budget {
            Budget::Off => (true, 0, 0, 0),
            Budget::Share { share, per_second, burst } => {
                (false, (share * TOKEN as f32) as u64, u64::from(per_second), u64::from(burst) * TOKEN)
            }
        };
        Self { unlimited, share, per_micro, burst, level: burst, refilled: Instant::ZERO }
    }

    /// A set was sealed.
    pub(crate) fn pay_in(&mut self) {
        self.level = (self.level + self.share).min(self.burst);
    }

    /// Takes the token for one extra attempt, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.unlimited {
            return true;
        }
        let passed = now.as_micros().saturating_sub(self.refilled.as_micros());
        self.level = self.level.saturating_add(passed.saturating_mul(self.per_micro)).min(self.burst);
        self.refilled = self.refilled.max(now);
        let enough = self.level >= TOKEN;
        if enough {
            self.level -= TOKEN;
        }
        enough
    }

    /// The attempt was not made after all.
    pub(crate) fn give_back(&mut self) {
        self.level = (self.level + TOKEN).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_percent_of_sets_buy_one_extra_attempt_in_ten() {
        let mut tokens = Tokens::new(Budget::Share { share: 0.1, per_second: 0, burst: 5 });
        let now = Instant::ZERO;
        let mut taken = 0;
        for _ in 0..1_000 {
            tokens.pay_in();
            taken += u32::from(tokens.take(now));
        }
        // The burst that the bucket starts with, and a tenth of the sets; the last one may still be saving up.
        assert!((104..=105).contains(&taken), "{taken}");
    }

    #[test]
    fn time_alone_buys_attempts_for_a_writer_of_few_sets() {
        let mut tokens = Tokens::new(Budget::Share { share: 0.01, per_second: 2, burst: 1 });
        assert!(tokens.take(Instant::ZERO));
        assert!(!tokens.take(Instant::from_micros(499_999)));
        assert!(tokens.take(Instant::from_micros(500_000)));
        // However long it waits, no more than the burst is saved.
        assert!(tokens.take(Instant::from_millis(60_000)));
        assert!(!tokens.take(Instant::from_millis(60_000)));
    }

    #[test]
    fn without_a_budget_every_attempt_is_free() {
        let mut tokens = Tokens::new(Budget::Off);
        assert!((0..1_000).all(|_| tokens.take(Instant::ZERO)));
    }
}
