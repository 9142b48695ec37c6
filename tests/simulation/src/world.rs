//! All machines and their network, a millisecond at a time, in an order that the seed decides.

use distributedlog::Instant;
use distributedlog_store::StreamName;
use distributedlog_testkit::Random;

use crate::faults::{Fault, FaultCounts, Plan};
use crate::net::{CrashKind, HostId, Network};
use crate::operator::{OperatorMachine, Task};
use crate::oracle::Oracle;
use crate::proxy::ProxyMachine;
use crate::reader::ReaderMachine;
use crate::run::describe_stream;
use crate::seeds::panicked;
use crate::store::StoreMachine;
use crate::trace::Trace;
use crate::writer::WriterMachine;

/// Numbers of the machines in the network.
const STORE: HostId = HostId(0);
const PROXIES: [HostId; 2] = [HostId(1), HostId(2)];
const READER: HostId = HostId(3);
const WRITERS: [HostId; 2] = [HostId(4), HostId(5)];
const OPERATOR: HostId = HostId(6);
const MACHINES: u8 = 7;

/// State of a run.
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
    machines: Vec<MachineState>,
    /// Faults to undo, with the time of each.
    repairs: Vec<(u64, Repair)>,
}

/// Schedule of a machine.
#[derive(Clone, Copy, Debug, Default)]
struct MachineState {
    /// Time of the next start, if the machine is down.
    starts_at: Option<u64>,
    /// The machine does nothing before this time.
    stalled_until: u64,
    /// Length of the stall that it has not noticed yet, in milliseconds.
    missed_ms: u64,
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
        // With a single stream, a set that fails has no other stream to go to.
        let count = if random.chance(0.15) {
            1
        } else {
            1 + random.below(5) as usize
        };
        let names: Vec<String> = (0..count).map(|index| format!("stream-{index}")).collect();
        let streams: Vec<StreamName> = names
            .iter()
            .map(|name| name.parse().expect("a valid name"))
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
                MachineState {
                    starts_at: Some(1),
                    ..MachineState::default()
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

    /// Returns the streams in the order of their indexes.
    pub(crate) fn streams(&self) -> &[StreamName] {
        &self.streams
    }

    /// Creates the streams that are missing.
    pub(crate) fn create_streams(&mut self) {
        self.store.create(&self.streams);
    }

    /// Returns the time of the writers' clock.
    pub(crate) const fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Advances the world by one millisecond, with new faults and new records if asked for.
    pub(crate) fn tick(&mut self, with_faults: bool, writes: bool) {
        self.now += 1;
        self.trace.set_now(self.now);
        self.set_clocks();
        self.network.tick(self.now);
        if with_faults && let Some(fault) = self.plan.next(&mut self.random) {
            self.inject(fault);
        }
        self.repair();
        self.start_machines();
        let mut order: Vec<u8> = (0..MACHINES).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        for machine in order {
            self.turn(HostId(machine), writes);
        }
        while let Some((task, result)) = self.operator.next_result() {
            self.oracle.histories.task_finished(task, &result);
        }
        if let Some(message) = panicked() {
            panic!("{message}");
        }
    }

    /// Compares the streams in the store with their histories.
    fn observe_streams(&mut self) {
        let Some(store) = self.store.served() else {
            return;
        };
        for (index, stream) in self.streams.iter().enumerate() {
            self.oracle
                .histories
                .observe(self.now, index, describe_stream(&store, stream));
        }
    }

    fn set_clocks(&self) {
        let wall_clocks = [&self.store.wall_clock]
            .into_iter()
            .chain(self.proxies.iter().map(|proxy| &proxy.wall_clock));
        for wall_clock in wall_clocks.chain(self.writers.iter().map(|writer| &writer.wall_clock)) {
            wall_clock.set_now(self.now);
        }
    }

    /// Runs a machine for one millisecond, unless it is stalled.
    fn turn(&mut self, host: HostId, writes: bool) {
        let now = self.instant();
        let machine = &mut self.machines[usize::from(host.0)];
        if self.now < machine.stalled_until {
            machine.missed_ms += 1;
            return;
        }
        let missed_ms = core::mem::take(&mut machine.missed_ms);
        self.trace.count(|counts| counts.turns += 1);
        match host {
            STORE => {
                self.store.advance_clock(missed_ms);
                let went_off = self.store.turn(self.now, &mut self.random);
                self.observe_streams();
                if went_off {
                    let kind = self.random_crash();
                    self.crash(STORE, kind);
                }
            }
            READER => {
                self.reader.advance_clock(missed_ms);
                self.reader.turn();
            }
            OPERATOR => {
                self.operator.advance_clock(missed_ms);
                self.operator.turn();
            }
            _ if PROXIES.contains(&host) => {
                let proxy = &mut self.proxies[usize::from(host.0 - PROXIES[0].0)];
                proxy.advance_clock(missed_ms);
                if proxy.turn() {
                    self.trace.note(format_args!("{host:?} has gone in peace"));
                    self.machines[usize::from(host.0)].starts_at =
                        Some(self.now + 1 + self.random.below(500));
                }
            }
            _ => {
                if let Some(writer) = self.writers.get_mut(usize::from(host.0 - WRITERS[0].0)) {
                    writer.turn(now, writes, &mut self.oracle);
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
            self.machines[usize::from(index)] = MachineState::default();
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

    /// Opens the store. It may crash during recovery or find its disk full; then it is started
    /// again later.
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
            let kind = self.random_crash();
            self.crash(STORE, kind);
        }
    }

    fn random_crash(&mut self) -> CrashKind {
        if self.random.chance(0.5) {
            CrashKind::Killed
        } else {
            CrashKind::PowerLost
        }
    }

    /// Crashes a machine, and schedules its restart.
    pub(crate) fn crash(&mut self, host: HostId, kind: CrashKind) {
        self.trace.note(format_args!("{host:?}: {kind:?}"));
        match host {
            STORE => self.store.crash(kind),
            READER => self.reader.crash(kind),
            OPERATOR => {
                self.operator.crash(kind);
                self.oracle.histories.operator_died();
            }
            _ if PROXIES.contains(&host) => {
                self.proxies[usize::from(host.0 - PROXIES[0].0)].crash(kind)
            }
            _ => {
                if let Some(writer) = self.writers.get_mut(usize::from(host.0 - WRITERS[0].0)) {
                    writer.crash(kind, &mut self.oracle);
                }
            }
        }
        let pause = if self.random.chance(0.8) {
            self.random.below(300)
        } else {
            self.random.below(3_000)
        };
        self.machines[usize::from(host.0)] = MachineState {
            starts_at: Some(self.now + 1 + pause),
            ..MachineState::default()
        };
    }

    fn any_machine(&mut self) -> HostId {
        HostId(self.random.below(u64::from(MACHINES)) as u8)
    }

    /// Injects a fault into a random machine, and counts it if it had an effect.
    fn inject(&mut self, fault: Fault) {
        // Draw both for every fault, also where they are not used: traces of seeds depend on the
        // order of draws.
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
            Fault::Partition => self.partition(host, until),
            Fault::SlowLink => self.slow_link(host, until),
            Fault::Kill => self.crash_if_up(host, CrashKind::Killed),
            Fault::PowerLoss => self.crash_if_up(host, CrashKind::PowerLost),
            Fault::DiskCrash => {
                self.schedule_disk_crash(20);
                true
            }
            Fault::DiskError => {
                self.fail_disk_operations();
                true
            }
            Fault::DiskFull => {
                self.fill_disk(until);
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
                self.jump_clock(host);
                true
            }
            Fault::Truncate => match self.oracle.some_position(&mut self.random) {
                Some((stream, before)) => self.start_task(stream, Task::Truncate(before)),
                None => false,
            },
            Fault::Delete => self.delete_stream(),
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

    /// Cuts the link to another random machine, in most cases in both directions.
    fn partition(&mut self, host: HostId, until: u64) -> bool {
        let other = self.any_machine();
        self.network.block(host, other, true);
        self.repairs.push((until, Repair::Unblock(host, other)));
        if self.random.chance(0.7) {
            self.network.block(other, host, true);
            self.repairs.push((until, Repair::Unblock(other, host)));
        }
        host != other
    }

    /// Slows the link to another random machine down in one direction.
    fn slow_link(&mut self, host: HostId, until: u64) -> bool {
        let other = self.any_machine();
        self.network
            .slow_down(host, other, 1 + self.random.below(200));
        self.repairs.push((until, Repair::SpeedUp(host, other)));
        host != other
    }

    /// Crashes a machine. Returns false if it was down.
    fn crash_if_up(&mut self, host: HostId, kind: CrashKind) -> bool {
        let up = self.is_up(host);
        if up {
            self.crash(host, kind);
        }
        up
    }

    /// Crashes the store's machine at one of its next `operations` disk operations.
    fn schedule_disk_crash(&mut self, operations: u64) {
        let at = self.store.disk.operations() + 1 + self.random.below(operations);
        self.store.disk.crash_at(at);
    }

    /// Leaves less than 20 kB of free disk space until `until`.
    fn fill_disk(&mut self, until: u64) {
        let capacity = self.store.disk.bytes_used() + self.random.below(20_000);
        self.store.disk.set_capacity(Some(capacity));
        self.repairs.push((until, Repair::DiskSpace));
    }

    /// Makes syncs or writes of the disk fail, sometimes with a crash soon after.
    fn fail_disk_operations(&mut self) {
        match self.random.below(4) {
            // Up to 5 syncs, so that a retry at another place fails too.
            0 | 1 => self.store.disk.fail_syncs(1 + self.random.below(5) as u32),
            2 => self.store.disk.fail_writes(1),
            _ => self.store.disk.fail_folder_syncs(1),
        }
        // A failing disk often takes its machine down, before the store has repaired anything.
        if self.random.chance(0.3) {
            self.schedule_disk_crash(6);
        }
    }

    /// Sets a machine's wall clock off by up to 10 ms, 1 s, 10 minutes or 4.6 days.
    fn jump_clock(&mut self, host: HostId) {
        let most = [10, 1_000, 600_000, 400_000_000][self.random.below(4) as usize];
        let offset = i64::try_from(self.random.below(2 * most)).unwrap_or(0)
            - i64::try_from(most).unwrap_or(0);
        self.set_clock(host, offset);
    }

    /// Deletes a random stream, and creates it again in half of the cases.
    fn delete_stream(&mut self) -> bool {
        let stream = self.random.below(self.streams.len() as u64) as usize;
        let begun = self.start_task(stream, Task::Delete);
        if begun && self.random.chance(0.5) {
            self.start_task(stream, Task::Create);
        }
        begun
    }

    /// Starts a task of the operator. Returns false if the operator is down.
    fn start_task(&mut self, stream: usize, task: Task) -> bool {
        let up = self.operator.is_up();
        if up {
            let number = self.oracle.histories.task_started(self.now, stream, task);
            self.operator.begin(number, stream, task);
        }
        up
    }

    fn set_clock(&self, host: HostId, offset: i64) {
        match host {
            STORE => self.store.wall_clock.set_offset(offset),
            READER | OPERATOR => {}
            _ if PROXIES.contains(&host) => self.proxies[usize::from(host.0 - PROXIES[0].0)]
                .wall_clock
                .set_offset(offset),
            _ => {
                if let Some(writer) = self.writers.get(usize::from(host.0 - WRITERS[0].0)) {
                    writer.wall_clock.set_offset(offset);
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

    /// Ends all faults and undoes those in effect.
    pub(crate) fn stop_faults(&mut self) {
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
