use core::fmt;
use core::time::Duration;

use super::Distribution;

/// Load of a writer, and behaviour of its streams.
///
/// Everything is drawn from a seed. The latency of an attempt depends on the seed, the set, the
/// stream and the number of earlier attempts there, not on the policy, so all policies meet the
/// same latencies.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Number of streams.
    pub streams: u16,
    /// Number of record sets that are written.
    pub sets: u64,
    /// Times at which sets are written.
    pub arrivals: Arrivals,
    /// Distribution of the latencies.
    pub latency: Distribution,
    /// Attempts that take much longer; `None` if none do.
    pub stragglers: Option<Stragglers>,
    /// Faults of the streams.
    pub faults: Vec<Fault>,
    /// Probability that an attempt has no outcome, 0 to 1. Half of these attempts never reach the
    /// stream; the others are stored and their response is lost.
    pub loss: f64,
    /// Capacity of a stream; `None` if it is unlimited.
    pub capacity: Option<Capacity>,
    /// Number of storage domains, to which the streams belong in turn: stream 0 to the first,
    /// stream 1 to the second. Streams of one domain share its stalls, and its place in a recording
    /// [in time](super::Recorded). 0: each stream has a storage of its own.
    pub domains: u16,
    /// Stalls of storage domains; `None` if there are none.
    pub shared_stalls: Option<SharedStalls>,
}

/// Times at which sets are written: random (Poisson) around the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrivals {
    /// Record sets a second, outside of bursts.
    pub per_second: f64,
    /// Number of sets of one operation, which are written at the same time. The latency of the
    /// operation ends when all of them are written.
    pub fan_out: u32,
    /// Times of a higher rate; `None` if there are none.
    pub bursts: Option<Bursts>,
}

/// Bursts at regular intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Time from the beginning of a burst to that of the next; also that before the first burst.
    pub every: Duration,
    /// Duration of each burst.
    pub length: Duration,
    /// Factor of the rate during a burst.
    pub factor: f64,
}

/// Random attempts that take much longer than others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stragglers {
    /// Share of the attempts, 0 to 1.
    pub share: f64,
    /// Factor of their latency.
    pub factor: f64,
}

/// Stalls of a storage domain at random times, which hold up all of its streams at once: what they
/// have, and what arrives meanwhile, is done after the end of the stall. Pauses between stalls and
/// their lengths are exponential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedStalls {
    /// Mean time from the end of a stall to the begin of the next.
    pub every: Duration,
    /// Mean length.
    pub length: Duration,
}

/// Capacity of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Number of sets that a stream processes at a time, each for the latency of the scenario.
    /// Others wait in the order of arrival.
    pub workers: u32,
    /// Maximum number of sets that wait. A further one is refused with OVER_CAPACITY after 1 ms.
    pub queue: u32,
}

/// A fault of one or all streams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// The stream; `None` for all.
    pub stream: Option<u16>,
    /// Time at which the fault begins.
    pub from: Duration,
    /// Time at which the fault ends; `None` if it does not end.
    pub until: Option<Duration>,
    /// Kind of the fault.
    pub kind: FaultKind,
}

/// Kind of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// The stream makes no progress: the work that it has, and that arrives meanwhile, is done
    /// after the end of the fault.
    Stall,
    /// The stream changes its owner. Attempts in flight at the old owner have no outcome, although
    /// half of these sets are stored; attempts during the fault are lost; after it the new owner
    /// responds normally.
    Failover,
    /// Latencies of the stream are multiplied by this factor.
    Slow(f64),
}

/// A scenario is invalid. The message says which value, and the valid range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for ScenarioError {}

/// Maximum number of sets of a run: 2^30. The simulation keeps one byte for each.
pub const MAX_SETS: u64 = 1 << 30;

/// Maximum number of stalls of all storage domains in a run, on average: 16 MB of them.
const MAX_STALLS: f64 = 1e6;

impl Scenario {
    /// Checks that every value is in its range and that they are consistent.
    ///
    /// # Errors
    ///
    /// The first invalid value, with the valid range.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let refuse = |what: String| Err(ScenarioError(what));
        if self.streams == 0 || usize::from(self.streams) > distributedlog::writer::MAX_STREAMS {
            return refuse(format!(
                "{} streams: there may be 1 to {}",
                self.streams,
                distributedlog::writer::MAX_STREAMS
            ));
        }
        if self.sets == 0 || self.sets > MAX_SETS {
            return refuse(format!("{} sets: there may be 1 to {MAX_SETS}", self.sets));
        }
        if !(0.0..=1.0).contains(&self.loss) {
            return refuse(format!("a loss of {}: it is a share, 0 to 1", self.loss));
        }
        self.check_arrivals()?;
        self.check_latency()?;
        self.check_domains()?;
        if let Some(Capacity { workers, queue }) = self.capacity
            && (workers == 0 || workers > 100_000 || queue > 10_000_000)
        {
            return refuse(format!(
                "{workers} workers and {queue} waiting: a stream has 1 to 100000 workers, and at \
                 most 10000000 wait"
            ));
        }
        self.faults
            .iter()
            .try_for_each(|fault| self.check_fault(fault))
    }

    fn check_arrivals(&self) -> Result<(), ScenarioError> {
        let Arrivals {
            per_second,
            fan_out,
            bursts,
        } = self.arrivals;
        if !(0.001..=1e7).contains(&per_second) {
            return Err(ScenarioError(format!(
                "{per_second} sets a second: it may be 0.001 to 10000000"
            )));
        }
        if fan_out == 0 || u64::from(fan_out) > self.sets {
            return Err(ScenarioError(format!(
                "{fan_out} sets at a time: it may be 1 to the number of sets, {}",
                self.sets
            )));
        }
        if let Some(Bursts {
            every,
            length,
            factor,
        }) = bursts
            && (length.is_zero()
                || length >= every
                || !(0.0..=1e6).contains(&factor)
                || factor == 0.0)
        {
            let what = format!(
                "a burst of {length:?} every {every:?} at {factor} times the rate: it is shorter \
                 than its interval, and the factor above 0"
            );
            return Err(ScenarioError(what));
        }
        Ok(())
    }

    fn check_latency(&self) -> Result<(), ScenarioError> {
        const LONGEST: Duration = Duration::from_secs(86_400);
        let (valid, what) = match &self.latency {
            Distribution::Constant(latency) => (*latency <= LONGEST, "a latency is at most a day"),
            Distribution::Lognormal { mean, sd } => (
                !mean.is_zero() && *mean <= LONGEST && *sd <= *mean * 100,
                "the mean is above 0 and at most a day, the deviation at most a hundred times that",
            ),
            Distribution::Bimodal {
                fast,
                slow,
                slow_share,
            } => (
                *fast <= LONGEST && *slow <= LONGEST && (0.0..=1.0).contains(slow_share),
                "latencies are at most a day, the share is 0 to 1",
            ),
            Distribution::Recorded(_) => (true, ""),
        };
        if !valid {
            return Err(ScenarioError(format!("{:?}: {what}", self.latency)));
        }
        if let Some(Stragglers { share, factor }) = self.stragglers
            && (!(0.0..=1.0).contains(&share) || !(0.0..=1e6).contains(&factor))
        {
            return Err(ScenarioError(format!(
                "a share of {share} stragglers times {factor}: the share is 0 to 1, the factor 0 \
                 to 1000000"
            )));
        }
        Ok(())
    }

    fn check_domains(&self) -> Result<(), ScenarioError> {
        let Self {
            streams, domains, ..
        } = *self;
        if domains > streams {
            return Err(ScenarioError(format!(
                "{domains} storage domains: there may be 1 to the number of streams, {streams}, or \
                 0 for a storage of its own for each"
            )));
        }
        let Some(SharedStalls { every, length }) = self.shared_stalls else {
            return Ok(());
        };
        if every.is_zero() || length.is_zero() {
            return Err(ScenarioError(format!(
                "stalls of {length:?} every {every:?}: both are above 0"
            )));
        }
        let stores = f64::from(if domains == 0 { streams } else { domains });
        let stalls = self.run_micros() as f64 / (every + length).as_secs_f64() / 1e6 * stores;
        if stalls > MAX_STALLS {
            return Err(ScenarioError(format!(
                "stalls of {length:?} every {every:?}: the run would have {stalls:.0} of them, and \
                 may have {MAX_STALLS}"
            )));
        }
        Ok(())
    }

    /// Returns the time in which the sets arrive on average, in microseconds.
    pub(crate) fn run_micros(&self) -> u64 {
        (self.sets as f64 / self.arrivals.per_second * 1e6) as u64
    }

    fn check_fault(&self, fault: &Fault) -> Result<(), ScenarioError> {
        if fault.stream.is_some_and(|stream| stream >= self.streams) {
            let what = format!(
                "stream {} does not exist: they are 0 to {}",
                fault.stream.unwrap_or_default(),
                self.streams - 1
            );
            return Err(ScenarioError(what));
        }
        if fault.until.is_some_and(|until| until <= fault.from) {
            return Err(ScenarioError(format!(
                "a fault from {:?} until {:?} ends before it begins",
                fault.from,
                fault.until.unwrap_or_default()
            )));
        }
        match fault.kind {
            FaultKind::Stall if fault.until.is_none() => Err(ScenarioError(
                "a stall without an end: the sets that it holds back would never be stored"
                    .to_owned(),
            )),
            FaultKind::Slow(factor) if !(0.0..=1e6).contains(&factor) => Err(ScenarioError(
                format!("{factor} times as slow: it may be 0 to 1000000"),
            )),
            FaultKind::Stall | FaultKind::Failover | FaultKind::Slow(_) => Ok(()),
        }
    }
}
