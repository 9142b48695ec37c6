use core::future::Future;

use crate::Instant;

/// Where an adapter gets the time from. The state machines never ask: they are told.
pub trait Clock {
    /// Completes no earlier than the instant it was made for; dropping it disarms it.
    type Sleep: Future<Output = ()>;

    /// The time now. Never goes back.
    fn now(&self) -> Instant;

    /// A timer that completes at `at`, or at once when `at` has passed.
    fn sleep_until(&self, at: Instant) -> Self::Sleep;
}

impl<C: Clock> Clock for &C {
    type Sleep = C::Sleep;

    fn now(&self) -> Instant {
        (**self).now()
    }

    fn sleep_until(&self, at: Instant) -> Self::Sleep {
        (**self).sleep_until(at)
    }
}
