use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use distributedlog::wire::record_set::RecordSet;
use distributedlog::{
    Attempt, AttemptId, Clock, Dlsn, FailureDomain, Instant, Outcome, StartRefused, StreamIndex,
    Transport,
};

use crate::{Random, VirtualClock, VirtualSleep};

/// Latency of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// A constant latency.
    Constant(Duration),
    /// A latency that is evenly distributed between the two.
    Between(Duration, Duration),
    /// The second with this probability, otherwise the first.
    Bimodal(Duration, Duration, f64),
}

impl Latency {
    /// Draws a latency from the distribution.
    pub fn draw(&self, random: &mut Random) -> Duration {
        match *self {
            Self::Constant(latency) => latency,
            Self::Between(low, high) => random.between(low, high),
            Self::Bimodal(fast, slow, share) => {
                if random.chance(share) {
                    slow
                } else {
                    fast
                }
            }
        }
    }
}

/// A record set that a stream stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSet {
    /// Position of the set's first record.
    pub dlsn: Dlsn,
    /// Bytes of the set, header included.
    pub bytes: Vec<u8>,
}

impl StoredSet {
    /// Returns the records of the set.
    ///
    /// # Panics
    ///
    /// If the bytes are not a valid record set, which is a bug of the writer.
    #[must_use]
    pub fn records(&self) -> Vec<Vec<u8>> {
        let mut scratch = vec![0; 1 << 20];
        let set =
            RecordSet::parse(&self.bytes, &mut scratch).expect("what is stored is a record set");
        set.records().map(<[u8]>::to_vec).collect()
    }
}

/// A transport to streams in memory. Under virtual time, it stores an attempt after half of its
/// latency and answers after all of it. An attempt that is cancelled before it is stored is never
/// stored. Clones share the same streams.
#[derive(Clone, Debug)]
pub struct MemoryStreams {
    world: Arc<Mutex<World>>,
    clock: VirtualClock,
}

#[derive(Debug)]
struct World {
    latency: Vec<Latency>,
    domains: HashMap<StreamIndex, FailureDomain>,
    random: Random,
    stored: Vec<Vec<StoredSet>>,
    /// Future events by their time; the number keeps the order of events of the same time.
    events: BTreeMap<(Instant, u64), Event>,
    serial: u64,
    live: HashMap<AttemptId, StreamIndex>,
    cancelled: u64,
    sleep: Option<Pin<Box<VirtualSleep>>>,
}

#[derive(Debug)]
enum Event {
    Store(AttemptId, Vec<u8>, Instant),
    Answer(AttemptId, Dlsn),
}

impl MemoryStreams {
    /// Creates `streams` empty streams with the same latency.
    #[must_use]
    pub fn new(clock: VirtualClock, streams: usize, latency: Latency, seed: u64) -> Self {
        let world = World {
            latency: vec![latency; streams],
            domains: HashMap::new(),
            random: Random::new(seed),
            stored: vec![Vec::new(); streams],
            events: BTreeMap::new(),
            serial: 0,
            live: HashMap::new(),
            cancelled: 0,
            sleep: None,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            clock,
        }
    }

    /// Sets the latency of one stream.
    pub fn set_latency(&self, stream: StreamIndex, latency: Latency) {
        self.world().latency[usize::from(stream.0)] = latency;
    }

    /// Sets the failure domain that a stream is in from now on.
    pub fn set_failure_domain(&self, stream: StreamIndex, domain: FailureDomain) {
        self.world().domains.insert(stream, domain);
    }

    /// Returns the sets that a stream stored, in order.
    #[must_use]
    pub fn stored(&self, stream: StreamIndex) -> Vec<StoredSet> {
        self.world().stored[usize::from(stream.0)].clone()
    }

    /// Returns the number of sets that all streams stored, copies included.
    #[must_use]
    pub fn sets_stored(&self) -> usize {
        self.world().stored.iter().map(Vec::len).sum()
    }

    /// Returns the record at a position of a stream, or `None` if there is none.
    #[must_use]
    pub fn record_at(&self, stream: StreamIndex, dlsn: Dlsn) -> Option<Vec<u8>> {
        let world = self.world();
        let entry = usize::try_from(dlsn.entry_id).ok()?;
        let set = world.stored[usize::from(stream.0)].get(entry)?;
        set.records()
            .into_iter()
            .nth(usize::try_from(dlsn.slot_id).ok()?)
    }

    /// Returns the number of attempts that were cancelled before their answer.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.world().cancelled
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl World {
    fn schedule(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    /// Performs the events that are due, up to the next answer, and returns that.
    fn next_answer(&mut self, now: Instant) -> Option<(AttemptId, Dlsn)> {
        while self
            .events
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= now)
        {
            let (_, event) = self.events.pop_first()?;
            match event {
                Event::Store(attempt, bytes, answered) => {
                    let Some(stream) = self.live.get(&attempt) else {
                        continue;
                    };
                    let stored = &mut self.stored[usize::from(stream.0)];
                    let dlsn = Dlsn::new(1, stored.len() as i64, 0);
                    stored.push(StoredSet { dlsn, bytes });
                    self.schedule(answered, Event::Answer(attempt, dlsn));
                }
                Event::Answer(attempt, dlsn) => {
                    if self.live.remove(&attempt).is_some() {
                        return Some((attempt, dlsn));
                    }
                }
            }
        }
        None
    }
}

impl Transport for MemoryStreams {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let mut world = self.world();
        let world = &mut *world;
        let latency = world.latency[usize::from(attempt.stream.0)].draw(&mut world.random);
        world.live.insert(attempt.id, attempt.stream);
        world.schedule(
            now + latency / 2,
            Event::Store(attempt.id, attempt.record_set.to_vec(), now + latency),
        );
        Ok(())
    }

    fn cancel(&mut self, _now: Instant, attempt: AttemptId) {
        let mut world = self.world();
        if world.live.remove(&attempt).is_some() {
            world.cancelled += 1;
        }
    }

    fn failure_domain(&mut self, stream: StreamIndex) -> Option<FailureDomain> {
        self.world().domains.get(&stream).copied()
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        loop {
            let now = self.clock.now();
            let mut world = self.world();
            if let Some((attempt, dlsn)) = world.next_answer(now) {
                return Poll::Ready((attempt, Ok(dlsn)));
            }
            let Some((next, _)) = world.events.first_key_value().map(|(key, _)| *key) else {
                world.sleep = None;
                return Poll::Pending;
            };
            let mut sleep = Box::pin(self.clock.sleep_until(next));
            if sleep.as_mut().poll(cx).is_pending() {
                world.sleep = Some(sleep);
                return Poll::Pending;
            }
        }
    }
}
