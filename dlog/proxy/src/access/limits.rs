use core::time::Duration;

use distributedlog::Instant;

/// A second, in nanoseconds: what a client may do at once, after it was idle.
const BURST_NS: u64 = 1_000_000_000;

/// Limits of one client. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Requests in a second.
    pub(crate) requests: Option<u64>,
    /// Payload bytes in a second.
    pub(crate) bytes: Option<u64>,
}

/// What a client has used of its limits. Each limit is a bucket with the room of a second.
///
/// A request of more bytes than the room is admitted when the bucket is not empty, and the next one
/// waits until that is paid for: so that every size passes, and the rate holds in the long run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    rates: Rates,
    requests: Bucket,
    bytes: Bucket,
}

/// Time at which a bucket is full again, in nanoseconds: all that is known of it.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Returns the time until the bucket has room for `cost_ns`, zero if it has.
    fn wait(self, now_ns: u64, cost_ns: u64) -> u64 {
        let used = self.full_at_ns.saturating_sub(now_ns);
        used.saturating_add(cost_ns).saturating_sub(BURST_NS)
    }

    fn take(&mut self, now_ns: u64, cost_ns: u64) {
        self.full_at_ns = self.full_at_ns.max(now_ns).saturating_add(cost_ns);
    }
}

impl Buckets {
    pub(crate) const fn new(rates: Rates) -> Self {
        let full = Bucket { full_at_ns: 0 };
        Self {
            rates,
            requests: full,
            bytes: full,
        }
    }

    /// Takes a request of `bytes`.
    ///
    /// # Errors
    ///
    /// The time after which it would be admitted. Nothing was taken.
    pub(crate) fn admit(&mut self, now: Instant, bytes: u64) -> Result<(), Duration> {
        let now_ns = now.as_micros().saturating_mul(1000);
        let request = self.rates.requests.map_or(0, |rate| cost(1, rate));
        // One nanosecond: there must be room for some of it.
        let some = u64::from(self.rates.bytes.is_some());
        let wait = self.requests.wait(now_ns, request);
        let wait = wait.max(self.bytes.wait(now_ns, some));
        if wait > 0 {
            return Err(Duration::from_nanos(wait));
        }
        self.requests.take(now_ns, request);
        self.charge(now, bytes);
        Ok(())
    }

    /// Takes bytes that were not known when their request was admitted.
    pub(crate) fn charge(&mut self, now: Instant, bytes: u64) {
        if let Some(rate) = self.rates.bytes {
            let now_ns = now.as_micros().saturating_mul(1000);
            self.bytes.take(now_ns, cost(bytes, rate));
        }
    }
}

/// Returns the time in which a rate pays for `count`, in nanoseconds, rounded up.
fn cost(count: u64, rate: u64) -> u64 {
    let cost = (u128::from(count) * u128::from(BURST_NS)).div_ceil(u128::from(rate));
    u64::try_from(cost).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_second_of_requests_passes_at_once_and_then_the_rate_holds() {
        let mut buckets = Buckets::new(Rates {
            requests: Some(10),
            bytes: None,
        });
        let burst = (0..20)
            .filter(|_| buckets.admit(at(5000), 0).is_ok())
            .count();
        assert_eq!(burst, 10);
        assert_eq!(buckets.admit(at(5000), 0), Err(Duration::from_millis(100)));
        let slow = (5000..15_000)
            .filter(|ms| buckets.admit(at(*ms), 0).is_ok())
            .count();
        assert_eq!(slow, 99, "ten a second, the last at 14.9 s");
    }

    #[test]
    fn a_request_larger_than_a_second_passes_alone_and_is_paid_for() {
        let mut buckets = Buckets::new(Rates {
            requests: None,
            bytes: Some(1000),
        });
        assert_eq!(buckets.admit(at(0), 5000), Ok(()));
        let wait = buckets.admit(at(0), 1).expect_err("five seconds are used");
        assert_eq!(wait, Duration::from_secs(4) + Duration::from_nanos(1));
        assert!(buckets.admit(at(4000), 1).is_err());
        assert_eq!(buckets.admit(at(4001), 1), Ok(()));
        buckets.charge(at(4001), u64::MAX);
        assert!(buckets.admit(at(1 << 40), 0).is_err(), "nothing overflows");
    }

    #[test]
    fn a_client_without_limits_is_never_refused() {
        let mut buckets = Buckets::new(Rates::default());
        assert!((0..1000).all(|_| buckets.admit(at(0), 1 << 40).is_ok()));
    }
}
