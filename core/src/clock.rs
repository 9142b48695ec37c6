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

/// The clock of embassy-time, whichever driver the final binary links. Its instants count from the
/// driver's start.
#[cfg(feature = "embassy-time")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

#[cfg(feature = "embassy-time")]
impl Clock for EmbassyClock {
    type Sleep = embassy_time::Timer;

    fn now(&self) -> Instant {
        Instant::from_micros(embassy_time::Instant::now().as_micros())
    }

    fn sleep_until(&self, at: Instant) -> embassy_time::Timer {
        // Beyond the last tick is as good as never.
        let Some(tick) = embassy_time::Instant::try_from_micros(at.as_micros()) else {
            return embassy_time::Timer::at(embassy_time::Instant::MAX);
        };
        // A tick that begins before `at` would fire early, and the runner would look again and
        // again until the next: that one is meant.
        let early = tick.as_micros() < at.as_micros();
        embassy_time::Timer::at(if early {
            tick.saturating_add(embassy_time::Duration::from_ticks(1))
        } else {
            tick
        })
    }
}
