//! Simulations of a machine over a store that does what stores may do: reply late and in any order,
//! lose owners, run full, fail.

use std::collections::{BTreeMap, BTreeSet};

use distributedlog::{Dlsn, Failure, Instant, StatusCode, WriteState};
use distributedlog_testkit::Random;

use super::bench::{Client, LIMITS, payload_of};
use crate::machine::{
    Action, Bulk, Call, InjectedFault, Limits, Machine, Output, QueuedRequestId, Reply, StoreReply,
    StoreRequest, StreamReply, Ticket, Usage, Work,
};
use distributedlog_store::{
    Acquired, Entry, EntryRecord, Lease, Owner, StoreError, StreamInfo, StreamName,
};

const STREAMS: [&str; 3] = ["a", "b", "c"];

/// A store that replies when the simulation decides.
#[derive(Default)]
struct Store {
    streams: BTreeMap<StreamName, Stored>,
    last_epoch: u64,
    requests: Vec<StoreRequest<Client>>,
    appends: Vec<(Ticket<Client>, Result<Dlsn, StoreError>)>,
}

#[derive(Default)]
struct Stored {
    /// The epoch that may append; `None` if another proxy owns the stream, or none does.
    epoch: Option<u64>,
    foreign: bool,
    next_entry: i64,
}

struct World {
    random: Random,
    machine: Machine<Client>,
    limits: Limits,
    store: Store,
    /// Positions of each client's records that were ever stored.
    stored: BTreeMap<Client, Vec<(StreamName, Dlsn)>>,
    asked: BTreeSet<Client>,
    answered: BTreeMap<Client, Reply>,
    waiting: Vec<QueuedRequestId>,
    last_client: Client,
    now: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limits = Limits {
            stream: Usage {
                requests: 1 + random.below(20) as usize,
                bytes: 100,
            },
            total: Usage {
                requests: 20,
                bytes: 200,
            },
            streams: 1 + random.below(4) as usize,
            create_missing_streams: !random.one_in(4),
            ..LIMITS
        };
        Self {
            random,
            machine: Machine::new("1;1;here:1".into(), limits),
            limits,
            store: Store::default(),
            stored: BTreeMap::new(),
            asked: BTreeSet::new(),
            answered: BTreeMap::new(),
            waiting: Vec::new(),
            last_client: 0,
            now: 0,
        }
    }

    fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn step(&mut self) {
        self.now += self.random.below(3);
        if self.random.one_in(4) {
            self.machine.handle_deadlines(self.instant());
            assert!(
                self.machine
                    .next_deadline()
                    .is_none_or(|deadline| deadline >= self.instant()),
                "a deadline passed without a reply"
            );
        }
        match self.random.below(20) {
            0..8 => self.ask(),
            8..12 => self.answer_append(),
            12..16 => self.answer_request(),
            16 => {
                if let Some(at) = pick(&mut self.random, self.waiting.len()) {
                    let id = self.waiting.swap_remove(at);
                    self.machine.discard(self.instant(), &id);
                }
            }
            17 => {
                let stream = STREAMS[self.random.below(3) as usize];
                let fault = match self.random.below(4) {
                    0 => Some(InjectedFault::Stalled),
                    1 => Some(InjectedFault::Failing(StatusCode::WriteException)),
                    _ => None,
                };
                self.machine.set_fault(self.instant(), stream, fault);
            }
            18 => self.disown(),
            _ => {
                let accept = !self.random.one_in(3);
                let to = self.next_client();
                self.machine.handle_call(
                    self.instant(),
                    Call {
                        to,
                        may_create: true,
                        deadline: None,
                        action: Action::SetAcceptNewStream(accept),
                    },
                );
            }
        }
        self.carry_out();
    }

    fn next_client(&mut self) -> Client {
        self.last_client += 1;
        self.asked.insert(self.last_client);
        self.last_client
    }

    fn ask(&mut self) {
        let to = self.next_client();
        let record = || EntryRecord {
            payload: payload_of(to),
            slots: 1,
            is_record_set: false,
        };
        let work = match self.random.below(12) {
            0 => Work::Touch,
            1 => Work::Truncate(Dlsn::INITIAL),
            2 => Work::Release,
            3 => Work::Delete,
            4 | 5 => Work::Bulk(Bulk {
                records: vec![record(), record()],
                ..Bulk::default()
            }),
            _ => Work::Write(record()),
        };
        let stream = STREAMS[self.random.below(3) as usize];
        let action = match self.random.below(20) {
            0 => Action::Create { stream },
            1 => Action::Owner { stream },
            _ => Action::Stream { stream, work },
        };
        let deadline = self
            .random
            .one_in(4)
            .then(|| Instant::from_millis(self.now + self.random.below(10)));
        self.waiting.extend(self.machine.handle_call(
            self.instant(),
            Call {
                to,
                may_create: true,
                deadline,
                action,
            },
        ));
    }

    /// Lets another proxy take a stream, or give it back; or forgets its owner.
    fn disown(&mut self) {
        let name = StreamName::new(STREAMS[self.random.below(3) as usize]).expect("a valid name");
        if let Some(stream) = self.store.streams.get_mut(&name) {
            stream.epoch = None;
            stream.foreign = !stream.foreign && self.random.one_in(2);
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Reply { to, reply } => {
                    let before = self.answered.insert(to, reply);
                    assert_eq!(before, None, "client {to} was answered twice");
                }
                Output::Append {
                    lease,
                    entry,
                    ticket,
                } => {
                    let result = self.append(&lease, &entry);
                    self.store.appends.push((ticket, result));
                }
                Output::Request(request) => self.store.requests.push(request),
            }
        }
        let usage = self.machine.usage();
        assert!(
            usage.requests <= self.limits.total.requests && usage.bytes <= self.limits.total.bytes
        );
        assert!(self.machine.stream_count() <= self.limits.streams);
    }

    fn append(&mut self, lease: &Lease, entry: &Entry) -> Result<Dlsn, StoreError> {
        let fenced = StoreError::Fenced(lease.stream.clone());
        let Some(stream) = self.store.streams.get_mut(&lease.stream) else {
            return Err(fenced);
        };
        if stream.epoch != Some(lease.epoch) {
            return Err(fenced);
        }
        if self.random.one_in(20) {
            return Err(StoreError::DiskFull {
                path: "/data".into(),
            });
        }
        let broken = self.random.one_in(20);
        if !broken || self.random.one_in(2) {
            let dlsn = Dlsn::new(lease.epoch as i64, stream.next_entry, 0);
            stream.next_entry += 1;
            for (record, slot) in entry.records.iter().zip(0..) {
                let client =
                    Client::from_be_bytes(record.payload[..].try_into().expect("four bytes"));
                self.stored
                    .entry(client)
                    .or_default()
                    .push((lease.stream.clone(), dlsn.slot(slot)));
            }
            if !broken {
                return Ok(dlsn);
            }
        }
        Err(StoreError::Io {
            path: "/data".into(),
            detail: "broken".into(),
        })
    }

    fn answer_append(&mut self) {
        if let Some(at) = pick(&mut self.random, self.store.appends.len()) {
            let (ticket, result) = self.store.appends.remove(at);
            self.machine.handle_appended(self.instant(), ticket, result);
        }
    }

    fn answer_request(&mut self) {
        let Some(at) = pick(&mut self.random, self.store.requests.len()) else {
            return;
        };
        let request = self.store.requests.remove(at);
        let fails = self.random.one_in(20);
        let reply = self.answer_to(request, fails);
        self.machine.handle_store(self.instant(), reply);
    }

    fn answer_to(&mut self, request: StoreRequest<Client>, fails: bool) -> StoreReply<Client> {
        let failure = || StoreError::Unreachable {
            address: "store:1".into(),
            detail: "gone".into(),
        };
        let streams = &mut self.store.streams;
        let done = |stream: &StreamName, result: Option<()>| match result {
            _ if fails => Err(failure()),
            Some(()) => Ok(()),
            None => Err(StoreError::StreamNotFound(stream.clone())),
        };
        let mut create = |stream: &StreamName| {
            if fails {
                return Err(failure());
            }
            if streams.contains_key(stream) {
                return Err(StoreError::StreamExists(stream.clone()));
            }
            streams.insert(stream.clone(), Stored::default());
            Ok(())
        };
        match request {
            StoreRequest::CreateMissing { stream } => StoreReply::CreatedMissing {
                result: create(&stream),
                stream,
            },
            StoreRequest::Create { stream, to } => StoreReply::Created {
                result: create(&stream),
                stream,
                to,
            },
            StoreRequest::Acquire { stream } => {
                let other = Owner {
                    shard: 2,
                    address: "there:2".into(),
                };
                let result = match streams.get_mut(&stream) {
                    _ if fails => Err(failure()),
                    None => Err(StoreError::StreamNotFound(stream.clone())),
                    Some(Stored { foreign: true, .. }) => Ok(Acquired::OwnedBy(other)),
                    Some(stored) => {
                        self.store.last_epoch += 1;
                        stored.epoch = Some(self.store.last_epoch);
                        Ok(Acquired::Granted(Lease {
                            stream: stream.clone(),
                            epoch: self.store.last_epoch,
                        }))
                    }
                };
                StoreReply::Acquired { stream, result }
            }
            StoreRequest::Release { lease } => {
                if let Some(stored) = streams
                    .get_mut(&lease.stream)
                    .filter(|stored| stored.epoch == Some(lease.epoch))
                {
                    stored.epoch = None;
                }
                StoreReply::Released {
                    result: done(&lease.stream, Some(())),
                    stream: lease.stream,
                }
            }
            StoreRequest::Delete { stream } => {
                let removed = if fails {
                    None
                } else {
                    streams.remove(&stream).map(drop)
                };
                StoreReply::Deleted {
                    result: done(&stream, removed),
                    stream,
                }
            }
            StoreRequest::Truncate { stream, to, .. } => StoreReply::Truncated {
                result: done(&stream, streams.get(&stream).map(|_| ())),
                stream,
                to,
            },
            StoreRequest::Describe { stream, to } => {
                let info = StreamInfo {
                    name: stream.clone(),
                    created_unix_ms: 0,
                    segments: Vec::new(),
                    first: None,
                    last: None,
                    truncated_before: None,
                    owner: None,
                };
                let result = done(&stream, streams.get(&stream).map(|_| ())).map(|()| info);
                StoreReply::Described { stream, result, to }
            }
        }
    }

    /// Lets the store reply to everything, and closes the machine.
    fn end(&mut self) {
        self.machine.drain(self.instant());
        self.carry_out();
        self.machine.close(self.instant());
        self.carry_out();
        for _ in 0..10_000 {
            if self.store.appends.is_empty() && self.store.requests.is_empty() {
                break;
            }
            self.answer_append();
            self.carry_out();
            self.answer_request();
            self.carry_out();
        }
        assert!(
            self.machine.is_closed(),
            "it holds streams, and waits for nothing"
        );
        assert_eq!(
            (self.machine.usage(), self.machine.next_deadline()),
            (Usage::default(), None)
        );
        let unanswered: Vec<_> = self
            .asked
            .iter()
            .filter(|client| !self.answered.contains_key(client))
            .collect();
        assert!(unanswered.is_empty(), "{unanswered:?} were not answered");
        for (client, reply) in &self.answered {
            let stored = self.stored.get(client).map_or(&[][..], Vec::as_slice);
            match reply {
                Reply::Stream(response) => check_record(*client, response, stored),
                Reply::Bulk(responses) => {
                    let acknowledged: Vec<Dlsn> = responses
                        .iter()
                        .filter_map(|response| response.dlsn)
                        .collect();
                    let stored: Vec<Dlsn> = stored.iter().map(|(_, dlsn)| *dlsn).collect();
                    assert_eq!(acknowledged, stored, "client {client}");
                }
                Reply::NotStarted(_) => assert!(
                    stored.is_empty(),
                    "client {client}: the reply says that nothing had started"
                ),
                Reply::Void => {}
                Reply::ServerInfo { .. } | Reply::Exception { .. } => {
                    panic!("{reply:?}, which no request asks for")
                }
            }
        }
    }
}

/// Checks that an acknowledged record is where its reply says, and that a record which is reported
/// as not written is not stored.
fn check_record(client: Client, response: &StreamReply, stored: &[(StreamName, Dlsn)]) {
    if let Some(dlsn) = response.dlsn {
        assert!(
            matches!(stored, [(_, at)] if *at == dlsn),
            "client {client}: {response:?}, but {stored:?}"
        );
    } else if response.code != StatusCode::Success
        && Failure::of_status(response.code).known != WriteState::Unknown
    {
        assert!(
            stored.is_empty(),
            "client {client}: {response:?}, but {stored:?}"
        );
    }
}

fn pick(random: &mut Random, count: usize) -> Option<usize> {
    (count > 0).then(|| random.below(count as u64) as usize)
}

/// The machine's invariant, and the promise of codes that say "not written", in many runs.
#[test]
fn every_call_is_answered_once_and_truly_in_any_behaviour_of_the_store() {
    for seed in 0..2_000 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
        }
        world.end();
    }
}
