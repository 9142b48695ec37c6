//! What the proxy answers, as a state machine: calls and the store's answers go in, replies and
//! what to ask of the store come out. It reads no clock, does no I/O, spawns nothing and locks
//! nothing, so that the whole service can be simulated.

mod append;
mod call;
mod check;
mod copies;
mod deadlines;
mod output;
mod ownership;
mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use distributedlog::wire::service::ServerStatus;
use distributedlog::{Instant, StatusCode};
use regex::Regex;

pub(crate) use call::{Action, Answer, Bulk, Call, NotStarted, Response, Work};
pub(crate) use check::{check, deadline, filter, shorten};
pub(crate) use copies::Fingerprint;
pub(crate) use output::{Output, Question, StoreAnswer, Ticket};
pub(crate) use status::of_setup;
pub(crate) use stream::{Fault, Usage};

use copies::Copies;
use deadlines::Deadlines;
use distributedlog_store::{Owner, StreamName};
use stream::{BulkProgress, Phase, Records, Stream, Task, Waiting};

/// The largest entry that a bulk write is split into, in bytes of payload. Every legal record fits
/// into one.
pub(crate) const MAX_ENTRY_BYTES: usize = 1 << 20;
const _: () = assert!(
    MAX_ENTRY_BYTES >= super::MAX_RECORD_BYTES,
    "a record must fit into an entry"
);

/// How many times a stream that does not exist is made before its requests are refused: something
/// else deletes it each time.
const MAX_CREATE_ROUNDS: u8 = 3;

/// What the machine allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Unanswered requests for one stream.
    pub(crate) stream: Usage,
    /// Unanswered requests in all.
    pub(crate) total: Usage,
    /// Streams that are owned or about to be.
    pub(crate) streams: usize,
    /// Whether writes make streams that do not exist.
    pub(crate) create_missing_streams: bool,
    /// Whether what would change a stream is refused.
    pub(crate) read_only: bool,
    /// Record sets that are remembered so that copies of them are told.
    pub(crate) remembered_sets: usize,
}

/// The service's whole state. `O` names whom to answer.
///
/// Call a `handle_` method or a verb, then take everything from [`poll_output`](Self::poll_output)
/// and carry it out in that order.
///
/// The invariant: every call is answered exactly once; until then it is counted in the usage of the
/// machine and, if it concerns one, of its stream, and it is either waiting in that stream, or in
/// the hands of the store as a [`Ticket`] or [`Question`], or it follows a ticket whose record set
/// it is a copy of.
#[derive(Debug)]
pub(crate) struct Machine<O> {
    limits: Limits,
    /// What stands for this proxy in redirects.
    location: Arc<str>,
    mode: Mode,
    streams: HashMap<StreamName, Stream<O>>,
    bulks: HashMap<u64, BulkProgress<O>>,
    deadlines: Deadlines,
    copies: Copies,
    /// What came while a copy of it was being stored, by that one's serial number.
    followers: HashMap<u64, Vec<(O, Waiting)>>,
    faults: HashMap<String, Fault>,
    usage: Usage,
    last_serial: u64,
    last_ownership: u64,
    counters: Counters,
    outputs: VecDeque<Output<O>>,
}

/// What the machine counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Writes of sets that were there already, answered with the position of what was there.
    pub(crate) duplicates_answered: u64,
    /// Writes of sets whose identity another set has that was stored and is not the same: two
    /// writers with one id.
    pub(crate) identities_reused: u64,
}

/// What the proxy does with streams that are not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It becomes their owner.
    Accepting,
    /// It serves those that it owns, as `setAcceptNewStream(false)` wants.
    WriteOnly,
    /// The same, because it is going away.
    Draining,
    /// It gives back those that it owns.
    Closing,
}

/// Names a request that has not started, for [`Machine::discard`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingId {
    stream: StreamName,
    serial: u64,
}

/// DistributedLog's text for a proxy.
pub(crate) fn location_of(owner: &Owner) -> Arc<str> {
    format!("1;{};{}", owner.shard, owner.address).into()
}

impl<O: Clone> Machine<O> {
    /// A machine that owns nothing and accepts streams.
    pub(crate) fn new(location: Arc<str>, limits: Limits) -> Self {
        Self {
            limits,
            location,
            mode: Mode::Accepting,
            streams: HashMap::new(),
            bulks: HashMap::new(),
            deadlines: Deadlines::default(),
            copies: Copies::new(limits.remembered_sets),
            followers: HashMap::new(),
            faults: HashMap::new(),
            usage: Usage::NONE,
            last_serial: 0,
            last_ownership: 0,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// How many streams it owns or deals with.
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// What is admitted and not answered.
    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    /// What it counted.
    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether streams that are not owned are accepted.
    pub(crate) fn is_accepting(&self) -> bool {
        self.mode == Mode::Accepting
    }

    /// Whether every stream was given back after [`close`](Self::close).
    pub(crate) fn is_closed(&self) -> bool {
        self.mode == Mode::Closing && self.streams.is_empty()
    }

    /// What to do next.
    pub(crate) fn poll_output(&mut self) -> Option<Output<O>> {
        self.outputs.pop_front()
    }

    /// Takes a request. What it returns names the request while it waits, if it does.
    pub(crate) fn handle_call(&mut self, now: Instant, call: Call<'_, O>) -> Option<WaitingId> {
        let Call {
            to,
            deadline,
            action,
        } = call;
        if deadline.is_some_and(|deadline| deadline < now) {
            self.reply(to, Answer::NotStarted(NotStarted::DeadlinePassed));
            return None;
        }
        match action {
            Action::Handshake { ownerships, filter } => {
                let answer = self.server_info(ownerships, filter.as_ref());
                self.reply(to, answer);
            }
            Action::SetAcceptNewStream(accept) => {
                self.set_accept_new_streams(accept);
                self.reply(to, Answer::Void);
            }
            Action::Create { stream } => self.create(to, stream),
            Action::Owner { stream } => self.find_owner(to, stream),
            Action::Stream { stream, work } => return self.admit(now, to, deadline, stream, work),
        }
        None
    }

    /// Drops a request that still waits, because its client does not want it any more. Says whether
    /// it did; one that has started, or is answered, goes on.
    pub(crate) fn discard(&mut self, now: Instant, id: &WaitingId) -> bool {
        let Some(stream) = self.streams.get_mut(&id.stream) else {
            return false;
        };
        let here = stream
            .waiting
            .iter()
            .filter(|(_, work)| work.serial == id.serial)
            .count();
        let parts = self
            .bulks
            .get(&id.serial)
            .map_or(1, |bulk| bulk.starts.len());
        if here == 0 || here < parts {
            return false;
        }
        let Some(at) = stream
            .waiting
            .iter()
            .position(|(_, work)| work.serial == id.serial)
        else {
            return false;
        };
        let (to, work) = stream.waiting.remove(at).expect("its place was just found");
        self.deadlines.remove(&work);
        self.abandon(&id.stream, to, &work, NotStarted::Discarded);
        self.advance(now, &id.stream);
        true
    }

    /// Makes a stream misbehave, or behave again.
    pub(crate) fn set_fault(&mut self, now: Instant, stream: &str, fault: Option<Fault>) {
        match fault {
            Some(fault) => drop(self.faults.insert(stream.to_owned(), fault)),
            None => drop(self.faults.remove(stream)),
        }
        if let Some((name, _)) = self.streams.get_key_value(stream) {
            let name = name.clone();
            self.advance(now, &name);
        }
    }

    /// Which streams misbehave, and how.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&str, Fault)> {
        self.faults
            .iter()
            .map(|(stream, fault)| (stream.as_str(), *fault))
    }

    /// Accepts no further streams and tells clients that this proxy is going away. Faults end, so
    /// that what waits can finish.
    pub(crate) fn drain(&mut self, now: Instant) {
        if self.mode != Mode::Closing {
            self.mode = Mode::Draining;
        }
        self.faults.clear();
        self.advance_all(now);
    }

    /// Gives every stream back as soon as nothing is under way for it. Says how many there are.
    pub(crate) fn close(&mut self, now: Instant) -> usize {
        self.mode = Mode::Closing;
        self.faults.clear();
        let streams = self.streams.len();
        self.advance_all(now);
        streams
    }

    fn advance_all(&mut self, now: Instant) {
        // Sorted, so that the same calls always have the same outputs.
        let mut names: Vec<StreamName> = self.streams.keys().cloned().collect();
        names.sort_unstable();
        for name in &names {
            self.advance(now, name);
        }
    }

    fn set_accept_new_streams(&mut self, accept: bool) {
        match self.mode {
            Mode::Accepting | Mode::WriteOnly => {
                self.mode = if accept {
                    Mode::Accepting
                } else {
                    Mode::WriteOnly
                }
            }
            // A proxy that is going away stays on its way.
            Mode::Draining | Mode::Closing => {}
        }
    }

    fn server_info(&self, ownerships: bool, filter: Option<&Regex>) -> Answer {
        let status = match self.mode {
            Mode::Accepting => ServerStatus::WriteAndAccept,
            Mode::WriteOnly => ServerStatus::WriteOnly,
            Mode::Draining | Mode::Closing => ServerStatus::Down,
        };
        let ownerships = ownerships.then(|| {
            let owned = self
                .streams
                .iter()
                .filter(|(_, stream)| matches!(stream.phase, Phase::Owned(_)));
            let matching = owned
                .map(|(name, _)| name)
                .filter(|name| filter.is_none_or(|regex| regex.is_match(name.as_str())));
            let mut names: Vec<StreamName> = matching.cloned().collect();
            names.sort_unstable();
            names
        });
        Answer::ServerInfo { status, ownerships }
    }

    /// Counts a request for a stream and lets it start or wait; or refuses it.
    fn admit(
        &mut self,
        now: Instant,
        to: O,
        deadline: Option<Instant>,
        stream: &str,
        work: Work,
    ) -> Option<WaitingId> {
        let size = work.size();
        if let Err(refusal) = self.find_room(stream, size, &work) {
            self.reply(to, Answer::Stream(refusal));
            return None;
        }
        let Some((name, _)) = self.streams.get_key_value(stream) else {
            // A stream that is not owned is released already.
            self.reply(to, Answer::Stream(Response::success()));
            return None;
        };
        let name = name.clone();
        let entry = self
            .streams
            .get_mut(&name)
            .expect("its name was just found");
        self.last_serial += 1;
        let serial = self.last_serial;
        let mut print = None;
        let task = match work {
            Work::Write(record) => Task::Append(Records::One(record)),
            Work::WriteOnce(record, of) => {
                print = Some(of);
                Task::Append(Records::One(record))
            }
            Work::Bulk(bulk) => {
                if bulk.records.is_empty() {
                    self.reply(to, Answer::Bulk(append::refused_tail(name.as_str(), &bulk)));
                    self.advance(now, &name);
                    return None;
                }
                self.usage.add(size);
                entry.usage.add(size);
                let (progress, parts) = append::split_bulk(to.clone(), name.as_str(), size, bulk);
                self.bulks.insert(serial, progress);
                for (part, records) in (0..).zip(parts) {
                    // Only the first part has a deadline: once it has started, the others follow
                    // it.
                    let (deadline, task) =
                        (deadline.filter(|_| part == 0), Task::AppendPart(records));
                    entry.enqueue(
                        to.clone(),
                        Waiting {
                            serial,
                            part,
                            deadline,
                            size,
                            fenced_before: false,
                            print,
                            task,
                        },
                    );
                }
                self.advance(now, &name);
                return self.now_waiting(name, serial);
            }
            Work::Touch => Task::Touch,
            Work::Truncate(before) => Task::Truncate(before),
            Work::Release => Task::Release,
            Work::Delete => Task::Delete,
        };
        self.usage.add(size);
        entry.usage.add(size);
        entry.enqueue(
            to,
            Waiting {
                serial,
                part: 0,
                deadline,
                size,
                fenced_before: false,
                print,
                task,
            },
        );
        self.advance(now, &name);
        self.now_waiting(name, serial)
    }

    /// Whether a request is admitted. Afterwards the stream is in the table, unless there is
    /// nothing to do for it.
    fn find_room(&mut self, stream: &str, size: usize, work: &Work) -> Result<(), Response> {
        if self.limits.read_only && work.changes() {
            return Err(read_only());
        }
        if !self.faults.is_empty()
            && let Some(Fault::Failing(code)) = self.faults.get(stream)
        {
            return Err(Response::refused(
                *code,
                format!("log stream {stream} fails on purpose"),
            ));
        }
        if !self.usage.has_room(size, self.limits.total) {
            return Err(self.over_capacity());
        }
        if let Some(known) = self.streams.get(stream) {
            if known.usage.has_room(size, self.limits.stream) {
                return Ok(());
            }
            let Usage { requests, bytes } = known.usage;
            let message = format!(
                "log stream {stream} works on {requests} requests of {bytes} bytes already"
            );
            return Err(Response::refused(StatusCode::OverCapacity, message));
        }
        if matches!(work, Work::Release) {
            return Ok(());
        }
        if self.mode != Mode::Accepting {
            return Err(self.not_accepting());
        }
        if self.streams.len() >= self.limits.streams {
            let message = format!(
                "the proxy owns {} streams and takes no more",
                self.streams.len()
            );
            return Err(Response::refused(StatusCode::TooManyStreams, message));
        }
        self.streams
            .insert(ownership::parse_name(stream)?, Stream::new());
        Ok(())
    }

    /// Names the request that was just admitted if it has to wait, in whole or in part, and sees to
    /// its deadline.
    fn now_waiting(&mut self, stream: StreamName, serial: u64) -> Option<WaitingId> {
        let waiting = &self.streams.get(&stream)?.waiting;
        let first = waiting.partition_point(|(_, work)| work.serial < serial);
        let (_, work) = waiting.get(first)?;
        self.deadlines.add(&stream, work);
        Some(WaitingId { stream, serial })
    }

    fn not_accepting(&self) -> Response {
        let why = match self.mode {
            Mode::Accepting | Mode::WriteOnly => "accepts no new streams",
            Mode::Draining | Mode::Closing => "is shutting down",
        };
        Response::refused(
            StatusCode::ServiceUnavailable,
            format!("proxy {} {why}", self.location),
        )
    }

    fn over_capacity(&self) -> Response {
        let Usage { requests, bytes } = self.usage;
        Response::refused(
            StatusCode::OverCapacity,
            format!("the proxy works on {requests} requests of {bytes} bytes already"),
        )
    }

    fn reply(&mut self, to: O, answer: Answer) {
        self.outputs.push_back(Output::Reply { to, answer });
    }
}

fn read_only() -> Response {
    Response::refused(StatusCode::RequestDenied, "the proxy is read only")
}
