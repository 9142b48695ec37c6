use core::mem;

use distributedlog::{Instant, StatusCode};

use super::stream::{Phase, Task};
use super::{
    Answer, Fault, MAX_CREATE_ROUNDS, Machine, Mode, NotStarted, Output, Question, Response,
    StoreAnswer, location_of, read_only, status,
};
use distributedlog_store::{Acquired, StoreError, StreamInfo, StreamName};

impl<O: Clone> Machine<O> {
    /// Starts what can start of what waits for a stream, asks for the stream if that is what it
    /// takes, and forgets it when nothing is left.
    pub(super) fn advance(&mut self, now: Instant, name: &StreamName) {
        let stalled =
            !self.faults.is_empty() && self.faults.get(name.as_str()) == Some(&Fault::Stalled);
        while !stalled && self.advance_one(now, name) {}
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        if self.mode == Mode::Closing && stream.waiting.is_empty() && stream.in_store == 0 {
            match mem::replace(&mut stream.phase, Phase::Unowned) {
                Phase::Owned(lease) => {
                    stream.phase = Phase::Releasing(None);
                    self.outputs
                        .push_back(Output::Ask(Question::Release { lease }));
                }
                other @ (Phase::Unowned
                | Phase::Acquiring { .. }
                | Phase::Releasing(_)
                | Phase::Deleting(..)) => stream.phase = other,
            }
        }
        if stream.is_forgettable() {
            self.streams.remove(name);
        }
    }

    /// Deals with the first of what waits; says whether it is worth looking at the next.
    fn advance_one(&mut self, now: Instant, name: &StreamName) -> bool {
        let Some(stream) = self.streams.get_mut(name) else {
            return false;
        };
        let Some((_, next)) = stream.waiting.front() else {
            return false;
        };
        if next.deadline.is_some_and(|deadline| deadline < now) {
            let (to, work) = stream.waiting.pop_front().expect("the front was just seen");
            self.deadlines.remove(&work);
            self.abandon(name, to, &work, NotStarted::DeadlinePassed);
            return true;
        }
        match &stream.phase {
            Phase::Acquiring { .. } | Phase::Releasing(_) | Phase::Deleting(..) => false,
            Phase::Unowned => {
                let refusal = match next.task {
                    Task::Release => Response::success(),
                    Task::Append(_)
                    | Task::AppendPart(_)
                    | Task::Touch
                    | Task::Truncate(_)
                    | Task::Delete
                        if self.mode == Mode::Accepting =>
                    {
                        stream.phase = Phase::Acquiring { rounds: 0 };
                        self.outputs.push_back(Output::Ask(Question::Acquire {
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
            Phase::Owned(lease) => {
                let lease = lease.clone();
                if matches!(next.task, Task::Release | Task::Delete) && stream.in_store > 0 {
                    return false;
                }
                let (to, work) = stream.waiting.pop_front().expect("the front was just seen");
                self.deadlines.remove(&work);
                match work.task {
                    Task::Append(_) | Task::AppendPart(_) => self.start_append(lease, to, work),
                    Task::Touch => {
                        self.finish(name, to, work.size, Answer::Stream(Response::success()))
                    }
                    Task::Truncate(before) => {
                        stream.in_store += 1;
                        self.outputs.push_back(Output::Ask(Question::Truncate {
                            stream: name.clone(),
                            before,
                            to,
                        }));
                    }
                    Task::Release => {
                        stream.phase = Phase::Releasing(Some(to));
                        self.outputs
                            .push_back(Output::Ask(Question::Release { lease }));
                    }
                    Task::Delete => {
                        stream.phase = Phase::Deleting(to, lease);
                        self.outputs.push_back(Output::Ask(Question::Delete {
                            stream: name.clone(),
                        }));
                    }
                }
                true
            }
        }
    }

    fn refuse_next(&mut self, name: &StreamName, refusal: &Response) {
        if let Some((to, work)) = self
            .streams
            .get_mut(name)
            .and_then(|stream| stream.waiting.pop_front())
        {
            self.deadlines.remove(&work);
            self.refuse(name, to, &work, refusal);
        }
    }

    /// Takes what the store answered.
    pub(crate) fn handle_store(&mut self, now: Instant, answer: StoreAnswer<O>) {
        match answer {
            StoreAnswer::Acquired { stream, result } => {
                self.handle_acquired(&stream, result);
                self.advance(now, &stream);
            }
            StoreAnswer::CreatedMissing { stream, result } => match result {
                Ok(()) | Err(StoreError::StreamExists(_)) => {
                    self.outputs
                        .push_back(Output::Ask(Question::Acquire { stream }));
                }
                Err(error) => self.give_up(now, &stream, &status::of_setup(&stream, &error)),
            },
            StoreAnswer::Released { stream, result } => {
                if let Phase::Releasing(Some(to)) = self.take_phase(&stream) {
                    self.finish(&stream, to, 0, answer_of(&stream, result));
                }
                self.advance(now, &stream);
            }
            StoreAnswer::Deleted { stream, result } => {
                if let Phase::Deleting(to, lease) = self.take_phase(&stream) {
                    if !matches!(result, Ok(()) | Err(StoreError::StreamNotFound(_)))
                        && let Some(entry) = self.streams.get_mut(&stream)
                    {
                        entry.phase = Phase::Owned(lease);
                    }
                    self.finish(&stream, to, 0, answer_of(&stream, result));
                }
                self.advance(now, &stream);
            }
            StoreAnswer::Truncated { stream, result, to } => {
                let entry = self
                    .streams
                    .get_mut(&stream)
                    .expect("a stream is kept while the store works on it");
                entry.in_store -= 1;
                self.finish(&stream, to, 0, answer_of(&stream, result));
                self.advance(now, &stream);
            }
            StoreAnswer::Created { stream, result, to } => {
                self.usage.remove(0);
                self.reply(to, answer_of(&stream, result));
            }
            StoreAnswer::Described { stream, result, to } => {
                self.usage.remove(0);
                let response = self.owner_from(&stream, result);
                self.reply(to, Answer::Stream(response));
            }
        }
    }

    fn handle_acquired(&mut self, name: &StreamName, result: Result<Acquired, StoreError>) {
        let rounds = match self.take_phase(name) {
            Phase::Acquiring { rounds } => rounds,
            Phase::Unowned | Phase::Owned(_) | Phase::Releasing(_) | Phase::Deleting(..) => {
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
                stream.phase = Phase::Owned(lease);
            }
            Ok(Acquired::OwnedBy(owner)) => {
                self.refuse_waiting(name, &Response::found(location_of(&owner)))
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
                // What does not make streams fails, up to the first that does; the others come
                // behind that one.
                let others = stream
                    .waiting
                    .iter()
                    .take_while(|(_, work)| !work.task.creates())
                    .count();
                if !creates || others == stream.waiting.len() {
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
                self.set_phase(name, Phase::Acquiring { rounds: rounds + 1 });
                self.outputs.push_back(Output::Ask(Question::CreateMissing {
                    stream: name.clone(),
                }));
            }
            Err(error) => self.refuse_waiting(name, &status::of_setup(name, &error)),
        }
    }

    fn give_up(&mut self, now: Instant, name: &StreamName, refusal: &Response) {
        self.set_phase(name, Phase::Unowned);
        self.refuse_waiting(name, refusal);
        self.advance(now, name);
    }

    /// Refuses all that waits for a stream which is not to be had. What wanted it released has what
    /// it wanted.
    fn refuse_waiting(&mut self, name: &StreamName, refusal: &Response) {
        let released = Response::success();
        let count = self
            .streams
            .get(name)
            .map_or(0, |stream| stream.waiting.len());
        for _ in 0..count {
            let releases = self
                .streams
                .get(name)
                .and_then(|stream| stream.waiting.front());
            let releases = releases.is_some_and(|(_, work)| matches!(work.task, Task::Release));
            self.refuse_next(name, if releases { &released } else { refusal });
        }
    }

    fn take_phase(&mut self, name: &StreamName) -> Phase<O> {
        let stream = self
            .streams
            .get_mut(name)
            .expect("a stream is kept while the store is asked about it");
        mem::replace(&mut stream.phase, Phase::Unowned)
    }

    fn set_phase(&mut self, name: &StreamName, phase: Phase<O>) {
        self.streams
            .get_mut(name)
            .expect("a stream is kept while the store is asked about it")
            .phase = phase;
    }

    /// Makes a stream for a client. Whoever owns it later, making it needs no owner.
    pub(super) fn create(&mut self, to: O, stream: &str) {
        match self.admit_question(stream, self.limits.read_only) {
            Ok(stream) => self
                .outputs
                .push_back(Output::Ask(Question::Create { stream, to })),
            Err(refusal) => self.reply(to, Answer::Stream(refusal)),
        }
    }

    /// Finds out who owns a stream without becoming its owner.
    pub(super) fn find_owner(&mut self, to: O, stream: &str) {
        if self
            .streams
            .get(stream)
            .is_some_and(|stream| matches!(stream.phase, Phase::Owned(_)))
        {
            let here = Response::found(self.location.clone());
            self.reply(to, Answer::Stream(here));
            return;
        }
        match self.admit_question(stream, false) {
            Ok(stream) => self
                .outputs
                .push_back(Output::Ask(Question::Describe { stream, to })),
            Err(refusal) => self.reply(to, Answer::Stream(refusal)),
        }
    }

    fn admit_question(&mut self, stream: &str, denied: bool) -> Result<StreamName, Response> {
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

    /// Where a stream's requests should go. One that nobody owns would be this proxy's with its
    /// first write.
    fn owner_from(&self, name: &StreamName, result: Result<StreamInfo, StoreError>) -> Response {
        let would_be_made = self.limits.create_missing_streams && !self.limits.read_only;
        match result {
            Ok(StreamInfo {
                owner: Some(owner), ..
            }) => Response::found(location_of(&owner)),
            Ok(_) if self.mode == Mode::Accepting => Response::found(self.location.clone()),
            Err(StoreError::StreamNotFound(_)) if self.mode == Mode::Accepting && would_be_made => {
                Response::found(self.location.clone())
            }
            Ok(_) => self.not_accepting(),
            Err(error) => status::of_setup(name, &error),
        }
    }
}

fn answer_of(stream: &StreamName, result: Result<(), StoreError>) -> Answer {
    Answer::Stream(match result {
        Ok(()) => Response::success(),
        Err(error) => status::of_setup(stream, &error),
    })
}

fn vanishes(name: &StreamName) -> Response {
    let message = format!(
        "log stream {name} was deleted each time that it was made, {MAX_CREATE_ROUNDS} times"
    );
    Response::refused(StatusCode::StreamNotReady, message)
}

pub(super) fn parse_name(stream: &str) -> Result<StreamName, Response> {
    StreamName::new(stream)
        .map_err(|error| Response::refused(StatusCode::InvalidStreamName, error.to_string()))
}
