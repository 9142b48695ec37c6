//! One pseudo-random run of a writer.

use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::hash::DefaultHasher;

use distributedlog::writer::{
    Adaptive, Budget, Choice, Codec, EnqueueError, Health, Heap, Identity, MemberError, Order,
    Reservation, Rounds, Settings, StreamCount, Window, Writer, WriterId,
};
use distributedlog::{AttemptId, Instant, StreamIndex};
use distributedlog_testkit::Random;

use super::capped::Capped;
use super::domains::Domains;
use super::fairness::Fairness;
use super::oracle::Oracle;
use super::order::KeptOrder;
use super::world::World;

pub(super) struct Life {
    random: Random,
    writer: Writer<Capped>,
    world: World,
    oracle: Oracle,
    now: Instant,
    written: u64,
    reservations: Vec<Reservation>,
    /// Streams of first attempts, for R4.
    starts: VecDeque<StreamIndex>,
    /// `true` if R4 holds strictly: no stream is skipped for its health or its window, none was
    /// refused for lack of room, and none came or went.
    strict: bool,
    /// `true` if streams come and go (R17).
    changes: bool,
    fairness: Fairness,
    domains: Domains,
    order: KeptOrder,
    outstanding: HashMap<AttemptId, StreamIndex>,
    hasher: DefaultHasher,
    steps: u64,
}

impl Life {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let streams = 1 + random.below(7) as usize;
        let settings = random_settings(&mut random, streams);
        let count = StreamCount::new(streams).unwrap();
        let world = World::new(&mut random, streams);
        let storage = Capped {
            heap: Heap::new(&settings, count),
            most_streams: streams + random.below(4) as usize,
        };
        let mut writer = Writer::new(settings, count, storage).unwrap();
        Self {
            domains: Domains::new(seed, streams, &mut writer),
            writer,
            world,
            oracle: Oracle::default(),
            now: Instant::from_millis(random.below(1_000)),
            written: 0,
            reservations: Vec::new(),
            starts: VecDeque::new(),
            strict: settings.health() == Health::Off
                && settings.budget() == Budget::Off
                && settings.window() == Window::Off
                && settings.choice() == Choice::Turn
                && settings.order() == Order::Any,
            changes: random.chance(0.4),
            fairness: Fairness::new(streams),
            order: KeptOrder::new(settings.order(), streams),
            outstanding: HashMap::new(),
            hasher: DefaultHasher::new(),
            steps: 0,
            random,
        }
    }

    pub(super) fn run(&mut self) {
        for _ in 0..50 + self.random.below(200) {
            if self.changes && self.random.chance(0.1) {
                self.change_streams();
            } else {
                self.act();
            }
            self.drive();
        }
        self.end();
        self.oracle.check_end(&self.world);
        self.check_budget();
        let settings = *self.writer.settings();
        assert!(self.writer.is_finished());
        assert_eq!(
            (self.writer.sets_in_flight(), self.writer.buffered_bytes()),
            (0, 0),
            "all memory is back"
        );
        assert_eq!(
            self.writer.free_record_slots(),
            settings.pending_records(),
            "all record slots are back"
        );
        let counters = self.writer.counters();
        assert_eq!(
            counters.records,
            counters.records_written + counters.records_failed
        );
        assert!(counters.hedges_won + counters.hedges_wasted <= counters.hedges_sent);
    }

    /// A hash of everything that happened.
    pub(super) fn trace(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }

    /// Performs an action of the user, and advances the time.
    fn act(&mut self) {
        match self.random.below(20) {
            0..=11 => self.write(),
            12 => {
                let _ = self.writer.flush();
            }
            13 => {
                if let Some(record) = self.random_pending() {
                    self.writer.forget(record);
                    self.oracle.forgotten(record);
                }
            }
            14 => {
                let len = self.random.below(100) as usize;
                if let Ok(reservation) = self.writer.reserve(len) {
                    self.reservations.push(reservation);
                }
            }
            15 => {
                if let Some(reservation) = self.reservations.pop() {
                    self.submit(reservation);
                }
            }
            16 => self
                .reservations
                .drain(..)
                .for_each(|reservation| self.writer.release(reservation)),
            // The driver of the machine sleeps for a while.
            17 if self.random.chance(0.2) => {
                self.now += Duration::from_millis(self.random.below(2_000))
            }
            _ => self.sleep_until_something_happens(),
        }
    }

    /// Adds a stream or removes one (R17).
    fn change_streams(&mut self) {
        self.strict = false;
        self.order.changed(self.world.streams.len());
        if self.random.chance(0.3) {
            return self.change_settings();
        }
        if self.random.chance(0.5) {
            match self.writer.add_stream() {
                Ok(stream) => {
                    self.world.added(&mut self.random, stream);
                    self.fairness.added(stream);
                    self.domains.place(stream, &mut self.writer);
                    self.order.changed(self.world.streams.len());
                    self.note(&stream);
                }
                Err(MemberError::Full { rows }) => assert!(rows <= self.world.streams.len()),
                Err(refused) => panic!("a stream can be added: {refused}"),
            }
            return;
        }
        let streams = self.world.streams.len() as u64;
        let stream = StreamIndex(self.random.below(streams) as u16);
        let (is_member, members) = (self.writer.is_member(stream), self.writer.member_count());
        let removed = self.writer.remove_stream(stream);
        let expected = match (is_member, members) {
            (false, _) => Err(MemberError::NotMember),
            (true, 1) => Err(MemberError::OnlyStream),
            (true, _) => Ok(()),
        };
        assert_eq!(removed, expected);
        let status = self.writer.stream_status(stream).expect("it has a row");
        let drained = status.removed && status.outstanding == 0;
        assert_eq!(self.writer.is_drained(stream), drained);
    }

    fn write(&mut self) {
        let record = self.next_record(200);
        match self.writer.write(self.now, &record) {
            Ok(id) => self.accepted(id, record),
            Err(EnqueueError::Full) => self.sleep_until_something_happens(),
            Err(EnqueueError::TooLarge { len, max }) => assert!(len > max),
            Err(refused) => panic!("the writer is open: {refused}"),
        }
    }

    fn submit(&mut self, reservation: Reservation) {
        let record = self.next_record(reservation.len() as u64);
        if record.len() > reservation.len() {
            self.writer.release(reservation);
            return;
        }
        let id = self
            .writer
            .submit(self.now, reservation, &record)
            .expect("reserved room is never full");
        self.accepted(id, record);
    }

    /// Returns a record that is unique in this run.
    fn next_record(&mut self, longest: u64) -> Vec<u8> {
        self.written += 1;
        let mut record = self.written.to_be_bytes().to_vec();
        record.resize(8 + self.random.below(longest.max(8) - 7) as usize, 0);
        record
    }

    /// Changes settings (R18): those of the deadlines stay what the oracle knows them to be.
    fn change_settings(&mut self) {
        let other = random_settings(&mut self.random, 1);
        let settings = self.writer.settings().to_builder();
        let settings = settings
            .buffer_size(other.buffer_size())
            .flush_interval(other.flush_interval())
            .flush_when_idle(other.flush_when_idle())
            .rounds(other.rounds())
            .health(other.health())
            .window(other.window())
            .adaptive(other.adaptive())
            .choice(other.choice())
            .wait_out_stalls(other.wait_out_stalls());
        if let Ok(settings) = settings.build() {
            self.fairness.settings_changed();
            let changed = self.writer.change_settings(settings);
            assert_eq!(changed, Ok(()));
        }
    }

    fn accepted(&mut self, id: distributedlog::writer::RecordId, record: Vec<u8>) {
        let deadline = self.now + self.writer.settings().request_timeout();
        self.oracle.accepted(id, record, deadline);
    }

    fn random_pending(&mut self) -> Option<distributedlog::writer::RecordId> {
        self.oracle.some_pending(self.random.bits())
    }

    fn sleep_until_something_happens(&mut self) {
        let next = [self.world.next(), self.writer.poll_timeout()]
            .into_iter()
            .flatten()
            .min();
        self.now = self.now.max(next.unwrap_or(self.now));
    }

    /// Drives the machine as its documentation says.
    fn drive(&mut self) {
        self.steps += 1;
        while let Some((attempt, outcome)) = self.world.answer(self.now) {
            let was_outstanding = self.outstanding.remove(&attempt).is_some();
            if was_outstanding && outcome.is_ok() {
                self.order.won(attempt, &self.outstanding);
            }
            self.note(&(attempt, outcome.is_ok()));
            self.writer.handle_finished(self.now, attempt, outcome);
            self.writer.assert_invariant();
        }
        if self.writer.poll_timeout().is_some_and(|at| at <= self.now) {
            self.writer.handle_timeout(self.now);
            assert!(
                self.writer.poll_timeout().is_none_or(|at| at > self.now),
                "what was due is done"
            );
        }
        while let Some(attempt) = self.writer.poll_cancel() {
            self.outstanding.remove(&attempt);
            self.note(&attempt);
            self.world.cancel(&mut self.random, attempt);
        }
        self.transmit();
        while let Some(record) = self.writer.poll_completed() {
            let result = self
                .writer
                .take(record)
                .expect("what is announced can be taken");
            assert_eq!(self.writer.take(record), None, "once");
            self.note(&(record, format!("{result:?}")));
            self.oracle.completed(record, result, &self.world);
        }
        self.writer.assert_invariant();
        self.oracle.check_deadlines(self.now);
    }

    fn transmit(&mut self) {
        loop {
            let hedges = self.writer.counters().hedges_sent;
            let Some(attempt) = self.writer.poll_transmit(self.now) else {
                return;
            };
            let (id, stream, earlier) = (attempt.id, attempt.stream, attempt.earlier_attempts);
            assert!(
                attempt.deadline > self.now,
                "a set whose time is over is not sent"
            );
            let taken = self.world.start(&mut self.random, self.now, &attempt);
            assert!(
                self.writer.is_member(stream),
                "no attempt goes to a stream that was removed (R17)"
            );
            self.note(&(id, stream, taken));
            if earlier == 0 && !self.order.is_kept() {
                self.fairness.started(&self.writer, id, stream, taken);
            }
            let started = (id, stream, earlier);
            let is_hedge = self.writer.counters().hedges_sent > hedges;
            let (writer, outstanding) = (&mut self.writer, &self.outstanding);
            self.domains
                .started(writer, started, taken, is_hedge, outstanding);
            if taken {
                self.order.started(&self.writer, started, &self.outstanding);
            } else {
                self.order.refused(id);
                self.strict = false;
                self.writer.handle_refused(self.now, id);
                continue;
            }
            assert!(
                self.outstanding.insert(id, stream).is_none(),
                "no attempt's name is used twice"
            );
            if earlier == 0 {
                self.check_rotation(stream);
            }
        }
    }

    /// R4: over any window of as many sets as there are streams, each starts one.
    fn check_rotation(&mut self, stream: StreamIndex) {
        if !self.strict {
            return;
        }
        assert!(
            !self.starts.contains(&stream),
            "{stream:?} starts again too soon: {:?}",
            self.starts
        );
        self.starts.push_back(stream);
        if self.starts.len() >= self.world.streams.len() {
            self.starts.pop_front();
        }
    }

    /// R8: extra attempts are bounded by the deposits of sets and time.
    fn check_budget(&self) {
        if let Budget::Share {
            share,
            per_second,
            burst,
        } = self.writer.settings().budget()
        {
            let counters = self.writer.counters();
            let extra = (counters.hedges_sent + counters.retries + counters.probes_sent) as f64;
            let seconds = self.now.as_micros() as f64 / 1e6;
            let paid = f64::from(burst)
                + f64::from(share) * counters.sets as f64
                + f64::from(per_second) * seconds;
            assert!(
                extra <= paid + 1e-6,
                "{extra} extra attempts for {paid} tokens"
            );
        }
    }

    fn end(&mut self) {
        match self.random.below(3) {
            0 => self.writer.abort(self.now),
            1 => self.writer.close(
                self.now,
                self.now + Duration::from_millis(self.random.below(500)),
            ),
            _ => self.writer.close(self.now, Instant::MAX),
        }
        self.drive();
        let deadline = self.now + self.writer.settings().request_timeout();
        while !self.writer.is_finished() {
            assert!(
                self.now <= deadline,
                "a closed writer ends by its last record's deadline"
            );
            assert_eq!(
                self.writer.write(self.now, b"late"),
                Err(EnqueueError::Closed)
            );
            self.sleep_until_something_happens();
            self.drive();
        }
        assert_eq!(
            self.writer.poll_timeout(),
            None,
            "nothing is left to wait for"
        );
        while let Some(reservation) = self.reservations.pop() {
            assert_eq!(
                self.writer.submit(self.now, reservation, b""),
                Err(EnqueueError::Closed)
            );
        }
    }

    fn note(&mut self, what: &impl Hash) {
        self.now.hash(&mut self.hasher);
        what.hash(&mut self.hasher);
    }
}

fn random_settings(random: &mut Random, streams: usize) -> Settings {
    let ms = Duration::from_millis;
    let pick = |random: &mut Random, choices: &[usize]| {
        choices[random.below(choices.len() as u64) as usize]
    };
    let request = 100 + random.below(900);
    let max = 1 + random.below(request - 2);
    let first = 1 + random.below(max);
    let mut builder = Settings::builder()
        .original_features()
        .buffer_size(pick(random, &[0, 0, 60, 200, 1_000]))
        .flush_interval(ms(random.below(20)))
        .flush_when_idle(random.chance(0.5))
        .request_timeout(ms(request))
        .max_speculative_timeout(ms(max))
        .first_speculative_timeout(ms(first.min(max)))
        .speculative_backoff_multiplier(1.0 + random.below(3) as f32)
        .seed(random.bits())
        .in_flight_sets(pick(random, &[1, 2, 5, 50]))
        .buffered_bytes(pick(random, &[300, 1_000, 1_000_000]))
        .pending_records(pick(random, &[1, 3, 20, 200]))
        .attempt_reports(random.chance(0.5))
        .rounds(Rounds {
            limit: random.chance(0.3).then(|| 1 + random.below(3) as u32),
            first_backoff: ms(1 + random.below(10)),
            max_backoff: ms(10 + random.below(100)),
        });
    if random.chance(0.3) {
        builder = builder.budget(Budget::Share {
            share: 0.1,
            per_second: 5,
            burst: 3,
        });
    }
    if random.chance(0.4) {
        builder = builder.health(Health::Probation {
            strikes: 2,
            first_backoff: ms(20),
            max_backoff: ms(500),
        });
    }
    builder = builder.window(
        [
            Window::Off,
            Window::Share,
            Window::Attempts(1),
            Window::Attempts(3),
        ][random.below(4) as usize],
    );
    if random.chance(0.4) {
        builder = builder.adaptive(Adaptive::Quantile {
            quantile: 0.9,
            floor: ms(1),
            warm_up: 5,
        });
    }
    if random.chance(0.4) {
        builder = builder.choice(Choice::Load);
    }
    // From a copy of the numbers, so that everything else is drawn as it was before this setting.
    builder = builder.wait_out_stalls(random.clone().chance(0.5));
    if random.chance(0.2) {
        let home = random.below(streams as u64) as u8;
        builder = builder.order(Order::Kept { home });
    }
    if random.chance(0.3) {
        builder = builder.codec(Codec::Lz4);
    }
    if random.chance(0.3) {
        builder = builder.identity(Identity::Trailer {
            writer: WriterId([1; 16]),
            first_sequence: 0_u64.wrapping_sub(random.below(3)),
        });
    }
    builder.build().unwrap()
}
