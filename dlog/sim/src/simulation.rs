use core::cmp::Reverse;
use core::ops::ControlFlow;
use std::collections::{BinaryHeap, HashMap};

use distributedlog::merge::{Deduplicator, Delivery};
use distributedlog::wire::record_set::SetIdentity;
use distributedlog::{Instant, StreamIndex};

use super::world::{Clockwork, World};
use super::{Answer, Policy, Report, Scenario, ScenarioError, Start, Todo};

/// Reads all streams as one: is shown every copy of a set when it is stored, and says whether it
/// delivers it.
pub trait MergedReader {
    /// A copy of a set came to lie in a stream. Answers whether the set is delivered from this
    /// copy.
    fn meet(&mut self, stream: StreamIndex, set: u64, identity: Option<SetIdentity>) -> bool;
}

/// The merged reader's memory of what it delivered, as `MultiReader` has it.
impl MergedReader for Deduplicator {
    fn meet(&mut self, _: StreamIndex, _: u64, identity: Option<SetIdentity>) -> bool {
        match identity.map_or(Delivery::First, |set| self.check(set, 0, 1)) {
            Delivery::First | Delivery::Unknown => true,
            Delivery::Duplicate => false,
        }
    }
}

/// Delivers everything.
impl MergedReader for () {
    fn meet(&mut self, _: StreamIndex, _: u64, _: Option<SetIdentity>) -> bool {
        true
    }
}

/// The run was stopped by its `watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// After how many events somebody who watches is told.
const WATCHED: u32 = 1 << 16;

/// Runs a scenario under a policy, from a seed, as fast as it goes: virtual time jumps from one
/// event to the next.
///
/// Cancelling an attempt takes no work off its stream: the set is stored all the same if it was
/// under way. That is the worst case, for the load and for copies.
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
}

impl Simulation {
    /// One of this scenario.
    ///
    /// # Errors
    /// The scenario cannot be.
    pub fn new(scenario: Scenario, seed: u64) -> Result<Self, ScenarioError> {
        scenario.check()?;
        Ok(Self { scenario, seed })
    }

    /// The scenario.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What the draws are made of.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Runs it to its end: until every set has ended and no attempt is under way any more. `watch`
    /// is told every now and then how many sets have arrived, and may break it off.
    ///
    /// # Errors
    /// `watch` broke it off.
    ///
    /// # Panics
    /// When the policy ends a set twice or never, or sends to a stream that does not exist.
    pub fn run(
        &self,
        policy: &mut impl Policy,
        reader: &mut impl MergedReader,
        mut watch: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Report, Stopped> {
        let mut run = Run::new(self, reader);
        let mut clockwork = Clockwork::new(&self.scenario, self.seed);
        let mut arrival = clockwork.next();
        let mut todo = Todo::default();
        for events in 1_u32.. {
            let event = run.events.peek().map(|Reverse(event)| event.at);
            let timer = policy.next_timeout().map(Instant::as_micros);
            let Some(now) = [event, timer, arrival].into_iter().flatten().min() else {
                break;
            };
            let time = Instant::from_micros(now);
            // Answers come before timers: one that is there already is never overtaken by a timer.
            if event == Some(now) {
                if let Some(answer) = run.next_event() {
                    policy.answered(time, answer, &mut todo);
                }
            } else if timer == Some(now) {
                policy.handle_timeout(time, &mut todo);
            } else {
                for set in run.begin(now) {
                    policy.arrive(time, set, &mut todo);
                }
                arrival = clockwork.next();
            }
            run.carry_out(now, &mut todo);
            if events % WATCHED == 0 && watch(run.report.sets).is_break() {
                return Err(Stopped);
            }
        }
        debug_assert_eq!(clockwork.left(), 0, "all have arrived");
        Ok(run.finish())
    }
}

/// Something that happens to an attempt. The earliest is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: u64,
    /// Tells those of the same time apart.
    order: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// When a set is stored, and its writer told if there is an answer.
    Stored { attempt: Sent, told: bool },
    /// When a writer is told that there was no room.
    Refused { attempt: Sent },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    set: u64,
    stream: u16,
    attempt: u64,
    identity: Option<SetIdentity>,
}

/// Sets that were written at a time, and have not all ended.
#[derive(Clone, Copy, Debug)]
struct Operation {
    began: u64,
    left: u32,
    failed: bool,
}

/// What is known of a set, in one byte: two flags, whether it was delivered, and whether a copy is
/// stored.
mod mark {
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
    report: Report,
}

impl<'a, R: MergedReader> Run<'a, R> {
    fn new(simulation: &Simulation, reader: &'a mut R) -> Self {
        let Simulation { scenario, seed } = simulation;
        Self {
            world: World::new(scenario, *seed),
            reader,
            events: BinaryHeap::new(),
            order: 0,
            fan_out: u64::from(scenario.arrivals.fan_out),
            operations: HashMap::new(),
            sets: Vec::new(),
            report: Report::new(0),
        }
    }

    /// An operation begins: its sets.
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

    /// Takes the earliest event; what the policy is told of it.
    fn next_event(&mut self) -> Option<Answer> {
        let Reverse(Event { what, .. }) = self.events.pop()?;
        let (
            Sent {
                set,
                stream,
                attempt,
                identity,
            },
            stored,
            told,
        ) = match what {
            What::Stored { attempt, told } => (attempt, true, told),
            What::Refused { attempt } => (attempt, false, true),
        };
        let stream = StreamIndex(stream);
        if stored {
            let delivered = self.reader.meet(stream, set, identity);
            let marks = &mut self.sets[set as usize];
            self.report.copies += u64::from(*marks & mark::STORED != 0);
            *marks |= mark::STORED;
            if delivered {
                self.report.read.twice += u64::from(*marks & mark::DELIVERED != 0);
                *marks |= mark::DELIVERED;
            }
        }
        told.then_some(Answer {
            set,
            stream,
            attempt,
            stored,
        })
    }

    /// Does what the policy wants done.
    fn carry_out(&mut self, now: u64, todo: &mut Todo) {
        for Start {
            set,
            stream,
            attempt,
            again,
            identity,
        } in todo.starts.drain(..)
        {
            self.report.attempts += 1;
            self.report.second(now).attempts += 1;
            let fate = self.world.send(now, set, stream.0, again);
            let attempt = Sent {
                set,
                stream: stream.0,
                attempt,
                identity,
            };
            let event = match (fate.stored, fate.answer) {
                (Some(at), answer) => Some((
                    at,
                    What::Stored {
                        attempt,
                        told: answer.is_some(),
                    },
                )),
                (None, Some((at, _))) => Some((at, What::Refused { attempt })),
                (None, None) => None,
            };
            if let Some((at, what)) = event {
                self.order += 1;
                self.events.push(Reverse(Event {
                    at,
                    order: self.order,
                    what,
                }));
            }
        }
        for (set, written) in todo.ended.drain(..) {
            self.end(now, set, written);
        }
    }

    fn end(&mut self, now: u64, set: u64, written: bool) {
        let marks = &mut self.sets[set as usize];
        assert!(*marks & mark::ENDED == 0, "set {set} ended twice");
        *marks |= mark::ENDED | if written { mark::WRITTEN } else { 0 };
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
        for marks in self.sets {
            let delivered = marks & mark::DELIVERED != 0;
            self.report.read.delivered += u64::from(delivered);
            self.report.read.missing += u64::from(marks & mark::WRITTEN != 0 && !delivered);
        }
        self.report
    }
}
