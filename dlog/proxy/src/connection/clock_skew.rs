use core::time::Duration;

use distributedlog::Instant;
use distributedlog::wire::mux::Deadline;

use crate::machine;

/// Number of late requests in a row that are refused before their client's clock is taken for slow.
const MAX_LATE_IN_A_ROW: u32 = 8;

/// Estimate of how slow a client's clock is, made from its late requests.
///
/// Deadlines are times of day, so a client whose clock is a minute slow sends only requests whose
/// deadlines have passed, and would be refused for ever. But a request that comes to a connection
/// with nothing in flight did not wait for this proxy: when requests are refused as late all the
/// time, the least delay of such a request is the skew of the clocks plus the shortest time on the
/// way. From then on that much is added to deadlines, and a request's delay beyond it still counts.
/// If all are late even so, the skew has grown, because one of the clocks was set again, and it is
/// estimated anew.
#[derive(Debug, Default)]
pub(super) struct ClockSkewEstimate {
    /// Number of requests in a row that were refused.
    refused: u32,
    /// Least delay of those that found nothing in flight, by the two clocks, in nanoseconds.
    least_refused: Option<i64>,
    /// Delay, in nanoseconds, that does not count. `None`: the clocks agree, as far as is known.
    skew: Option<i64>,
}

impl ClockSkewEstimate {
    /// Converts a deadline to this proxy's own clock. `idle` is true if nothing of this connection
    /// was in flight when the request came.
    ///
    /// # Errors
    ///
    /// The deadline has passed.
    pub(super) fn local_deadline(
        &mut self,
        sent: Deadline,
        now: Instant,
        unix_nanos: u64,
        max_skew: Duration,
        idle: bool,
    ) -> Result<Instant, DeadlinePassed> {
        if let Ok(deadline) = machine::deadline(sent, now, unix_nanos, max_skew) {
            *self = Self::default();
            return Ok(deadline);
        }
        let took = i64::try_from(unix_nanos)
            .unwrap_or(i64::MAX)
            .saturating_sub(sent.timestamp_ns);
        if idle {
            self.skew = self.skew.map(|skew| skew.min(took));
        }
        if let Some(deadline) = self.extended(sent, took, now) {
            (self.refused, self.least_refused) = (0, None);
            return Ok(deadline);
        }
        self.refused = self.refused.saturating_add(1);
        if idle {
            self.least_refused = Some(self.least_refused.map_or(took, |least| least.min(took)));
        }
        if self.refused <= MAX_LATE_IN_A_ROW || self.least_refused.is_none() {
            return Err(DeadlinePassed);
        }
        *self = Self {
            skew: self.least_refused,
            ..Self::default()
        };
        self.extended(sent, took, now).ok_or(DeadlinePassed)
    }

    /// Returns the deadline of a request that took this long, extended by the skew. `None` if it
    /// has passed even so.
    fn extended(&self, sent: Deadline, took: i64, now: Instant) -> Option<Instant> {
        let waited = took.saturating_sub(self.skew?);
        let waited = Duration::from_nanos(u64::try_from(waited).unwrap_or(0));
        let left = sent.budget().checked_sub(waited)?;
        (!left.is_zero()).then(|| now + left)
    }
}

/// The request arrived after its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeadlinePassed;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const HERE: i64 = 1_800_000_000_000 * MS;
    const NOW: Instant = Instant::from_millis(5_000);

    /// Sends a request `millis_ago` by the two clocks that allows 1,000 ms, and returns the
    /// milliseconds that are left of them.
    fn sent(clock_skew: &mut ClockSkewEstimate, millis_ago: i64, idle: bool) -> Option<u128> {
        let timestamp_ns = HERE - millis_ago * MS;
        let said = Deadline {
            timestamp_ns,
            deadline_ns: timestamp_ns + 1_000 * MS,
        };
        let judged =
            clock_skew.local_deadline(said, NOW, HERE as u64, Duration::from_secs(300), idle);
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
    fn requests_that_all_waited_behind_others_stay_late_in_any_number() {
        let mut clock_skew = ClockSkewEstimate::default();
        assert!((0..100).all(|_| sent(&mut clock_skew, 2_000, false).is_none()));
    }

    #[test]
    fn a_clock_that_becomes_slower_still_is_served_after_eight_refusals_again() {
        let mut clock_skew = ClockSkewEstimate::default();
        let mut refusals = |millis_ago| {
            let is_refused = |_: &i32| sent(&mut clock_skew, millis_ago, true).is_none();
            (0..20).take_while(is_refused).count()
        };
        assert_eq!(refusals(2_000), 8);
        assert_eq!(refusals(60_000), 8, "it was set back");
        assert_eq!(refusals(2_500), 0, "and forward again");
        assert_eq!(refusals(60_000), 8);
    }

    #[test]
    fn the_estimate_stays_while_requests_wait_behind_others() {
        let mut clock_skew = ClockSkewEstimate::default();
        assert!((0..9).any(|_| sent(&mut clock_skew, 60_000, true).is_some()));
        assert!((0..100).all(|_| sent(&mut clock_skew, 61_500, false).is_none()));
        assert_eq!(sent(&mut clock_skew, 60_400, false), Some(600));
    }

    #[test]
    fn a_request_in_time_resets_the_estimate() {
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
