//! Machine with a multi stream writer: core's writer and client, driven as their documentation
//! says, and an application that writes.

mod client;
mod domains;
mod fairness;
mod hedged;
mod members;
mod order;
mod settings;

use std::collections::{BTreeMap, HashMap};

use distributedlog::writer::{
    EnqueueError, Heap, Identity, RecordId, Settings, StreamCount, Writer, WriterId,
};
use distributedlog::{AttemptId, Instant, StreamIndex};
use distributedlog_testkit::Random;

use crate::clocks::SimWallClock;
use crate::net::{CrashKind, HostId, Network};
use crate::oracle::Oracle;
use crate::trace::Trace;
use client::ProxyClient;
use domains::Domains;
use fairness::Fairness;
use hedged::Hedged;
use members::Members;
use order::KeptOrder;

/// Machine that runs a writer.
pub(crate) struct WriterMachine {
    pub(crate) host: HostId,
    pub(crate) wall_clock: SimWallClock,
    network: Network,
    trace: Trace,
    random: Random,
    streams: Vec<String>,
    proxies: Vec<HostId>,
    /// Records written in a second.
    rate: u64,
    processes_started: u32,
    running: Option<WriterProcess>,
}

/// Process of a writer: it starts empty and forgets everything when it ends.
struct WriterProcess {
    number: u32,
    settings: Settings,
    writer: Writer<Heap>,
    client: ProxyClient,
    records: HashMap<RecordId, u64>,
    /// Stream and records of each attempt.
    attempts: BTreeMap<AttemptId, (StreamIndex, Vec<u64>)>,
    fairness: Fairness,
    hedged: Hedged,
    domains: Domains,
    order: KeptOrder,
    members: Members,
    /// Number of attempts beyond each set's first.
    extra: u64,
}

impl WriterMachine {
    pub(crate) fn new(
        seed: u64,
        host: HostId,
        network: &Network,
        trace: &Trace,
        streams: &[String],
        proxies: &[HostId],
    ) -> Self {
        let mut random = Random::new(seed);
        let rate = 20 + random.below(400);
        Self {
            host,
            wall_clock: SimWallClock::default(),
            network: network.clone(),
            trace: trace.clone(),
            random,
            streams: streams.to_vec(),
            proxies: proxies.to_vec(),
            rate,
            processes_started: 0,
            running: None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self, now: Instant) {
        self.network.set_up(self.host);
        self.processes_started += 1;
        let mut id = [0; 16];
        id[0] = self.host.0;
        id[1..5].copy_from_slice(&self.processes_started.to_be_bytes());
        let identity = Identity::Trailer {
            writer: WriterId(id),
            first_sequence: 0,
        };
        let members = Members::new(&mut self.random, self.streams.len());
        let settings = settings::writer(&mut self.random, identity, members.count());
        let count = StreamCount::new(members.count()).expect("a few streams");
        let writer = Writer::new(settings, count, Heap::new(&settings, count))
            .expect("tables as large as the settings ask for");
        let (routing, protocol) = settings::client(&mut self.random);
        let mut client = ProxyClient::new(
            self.random.bits() >> 16,
            self.host,
            &self.network,
            &self.wall_clock,
            routing,
            protocol,
        );
        client.resolve(now, &self.proxies);
        self.trace.note(format_args!(
            "writer {:?}.{}: {settings:?}",
            self.host, self.processes_started
        ));
        self.running = Some(WriterProcess {
            number: self.processes_started,
            settings,
            writer,
            client,
            records: HashMap::new(),
            attempts: BTreeMap::new(),
            fairness: Fairness::new(members.count()),
            hedged: Hedged::new(&settings),
            domains: Domains::default(),
            order: KeptOrder::new(settings.order()),
            members,
            extra: 0,
        });
    }

    pub(crate) fn crash(&mut self, kind: CrashKind, oracle: &mut Oracle) {
        self.network.end_host(self.host, kind);
        if let Some(process) = self.running.take() {
            oracle.writer_died(self.host, process.number);
        }
    }

    /// Runs the machine for one millisecond; with `writes`, the application may write records.
    pub(crate) fn turn(&mut self, now: Instant, writes: bool, oracle: &mut Oracle) {
        if writes {
            let mut count = u64::from(self.random.below(1000) < self.rate);
            if self.random.chance(0.002) {
                count += 1 + self.random.below(20);
            }
            for _ in 0..count {
                self.write(now, oracle);
            }
            // Some settings have no other way to close a set that is not full.
            if self.random.chance(0.02) {
                self.flush();
            }
        }
        let host = self.host;
        if let Some(process) = &mut self.running {
            // An idle writer's tables may be freed at any time: nothing else changes.
            if now.as_micros().is_multiple_of(100_000) {
                process.writer.shrink();
            }
            process.change_streams(&mut self.random, host, &self.trace);
            process.drive(now, host, &self.streams, &self.trace, oracle);
        }
    }

    /// Writes one record. Returns its serial, or `None` if the writer is down or refused it.
    pub(crate) fn write(&mut self, now: Instant, oracle: &mut Oracle) -> Option<u64> {
        let process = self.running.as_mut()?;
        let (serial, payload) = oracle.next_record(&mut self.random);
        match process.writer.write(now, &payload) {
            Ok(id) => {
                self.trace.count(|counts| counts.writer_events += 1);
                let deadline = now + process.settings.request_timeout();
                oracle.accepted(serial, payload, self.host, process.number, [now, deadline]);
                process.records.insert(id, serial);
                Some(serial)
            }
            Err(EnqueueError::Full | EnqueueError::Closed) => None,
            Err(other) => panic!(
                "R7: a record of {} bytes was refused: {other}",
                payload.len()
            ),
        }
    }

    /// Closes the current set, so that its records are sent at once.
    pub(crate) fn flush(&mut self) {
        if let Some(process) = &mut self.running {
            process.writer.flush();
        }
    }

    /// Returns the load: bytes buffered, sets in flight, requests of the client, calls on
    /// connections.
    pub(crate) fn load(&self) -> [usize; 4] {
        self.running.as_ref().map_or([0; 4], |process| {
            let (requests, calls) = process.client.load();
            [
                process.writer.buffered_bytes(),
                process.writer.sets_in_flight(),
                requests,
                calls,
            ]
        })
    }
}

impl WriterProcess {
    /// Drives the writer as its documentation says: finished attempts, timers, cancellations, new
    /// attempts, completed records.
    fn drive(
        &mut self,
        now: Instant,
        host: HostId,
        streams: &[String],
        trace: &Trace,
        oracle: &mut Oracle,
    ) {
        self.client.turn(now);
        for _ in 0..MAX_ROUNDS {
            let mut events = 0;
            while let Some((attempt, outcome)) = self.client.next_finished() {
                events += 1;
                trace.note(format_args!(
                    "writer {host:?}: {attempt:?} ended {outcome:?}"
                ));
                if let Some((_, records)) = self.attempts.remove(&attempt) {
                    oracle.attempt_over(&records);
                    if outcome.is_ok() {
                        self.order.won(attempt, &self.attempts);
                    }
                }
                self.writer.handle_finished(now, attempt, outcome);
            }
            if self.writer.poll_timeout().is_some_and(|at| at <= now) {
                self.writer.handle_timeout(now);
            }
            while let Some(attempt) = self.writer.poll_cancel() {
                events += 1;
                if let Some((_, records)) = self.attempts.remove(&attempt) {
                    oracle.attempt_over(&records);
                }
                self.client.cancel(now, attempt);
            }
            events += self.transmit(now, host, streams, trace, oracle);
            events += self.complete(now, host, trace, oracle);
            trace.count(|counts| counts.writer_events += events);
            self.client.turn(now);
            if events == 0 {
                break;
            }
        }
        oracle.check_deadlines(host, self.number, now);
        self.check_budget(now);
        if let Some(streams) = self.members.unchanging() {
            self.hedged.check(now, streams, &self.attempts);
        }
    }

    fn transmit(
        &mut self,
        now: Instant,
        host: HostId,
        streams: &[String],
        trace: &Trace,
        oracle: &mut Oracle,
    ) -> u64 {
        let mut events = 0;
        loop {
            let hedges = self.writer.counters().hedges_sent;
            let Some(attempt) = self.writer.poll_transmit(now) else {
                return events;
            };
            events += 1;
            let (id, stream, earlier) = (attempt.id, attempt.stream, attempt.earlier_attempts);
            assert!(
                attempt.deadline > now,
                "R1: a set was sent after its deadline"
            );
            assert!(
                self.members.contains(stream),
                "R17: an attempt to a stream that was removed"
            );
            let records = oracle.serials_of(attempt.record_set);
            let name = &streams[self.members.stream_of(stream)];
            let accepted = self.client.start(now, name, &attempt);
            trace.note(format_args!(
                "writer {host:?}: {id:?} to {stream:?}, {} records, {earlier} before, taken: \
                 {accepted}",
                records.len()
            ));
            let first = *records.first().expect("no set is empty");
            let is_hedge = self.writer.counters().hedges_sent > hedges;
            self.domains
                .started(&self.writer, (stream, first), is_hedge, &self.attempts);
            if accepted {
                let domain = self.client.failure_domain(name);
                self.writer.set_failure_domain(stream, domain);
                let started = (stream, first, earlier);
                self.order.started(&self.writer, started, &self.attempts);
                self.hedged.started(now, first, earlier);
                self.extra += u64::from(earlier > 0);
                oracle.attempt_started(&records);
                assert!(
                    self.attempts.insert(id, (stream, records)).is_none(),
                    "R11: two attempts have the id {id:?}"
                );
            } else {
                self.order.refused(first);
                self.hedged.refused(first);
                self.writer.handle_refused(now, id);
            }
            if !self.order.is_kept() {
                self.fairness.attempt(&self.writer, first, stream, accepted);
            }
        }
    }

    fn complete(&mut self, now: Instant, host: HostId, trace: &Trace, oracle: &mut Oracle) -> u64 {
        let mut events = 0;
        while let Some(record) = self.writer.poll_completed() {
            events += 1;
            let mut result = self
                .writer
                .take(record)
                .expect("R1: a completed record can be taken");
            if let Ok(written) = &mut result {
                written.stream = self.members.index_of(written.stream);
            }
            let serial = self
                .records
                .remove(&record)
                .expect("R1: a record completed that was not pending");
            trace.note(format_args!("writer {host:?}: record {serial} {result:?}"));
            self.order.completed(serial, &result, oracle);
            oracle.completed(now, serial, result, &self.settings);
        }
        events
    }

    /// R8: checks that extra attempts stay within the tokens that sets and time paid in.
    fn check_budget(&self, now: Instant) {
        let distributedlog::writer::Budget::Share {
            share,
            per_second,
            burst,
        } = self.settings.budget()
        else {
            return;
        };
        // Counted from time zero: the tokens saved before the writer started are at most the burst.
        let (seconds, extra) = (now.as_micros() as f64 / 1e6, self.extra as f64);
        let paid = f64::from(burst)
            + f64::from(share) * self.writer.counters().sets as f64
            + f64::from(per_second) * seconds;
        assert!(
            extra <= paid + 1e-6,
            "R8: {extra} extra attempts for {paid} tokens"
        );
    }
}

/// Largest number of rounds in which the writer is driven in one turn.
const MAX_ROUNDS: usize = 64;
