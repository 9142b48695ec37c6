//! The events of a run.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use bytes::Bytes;
use distributedlog::Instant;
use distributedlog_bookkeeper::entry::{EntryCodec, MasterKey};
use distributedlog_bookkeeper::ledger::{
    MetadataReply, Recovery, RecoveryOutput, RecoverySettings, SetReply, Versioned, Writer,
    WriterOutput,
};
use distributedlog_testkit::Random;

use super::bookie::{Bookie, Waiting};
use super::clients::{Client, Machine, Output, bookie_index};
use super::node::Node;
use super::oracle::Oracle;
use super::plan::{PASSWORD, Plan, WriterEnd, bookie_id};

mod faults;
mod network;

/// Number of the ledger.
const LEDGER: i64 = 42;

/// Virtual time within which everything must have ended after the last fault.
const SETTLE: Duration = Duration::from_secs(120);

/// Time after which a recovery gives a bookie's answer up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The writer's number among the clients.
const WRITER: usize = 0;

/// Report of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// Number of events.
    pub steps: u64,
    /// Number of faults.
    pub faults: u64,
    /// Number of recoveries that began.
    pub recoveries: u64,
    /// Entries that the writer was told are confirmed.
    pub confirmed: u64,
    /// Entries that the writer was told are not written.
    pub not_written: u64,
    /// Entries of the ledger that the writer did not see confirmed.
    pub written_by_recovery: u64,
    /// Changes of the ensemble that are stored.
    pub ensemble_changes: u64,
    /// Hash of all events: the same seed has the same.
    pub hash: u64,
}

impl LedgerReport {
    /// Adds the counts of another run.
    pub const fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.faults += other.faults;
        self.recoveries += other.recoveries;
        self.confirmed += other.confirmed;
        self.not_written += other.not_written;
        self.written_by_recovery += other.written_by_recovery;
        self.ensemble_changes += other.ensemble_changes;
        self.hash ^= other.hash;
    }
}

#[derive(Debug)]
enum Event {
    Append,
    ToBookie {
        bookie: usize,
        waiting: Waiting,
        frame: Bytes,
    },
    Sync {
        bookie: usize,
    },
    ToClient {
        waiting: Waiting,
        bookie: usize,
        frame: Bytes,
    },
    /// A request of which the client knows that no answer comes.
    Lost {
        client: usize,
        txn_id: u64,
    },
    ZkSet {
        client: usize,
        next: Versioned,
    },
    ZkGet {
        client: usize,
    },
    ZkSetReply {
        client: usize,
        reply: SetReply,
    },
    ZkGetReply {
        client: usize,
        reply: MetadataReply,
    },
    WriterTimer,
    Candidates,
    Fault,
    EndWriter,
    StartRecovery {
        is_final: bool,
    },
    Restart {
        bookie: usize,
    },
    Heal,
}

struct World {
    now: Instant,
    sequence: u64,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    events: Vec<Option<Event>>,
    random: Random,
    plan: Plan,
    codec: EntryCodec,
    key: MasterKey,
    bookies: Vec<Bookie>,
    lost_bookie: Option<usize>,
    node: Node,
    clients: Vec<Client>,
    final_client: Option<usize>,
    final_done: bool,
    appended: u64,
    healed: bool,
    oracle: Oracle,
    report: LedgerReport,
    prints: bool,
}

/// Runs a seed to its end. With `prints`, every event is printed.
///
/// # Panics
///
/// If a promise is broken; the message names it.
#[must_use]
pub fn run_ledger(seed: u64, prints: bool) -> LedgerReport {
    let mut world = World::new(seed, prints);
    let limit = Instant::from_millis(world.plan.heals_at_ms) + SETTLE;
    while let Some(event) = world.next() {
        assert!(
            world.now < limit,
            "I8 everything ends in time after the last fault"
        );
        world.report.steps += 1;
        world.handle(event);
        if world.final_done && world.clients[WRITER].has_ended() {
            break;
        }
    }
    assert!(world.final_done, "I8 the final recovery ends");
    let stored = world.node.metadata();
    let mut report = world.report;
    world
        .oracle
        .check_end(&stored, &world.bookies, &world.codec, &mut report);
    report
}

impl World {
    fn new(seed: u64, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let codec = EntryCodec::new(LEDGER, plan.digest, PASSWORD);
        let created = Versioned {
            metadata: plan.metadata.clone(),
            version: 0,
        };
        let writer = Writer::new(plan.settings, codec.clone(), created);
        let mut world = Self {
            now: Instant::ZERO,
            sequence: 0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            codec,
            key: MasterKey::of_password(PASSWORD),
            bookies: (0..plan.bookies).map(|_| Bookie::default()).collect(),
            lost_bookie: None,
            node: Node::new(&plan.metadata),
            clients: vec![Client::new(Machine::Writer(Box::new(writer)), plan.bookies)],
            final_client: None,
            final_done: false,
            appended: 0,
            healed: false,
            oracle: Oracle::default(),
            report: LedgerReport::default(),
            random,
            plan,
            prints,
        };
        world.schedule();
        world
    }

    /// Enters the events that the plan knows in advance.
    fn schedule(&mut self) {
        let heals = self.plan.heals_at_ms;
        self.at_ms(0, Event::Candidates);
        self.at_ms(0, Event::Append);
        for _ in 0..self.plan.faults {
            let at = self.random.below(heals);
            self.at_ms(at, Event::Fault);
        }
        for _ in 0..self.plan.recoveries {
            let at = self.random.below(heals);
            self.at_ms(at, Event::StartRecovery { is_final: false });
        }
        if self.plan.writer_end != WriterEnd::None {
            let at = self.random.below(heals);
            self.at_ms(at, Event::EndWriter);
        }
        self.at_ms(heals, Event::Heal);
        self.at_ms(heals + 1_000, Event::StartRecovery { is_final: true });
    }

    fn at_ms(&mut self, ms: u64, event: Event) {
        self.at(Instant::from_millis(ms), event);
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.queue.push(Reverse((
            at.max(self.now),
            self.sequence,
            self.events.len(),
        )));
        self.events.push(Some(event));
        self.sequence += 1;
    }

    /// The next event. One for a process that is stopped waits until it goes on.
    fn next(&mut self) -> Option<Event> {
        loop {
            let Reverse((at, _, index)) = self.queue.pop()?;
            self.now = at;
            let event = self.events[index].take()?;
            if let Some(until) = self
                .client_of(&event)
                .map(|it| self.clients[it].paused_until)
                && until > at
            {
                self.at(until, event);
                continue;
            }
            if self.prints {
                println!("{:>12} {event:?}", at.as_micros());
            }
            self.report.hash =
                (self.report.hash ^ at.as_micros()).wrapping_mul(0x100_0000_01b3) ^ index as u64;
            return Some(event);
        }
    }

    const fn client_of(&self, event: &Event) -> Option<usize> {
        match event {
            Event::ToClient { waiting, .. } => Some(waiting.client),
            Event::Lost { client, .. }
            | Event::ZkSetReply { client, .. }
            | Event::ZkGetReply { client, .. } => Some(*client),
            Event::Append | Event::WriterTimer | Event::Candidates | Event::EndWriter => {
                Some(WRITER)
            }
            Event::ToBookie { .. }
            | Event::Sync { .. }
            | Event::ZkSet { .. }
            | Event::ZkGet { .. }
            | Event::Fault
            | Event::StartRecovery { .. }
            | Event::Restart { .. }
            | Event::Heal => None,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Append => self.append(),
            Event::ToBookie {
                bookie,
                waiting,
                frame,
            } => self.at_bookie(bookie, waiting, &frame),
            Event::Sync { bookie } => self.sync(bookie),
            Event::ToClient {
                waiting,
                bookie,
                frame,
            } => self.at_client(waiting, bookie, &frame),
            Event::Lost { client, txn_id } => self.answer(client, txn_id, None),
            Event::ZkSet { client, next } => self.zk_set(client, &next),
            Event::ZkGet { client } => self.zk_get(client),
            Event::ZkSetReply { client, reply } => {
                match &mut self.clients[client].machine {
                    Machine::Writer(writer) => writer.handle_set(self.now, reply),
                    Machine::Recovery(recovery) => recovery.handle_set(reply),
                    Machine::Ended => {}
                }
                self.drive(client);
            }
            Event::ZkGetReply { client, reply } => {
                match &mut self.clients[client].machine {
                    Machine::Writer(writer) => writer.handle_metadata(self.now, reply),
                    Machine::Recovery(recovery) => recovery.handle_metadata(reply),
                    Machine::Ended => {}
                }
                self.drive(client);
            }
            Event::WriterTimer => {
                self.writer(|writer, now| writer.handle_timeout(now));
            }
            Event::Candidates => self.candidates(),
            Event::Fault => self.fault(),
            Event::EndWriter => match self.plan.writer_end {
                WriterEnd::None => {}
                WriterEnd::Killed => self.kill(WRITER),
                WriterEnd::Closes => self.writer(|writer, now| writer.close(now)),
                WriterEnd::Aborts => self.writer(|writer, now| writer.abort(now)),
            },
            Event::StartRecovery { is_final } => self.start_recovery(is_final),
            Event::Restart { bookie } => {
                self.bookies[bookie].is_down = Some(bookie) == self.lost_bookie
            }
            Event::Heal => self.heal(),
        }
    }

    fn writer(&mut self, act: impl FnOnce(&mut Writer, Instant)) {
        if let Machine::Writer(writer) = &mut self.clients[WRITER].machine {
            act(writer, self.now);
            self.drive(WRITER);
        }
    }

    fn append(&mut self) {
        let Machine::Writer(writer) = &mut self.clients[WRITER].machine else {
            return;
        };
        let size = self.random.index(200);
        let payload: Bytes = format!("{}{}", self.appended, "x".repeat(size)).into();
        if let Ok(entry) = writer.append(self.now, &payload) {
            self.oracle.appended(entry, payload);
            self.appended += 1;
            self.drive(WRITER);
        }
        // Behind the last it goes on slowly, so that a writer learns that the ledger was taken
        // over.
        let pause = if self.appended < self.plan.appends {
            self.random
                .between(Duration::ZERO, self.plan.append_pause_max)
        } else {
            Duration::from_millis(400)
        };
        let burst = self.appended < self.plan.appends && self.random.one_in(3);
        self.after(if burst { Duration::ZERO } else { pause }, Event::Append);
    }

    fn candidates(&mut self) {
        let mut up: Vec<usize> = (0..self.bookies.len())
            // The list is out of date now and then.
            .filter(|&it| !self.bookies[it].is_down || self.random.one_in(4))
            .filter(|&it| !self.bookies[it].is_read_only)
            .collect();
        for index in (1..up.len()).rev() {
            up.swap(index, self.random.index(index + 1));
        }
        let candidates = up.into_iter().map(bookie_id).collect();
        self.writer(|writer, now| writer.handle_candidates(now, candidates));
        self.after(Duration::from_millis(250), Event::Candidates);
    }

    fn start_recovery(&mut self, is_final: bool) {
        self.report.recoveries += 1;
        let candidates = (0..self.bookies.len())
            .filter(|&it| !self.bookies[it].is_down)
            .map(bookie_id)
            .collect();
        let MetadataReply::Found(known) = self.node.get() else {
            panic!("the node is never deleted");
        };
        let settings = RecoverySettings {
            read_ahead: 1 + self.random.index(8),
        };
        let recovery = Recovery::new(settings, self.codec.clone(), known, candidates);
        let client = self.clients.len();
        self.clients.push(Client::new(
            Machine::Recovery(Box::new(recovery)),
            self.bookies.len(),
        ));
        if is_final {
            self.final_client = Some(client);
        }
        self.drive(client);
    }

    /// Does what a client's machine asks for.
    fn drive(&mut self, client: usize) {
        while let Some(output) = self.clients[client].poll(LEDGER, self.key) {
            match output {
                Output::Request { bookie, request } => {
                    self.send(client, bookie_index(&bookie), &request)
                }
                Output::Set(next) => {
                    let delay = self.delay();
                    self.after(delay, Event::ZkSet { client, next });
                }
                Output::Get { after } => {
                    let delay = after + self.delay();
                    self.after(delay, Event::ZkGet { client });
                }
                Output::Writer(output) => self.writer_output(output),
                Output::Recovery(output) => self.recovery_output(client, output),
            }
        }
        if client == WRITER
            && let Machine::Writer(writer) = &self.clients[WRITER].machine
            && let Some(at) = writer.poll_timeout()
        {
            self.at(at, Event::WriterTimer);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "requests are no results")]
    fn writer_output(&mut self, output: WriterOutput) {
        match output {
            WriterOutput::Confirmed { entry } => {
                let stored = self.node.metadata();
                self.oracle
                    .confirmed(entry, &stored, &self.bookies, &self.codec);
            }
            WriterOutput::Resolved { entry, fate } => self.oracle.resolved(entry, fate),
            WriterOutput::Closed {
                last_entry,
                lost_confirmed,
                ..
            } => {
                assert!(
                    !lost_confirmed,
                    "I1 the ledger ends before a confirmed entry"
                );
                self.oracle
                    .ended(last_entry.expect("the node is never deleted"));
                self.clients[WRITER].machine = Machine::Ended;
            }
            WriterOutput::BookieFailed { .. } | WriterOutput::EnsembleChanged => {}
            other => panic!("requests are sent before: {other:?}"),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "requests are no results")]
    fn recovery_output(&mut self, client: usize, output: RecoveryOutput) {
        match output {
            RecoveryOutput::Closed(recovered) => {
                self.oracle.ended(recovered.stored.metadata.last_entry);
                self.clients[client].machine = Machine::Ended;
                self.final_done |= self.final_client == Some(client);
            }
            RecoveryOutput::Failed(_) => {
                self.clients[client].machine = Machine::Ended;
                if self.final_client == Some(client) {
                    self.after(
                        Duration::from_secs(1),
                        Event::StartRecovery { is_final: true },
                    );
                }
            }
            _ => {}
        }
    }
}
