use core::cmp::Reverse;
use core::ops::ControlFlow;
use std::collections::{BinaryHeap, HashMap};

use distributedlog::merge::{Deduplicator, Delivery};
use distributedlog::wire::record_set::SetIdentity;
use distributedlog::{Instant, StreamIndex};

use super::copies::{Copies, Drops};
use super::world::{ArrivalTimes, Reception, Schedule, SentAttempt, World};
use super::{Actions, AttemptOutcome, AttemptStart, Policy, Report, Scenario, ScenarioError};

/// A reader of all streams, which sees every set, and every duplicate of it, at the time it is
/// stored.
pub trait MergedReader {
    /// Handles a set that was stored in a stream. Returns true if the reader delivers it.
    fn handle_stored(
        &mut self,
        stream: StreamIndex,
        set: u64,
        identity: Option<SetIdentity>,
    ) -> bool;
}

/// Delivers each set once, as `MultiReader` does.
impl MergedReader for Deduplicator {
    fn handle_stored(&mut self, _: StreamIndex, _: u64, identity: Option<SetIdentity>) -> bool {
        match identity.map_or(Delivery::First, |set| self.check(set, 0, 1)) {
            Delivery::First | Delivery::Unknown => true,
            Delivery::Duplicate => false,
        }
    }
}

/// Delivers every set as often as it is stored.
impl MergedReader for () {
    fn handle_stored(&mut self, _: StreamIndex, _: u64, _: Option<SetIdentity>) -> bool {
        true
    }
}

/// The run was stopped by `watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Number of events between two calls of `watch`.
const WATCH_INTERVAL: u32 = 1 << 16;

/// A scenario and a seed, to be run under policies. Virtual time jumps from one event to the next.
///
/// A cancelled attempt still uses its stream, and its set is stored, unless
/// [`with_drops`](Self::with_drops) says otherwise: the worst case for the load and for duplicates.
///
/// ```
/// use core::ops::ControlFlow;
/// use distributedlog::writer::Settings;
/// use distributedlog_sim::{Ours, Simulation, scenarios};
///
/// let (_, scenario) = scenarios::named("a").unwrap();
/// let simulation = Simulation::new(scenario.with_sets(1_000), 1)?;
/// let mut ours = Ours::new(5, Settings::default())?;
/// let report = simulation.run(&mut ours, &mut (), |_| ControlFlow::Continue(())).unwrap();
/// assert_eq!(report.written + report.failed, 1_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Simulation {
    scenario: Scenario,
    seed: u64,
    drops: Drops,
}

impl Simulation {
    /// Creates a simulation of this scenario.
    ///
    /// # Errors
    ///
    /// The scenario is invalid.
    pub fn new(scenario: Scenario, seed: u64) -> Result<Self, ScenarioError> {
        scenario.check()?;
        Ok(Self {
            scenario,
            seed,
            drops: Drops::Nothing,
        })
    }

    /// Returns the simulation with proxies that drop copies before they store them.
    #[must_use]
    pub fn with_drops(self, drops: Drops) -> Self {
        Self { drops, ..self }
    }

    /// Returns the scenario.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Returns the seed of all random numbers.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Runs the scenario until every set has ended and no attempt is in flight. Calls `watch` at
    /// intervals with the number of sets that have arrived; it may stop the run.
    ///
    /// # Errors
    ///
    /// `watch` stopped the run.
    ///
    /// # Panics
    ///
    /// If the policy ends a set twice or never, or sends to a stream that does not exist.
    pub fn run(
        &self,
        policy: &mut impl Policy,
        reader: &mut impl MergedReader,
        mut watch: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Report, Stopped> {
        let mut run = Run::new(self, reader);
        let mut arrivals = ArrivalTimes::new(&self.scenario, self.seed);
        let mut arrival = arrivals.next();
        let mut actions = Actions::default();
        for events in 1_u32.. {
            let event = run.events.peek().map(|Reverse(event)| event.at);
            let timer = policy.poll_timeout().map(Instant::as_micros);
            let Some(now) = [event, timer, arrival].into_iter().flatten().min() else {
                break;
            };
            let time = Instant::from_micros(now);
            // Outcomes come before timers of the same time: a timer must not overtake an outcome
            // that has arrived.
            if event == Some(now) {
                if let Some(outcome) = run.next_event() {
                    policy.handle_outcome(time, outcome, &mut actions);
                }
            } else if timer == Some(now) {
                policy.handle_timeout(time, &mut actions);
            } else {
                for set in run.begin(now) {
                    policy.handle_set(time, set, &mut actions);
                }
                arrival = arrivals.next();
            }
            run.carry_out(now, &mut actions);
            if events % WATCH_INTERVAL == 0 && watch(run.report.sets).is_break() {
                return Err(Stopped);
            }
        }
        debug_assert_eq!(arrivals.left(), 0, "all have arrived");
        Ok(run.finish())
    }
}

/// An event of an attempt. The earliest one is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: u64,
    /// Orders events of the same time by their creation.
    order: u64,
    kind: EventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EventKind {
    /// When a set is stored. The writer learns it if `has_outcome` is true.
    Stored {
        attempt: SentAttempt,
        has_outcome: bool,
    },
    /// When a writer learns that a stream had no room.
    Refused { attempt: SentAttempt },
    /// When a worker of a stream is free.
    Free { stream: u16 },
}

/// An operation whose sets have not all ended.
#[derive(Clone, Copy, Debug)]
struct Operation {
    began: u64,
    left: u32,
    failed: bool,
}

/// Flags of a set, in one byte.
mod flag {
    pub(super) const ENDED: u8 = 1;
    pub(super) const WRITTEN: u8 = 2;
    pub(super) const STORED: u8 = 4;
    pub(super) const DELIVERED: u8 = 8;
}

struct Run<'a, R> {
    world: World,
    reader: &'a mut R,
    events: BinaryHeap<Reverse<Event>>,
    order: u64,
    fan_out: u64,
    operations: HashMap<u64, Operation>,
    sets: Vec<u8>,
    copies: Copies,
    report: Report,
}

impl<'a, R: MergedReader> Run<'a, R> {
    fn new(simulation: &Simulation, reader: &'a mut R) -> Self {
        let Simulation {
            scenario,
            seed,
            drops,
        } = simulation;
        Self {
            world: World::new(scenario, *seed),
            reader,
            events: BinaryHeap::new(),
            order: 0,
            fan_out: u64::from(scenario.arrivals.fan_out),
            operations: HashMap::new(),
            sets: Vec::new(),
            copies: Copies::new(*drops),
            report: Report::new(0),
        }
    }

    /// Begins an operation. Returns its sets.
    fn begin(&mut self, now: u64) -> core::ops::Range<u64> {
        let first = self.report.sets;
        self.report.sets += self.fan_out;
        self.sets.resize(self.report.sets as usize, 0);
        self.operations.insert(
            first / self.fan_out,
            Operation {
                began: now,
                left: self.fan_out as u32,
                failed: false,
            },
        );
        self.report.second(now).sets += self.fan_out;
        first..self.report.sets
    }

    /// Handles the earliest event. Returns the outcome that the policy learns, if there is one.
    fn next_event(&mut self) -> Option<AttemptOutcome> {
        let Reverse(Event { at, kind, .. }) = self.events.pop()?;
        let (attempt, stored, has_outcome) = match kind {
            EventKind::Stored {
                attempt,
                has_outcome,
            } => (attempt, true, has_outcome),
            EventKind::Refused { attempt } => (attempt, false, true),
            EventKind::Free { stream } => {
                if let Some((attempt, schedule)) = self.world.next(at, stream) {
                    self.begun(attempt, schedule);
                }
                return None;
            }
        };
        let SentAttempt {
            set,
            stream,
            attempt,
            identity,
            ..
        } = attempt;
        let stream = StreamIndex(stream);
        if stored {
            let delivered = self.reader.handle_stored(stream, set, identity);
            let flags = &mut self.sets[set as usize];
            self.report.duplicates += u64::from(*flags & flag::STORED != 0);
            *flags |= flag::STORED;
            if delivered {
                self.report.read.repeated += u64::from(*flags & flag::DELIVERED != 0);
                *flags |= flag::DELIVERED;
            }
        }
        has_outcome.then_some(AttemptOutcome {
            set,
            stream,
            attempt,
            stored,
        })
    }

    /// Carries out the policy's actions.
    fn carry_out(&mut self, now: u64, actions: &mut Actions) {
        for AttemptStart {
            set,
            stream,
            attempt,
            earlier_attempts,
            identity,
        } in actions.starts.drain(..)
        {
            self.report.attempts += 1;
            self.report.second(now).attempts += 1;
            let attempt = SentAttempt {
                set,
                stream: stream.0,
                attempt,
                earlier_attempts,
                sent: now,
                identity,
            };
            if self.copies.drops(&attempt) {
                self.report.dropped += 1;
                continue;
            }
            match self.world.send(attempt) {
                Reception::Lost => {}
                Reception::Begun(schedule) => self.begun(attempt, schedule),
                Reception::Waits => self.copies.waits(&attempt),
                Reception::Refused(at) => self.push(at, EventKind::Refused { attempt }),
            }
        }
        for attempt in actions.cancelled.drain(..) {
            if let Some(stream) = self.copies.cancelled(attempt) {
                self.drop_waiting(attempt, stream);
            }
        }
        for (set, written) in actions.ended.drain(..) {
            self.end(now, set, written);
        }
    }

    /// Handles the begin of the work on an attempt.
    fn begun(&mut self, attempt: SentAttempt, schedule: Schedule) {
        // The worker is free before the writer can act on the outcome.
        if let Some(at) = schedule.free {
            let stream = attempt.stream;
            self.push(at, EventKind::Free { stream });
        }
        if let Some(at) = schedule.stored {
            let has_outcome = schedule.has_outcome;
            self.push(
                at,
                EventKind::Stored {
                    attempt,
                    has_outcome,
                },
            );
        }
        for (twin, stream) in self.copies.begun(&attempt) {
            self.drop_waiting(twin, stream);
        }
    }

    fn drop_waiting(&mut self, attempt: u64, stream: u16) {
        self.report.dropped += u64::from(self.world.drop_waiting(attempt, stream));
    }

    fn push(&mut self, at: u64, kind: EventKind) {
        self.order += 1;
        self.events.push(Reverse(Event {
            at,
            order: self.order,
            kind,
        }));
    }

    fn end(&mut self, now: u64, set: u64, written: bool) {
        let flags = &mut self.sets[set as usize];
        assert!(*flags & flag::ENDED == 0, "set {set} ended twice");
        *flags |= flag::ENDED | if written { flag::WRITTEN } else { 0 };
        *if written {
            &mut self.report.written
        } else {
            &mut self.report.failed
        } += 1;
        let key = set / self.fan_out;
        let operation = self
            .operations
            .get_mut(&key)
            .expect("it has a set that had not ended");
        operation.left -= 1;
        operation.failed |= !written;
        if operation.left == 0 {
            let Operation { began, failed, .. } = *operation;
            self.operations.remove(&key);
            self.report.record((!failed).then_some(now - began));
        }
    }

    fn finish(mut self) -> Report {
        assert!(
            self.operations.is_empty(),
            "{} operations never ended",
            self.operations.len()
        );
        for flags in self.sets {
            let delivered = flags & flag::DELIVERED != 0;
            self.report.read.delivered += u64::from(delivered);
            self.report.read.missing += u64::from(flags & flag::WRITTEN != 0 && !delivered);
        }
        self.report
    }
}
