use core::mem;

use distributedlog::{Instant, StatusCode};

use super::stream::{QueuedWork, StreamPhase, Task};
use super::{
    InjectedFault, MAX_CREATE_ROUNDS, Machine, Mode, NotStarted, Output, Reply, StoreReply,
    StoreRequest, StreamReply, location_of, read_only, status,
};
use distributedlog_store::{Acquired, Lease, StoreError, StreamInfo, StreamName};

impl<O: Clone> Machine<O> {
    /// Starts queued work of a stream as far as possible, acquires the stream if that is needed,
    /// and forgets it when no work is left.
    pub(super) fn advance(&mut self, now: Instant, name: &StreamName) {
        let stalled = !self.faults.is_empty()
            && self.faults.get(name.as_str()) == Some(&InjectedFault::Stalled);
        while !stalled && self.advance_one(now, name) {}
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        if self.mode == Mode::Closing && stream.queue.is_empty() && stream.in_store == 0 {
            match mem::replace(&mut stream.phase, StreamPhase::Unowned) {
                StreamPhase::Owned(lease) => {
                    stream.phase = StreamPhase::Releasing(None);
                    self.outputs
                        .push_back(Output::Request(StoreRequest::Release { lease }));
                }
                other @ (StreamPhase::Unowned
                | StreamPhase::Acquiring { .. }
                | StreamPhase::Releasing(_)
                | StreamPhase::Deleting(..)) => stream.phase = other,
            }
        }
        if stream.is_forgettable() {
            self.streams.remove(name);
        }
    }

    /// Starts, queues further or refuses the first work in the queue. Returns true if the next one
    /// may be tried.
    fn advance_one(&mut self, now: Instant, name: &StreamName) -> bool {
        let Some(stream) = self.streams.get_mut(name) else {
            return false;
        };
        let Some((_, next)) = stream.queue.front() else {
            return false;
        };
        if next.deadline.is_some_and(|deadline| deadline < now) {
            let (to, work) = stream.queue.pop_front().expect("the front was just seen");
            self.deadlines.remove(&work);
            self.abandon(name, to, &work, NotStarted::DeadlinePassed);
            return true;
        }
        match &stream.phase {
            StreamPhase::Acquiring { .. }
            | StreamPhase::Releasing(_)
            | StreamPhase::Deleting(..) => false,
            StreamPhase::Unowned => {
                let accepting = self.mode == Mode::Accepting;
                let refusal = match next.task {
                    Task::Release => StreamReply::success(),
                    Task::Append(_)
                    | Task::AppendPart(_)
                    | Task::Touch
                    | Task::Truncate(_)
                    | Task::Delete
                        if accepting =>
                    {
                        stream.phase = StreamPhase::Acquiring { rounds: 0 };
                        self.outputs
                            .push_back(Output::Request(StoreRequest::Acquire {
                                stream: name.clone(),
                            }));
                        return false;
                    }
                    Task::Append(_)
                    | Task::AppendPart(_)
                    | Task::Touch
                    | Task::Truncate(_)
                    | Task::Delete => self.not_accepting(),
                };
                self.refuse_next(name, &refusal);
                true
            }
            StreamPhase::Owned(lease) => {
                let lease = lease.clone();
                if matches!(next.task, Task::Release | Task::Delete) && stream.in_store > 0 {
                    return false;
                }
                let (to, work) = stream.queue.pop_front().expect("the front was just seen");
                self.deadlines.remove(&work);
                self.start(name, lease, to, work);
                true
            }
        }
    }

    /// Starts work on a stream that this proxy owns.
    fn start(&mut self, name: &StreamName, lease: Lease, to: O, work: QueuedWork) {
        let stream = self
            .streams
            .get_mut(name)
            .expect("a stream is kept while something waits for it");
        match work.task {
            Task::Append(_) | Task::AppendPart(_) => self.start_append(lease, to, work),
            Task::Touch => self.finish(name, to, work.size, Reply::Stream(StreamReply::success())),
            Task::Truncate(before) => {
                stream.in_store += 1;
                self.outputs
                    .push_back(Output::Request(StoreRequest::Truncate {
                        stream: name.clone(),
                        before,
                        to,
                    }));
            }
            Task::Release => {
                stream.phase = StreamPhase::Releasing(Some(to));
                self.outputs
                    .push_back(Output::Request(StoreRequest::Release { lease }));
            }
            Task::Delete => {
                stream.phase = StreamPhase::Deleting(to, lease);
                self.outputs
                    .push_back(Output::Request(StoreRequest::Delete {
                        stream: name.clone(),
                    }));
            }
        }
    }

    fn refuse_next(&mut self, name: &StreamName, refusal: &StreamReply) {
        if let Some((to, work)) = self
            .streams
            .get_mut(name)
            .and_then(|stream| stream.queue.pop_front())
        {
            self.deadlines.remove(&work);
            self.refuse(name, to, &work, refusal);
        }
    }

    /// Takes the store's reply.
    pub(crate) fn handle_store(&mut self, now: Instant, reply: StoreReply<O>) {
        match reply {
            StoreReply::Acquired { stream, result } => {
                self.handle_acquired(&stream, result);
                self.advance(now, &stream);
            }
            StoreReply::CreatedMissing { stream, result } => match result {
                Ok(()) | Err(StoreError::StreamExists(_)) => {
                    self.outputs
                        .push_back(Output::Request(StoreRequest::Acquire { stream }));
                }
                Err(error) => self.give_up(now, &stream, &status::of_setup(&stream, &error)),
            },
            StoreReply::Released { stream, result } => {
                if let StreamPhase::Releasing(Some(to)) = self.take_phase(&stream) {
                    self.finish(&stream, to, 0, reply_of(&stream, result));
                }
                self.advance(now, &stream);
            }
            StoreReply::Deleted { stream, result } => {
                if let StreamPhase::Deleting(to, lease) = self.take_phase(&stream) {
                    if !matches!(result, Ok(()) | Err(StoreError::StreamNotFound(_)))
                        && let Some(entry) = self.streams.get_mut(&stream)
                    {
                        entry.phase = StreamPhase::Owned(lease);
                    }
                    self.finish(&stream, to, 0, reply_of(&stream, result));
                }
                self.advance(now, &stream);
            }
            StoreReply::Truncated { stream, result, to } => {
                let entry = self
                    .streams
                    .get_mut(&stream)
                    .expect("a stream is kept while the store works on it");
                entry.in_store -= 1;
                self.finish(&stream, to, 0, reply_of(&stream, result));
                self.advance(now, &stream);
            }
            StoreReply::Created { stream, result, to } => {
                self.usage.remove(0);
                self.reply(to, reply_of(&stream, result));
            }
            StoreReply::Described { stream, result, to } => {
                self.usage.remove(0);
                let response = self.owner_from(&stream, result);
                self.reply(to, Reply::Stream(response));
            }
        }
    }

    fn handle_acquired(&mut self, name: &StreamName, result: Result<Acquired, StoreError>) {
        let rounds = match self.take_phase(name) {
            StreamPhase::Acquiring { rounds } => rounds,
            StreamPhase::Unowned
            | StreamPhase::Owned(_)
            | StreamPhase::Releasing(_)
            | StreamPhase::Deleting(..) => {
                unreachable!("the store was asked for a stream only while acquiring it")
            }
        };
        match result {
            Ok(Acquired::Granted(lease)) => {
                self.last_ownership += 1;
                let stream = self
                    .streams
                    .get_mut(name)
                    .expect("a stream is kept while it is acquired");
                stream.ownership = self.last_ownership;
                stream.phase = StreamPhase::Owned(lease);
            }
            Ok(Acquired::OwnedBy(owner)) => {
                self.refuse_waiting(name, &StreamReply::found(location_of(&owner)))
            }
            Err(error @ StoreError::StreamNotFound(_)) => {
                let not_found = status::of_setup(name, &error);
                let stream = self
                    .streams
                    .get_mut(name)
                    .expect("a stream is kept while it is acquired");
                let creates = self.limits.create_missing_streams
                    && !self.limits.read_only
                    && rounds < MAX_CREATE_ROUNDS;
                // Work that does not create streams fails, up to the first that does; the rest is
                // queued behind that one, and will find the stream.
                let others = stream
                    .queue
                    .iter()
                    .take_while(|(_, work)| !(work.may_create && work.task.creates()))
                    .count();
                if !creates || others == stream.queue.len() {
                    self.refuse_waiting(
                        name,
                        &if rounds < MAX_CREATE_ROUNDS {
                            not_found
                        } else {
                            vanishes(name)
                        },
                    );
                    return;
                }
                for _ in 0..others {
                    self.refuse_next(name, &not_found);
                }
                self.set_phase(name, StreamPhase::Acquiring { rounds: rounds + 1 });
                self.outputs
                    .push_back(Output::Request(StoreRequest::CreateMissing {
                        stream: name.clone(),
                    }));
            }
            Err(error) => self.refuse_waiting(name, &status::of_setup(name, &error)),
        }
    }

    fn give_up(&mut self, now: Instant, name: &StreamName, refusal: &StreamReply) {
        self.set_phase(name, StreamPhase::Unowned);
        self.refuse_waiting(name, refusal);
        self.advance(now, name);
    }

    /// Refuses all queued work of a stream that cannot be had, except releases, which succeed.
    fn refuse_waiting(&mut self, name: &StreamName, refusal: &StreamReply) {
        let released = StreamReply::success();
        let count = self
            .streams
            .get(name)
            .map_or(0, |stream| stream.queue.len());
        for _ in 0..count {
            let releases = self
                .streams
                .get(name)
                .and_then(|stream| stream.queue.front());
            let releases = releases.is_some_and(|(_, work)| matches!(work.task, Task::Release));
            self.refuse_next(name, if releases { &released } else { refusal });
        }
    }

    fn take_phase(&mut self, name: &StreamName) -> StreamPhase<O> {
        let stream = self
            .streams
            .get_mut(name)
            .expect("a stream is kept while the store is asked about it");
        mem::replace(&mut stream.phase, StreamPhase::Unowned)
    }

    fn set_phase(&mut self, name: &StreamName, phase: StreamPhase<O>) {
        self.streams
            .get_mut(name)
            .expect("a stream is kept while the store is asked about it")
            .phase = phase;
    }

    /// Creates a stream for a client. Creating needs no ownership.
    pub(super) fn create(&mut self, to: O, stream: &str) {
        match self.admit_question(stream, self.limits.read_only) {
            Ok(stream) => self
                .outputs
                .push_back(Output::Request(StoreRequest::Create { stream, to })),
            Err(refusal) => self.reply(to, Reply::Stream(refusal)),
        }
    }

    /// Finds the owner of a stream without acquiring it.
    pub(super) fn find_owner(&mut self, to: O, stream: &str) {
        if self
            .streams
            .get(stream)
            .is_some_and(|stream| matches!(stream.phase, StreamPhase::Owned(_)))
        {
            let here = StreamReply::found(self.location.clone());
            self.reply(to, Reply::Stream(here));
            return;
        }
        match self.admit_question(stream, false) {
            Ok(stream) => self
                .outputs
                .push_back(Output::Request(StoreRequest::Describe { stream, to })),
            Err(refusal) => self.reply(to, Reply::Stream(refusal)),
        }
    }

    fn admit_question(&mut self, stream: &str, denied: bool) -> Result<StreamName, StreamReply> {
        if denied {
            return Err(read_only());
        }
        if !self.usage.has_room(0, self.limits.total) {
            return Err(self.over_capacity());
        }
        let name = parse_name(stream)?;
        self.usage.add(0);
        Ok(name)
    }

    /// Returns the proxy to which requests for a stream should go. A stream without an owner would
    /// be acquired by this proxy with its first write.
    fn owner_from(&self, name: &StreamName, result: Result<StreamInfo, StoreError>) -> StreamReply {
        let would_be_made = self.limits.create_missing_streams && !self.limits.read_only;
        match result {
            Ok(StreamInfo {
                owner: Some(owner), ..
            }) => StreamReply::found(location_of(&owner)),
            Ok(_) if self.mode == Mode::Accepting => StreamReply::found(self.location.clone()),
            Err(StoreError::StreamNotFound(_)) if self.mode == Mode::Accepting && would_be_made => {
                StreamReply::found(self.location.clone())
            }
            Ok(_) => self.not_accepting(),
            Err(error) => status::of_setup(name, &error),
        }
    }
}

fn reply_of(stream: &StreamName, result: Result<(), StoreError>) -> Reply {
    Reply::Stream(match result {
        Ok(()) => StreamReply::success(),
        Err(error) => status::of_setup(stream, &error),
    })
}

fn vanishes(name: &StreamName) -> StreamReply {
    let message = format!(
        "log stream {name} was deleted each time that it was created, {MAX_CREATE_ROUNDS} times"
    );
    StreamReply::refused(StatusCode::StreamNotReady, message)
}

pub(super) fn parse_name(stream: &str) -> Result<StreamName, StreamReply> {
    StreamName::new(stream)
        .map_err(|error| StreamReply::refused(StatusCode::InvalidStreamName, error.to_string()))
}
