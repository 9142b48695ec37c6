//! Faults of a run.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use distributedlog_bookkeeper::metadata::BookieId;
use distributedlog_testkit::Random;
use distributedlog_testkit::bookies::BookieMode;
use distributedlog_testkit::zookeeper::Delivery;
use tokio::time::Instant;

use super::gate::Gate;
use super::plan::Kind;
use super::process::Process;
use super::workload;
use super::world::{World, lock};

/// Faults, and what ends them.
pub(super) struct Faults {
    random: Random,
    /// What is due, in the order of the times.
    due: BTreeMap<(Instant, u64), End>,
    next: u64,
    /// Bookie that was lost with its disk.
    lost: Option<BookieId>,
    pub(super) count: u64,
}

/// End of a fault.
enum End {
    BookieBack(BookieId),
    Writable(BookieId),
    Fast,
    ZooKeeperAnswers,
    /// The ensemble ends a session that it has not heard for its timeout.
    Expires(i64),
    Healed(Arc<Process>),
    Linked(Arc<Gate>),
    Started(u16),
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            due: BTreeMap::new(),
            next: 0,
            lost: None,
            count: 0,
        }
    }

    fn after(&mut self, time: Duration, end: End) {
        self.next += 1;
        self.due.insert((Instant::now() + time, self.next), end);
    }

    fn time(&mut self, low: u64, high: u64) -> Duration {
        let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
        self.random.between(low, high)
    }

    /// Disturbs the world for as long as its plan says.
    pub(super) async fn run(&mut self, world: &Arc<World>) {
        let end = Instant::now() + world.plan.duration;
        let mean = u64::try_from(world.plan.interval.as_millis()).unwrap_or(u64::MAX);
        let mut next = Instant::now() + self.time(0, 2 * mean);
        while Instant::now() < end {
            let first = self.due.first_key_value().map(|it| it.0.0);
            let until = first.into_iter().chain([next, end]).min().unwrap_or(end);
            world
                .pass(until.saturating_duration_since(Instant::now()))
                .await;
            self.end_due(world).await;
            if Instant::now() >= next {
                next = Instant::now() + self.time(0, 2 * mean);
                self.begin(world);
            }
        }
    }

    /// Ends all faults but the loss of a bookie.
    pub(super) async fn heal(&mut self, world: &Arc<World>) {
        world.note(format_args!("heal"));
        world.cluster.ensemble.deliver_all();
        // Sessions that were not heard for long enough end when they would have.
        while let Some(((at, _), end)) = self.due.pop_first() {
            if matches!(end, End::Expires(_)) {
                world
                    .pass(at.saturating_duration_since(Instant::now()))
                    .await;
            }
            self.end(world, end).await;
        }
    }

    async fn end_due(&mut self, world: &Arc<World>) {
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= Instant::now()
        {
            let end = first.remove();
            self.end(world, end).await;
        }
    }

    async fn end(&mut self, world: &Arc<World>, end: End) {
        let bookies = &world.cluster.bookies;
        match end {
            End::BookieBack(bookie) if self.lost.as_ref() == Some(&bookie) => {}
            End::BookieBack(bookie) => {
                world.note(format_args!("{bookie} is back"));
                bookies.set_mode(&bookie, BookieMode::Up);
                register(world, &bookie, true);
            }
            End::Writable(bookie) => bookies.set_read_only(&bookie, false),
            End::Fast => bookies.set_times(Duration::from_millis(1), Duration::from_millis(3)),
            End::ZooKeeperAnswers => world.cluster.ensemble.deliver_all(),
            End::Expires(session) => {
                world.note(format_args!("session {session:x} expires"));
                world.cluster.ensemble.expire(session);
            }
            End::Healed(process) if process.is_alive() => {
                world.note(format_args!("{} is back", process.owner.shard));
                for session in process.sessions() {
                    world.cluster.ensemble.heal(session);
                }
                process.resume(world.elapsed());
            }
            End::Healed(_) => {}
            End::Linked(link) => link.set_open(true),
            End::Started(number) => {
                self.start(world, number).await;
            }
        }
    }

    /// Starts a process with its tasks, now or when ZooKeeper answers.
    pub(super) async fn start(&mut self, world: &Arc<World>, number: u16) {
        let seed = self.random.bits();
        let settings = world.plan.settings.clone();
        match Process::start(&world.cluster, settings, number, (seed, world.start)).await {
            Some(process) => {
                world.note(format_args!("{number} is started"));
                workload::start(world, &process, &mut self.random);
                lock(&world.processes).push(process);
            }
            None => self.after(Duration::from_millis(200), End::Started(number)),
        }
    }

    fn begin(&mut self, world: &Arc<World>) {
        let kinds = &world.plan.kinds;
        let Some(&kind) = kinds.get(self.random.index(kinds.len())) else {
            return;
        };
        world.note(format_args!("fault: {kind:?}"));
        self.count += 1;
        match kind {
            Kind::BookieDown
            | Kind::BookieSilent
            | Kind::BookieReadOnly
            | Kind::BookieLost
            | Kind::Slow => self.disturb_bookies(world, kind),
            Kind::ZooKeeper => self.disturb_zookeeper(world),
            Kind::Expire | Kind::Partition | Kind::Cut | Kind::Pause | Kind::Kill => {
                if let Some(process) = world.random_process(&mut self.random) {
                    self.disturb_process(world, kind, &process);
                }
            }
        }
    }

    fn disturb_bookies(&mut self, world: &Arc<World>, kind: Kind) {
        let bookies = &world.cluster.bookies;
        let ids = bookies.ids();
        let bookie = ids[self.random.index(ids.len())].clone();
        if self.lost.as_ref() == Some(&bookie) {
            return;
        }
        match kind {
            Kind::BookieDown | Kind::BookieSilent => {
                let is_down = kind == Kind::BookieDown;
                let mode = if is_down {
                    BookieMode::Down
                } else {
                    BookieMode::Silent
                };
                bookies.set_mode(&bookie, mode);
                if self.random.one_in(2) {
                    register(world, &bookie, false);
                }
                let time = self.time(50, 8_000);
                self.after(time, End::BookieBack(bookie));
            }
            Kind::BookieReadOnly => {
                bookies.set_read_only(&bookie, true);
                let time = self.time(50, 8_000);
                self.after(time, End::Writable(bookie));
            }
            Kind::BookieLost if self.lost.is_none() => {
                bookies.set_mode(&bookie, BookieMode::Down);
                bookies.wipe(&bookie);
                register(world, &bookie, false);
                self.lost = Some(bookie);
                world.has_lost.store(true, Ordering::Relaxed);
            }
            Kind::Slow => {
                let (latency, sync) = (self.time(1, 100), self.time(3, 1_500));
                bookies.set_times(latency, sync);
                let time = self.time(100, 5_000);
                self.after(time, End::Fast);
            }
            Kind::BookieLost
            | Kind::ZooKeeper
            | Kind::Expire
            | Kind::Partition
            | Kind::Cut
            | Kind::Pause
            | Kind::Kill => {}
        }
    }

    fn disturb_zookeeper(&mut self, world: &Arc<World>) {
        let mut random = Random::new(self.random.bits());
        let rate = world.plan.zookeeper_rate;
        let of = Arc::downgrade(world);
        world.cluster.ensemble.deliver_by(move |request| {
            if !random.one_in(rate) {
                return Delivery::Answered;
            }
            if let Some(world) = of.upgrade()
                && request.is_change
            {
                world.may_leave.fetch_add(1, Ordering::Relaxed);
            }
            match random.below(12) {
                0..3 => Delivery::Unavailable,
                3..5 => Delivery::Lost,
                5..8 => Delivery::LostReply,
                8..11 => Delivery::LostDelayed,
                _ if random.one_in(2) => Delivery::Expired,
                _ => Delivery::ExpiredLost,
            }
        });
        let time = self.time(50, 3_000);
        self.after(time, End::ZooKeeperAnswers);
    }

    fn disturb_process(&mut self, world: &Arc<World>, kind: Kind, process: &Arc<Process>) {
        world.note(format_args!("{kind:?} of {}", process.owner.shard));
        let ensemble = &world.cluster.ensemble;
        let session = process.session();
        let timeout = world.plan.settings.session_timeout;
        world.may_leave.fetch_add(1, Ordering::Relaxed);
        match kind {
            Kind::Expire => ensemble.expire(session),
            Kind::Cut => {
                let ids = world.cluster.bookies.ids();
                let link = process.links.of(&ids[self.random.index(ids.len())]);
                link.set_open(false);
                let time = self.time(50, 8_000);
                self.after(time, End::Linked(link));
            }
            Kind::Partition | Kind::Pause => {
                ensemble.partition(session);
                if kind == Kind::Pause {
                    process.pause();
                }
                let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                let time = self.time(50, 2 * millis);
                if time >= timeout {
                    self.after(timeout, End::Expires(session));
                }
                self.after(time, End::Healed(Arc::clone(process)));
            }
            Kind::Kill => {
                process.kill(&world.cluster);
                for session in process.sessions() {
                    self.after(timeout, End::Expires(session));
                }
                let time = self.time(0, 4_000);
                let number = process.owner.shard as u16;
                self.after(time, End::Started(number));
            }
            Kind::BookieDown
            | Kind::BookieSilent
            | Kind::BookieReadOnly
            | Kind::BookieLost
            | Kind::Slow
            | Kind::ZooKeeper => {}
        }
    }
}

/// Registers a bookie, or takes its registration away, unless it is so.
fn register(world: &World, bookie: &BookieId, is_there: bool) {
    let path = format!(
        "{}/available/{bookie}",
        distributedlog_testkit::bookies::ROOT
    );
    let is_registered = world.cluster.ensemble.node(&path).is_some();
    match (is_there, is_registered) {
        (true, false) => world.cluster.register(bookie),
        (false, true) => world.cluster.unregister(bookie),
        (true, true) | (false, false) => {}
    }
}
