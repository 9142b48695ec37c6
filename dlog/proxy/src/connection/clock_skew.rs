use core::time::Duration;

use distributedlog::Instant;
use distributedlog::wire::mux::Deadline;

use crate::machine;

/// How many requests in a row are refused for being late before their client's clock is doubted.
const DOUBTFUL: u32 = 8;

/// Tells late requests from a client whose clock is slow.
///
/// Deadlines are times of day, so a client whose clock is a minute slow sends nothing but requests
/// whose time is over, and would be refused for ever. But a request that comes to a connection with
/// nothing under way waited for nothing of ours: when requests are late all the time, the
/// least that such a one was late by is what the clocks differ by, and the shortest way. From then
/// on that much is allowed for, and what a request waited beyond it still counts.
#[derive(Debug, Default)]
pub(super) struct ClockSkewEstimate {
    /// How many requests in a row came after their time.
    late: u32,
    /// The shortest that one of those took which found nothing under way, by the two clocks, in
    /// nanoseconds.
    least: Option<i64>,
}

impl ClockSkewEstimate {
    /// When a request's time is over on this proxy's own clock. `idle` says that nothing of this
    /// connection was under way when it came.
    ///
    /// # Errors
    ///
    /// Its time is over already.
    pub(super) fn judge(
        &mut self,
        said: Deadline,
        now: Instant,
        unix_nanos: u64,
        max_skew: Duration,
        idle: bool,
    ) -> Result<Instant, DeadlinePassed> {
        if let Ok(deadline) = machine::deadline(said, now, unix_nanos, max_skew) {
            *self = Self::default();
            return Ok(deadline);
        }
        let took = i64::try_from(unix_nanos)
            .unwrap_or(i64::MAX)
            .saturating_sub(said.timestamp_ns);
        self.late = self.late.saturating_add(1);
        if idle {
            self.least = Some(self.least.map_or(took, |least| least.min(took)));
        }
        let Some(least) = self.least.filter(|_| self.late > DOUBTFUL) else {
            return Err(DeadlinePassed);
        };
        let waited = Duration::from_nanos(u64::try_from(took.saturating_sub(least)).unwrap_or(0));
        said.budget()
            .checked_sub(waited)
            .filter(|left| !left.is_zero())
            .map(|left| now + left)
            .ok_or(DeadlinePassed)
    }
}

/// A request came after its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeadlinePassed;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const HERE: i64 = 1_800_000_000_000 * MS;
    const NOW: Instant = Instant::from_millis(5_000);

    /// A request that was sent so many milliseconds ago, by the two clocks, with 1,000 to be
    /// carried out in: how many are left of them.
    fn sent(clock_skew: &mut ClockSkewEstimate, millis_ago: i64, idle: bool) -> Option<u128> {
        let timestamp_ns = HERE - millis_ago * MS;
        let said = Deadline {
            timestamp_ns,
            deadline_ns: timestamp_ns + 1_000 * MS,
        };
        let judged = clock_skew.judge(said, NOW, HERE as u64, Duration::from_secs(300), idle);
        judged.ok().map(|at| at.since(NOW).as_millis())
    }

    #[test]
    fn a_client_whose_clock_is_a_minute_slow_is_served_after_eight_refusals() {
        let mut clock_skew = ClockSkewEstimate::default();
        let answers: Vec<_> = (0..10)
            .map(|_| sent(&mut clock_skew, 60_005, true))
            .collect();
        assert_eq!(answers[..8], [None; 8]);
        assert_eq!(answers[8..], [Some(1_000); 2]);
        assert_eq!(
            sent(&mut clock_skew, 60_405, false),
            Some(600),
            "what a request waited beyond that counts"
        );
        assert_eq!(sent(&mut clock_skew, 61_006, false), None);
    }

    #[test]
    fn requests_that_all_waited_behind_others_are_late_however_many_they_are() {
        let mut clock_skew = ClockSkewEstimate::default();
        assert!((0..100).all(|_| sent(&mut clock_skew, 2_000, false).is_none()));
    }

    #[test]
    fn a_request_in_time_ends_the_doubt() {
        let mut clock_skew = ClockSkewEstimate::default();
        assert!(
            (0..9)
                .filter_map(|_| sent(&mut clock_skew, 60_000, true))
                .count()
                == 1
        );
        assert_eq!(sent(&mut clock_skew, 400, true), Some(600));
        assert_eq!(sent(&mut clock_skew, 60_000, true), None);
    }
}
