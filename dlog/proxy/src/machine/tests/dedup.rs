//! Duplicates of record sets (R12): which sets are stored once, and which again.

use std::collections::BTreeMap;

use distributedlog::wire::record_set::{SetIdentity, WriterId};
use distributedlog::{Dlsn, Instant, StatusCode};
use distributedlog_testkit::Random;

use super::bench::{Ask, LIMITS, Step, name, play, set_of};
use crate::machine::dedup::{
    DedupVerdict, Deduplicator, MAX_SETS_OF_WRITER, MAX_WINDOWS, WindowHint,
};
use crate::machine::{
    Action, Call, Counters, Fingerprint, Limits, Machine, Output, Reply, StoreReply, StoreRequest,
    Ticket, Usage, Work,
};
use distributedlog_store::{Acquired, Lease, StoreError};

const AT: fn(i64, i64) -> Result<Dlsn, StoreError> =
    |segment, entry| Ok(Dlsn::new(segment, entry, 0));

fn disk_full() -> Result<Dlsn, StoreError> {
    Err(StoreError::DiskFull {
        path: "/data".into(),
    })
}

#[test]
fn a_copy_of_what_is_stored_is_answered_with_the_first_ones_position() {
    let bench = play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
            (Step::Ask(2, "s", Ask::Set(7, 42)), &["2: 200 at 1/0/0"]),
            (Step::Ask(3, "s", Ask::Set(6, 42)), &["append s#1 x1 for 3"]),
            (Step::Appended(3, AT(1, 1)), &["3: 200 at 1/1/0"]),
            (Step::Ask(4, "s", Ask::Set(7, 42)), &["4: 200 at 1/0/0"]),
            (Step::Ask(5, "s", Ask::Set(6, 42)), &["5: 200 at 1/1/0"]),
        ],
    );
    assert_eq!(
        bench.machine.counters(),
        Counters {
            duplicates_answered: 3,
            identities_reused: 0,
            ..Counters::default()
        }
    );
    assert_eq!(bench.machine.usage(), Usage::default());
}

#[test]
fn a_copy_that_comes_while_the_first_is_being_stored_waits_for_it() {
    let bench = play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Ask(2, "s", Ask::Set(7, 42)), &[]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(3, "s", Ask::Set(7, 42)), &[]),
            (Step::Ask(4, "s", Ask::Set(8, 42)), &["append s#1 x1 for 4"]),
            (Step::Ask(5, "s", Ask::Release), &[]),
            (Step::Appended(4, AT(1, 1)), &["4: 200 at 1/1/0"]),
            (
                Step::Appended(1, AT(1, 0)),
                &[
                    "1: 200 at 1/0/0",
                    "2: 200 at 1/0/0",
                    "3: 200 at 1/0/0",
                    "release s#1",
                ],
            ),
        ],
    );
    assert_eq!(bench.machine.counters().duplicates_answered, 2);
    assert_eq!(bench.machine.usage().requests, 1, "the release");
}

#[test]
fn when_the_first_copy_is_not_stored_the_next_one_is_and_gets_no_error_of_another() {
    let bench = play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(2, "s", Ask::Set(7, 42)), &[]),
            (Step::Ask(3, "s", Ask::Set(7, 42)), &[]),
            (
                Step::Appended(1, disk_full()),
                &["1: 517", "append s#1 x1 for 2"],
            ),
            (
                Step::Appended(2, AT(1, 0)),
                &["2: 200 at 1/0/0", "3: 200 at 1/0/0"],
            ),
            (Step::Ask(4, "s", Ask::Set(8, 42)), &["append s#1 x1 for 4"]),
            (Step::Appended(4, disk_full()), &["4: 517"]),
            (Step::Ask(5, "s", Ask::Set(8, 42)), &["append s#1 x1 for 5"]),
        ],
    );
    assert_eq!(bench.machine.counters().duplicates_answered, 1);
}

#[test]
fn a_copy_whose_deadline_passes_while_it_follows_is_not_started_when_the_first_fails() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::AskUntil(2, "s", Ask::Set(7, 42), 10), &[]),
            (Step::AskUntil(3, "s", Ask::Set(7, 42), 30), &[]),
            (Step::At(20), &[]),
            (
                Step::Appended(1, disk_full()),
                &["1: 517", "2: deadline passed", "append s#1 x1 for 3"],
            ),
        ],
    );
}

#[test]
fn fenced_sets_and_their_copies_keep_their_order_and_are_stored_once() {
    let fenced = || Err(StoreError::Fenced(name("s")));
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(2, "s", Ask::Set(7, 42)), &[]),
            (Step::Appended(1, fenced()), &["acquire s"]),
            (Step::Ask(3, "s", Ask::Set(7, 42)), &[]),
            (Step::Granted("s", 2), &["append s#2 x1 for 1"]),
            (
                Step::Appended(1, AT(2, 0)),
                &["1: 200 at 2/0/0", "2: 200 at 2/0/0", "3: 200 at 2/0/0"],
            ),
        ],
    );
}

#[test]
fn a_stream_that_was_given_up_has_forgotten_its_sets() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
            (Step::Ask(2, "s", Ask::Release), &["release s#1"]),
            (Step::Released("s"), &["2: 200"]),
            (Step::Ask(3, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 2), &["append s#2 x1 for 3"]),
            (Step::Appended(3, AT(2, 0)), &["3: 200 at 2/0/0"]),
            (Step::Ask(4, "s", Ask::Delete), &["delete s"]),
            (Step::Deleted("s", disk_full().map(drop)), &["4: 517"]),
            (Step::Ask(5, "s", Ask::Set(7, 42)), &["5: 200 at 2/0/0"]),
            (Step::Ask(6, "s", Ask::Delete), &["delete s"]),
            (Step::Deleted("s", Ok(())), &["6: 200"]),
            (Step::Ask(7, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 3), &["append s#3 x1 for 7"]),
        ],
    );
}

#[test]
fn an_append_result_of_an_ended_ownership_does_not_affect_the_next_one() {
    let fenced = || Err(StoreError::Fenced(name("s")));
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(2, "s", Ask::Set(8, 42)), &["append s#1 x1 for 2"]),
            (Step::Appended(2, fenced()), &["acquire s"]),
            (Step::Granted("s", 2), &["append s#2 x1 for 2"]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
            (Step::Ask(3, "s", Ask::Set(7, 42)), &["append s#2 x1 for 3"]),
        ],
    );
}

#[test]
fn another_stream_stores_its_own_copy() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
            (Step::Ask(2, "t", Ask::Set(7, 42)), &["acquire t"]),
            (Step::Granted("t", 1), &["append t#1 x1 for 2"]),
            (Step::Appended(2, AT(1, 5)), &["2: 200 at 1/5/0"]),
            (Step::Ask(3, "s", Ask::Set(7, 42)), &["3: 200 at 1/0/0"]),
            (Step::Ask(4, "t", Ask::Set(7, 42)), &["4: 200 at 1/5/0"]),
        ],
    );
}

#[test]
fn a_different_set_under_the_same_identity_is_stored_and_counted() {
    let bench = play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(2, "s", Ask::Set(7, 43)), &["append s#1 x1 for 2"]),
            (Step::Appended(2, AT(1, 1)), &["2: 200 at 1/1/0"]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
            (Step::Ask(3, "s", Ask::Set(7, 43)), &["append s#1 x1 for 3"]),
            (Step::Ask(4, "s", Ask::Set(7, 42)), &["4: 200 at 1/0/0"]),
        ],
    );
    assert_eq!(
        bench.machine.counters(),
        Counters {
            duplicates_answered: 1,
            identities_reused: 2,
            ..Counters::default()
        }
    );
}

#[test]
fn a_proxy_that_remembers_no_sets_stores_every_copy() {
    play(
        Limits {
            remembered_sets: 0,
            ..LIMITS
        },
        &[
            (Step::Ask(1, "s", Ask::Set(7, 42)), &["acquire s"]),
            (Step::Ask(2, "s", Ask::Set(7, 42)), &[]),
            (
                Step::Granted("s", 1),
                &["append s#1 x1 for 1", "append s#1 x1 for 2"],
            ),
        ],
    );
}

fn print(writer: u128, sequence: u64) -> Fingerprint {
    Fingerprint {
        identity: SetIdentity {
            writer: WriterId(writer.to_be_bytes()),
            sequence,
        },
        bytes: 100,
        checksum: 5,
    }
}

/// Stores a set at a position of its own.
fn store(dedup: &mut Deduplicator, print: &Fingerprint) -> DedupVerdict {
    let serial = print.identity.sequence + 1;
    let mut hint = WindowHint::default();
    let verdict = dedup.begin(1, print, serial, &mut hint);
    if verdict == DedupVerdict::Store {
        dedup.end(1, print.identity, serial, hint, Some(position(print)));
    }
    verdict
}

fn position(print: &Fingerprint) -> Dlsn {
    Dlsn::new(1, print.identity.sequence as i64, 0)
}

#[test]
fn the_sets_of_a_writer_with_the_highest_sequences_are_remembered_in_any_order_of_arrival() {
    let most = MAX_SETS_OF_WRITER as u64;
    let mut dedup = Deduplicator::new(1 << 20);
    let (late, count) = (3, most + 100);
    for sequence in (0..count).filter(|sequence| sequence % 10 != late) {
        assert_eq!(store(&mut dedup, &print(1, sequence)), DedupVerdict::Store);
    }
    for sequence in (0..count).filter(|sequence| sequence % 10 == late).rev() {
        assert_eq!(
            store(&mut dedup, &print(1, sequence)),
            DedupVerdict::Store,
            "{sequence} comes late"
        );
    }
    for sequence in count - most..count {
        assert_eq!(
            store(&mut dedup, &print(1, sequence)),
            DedupVerdict::Stored(position(&print(1, sequence))),
            "{sequence}"
        );
    }
    for sequence in 0..count - most {
        assert_eq!(
            store(&mut dedup, &print(1, sequence)),
            DedupVerdict::Store,
            "{sequence} is behind the window and takes no place in it"
        );
    }
    let newest = print(1, u64::MAX - 1);
    assert_eq!(
        [store(&mut dedup, &newest), store(&mut dedup, &newest)],
        [DedupVerdict::Store, DedupVerdict::Stored(position(&newest))]
    );
    assert_eq!(
        store(&mut dedup, &print(1, count - 1)),
        DedupVerdict::Stored(position(&print(1, count - 1))),
        "a leap forgets one set"
    );
}

#[test]
fn idle_writers_are_forgotten_for_others_and_busy_ones_are_not() {
    let mut dedup = Deduplicator::new(1 << 20);
    let busy = print(0, 0);
    store(&mut dedup, &busy);
    for writer in 1..=3 * MAX_WINDOWS as u128 {
        assert_eq!(store(&mut dedup, &print(writer, 0)), DedupVerdict::Store);
        assert_eq!(
            store(&mut dedup, &busy),
            DedupVerdict::Stored(position(&busy)),
            "after writer {writer}"
        );
    }
    assert_eq!(
        store(&mut dedup, &print(1, 0)),
        DedupVerdict::Store,
        "it is forgotten"
    );
}

#[test]
fn no_more_sets_are_remembered_than_there_is_room_for() {
    for max_sets in [1, 2, 7, 64] {
        let mut dedup = Deduplicator::new(max_sets);
        let mut random = Random::new(max_sets as u64);
        for sequence in 0..2_000 {
            let set = print(u128::from(random.below(9)), sequence);
            assert_eq!(store(&mut dedup, &set), DedupVerdict::Store);
            assert_eq!(
                store(&mut dedup, &set),
                DedupVerdict::Stored(position(&set)),
                "the newest is always remembered"
            );
            assert!(dedup.len() <= max_sets, "{} of {max_sets}", dedup.len());
        }
    }
}

/// Writer, sequence and content of a set.
type Set = (u8, u64, u32);

/// A simulation in which sets are sent repeatedly, over a store that replies in any order, fails
/// and loses owners.
struct World {
    random: Random,
    machine: Machine<u32>,
    /// Stream and set of each client's request.
    asked: BTreeMap<u32, (&'static str, Set)>,
    answered: BTreeMap<u32, Reply>,
    /// Content of each stream, by position.
    stored: BTreeMap<(&'static str, Dlsn), u32>,
    /// Content of the sets that are stored or being stored, by stream, ownership and identity.
    known: BTreeMap<(&'static str, u64, u8, u64), u32>,
    requests: Vec<StoreRequest<u32>>,
    appends: Vec<(Ticket<u32>, Lease, Result<Dlsn, StoreError>)>,
    epochs: BTreeMap<&'static str, u64>,
    last_entry: i64,
    /// True if the machine remembers all sets of this run.
    remembers_all: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let remembers_all = random.below(2) == 0;
        let roomy = Usage {
            requests: 1000,
            bytes: 1 << 20,
        };
        let remembered_sets = if remembers_all {
            1 << 10
        } else {
            random.below(4) as usize
        };
        let limits = Limits {
            stream: roomy,
            total: roomy,
            remembered_sets,
            ..LIMITS
        };
        Self {
            random,
            machine: Machine::new("1;1;here:1".into(), limits),
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
            stored: BTreeMap::new(),
            known: BTreeMap::new(),
            requests: Vec::new(),
            appends: Vec::new(),
            epochs: BTreeMap::new(),
            last_entry: 0,
            remembers_all,
        }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..5 => {
                let client = self.asked.len() as u32 + 1;
                // The content identifies the set, except in one of thirty, which another writer
                // with the same id may have made.
                let (writer, sequence) = (1 + self.random.below(2) as u8, self.random.below(6));
                let content = u32::from(writer) * 100
                    + sequence as u32 * 2
                    + u32::from(self.random.below(30) == 0);
                let stream = ["a", "b"][self.random.below(2) as usize];
                self.asked
                    .insert(client, (stream, (writer, sequence, content)));
                let action = Action::Stream {
                    stream,
                    work: set_of(writer, sequence, content),
                };
                self.machine.handle_call(
                    Instant::ZERO,
                    Call {
                        to: client,
                        may_create: true,
                        deadline: None,
                        action,
                    },
                );
            }
            5..9 => self.answer_append(),
            9..11 => self.answer_request(),
            _ => {
                let stream = ["a", "b"][self.random.below(2) as usize];
                match self.random.below(3) {
                    // Another proxy takes it, and gives it back before it is asked for.
                    0 => drop(self.epochs.remove(stream)),
                    1 => self.administer(stream, Work::Release),
                    _ => self.administer(stream, Work::Touch),
                }
            }
        }
        self.carry_out();
    }

    /// Asks for something that stores nothing.
    fn administer(&mut self, stream: &'static str, work: Work) {
        self.machine.handle_call(
            Instant::ZERO,
            Call {
                to: 0,
                may_create: true,
                deadline: None,
                action: Action::Stream { stream, work },
            },
        );
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Reply { to: 0, .. } => {}
                Output::Reply { to, reply } => {
                    let before = self.answered.insert(to, reply);
                    assert_eq!(before, None, "client {to} was answered twice");
                }
                Output::Append { lease, ticket, .. } => self.append(lease, ticket),
                Output::Request(request) => self.requests.push(request),
            }
        }
    }

    fn append(&mut self, lease: Lease, ticket: Ticket<u32>) {
        let (stream, (writer, sequence, content)) = self.asked[&ticket.to];
        let key = (stream, lease.epoch, writer, sequence);
        if self.remembers_all {
            let before = self.known.get(&key);
            assert_ne!(
                before,
                Some(&content),
                "client {}: set {key:?} is stored twice",
                ticket.to
            );
            self.known.entry(key).or_insert(content);
        }
        let result = if self.epochs.get(stream) != Some(&lease.epoch) {
            Err(StoreError::Fenced(lease.stream.clone()))
        } else if self.random.below(8) == 0 {
            disk_full()
        } else {
            self.last_entry += 1;
            let dlsn = Dlsn::new(lease.epoch as i64, self.last_entry, 0);
            self.stored.insert((stream, dlsn), content);
            Ok(dlsn)
        };
        self.appends.push((ticket, lease, result));
    }

    fn answer_append(&mut self) {
        if self.appends.is_empty() {
            return;
        }
        let at = self.random.below(self.appends.len() as u64) as usize;
        let (ticket, lease, result) = self.appends.remove(at);
        if result.is_err() {
            let (stream, (writer, sequence, content)) = self.asked[&ticket.to];
            let key = (stream, lease.epoch, writer, sequence);
            if self.known.get(&key) == Some(&content) {
                self.known.remove(&key);
            }
        }
        self.machine.handle_appended(Instant::ZERO, ticket, result);
    }

    fn answer_request(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let at = self.random.below(self.requests.len() as u64) as usize;
        let reply = match self.requests.remove(at) {
            StoreRequest::Acquire { stream } => {
                self.last_entry += 1;
                let epoch = self.last_entry as u64;
                let known = if stream.as_str() == "a" { "a" } else { "b" };
                self.epochs.insert(known, epoch);
                StoreReply::Acquired {
                    result: Ok(Acquired::Granted(Lease {
                        stream: stream.clone(),
                        epoch,
                    })),
                    stream,
                }
            }
            StoreRequest::Release { lease } => StoreReply::Released {
                stream: lease.stream,
                result: Ok(()),
            },
            StoreRequest::CreateMissing { .. }
            | StoreRequest::Delete { .. }
            | StoreRequest::Truncate { .. }
            | StoreRequest::Create { .. }
            | StoreRequest::Describe { .. } => unreachable!("nothing here leads to that"),
        };
        self.machine.handle_store(Instant::ZERO, reply);
    }

    /// Lets the store reply to everything, and checks the replies.
    fn end(&mut self) -> Counters {
        for _ in 0..10_000 {
            if self.appends.is_empty() && self.requests.is_empty() {
                break;
            }
            self.answer_append();
            self.carry_out();
            self.answer_request();
            self.carry_out();
        }
        assert_eq!(self.machine.usage(), Usage::default());
        for (client, (stream, set)) in &self.asked {
            let Some(Reply::Stream(response)) = self.answered.get(client) else {
                panic!("client {client} was not answered")
            };
            match response.dlsn {
                Some(dlsn) => assert_eq!(
                    self.stored.get(&(*stream, dlsn)),
                    Some(&set.2),
                    "client {client} has the reply {dlsn} of {stream}"
                ),
                None => assert_ne!(
                    response.code,
                    StatusCode::Success,
                    "client {client}: {response:?}"
                ),
            }
        }
        self.machine.counters()
    }
}

/// R12: a reply's position is that of the client's own bytes, in its own stream; and within the
/// window each set is stored once in an ownership.
#[test]
fn positions_are_true_and_sets_are_stored_once_in_any_behaviour_of_clients_and_store() {
    let mut total = Counters::default();
    for seed in 0..1_500 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
        }
        let Counters {
            duplicates_answered,
            identities_reused,
            ..
        } = world.end();
        total.duplicates_answered += duplicates_answered;
        total.identities_reused += identities_reused;
    }
    assert!(
        total.duplicates_answered > 10_000 && total.identities_reused > 1_000,
        "{total:?}"
    );
}
