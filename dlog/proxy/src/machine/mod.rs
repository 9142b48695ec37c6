//! The proxy's service as a state machine: calls and the store's replies go in, replies to clients
//! and requests to the store come out.
//!
//! It reads no clock, does no I/O, spawns no task and takes no lock, so that the whole service can
//! be simulated.

mod append;
mod call;
mod check;
mod deadlines;
mod dedup;
mod output;
mod ownership;
mod rate;
mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use distributedlog::wire::service::ServerStatus;
use distributedlog::{Instant, StatusCode};
use regex::Regex;

pub(crate) use call::{Action, Bulk, Call, NotStarted, Reply, StreamReply, Terms, Work};
pub(crate) use check::{MAX_QUOTE_CHARS, check, deadline, filter, shorten};
pub(crate) use dedup::Fingerprint;
pub(crate) use output::{Output, StoreReply, StoreRequest, Ticket};
pub(crate) use rate::WriteRate;
pub(crate) use status::of_setup;
pub(crate) use stream::{InjectedFault, StreamCounters, Usage};

use deadlines::Deadlines;
use dedup::Deduplicator;
use distributedlog_store::hash::KeyedMap;
use distributedlog_store::{Owner, StreamName};
use stream::{BulkProgress, QueuedWork, Records, Stream, StreamPhase, Task};

/// Largest entry that a bulk write is split into, in bytes of payload. Every valid record fits into
/// one.
pub(crate) const MAX_ENTRY_BYTES: usize = 1 << 20;
const _: () = assert!(
    MAX_ENTRY_BYTES >= super::MAX_RECORD_BYTES,
    "a record must fit into an entry"
);

/// Number of times that a missing stream is created before its requests are refused: something else
/// deletes it each time.
const MAX_CREATE_ROUNDS: u8 = 3;

/// Limits and permissions of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Unanswered requests for one stream.
    pub(crate) stream: Usage,
    /// Unanswered requests in all.
    pub(crate) total: Usage,
    /// Streams that are owned or being acquired.
    pub(crate) streams: usize,
    /// If true, a write to a missing stream creates it.
    pub(crate) create_missing_streams: bool,
    /// If true, requests that would change a stream are refused.
    pub(crate) read_only: bool,
    /// Number of record sets that are remembered to detect duplicates. 0 turns detection off.
    pub(crate) remembered_sets: usize,
}

/// The service's whole state. `O` is the reply address of a call, which the machine hands back and
/// never looks at.
///
/// Call a `handle_` method or a verb, then take everything from [`poll_output`](Self::poll_output)
/// and carry it out in that order.
///
/// The invariant: every call is answered exactly once. Until then it is counted in the usage of the
/// machine and, if it concerns a stream, of that stream. It is either in that stream's queue, or in
/// the hands of the store as a [`Ticket`] or [`StoreRequest`], or it follows a ticket whose record
/// set it is a duplicate of.
#[derive(Debug)]
pub(crate) struct Machine<O> {
    limits: Limits,
    /// DistributedLog's text for this proxy, which redirects contain.
    location: Arc<str>,
    mode: Mode,
    streams: KeyedMap<StreamName, Stream<O>>,
    bulks: KeyedMap<u64, BulkProgress<O>>,
    deadlines: Deadlines,
    dedup: Deduplicator,
    /// Duplicates that arrived while the first copy was being stored, by the serial number of the
    /// first copy's request.
    followers: KeyedMap<u64, Vec<(O, QueuedWork)>>,
    faults: KeyedMap<String, InjectedFault>,
    usage: Usage,
    last_serial: u64,
    last_ownership: u64,
    counters: Counters,
    outputs: VecDeque<Output<O>>,
}

/// Counters since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Writes of sets that were stored already, answered with the position of the first copy.
    pub(crate) duplicates_answered: u64,
    /// Writes of sets whose identity belongs to another, different set: two writers use one id.
    /// They are stored.
    pub(crate) identities_reused: u64,
    /// Streams that another proxy acquired while this one owned them.
    pub(crate) leases_lost: u64,
}

/// Behaviour towards streams that the proxy does not own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It becomes their owner.
    Accepting,
    /// It serves only the streams that it owns, as `setAcceptNewStream(false)` demands.
    WriteOnly,
    /// It serves only the streams that it owns, because it is shutting down.
    Draining,
    /// It releases the streams that it owns.
    Closing,
}

/// Identifies a request that has not started, for [`Machine::discard`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedRequestId {
    stream: StreamName,
    serial: u64,
}

/// Returns DistributedLog's text for a proxy: `1;{shard};{host}:{port}`.
pub(crate) fn location_of(owner: &Owner) -> Arc<str> {
    format!("1;{};{}", owner.shard, owner.address).into()
}

impl<O: Clone> Machine<O> {
    /// Returns a machine that owns no stream and accepts streams.
    pub(crate) fn new(location: Arc<str>, limits: Limits) -> Self {
        Self {
            limits,
            location,
            mode: Mode::Accepting,
            streams: KeyedMap::default(),
            bulks: KeyedMap::default(),
            deadlines: Deadlines::default(),
            dedup: Deduplicator::new(limits.remembered_sets),
            followers: KeyedMap::default(),
            faults: KeyedMap::default(),
            usage: Usage::NONE,
            last_serial: 0,
            last_ownership: 0,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Returns the number of streams in the table: owned, or with requests or changes under way.
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Returns the counters of the streams whose names begin with the prefix: at most `limit`,
    /// those with the most bytes first, and the number of the others.
    ///
    /// Looks at every stream.
    pub(crate) fn stream_counters(
        &self,
        prefix: &str,
        limit: usize,
    ) -> (Vec<(String, StreamCounters)>, usize) {
        let named = self
            .streams
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(prefix));
        let mut found: Vec<_> = named
            .map(|(name, stream)| (name, stream.counters))
            .collect();
        found.sort_by(|(one, a), (other, b)| b.bytes.cmp(&a.bytes).then(one.cmp(other)));
        let left_out = found.len().saturating_sub(limit);
        let listed = found.into_iter().take(limit);
        let listed = listed.map(|(name, counters)| (name.as_str().to_owned(), counters));
        (listed.collect(), left_out)
    }

    /// Returns the rate at which a stream is written, or `None` if it is not in the table.
    pub(crate) fn rate(&self, now: Instant, stream: &StreamName) -> Option<WriteRate> {
        let stream = self.streams.get(stream)?;
        Some(stream.recent.rate(now))
    }

    /// Returns the requests that are admitted and not answered.
    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns the counters.
    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns true if the proxy becomes the owner of further streams.
    pub(crate) fn is_accepting(&self) -> bool {
        self.mode == Mode::Accepting
    }

    /// Returns true if every stream was released after [`close`](Self::close).
    pub(crate) fn is_closed(&self) -> bool {
        self.mode == Mode::Closing && self.streams.is_empty()
    }

    /// Returns the next output, or `None` if there is none.
    pub(crate) fn poll_output(&mut self) -> Option<Output<O>> {
        self.outputs.pop_front()
    }

    /// Returns the next output if it is a reply to an address that `is_wanted`.
    pub(crate) fn poll_reply(&mut self, is_wanted: impl FnOnce(&O) -> bool) -> Option<(O, Reply)> {
        let next = self.outputs.front()?;
        if !matches!(next, Output::Reply { to, .. } if is_wanted(to)) {
            return None;
        }
        if let Some(Output::Reply { to, reply }) = self.outputs.pop_front() {
            Some((to, reply))
        } else {
            unreachable!("it was just looked at")
        }
    }

    /// Takes a request. Returns its id if it waits in a stream's queue, at least in part.
    pub(crate) fn handle_call(
        &mut self,
        now: Instant,
        call: Call<'_, O>,
    ) -> Option<QueuedRequestId> {
        let Call {
            to,
            deadline,
            may_create,
            action,
        } = call;
        let terms = Terms {
            deadline,
            may_create,
        };
        if deadline.is_some_and(|deadline| deadline < now) {
            self.reply(to, Reply::NotStarted(NotStarted::DeadlinePassed));
            return None;
        }
        match action {
            Action::Handshake { ownerships, filter } => {
                let reply = self.server_info(ownerships, filter.as_ref());
                self.reply(to, reply);
            }
            Action::SetAcceptNewStream(accept) => {
                self.set_accept_new_streams(accept);
                self.reply(to, Reply::Void);
            }
            Action::Create { stream } => self.create(to, stream),
            Action::Owner { stream } => self.find_owner(to, stream),
            Action::Stream { stream, work } => return self.admit(now, to, terms, stream, work),
        }
        None
    }

    /// Drops a request that is still queued, because its client does not want it any more. Returns
    /// whether it did; a request that has started, or is answered, is not affected.
    pub(crate) fn discard(&mut self, now: Instant, id: &QueuedRequestId) -> bool {
        let Some(stream) = self.streams.get_mut(&id.stream) else {
            return false;
        };
        let here = stream
            .queue
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
            .queue
            .iter()
            .position(|(_, work)| work.serial == id.serial)
        else {
            return false;
        };
        let (to, work) = stream.queue.remove(at).expect("its place was just found");
        self.deadlines.remove(&work);
        self.abandon(&id.stream, to, &work, NotStarted::Discarded);
        self.advance(now, &id.stream);
        true
    }

    /// Injects a fault into a stream, or ends it with `None`.
    pub(crate) fn set_fault(&mut self, now: Instant, stream: &str, fault: Option<InjectedFault>) {
        match fault {
            Some(fault) => drop(self.faults.insert(stream.to_owned(), fault)),
            None => drop(self.faults.remove(stream)),
        }
        if let Some((name, _)) = self.streams.get_key_value(stream) {
            let name = name.clone();
            self.advance(now, &name);
        }
    }

    /// Returns the streams with an injected fault, each with its fault.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&str, InjectedFault)> {
        self.faults
            .iter()
            .map(|(stream, fault)| (stream.as_str(), *fault))
    }

    /// Accepts no further streams and announces in handshakes that this proxy is shutting down.
    /// Ends injected faults, so that queued requests can finish.
    pub(crate) fn drain(&mut self, now: Instant) {
        if self.mode != Mode::Closing {
            self.mode = Mode::Draining;
        }
        self.faults.clear();
        self.advance_all(now);
    }

    /// Releases every stream as soon as no work is under way for it. Returns the number of streams.
    pub(crate) fn close(&mut self, now: Instant) -> usize {
        self.mode = Mode::Closing;
        self.faults.clear();
        let streams = self.streams.len();
        self.advance_all(now);
        streams
    }

    fn advance_all(&mut self, now: Instant) {
        // Sorted, so that the same calls always have the same outputs: a map's order is random.
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
            // A proxy that is shutting down cannot be made to accept streams again.
            Mode::Draining | Mode::Closing => {}
        }
    }

    fn server_info(&self, ownerships: bool, filter: Option<&Regex>) -> Reply {
        let status = match self.mode {
            Mode::Accepting => ServerStatus::WriteAndAccept,
            Mode::WriteOnly => ServerStatus::WriteOnly,
            Mode::Draining | Mode::Closing => ServerStatus::Down,
        };
        let ownerships = ownerships.then(|| {
            let owned = self
                .streams
                .iter()
                .filter(|(_, stream)| matches!(stream.phase, StreamPhase::Owned(_)));
            let matching = owned
                .map(|(name, _)| name)
                .filter(|name| filter.is_none_or(|regex| regex.is_match(name.as_str())));
            let mut names: Vec<StreamName> = matching.cloned().collect();
            names.sort_unstable();
            names
        });
        Reply::ServerInfo { status, ownerships }
    }

    /// Counts a request for a stream and starts or queues it, or refuses it.
    fn admit(
        &mut self,
        now: Instant,
        to: O,
        terms: Terms,
        stream: &str,
        work: Work,
    ) -> Option<QueuedRequestId> {
        let size = work.size();
        if let Err(refusal) = self.find_room(stream, size, &work) {
            self.reply(to, Reply::Stream(refusal));
            return None;
        }
        let Some((name, _)) = self.streams.get_key_value(stream) else {
            // Only a release is admitted without a place in the table: a stream that is not owned
            // is released already.
            self.reply(to, Reply::Stream(StreamReply::success()));
            return None;
        };
        let name = name.clone();
        self.last_serial += 1;
        let serial = self.last_serial;
        let (task, fingerprint) = match work {
            Work::Write(record) => (Task::Append(Records::One(record)), None),
            Work::WriteOnce(record, fingerprint) => {
                (Task::Append(Records::One(record)), Some(fingerprint))
            }
            Work::Bulk(bulk) if bulk.records.is_empty() => {
                self.reply(to, Reply::Bulk(append::refused_tail(name.as_str(), &bulk)));
                self.advance(now, &name);
                return None;
            }
            Work::Bulk(bulk) => {
                self.enqueue_bulk(&name, to, serial, terms, bulk);
                self.advance(now, &name);
                return self.now_waiting(name, serial);
            }
            Work::Touch => (Task::Touch, None),
            Work::Truncate(before) => (Task::Truncate(before), None),
            Work::Release => (Task::Release, None),
            Work::Delete => (Task::Delete, None),
        };
        self.count_admitted(&name, size).enqueue(
            to,
            QueuedWork {
                serial,
                part: 0,
                deadline: terms.deadline,
                may_create: terms.may_create,
                size,
                fenced_before: false,
                fingerprint,
                task,
            },
        );
        self.advance(now, &name);
        self.now_waiting(name, serial)
    }

    /// Splits a bulk write into entries and enqueues each as a part of the request `serial`.
    fn enqueue_bulk(&mut self, name: &StreamName, to: O, serial: u64, terms: Terms, bulk: Bulk) {
        let size = bulk.payload_bytes();
        let (progress, parts) = append::split_bulk(to.clone(), name.as_str(), size, bulk);
        self.bulks.insert(serial, progress);
        let stream = self.count_admitted(name, size);
        for (part, records) in (0..).zip(parts) {
            stream.enqueue(
                to.clone(),
                QueuedWork {
                    serial,
                    part,
                    // Only the first part has a deadline: once it has started, the others follow.
                    deadline: terms.deadline.filter(|_| part == 0),
                    may_create: terms.may_create,
                    size,
                    fenced_before: false,
                    fingerprint: None,
                    task: Task::AppendPart(records),
                },
            );
        }
    }

    /// Counts a request of `size` bytes in the usage of the machine and of its stream, which it
    /// returns.
    fn count_admitted(&mut self, name: &StreamName, size: usize) -> &mut Stream<O> {
        self.usage.add(size);
        let stream = self
            .streams
            .get_mut(name)
            .expect("a stream is in the table once there is room for its request");
        stream.usage.add(size);
        stream
    }

    /// Checks that a request may be admitted. Afterwards the stream is in the table, unless the
    /// request is a release of a stream that is not.
    ///
    /// # Errors
    ///
    /// The refusal for the client.
    fn find_room(&mut self, stream: &str, size: usize, work: &Work) -> Result<(), StreamReply> {
        if self.limits.read_only && work.changes() {
            return Err(read_only());
        }
        if !self.faults.is_empty()
            && let Some(InjectedFault::Failing(code)) = self.faults.get(stream)
        {
            return Err(StreamReply::refused(
                *code,
                format!("log stream {stream} has an injected fault"),
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
            return Err(StreamReply::refused(StatusCode::OverCapacity, message));
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
            return Err(StreamReply::refused(StatusCode::TooManyStreams, message));
        }
        self.streams
            .insert(ownership::parse_name(stream)?, Stream::new());
        Ok(())
    }

    /// Returns the id of the request that was just admitted if it is queued, in whole or in part,
    /// and notes its deadline.
    fn now_waiting(&mut self, stream: StreamName, serial: u64) -> Option<QueuedRequestId> {
        let waiting = &self.streams.get(&stream)?.queue;
        let first = waiting.partition_point(|(_, work)| work.serial < serial);
        let (_, work) = waiting.get(first)?;
        self.deadlines.add(&stream, work);
        Some(QueuedRequestId { stream, serial })
    }

    fn not_accepting(&self) -> StreamReply {
        let why = match self.mode {
            Mode::Accepting | Mode::WriteOnly => "accepts no new streams",
            Mode::Draining | Mode::Closing => "is shutting down",
        };
        StreamReply::refused(
            StatusCode::ServiceUnavailable,
            format!("proxy {} {why}", self.location),
        )
    }

    fn over_capacity(&self) -> StreamReply {
        let Usage { requests, bytes } = self.usage;
        StreamReply::refused(
            StatusCode::OverCapacity,
            format!("the proxy works on {requests} requests of {bytes} bytes already"),
        )
    }

    fn reply(&mut self, to: O, reply: Reply) {
        self.outputs.push_back(Output::Reply { to, reply });
    }
}

fn read_only() -> StreamReply {
    StreamReply::refused(StatusCode::RequestDenied, "the proxy is read only")
}
