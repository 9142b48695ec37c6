use core::future::Future;

use crate::Instant;

/// Source of time for the code around the state machines. The machines themselves receive the time
/// as arguments.
pub trait Clock {
    /// Timer of [`sleep_until`](Self::sleep_until). It completes no earlier than its instant;
    /// dropping it cancels it.
    type Sleep: Future<Output = ()>;

    /// Returns the current time, which never decreases.
    fn now(&self) -> Instant;

    /// Returns a timer that completes at `at`, or at once if `at` has passed.
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

/// Clock of embassy-time, over the time driver that the final binary links. Its instants count from
/// the start of the driver.
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
        // An instant beyond the last tick never arrives.
        let Some(tick) = embassy_time::Instant::try_from_micros(at.as_micros()) else {
            return embassy_time::Timer::at(embassy_time::Instant::MAX);
        };
        // A tick that begins before `at` would fire early, and the runner would poll in a loop
        // until the next tick. So wait for that one.
        let early = tick.as_micros() < at.as_micros();
        embassy_time::Timer::at(if early {
            tick.saturating_add(embassy_time::Duration::from_ticks(1))
        } else {
            tick
        })
    }
}
