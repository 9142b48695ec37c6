use core::fmt;
use core::time::Duration;

use super::Distribution;

/// What happens to a writer: how often it writes, to how many streams, and what these do.
///
/// Everything is drawn from a seed: how long a stream takes over a set depends on the seed, the
/// set, the stream and how often the set was tried there, not on who asks. So all policies meet the
/// same latencies.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// How many streams there are.
    pub streams: u16,
    /// How many record sets are written.
    pub sets: u64,
    /// When.
    pub arrivals: Arrivals,
    /// How long a stream takes.
    pub latency: Distribution,
    /// Which attempts take much longer.
    pub stragglers: Option<Stragglers>,
    /// What happens to streams.
    pub faults: Vec<Fault>,
    /// The probability that an attempt is never answered: of two such, one never reached the
    /// stream, and one was stored.
    pub loss: f64,
    /// How much a stream can do; none for any amount.
    pub capacity: Option<Capacity>,
}

/// When sets are written. At random (Poisson) around the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrivals {
    /// Record sets a second, bursts aside.
    pub per_second: f64,
    /// How many sets are written at a time; what is timed is how long it takes until all of them
    /// are written. 1: each for itself.
    pub fan_out: u32,
    /// When there are more.
    pub bursts: Option<Bursts>,
}

/// Bursts that come back regularly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// From the beginning of one to that of the next. The first begins after one such time.
    pub every: Duration,
    /// How long each lasts.
    pub length: Duration,
    /// What the rate is multiplied by meanwhile.
    pub factor: f64,
}

/// Attempts that take much longer than others, at random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stragglers {
    /// How many: 0 to 1.
    pub share: f64,
    /// What their latency is multiplied by.
    pub factor: f64,
}

/// How much a stream can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// How many sets a stream works at at a time, each for as long as the scenario's latency says;
    /// others wait in the order in which they came.
    pub workers: u32,
    /// How many may wait. A further one is answered OVER_CAPACITY after a millisecond.
    pub queue: u32,
}

/// Something that happens to streams for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// The stream it happens to; none: all of them.
    pub stream: Option<u16>,
    /// When it begins.
    pub from: Duration,
    /// When it ends; none: never.
    pub until: Option<Duration>,
    /// What happens.
    pub kind: FaultKind,
}

/// What happens to a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// When it stands still: whatever it has, and whatever comes meanwhile, is done after it goes
    /// on.
    Stall,
    /// When it changes its owner: what the old one has is not answered any more (every other such
    /// set is stored all the same), what comes meanwhile is lost, and afterwards the new owner
    /// answers as ever.
    Away,
    /// When it takes this many times as long.
    Slow(f64),
}

/// Why a scenario cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for ScenarioError {}

/// The most sets of one run: a byte is kept of each.
pub const MAX_SETS: u64 = 1 << 30;

impl Scenario {
    /// Checks that everything is within its bounds and fits together.
    ///
    /// # Errors
    /// What does not, and what would.
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
        let (legal, what) = match &self.latency {
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
        if !legal {
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
                "a stall without an end: what it holds back would never be done".to_owned(),
            )),
            FaultKind::Slow(factor) if !(0.0..=1e6).contains(&factor) => Err(ScenarioError(
                format!("{factor} times as slow: it may be 0 to 1000000"),
            )),
            FaultKind::Stall | FaultKind::Away | FaultKind::Slow(_) => Ok(()),
        }
    }
}
