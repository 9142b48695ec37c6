//! All machines and what goes on between them: a millisecond at a time, in an order that the seed
//! decides.

use distributedlog::Instant;
use distributedlog_store::StreamName;
use distributedlog_testkit::Random;

use crate::faults::{Fault, FaultCounts, Plan};
use crate::net::{Death, HostId, Network};
use crate::operator::{OperatorMachine, Task};
use crate::oracle::Oracle;
use crate::proxy::ProxyMachine;
use crate::reader::ReaderMachine;
use crate::run::life_of;
use crate::seeds::panicked;
use crate::store::StoreMachine;
use crate::trace::Trace;
use crate::writer::WriterMachine;

/// The machines, by the numbers that they have in the network.
const STORE: HostId = HostId(0);
const PROXIES: [HostId; 2] = [HostId(1), HostId(2)];
const READER: HostId = HostId(3);
const WRITERS: [HostId; 2] = [HostId(4), HostId(5)];
const OPERATOR: HostId = HostId(6);
const MACHINES: u8 = 7;

/// Everything there is in a run.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) network: Network,
    pub(crate) store: StoreMachine,
    pub(crate) proxies: Vec<ProxyMachine>,
    pub(crate) writers: Vec<WriterMachine>,
    pub(crate) reader: ReaderMachine,
    operator: OperatorMachine,
    pub(crate) oracle: Oracle,
    pub(crate) faults: FaultCounts,
    streams: Vec<StreamName>,
    plan: Plan,
    machines: Vec<Machine>,
    /// What is put right again, and when.
    repairs: Vec<(u64, Repair)>,
}

/// What the world knows of a machine.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    /// When it is started again, if it is down.
    starts_at: Option<u64>,
    /// Until when it does nothing.
    stalled_until: u64,
    /// How many milliseconds of its life it has not noticed.
    overslept: u64,
}

#[derive(Clone, Copy, Debug)]
enum Repair {
    Unblock(HostId, HostId),
    SpeedUp(HostId, HostId),
    DiskSpace,
}

impl World {
    pub(crate) fn new(seed: u64, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let trace = Trace::new(prints);
        let network = Network::new(random.bits(), trace.clone());
        // With one stream alone, what fails there has failed.
        let count = if random.chance(0.15) {
            1
        } else {
            1 + random.below(5) as usize
        };
        let names: Vec<String> = (0..count).map(|index| format!("stream-{index}")).collect();
        let streams: Vec<StreamName> = names
            .iter()
            .map(|name| name.parse().expect("a legal name"))
            .collect();
        let store = StoreMachine::new(random.bits(), STORE, &network, &trace);
        let proxies = PROXIES
            .iter()
            .map(|host| ProxyMachine::new(random.bits(), *host, STORE, &network))
            .collect();
        let writers = 1 + random.below(WRITERS.len() as u64) as usize;
        let writers = WRITERS[..writers].iter().map(|host| {
            WriterMachine::new(random.bits(), *host, &network, &trace, &names, &PROXIES)
        });
        let writers = writers.collect();
        let reader = ReaderMachine::new(random.bits(), READER, STORE, &network, &streams, &trace);
        let operator =
            OperatorMachine::new(random.bits(), OPERATOR, STORE, &network, &streams, &trace);
        let plan = Plan::new(&mut random);
        trace.note(format_args!("seed {seed}: {count} streams, {plan:?}"));
        let mut world = Self {
            now: 0,
            trace,
            network,
            store,
            proxies,
            writers,
            reader,
            operator,
            oracle: Oracle::new(count),
            faults: FaultCounts::default(),
            streams,
            plan,
            machines: vec![
                Machine {
                    starts_at: Some(1),
                    ..Machine::default()
                };
                usize::from(MACHINES)
            ],
            repairs: Vec::new(),
            random,
        };
        world.store.start().expect("an empty disk takes a store");
        if world.random.chance(0.5) {
            world.create_streams();
        }
        world.machines[0].starts_at = None;
        world
    }

    /// The streams, by their index.
    pub(crate) fn streams(&self) -> &[StreamName] {
        &self.streams
    }

    /// Somebody makes the streams that are missing.
    pub(crate) fn create_streams(&mut self) {
        self.store.create(&self.streams);
    }

    /// The time as writers know it.
    pub(crate) const fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// A millisecond passes.
    pub(crate) fn tick(&mut self, faulty: bool, gives: bool) {
        self.now += 1;
        self.trace.set_now(self.now);
        self.set_clocks();
        self.network.tick(self.now);
        if faulty && let Some(fault) = self.plan.next(&mut self.random) {
            self.go_wrong(fault);
        }
        self.repair();
        self.start_machines();
        let mut order: Vec<u8> = (0..MACHINES).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        for machine in order {
            self.turn(HostId(machine), gives);
        }
        while let Some((task, answer)) = self.operator.next_answer() {
            self.oracle.lives.answered(task, &answer);
        }
        if let Some(message) = panicked() {
            panic!("{message}");
        }
    }

    /// What the store shows of the streams is what was asked for.
    fn observe_streams(&mut self) {
        let Some(store) = self.store.served() else {
            return;
        };
        for (index, stream) in self.streams.iter().enumerate() {
            self.oracle
                .lives
                .observe(self.now, index, life_of(&store, stream));
        }
    }

    fn set_clocks(&self) {
        let walls = [&self.store.wall]
            .into_iter()
            .chain(self.proxies.iter().map(|proxy| &proxy.wall));
        for wall in walls.chain(self.writers.iter().map(|writer| &writer.wall)) {
            wall.set_now(self.now);
        }
    }

    /// A machine has its turn, unless it is stalled.
    fn turn(&mut self, host: HostId, gives: bool) {
        let now = self.instant();
        let machine = &mut self.machines[usize::from(host.0)];
        if self.now < machine.stalled_until {
            machine.overslept += 1;
            return;
        }
        let overslept = core::mem::take(&mut machine.overslept);
        self.trace.count(|counts| counts.turns += 1);
        match host {
            STORE => {
                self.store.oversleep(overslept);
                let went_off = self.store.turn(self.now, &mut self.random);
                self.observe_streams();
                if went_off {
                    let death = self.death();
                    self.end(STORE, death);
                }
            }
            READER => {
                self.reader.oversleep(overslept);
                self.reader.turn();
            }
            OPERATOR => {
                self.operator.oversleep(overslept);
                self.operator.turn();
            }
            _ if PROXIES.contains(&host) => {
                let proxy = &mut self.proxies[usize::from(host.0 - PROXIES[0].0)];
                proxy.oversleep(overslept);
                if proxy.turn() {
                    self.trace.note(format_args!("{host:?} has gone in peace"));
                    self.machines[usize::from(host.0)].starts_at =
                        Some(self.now + 1 + self.random.below(500));
                }
            }
            _ => {
                if let Some(writer) = self.writers.get_mut(usize::from(host.0 - WRITERS[0].0)) {
                    writer.turn(now, gives, &mut self.oracle);
                }
            }
        }
    }

    fn is_up(&self, host: HostId) -> bool {
        match host {
            STORE => self.store.is_up(),
            READER => self.reader.is_up(),
            OPERATOR => self.operator.is_up(),
            _ if PROXIES.contains(&host) => {
                self.proxies[usize::from(host.0 - PROXIES[0].0)].is_up()
            }
            _ => self
                .writers
                .get(usize::from(host.0 - WRITERS[0].0))
                .is_some_and(WriterMachine::is_up),
        }
    }

    fn start_machines(&mut self) {
        for index in 0..MACHINES {
            let host = HostId(index);
            let due = self.machines[usize::from(index)]
                .starts_at
                .is_some_and(|at| at <= self.now);
            if !due {
                continue;
            }
            self.machines[usize::from(index)] = Machine::default();
            self.trace.note(format_args!("{host:?} starts"));
            match host {
                STORE => self.start_store(),
                READER => self.reader.start(),
                OPERATOR => self.operator.start(),
                _ if PROXIES.contains(&host) => {
                    self.proxies[usize::from(host.0 - PROXIES[0].0)].start()
                }
                _ => {
                    let now = self.instant();
                    if let Some(writer) = self.writers.get_mut(usize::from(host.0 - WRITERS[0].0)) {
                        writer.start(now);
                    }
                }
            }
        }
    }

    /// The store opens; or its machine goes off while it recovers, or it finds its disk full, and
    /// is started again later.
    fn start_store(&mut self) {
        if let Err(error) = self.store.start() {
            self.trace
                .note(format_args!("the store does not open: {error}"));
            let excused = self.store.disk.has_crashed()
                || self
                    .repairs
                    .iter()
                    .any(|(_, repair)| matches!(repair, Repair::DiskSpace));
            assert!(
                excused || matches!(error, distributedlog_store::StoreError::Io { .. }),
                "the store does not open: {error}"
            );
            let death = self.death();
            self.end(STORE, death);
        }
    }

    fn death(&mut self) -> Death {
        if self.random.chance(0.5) {
            Death::Killed
        } else {
            Death::PowerLost
        }
    }

    /// A machine's process ends at once, and starts again later.
    pub(crate) fn end(&mut self, host: HostId, death: Death) {
        self.trace.note(format_args!("{host:?}: {death:?}"));
        match host {
            STORE => self.store.crash(death),
            READER => self.reader.crash(death),
            OPERATOR => {
                self.operator.crash(death);
                self.oracle.lives.operator_died();
            }
            _ if PROXIES.contains(&host) => {
                self.proxies[usize::from(host.0 - PROXIES[0].0)].crash(death)
            }
            _ => {
                if let Some(writer) = self.writers.get_mut(usize::from(host.0 - WRITERS[0].0)) {
                    writer.crash(death, &mut self.oracle);
                }
            }
        }
        let pause = if self.random.chance(0.8) {
            self.random.below(300)
        } else {
            self.random.below(3_000)
        };
        self.machines[usize::from(host.0)] = Machine {
            starts_at: Some(self.now + 1 + pause),
            ..Machine::default()
        };
    }

    fn any_machine(&mut self) -> HostId {
        HostId(self.random.below(u64::from(MACHINES)) as u8)
    }

    fn go_wrong(&mut self, fault: Fault) {
        let host = self.any_machine();
        let until = self.now
            + 1
            + if self.random.chance(0.8) {
                self.random.below(300)
            } else {
                self.random.below(4_000)
            };
        let happened = match fault {
            Fault::BrokenConnection => self.network.break_one(&mut self.random),
            Fault::Partition => {
                let other = self.any_machine();
                self.network.block(host, other, true);
                self.repairs.push((until, Repair::Unblock(host, other)));
                if self.random.chance(0.7) {
                    self.network.block(other, host, true);
                    self.repairs.push((until, Repair::Unblock(other, host)));
                }
                host != other
            }
            Fault::SlowLink => {
                let other = self.any_machine();
                self.network
                    .slow_down(host, other, 1 + self.random.below(200));
                self.repairs.push((until, Repair::SpeedUp(host, other)));
                host != other
            }
            Fault::Kill | Fault::PowerLoss => {
                let up = self.is_up(host);
                if up {
                    self.end(
                        host,
                        if fault == Fault::Kill {
                            Death::Killed
                        } else {
                            Death::PowerLost
                        },
                    );
                }
                up
            }
            Fault::DiskCrash => {
                let at = self.store.disk.operations() + 1 + self.random.below(20);
                self.store.disk.crash_at(at);
                true
            }
            Fault::DiskError => {
                match self.random.below(4) {
                    // Once, or so often that whoever tries again and elsewhere fails too.
                    0 | 1 => self.store.disk.fail_syncs(1 + self.random.below(5) as u32),
                    2 => self.store.disk.fail_writes(1),
                    _ => self.store.disk.fail_folder_syncs(1),
                }
                // Disks that fail take their machine with them, before the store has put anything
                // right.
                if self.random.chance(0.3) {
                    self.store
                        .disk
                        .crash_at(self.store.disk.operations() + 1 + self.random.below(6));
                }
                true
            }
            Fault::DiskFull => {
                let capacity = self.store.disk.bytes_used() + self.random.below(20_000);
                self.store.disk.set_capacity(Some(capacity));
                self.repairs.push((until, Repair::DiskSpace));
                true
            }
            Fault::DiskStall => {
                self.store.disk_stalls_until = until;
                true
            }
            Fault::Stall => {
                self.machines[usize::from(host.0)].stalled_until = until;
                true
            }
            Fault::ClockJump => {
                let most = [10, 1_000, 600_000, 400_000_000][self.random.below(4) as usize];
                let offset = i64::try_from(self.random.below(2 * most)).unwrap_or(0)
                    - i64::try_from(most).unwrap_or(0);
                self.set_clock(host, offset);
                true
            }
            Fault::Truncate => match self.oracle.some_place(&mut self.random) {
                Some((stream, before)) => self.operate(stream, Task::Truncate(before)),
                None => false,
            },
            Fault::Delete => {
                let stream = self.random.below(self.streams.len() as u64) as usize;
                let begun = self.operate(stream, Task::Delete);
                if begun && self.random.chance(0.5) {
                    self.operate(stream, Task::Create);
                }
                begun
            }
            Fault::Drain => {
                let index = self.random.below(PROXIES.len() as u64) as usize;
                self.proxies[index].drain();
                self.proxies[index].is_up()
            }
        };
        if happened {
            self.trace
                .note(format_args!("fault: {fault:?} of {host:?} until {until}"));
            self.faults.add(fault);
        }
    }

    /// Somebody asks the store for something. Says whether there was anyone to do it.
    fn operate(&mut self, stream: usize, task: Task) -> bool {
        let up = self.operator.is_up();
        if up {
            let number = self.oracle.lives.asked(self.now, stream, task);
            self.operator.begin(number, stream, task);
        }
        up
    }

    fn set_clock(&self, host: HostId, offset: i64) {
        match host {
            STORE => self.store.wall.set_offset(offset),
            READER | OPERATOR => {}
            _ if PROXIES.contains(&host) => self.proxies[usize::from(host.0 - PROXIES[0].0)]
                .wall
                .set_offset(offset),
            _ => {
                if let Some(writer) = self.writers.get(usize::from(host.0 - WRITERS[0].0)) {
                    writer.wall.set_offset(offset);
                }
            }
        }
    }

    fn repair(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.repairs.drain(..).partition(|(at, _)| *at <= now);
        self.repairs = later;
        for (_, repair) in due {
            self.carry_out(repair);
        }
    }

    fn carry_out(&self, repair: Repair) {
        match repair {
            Repair::Unblock(from, to) => self.network.block(from, to, false),
            Repair::SpeedUp(from, to) => self.network.slow_down(from, to, 0),
            Repair::DiskSpace => self.store.disk.set_capacity(None),
        }
    }

    /// Nothing goes wrong any more, and everything that did is put right.
    pub(crate) fn calm_down(&mut self) {
        self.trace.note(format_args!("calm"));
        self.network.heal();
        for (_, repair) in core::mem::take(&mut self.repairs) {
            self.carry_out(repair);
        }
        self.store.disk.fail_syncs(0);
        self.store.disk.fail_writes(0);
        self.store.disk.fail_folder_syncs(0);
        self.store.disk.crash_at(u64::MAX);
        self.store.disk_stalls_until = 0;
        for machine in &mut self.machines {
            machine.stalled_until = 0;
        }
    }
}
