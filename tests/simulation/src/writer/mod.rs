//! A machine with a multi stream writer: core's writer and client, driven as their documentation
//! says, and whoever writes to it.

mod carrier;
mod fairness;
mod settings;

use std::collections::{BTreeMap, HashMap};

use distributedlog::writer::{
    EnqueueError, Heap, Identity, RecordId, Settings, StreamCount, Writer, WriterId,
};
use distributedlog::{AttemptId, Instant};
use distributedlog_testkit::Random;

use crate::clocks::Wall;
use crate::net::{Death, HostId, Network};
use crate::oracle::Oracle;
use crate::trace::Trace;
use carrier::Carrier;
use fairness::Fairness;

/// A machine with a writer.
pub(crate) struct WriterMachine {
    pub(crate) host: HostId,
    pub(crate) wall: Wall,
    network: Network,
    trace: Trace,
    random: Random,
    streams: Vec<String>,
    proxies: Vec<HostId>,
    /// How many records it is given in a second.
    rate: u64,
    lives: u32,
    running: Option<Life>,
}

/// One process: it begins empty and forgets everything with its end.
struct Life {
    number: u32,
    settings: Settings,
    writer: Writer<Heap>,
    carrier: Carrier,
    records: HashMap<RecordId, u64>,
    attempts: BTreeMap<AttemptId, Vec<u64>>,
    fairness: Fairness,
    /// Attempts beside each set's first.
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
            wall: Wall::default(),
            network: network.clone(),
            trace: trace.clone(),
            random,
            streams: streams.to_vec(),
            proxies: proxies.to_vec(),
            rate,
            lives: 0,
            running: None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self, now: Instant) {
        self.network.set_up(self.host);
        self.lives += 1;
        let mut id = [0; 16];
        id[0] = self.host.0;
        id[1..5].copy_from_slice(&self.lives.to_be_bytes());
        let identity = Identity::Trailer {
            writer: WriterId(id),
            first_sequence: 0,
        };
        let settings = settings::writer(&mut self.random, identity);
        let count = StreamCount::new(self.streams.len()).expect("a few streams");
        let writer = Writer::new(settings, count, Heap::new(&settings, count))
            .expect("tables as large as the settings ask for");
        let (routing, protocol) = settings::client(&mut self.random);
        let mut carrier = Carrier::new(
            self.random.bits() >> 16,
            self.host,
            &self.network,
            &self.wall,
            routing,
            protocol,
        );
        carrier.resolve(now, &self.proxies);
        self.trace.note(format_args!(
            "writer {:?}.{}: {settings:?}",
            self.host, self.lives
        ));
        self.running = Some(Life {
            number: self.lives,
            settings,
            writer,
            carrier,
            records: HashMap::new(),
            attempts: BTreeMap::new(),
            fairness: Fairness::new(self.streams.len()),
            extra: 0,
        });
    }

    pub(crate) fn crash(&mut self, death: Death, oracle: &mut Oracle) {
        self.network.end_host(self.host, death);
        if let Some(life) = self.running.take() {
            oracle.writer_died(self.host, life.number);
        }
    }

    /// A millisecond passes, in which it may be given records.
    pub(crate) fn turn(&mut self, now: Instant, gives: bool, oracle: &mut Oracle) {
        if gives {
            let mut count = u64::from(self.random.below(1000) < self.rate);
            if self.random.chance(0.002) {
                count += 1 + self.random.below(20);
            }
            for _ in 0..count {
                self.write(now, oracle);
            }
            // Some settings have no other way to end a set that is not full.
            if self.random.chance(0.02) {
                self.flush();
            }
        }
        let host = self.host;
        if let Some(life) = &mut self.running {
            life.drive(now, host, &self.streams, &self.trace, oracle);
        }
    }

    /// Gives it one record; says whether it took it.
    pub(crate) fn write(&mut self, now: Instant, oracle: &mut Oracle) -> Option<u64> {
        let life = self.running.as_mut()?;
        let (serial, payload) = oracle.next_record(&mut self.random);
        match life.writer.write(now, &payload) {
            Ok(id) => {
                self.trace.count(|counts| counts.writer_events += 1);
                let deadline = now + life.settings.request_timeout();
                oracle.accepted(serial, payload, self.host, life.number, [now, deadline]);
                life.records.insert(id, serial);
                Some(serial)
            }
            Err(EnqueueError::Full | EnqueueError::Closed) => None,
            Err(other) => panic!(
                "R7: a record of {} bytes was refused: {other}",
                payload.len()
            ),
        }
    }

    /// What it was given so far is not to wait for company.
    pub(crate) fn flush(&mut self) {
        if let Some(life) = &mut self.running {
            life.writer.flush();
        }
    }

    /// What it holds: bytes buffered, sets in flight, requests of the client, requests on
    /// connections.
    pub(crate) fn load(&self) -> [usize; 4] {
        self.running.as_ref().map_or([0; 4], |life| {
            let (requests, calls) = life.carrier.load();
            [
                life.writer.buffered_bytes(),
                life.writer.sets_in_flight(),
                requests,
                calls,
            ]
        })
    }
}

impl Life {
    /// As the documentation of the writer says: what has finished, the timers, what is to be
    /// cancelled and to be started, what has completed.
    fn drive(
        &mut self,
        now: Instant,
        host: HostId,
        streams: &[String],
        trace: &Trace,
        oracle: &mut Oracle,
    ) {
        self.carrier.turn(now);
        for _ in 0..MAX_ROUNDS {
            let mut events = 0;
            while let Some((attempt, outcome)) = self.carrier.next_finished() {
                events += 1;
                trace.note(format_args!(
                    "writer {host:?}: {attempt:?} ended {outcome:?}"
                ));
                if let Some(records) = self.attempts.remove(&attempt) {
                    oracle.attempt_over(&records);
                }
                self.writer.handle_finished(now, attempt, outcome);
            }
            if self.writer.poll_timeout().is_some_and(|at| at <= now) {
                self.writer.handle_timeout(now);
            }
            while let Some(attempt) = self.writer.poll_cancel() {
                events += 1;
                if let Some(records) = self.attempts.remove(&attempt) {
                    oracle.attempt_over(&records);
                }
                self.carrier.cancel(now, attempt);
            }
            events += self.transmit(now, host, streams, trace, oracle);
            events += self.complete(now, host, trace, oracle);
            trace.count(|counts| counts.writer_events += events);
            self.carrier.turn(now);
            if events == 0 {
                break;
            }
        }
        oracle.check_deadlines(host, self.number, now);
        self.check_budget(now);
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
        while let Some(attempt) = self.writer.poll_transmit(now) {
            events += 1;
            let (id, stream, earlier) = (attempt.id, attempt.stream, attempt.earlier_attempts);
            assert!(
                attempt.deadline > now,
                "R1: a set whose time is over was sent"
            );
            let records = oracle.serials_of(attempt.record_set);
            let taken = self
                .carrier
                .start(now, &streams[usize::from(stream.0)], &attempt);
            trace.note(format_args!(
                "writer {host:?}: {id:?} to {stream:?}, {} records, {earlier} before, taken: \
                 {taken}",
                records.len()
            ));
            let first = *records.first().expect("no set is empty");
            if taken {
                self.extra += u64::from(earlier > 0);
                oracle.attempt_started(&records);
                assert!(
                    self.attempts.insert(id, records).is_none(),
                    "R11: two attempts have the name {id:?}"
                );
            } else {
                self.writer.handle_refused(now, id);
            }
            self.fairness.attempt(&self.writer, first, stream, taken);
        }
        events
    }

    fn complete(&mut self, now: Instant, host: HostId, trace: &Trace, oracle: &mut Oracle) -> u64 {
        let mut events = 0;
        while let Some(record) = self.writer.poll_completed() {
            events += 1;
            let result = self
                .writer
                .take(record)
                .expect("R1: what is announced can be taken");
            let serial = self
                .records
                .remove(&record)
                .expect("R1: a record completed that was not pending");
            trace.note(format_args!("writer {host:?}: record {serial} {result:?}"));
            oracle.completed(now, serial, result, &self.settings);
        }
        events
    }

    /// R8: extra attempts are bounded by what sets and time paid in.
    fn check_budget(&self, now: Instant) {
        let distributedlog::writer::Budget::Share {
            share,
            per_second,
            burst,
        } = self.settings.budget()
        else {
            return;
        };
        // From the clock's beginning: what had been saved up until the writer began is not more
        // than the burst.
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

/// How often in a row the writer is driven before its turn ends.
const MAX_ROUNDS: usize = 64;
