//! A machine whose outputs are texts, so that scripts can be read.

use core::time::Duration;

use bytes::Bytes;
use distributedlog::wire::record_set::{SetIdentity, WriterId};
use distributedlog::{Dlsn, Instant};

use crate::machine::{
    Action, Bulk, Call, Fingerprint, InjectedFault, Limits, Machine, NotStarted, Output,
    QueuedRequestId, Reply, StoreReply, StoreRequest, StreamReply, Ticket, Usage, Work,
};
use distributedlog_store::{Acquired, EntryRecord, Lease, Owner, StoreError, StreamName};

/// Number of a client, its reply address.
pub(super) type Client = u32;

pub(super) const LIMITS: Limits = Limits {
    stream: Usage {
        requests: 100,
        bytes: 1000,
    },
    total: Usage {
        requests: 200,
        bytes: 2000,
    },
    streams: 10,
    create_missing_streams: true,
    read_only: false,
    remembered_sets: 100,
};

/// An event at the machine.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A client requests this work on a stream.
    Ask(Client, &'static str, Ask),
    /// The same, with a deadline in milliseconds.
    AskUntil(Client, &'static str, Ask, u64),
    /// The store grants a stream, with this epoch.
    Granted(&'static str, u64),
    /// Another proxy has the stream.
    Foreign(&'static str),
    /// The stream cannot be acquired for this reason.
    NotAcquired(StoreError),
    /// The store created a stream for which a write is queued.
    Made(&'static str),
    Released(&'static str),
    Deleted(&'static str, Result<(), StoreError>),
    Truncated(&'static str, Client),
    /// The store completed the oldest append for this client.
    Appended(Client, Result<Dlsn, StoreError>),
    Discard(Client),
    Fault(&'static str, Option<InjectedFault>),
    /// Sets the time to this many milliseconds since the beginning.
    At(u64),
    /// The same, and lets the machine handle deadlines.
    WakeAt(u64),
    SetAccept(bool),
    Drain,
    Close,
}

#[derive(Clone, Debug)]
pub(super) enum Ask {
    Write(usize),
    /// A record set of writer 1, with this sequence and this content.
    Set(u64, u32),
    /// Records of these sizes.
    Bulk(&'static [usize]),
    Touch,
    Truncate,
    Release,
    Delete,
}

pub(super) struct Bench {
    pub(super) machine: Machine<Client>,
    tickets: Vec<Ticket<Client>>,
    waiting: Vec<(Client, QueuedRequestId)>,
    now: Instant,
}

pub(super) fn name(stream: &str) -> StreamName {
    StreamName::new(stream).expect("a valid name")
}

/// Plays a script: after each step, the machine has exactly these outputs.
#[track_caller]
pub(super) fn play(limits: Limits, script: &[(Step, &[&str])]) -> Bench {
    let mut bench = Bench::new(limits);
    for (number, (step, expected)) in script.iter().enumerate() {
        bench.step(step);
        assert_eq!(bench.outputs(), *expected, "after step {number}, {step:?}");
    }
    bench
}

impl Bench {
    pub(super) fn new(limits: Limits) -> Self {
        let machine = Machine::new("1;1;here:1".into(), limits);
        Self {
            machine,
            tickets: Vec::new(),
            waiting: Vec::new(),
            now: Instant::ZERO,
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match step.clone() {
            Step::Ask(client, stream, ask) => self.ask(client, stream, &ask, None),
            Step::AskUntil(client, stream, ask, deadline) => {
                self.ask(client, stream, &ask, Some(Instant::from_millis(deadline)))
            }
            Step::Granted(stream, epoch) => {
                let lease = Lease {
                    stream: name(stream),
                    epoch,
                };
                self.machine.handle_store(
                    now,
                    StoreReply::Acquired {
                        stream: name(stream),
                        result: Ok(Acquired::Granted(lease)),
                    },
                );
            }
            Step::Foreign(stream) => {
                let owner = Owner {
                    shard: 2,
                    address: "there:2".into(),
                };
                self.machine.handle_store(
                    now,
                    StoreReply::Acquired {
                        stream: name(stream),
                        result: Ok(Acquired::OwnedBy(owner)),
                    },
                );
            }
            Step::NotAcquired(error) => {
                self.machine.handle_store(
                    now,
                    StoreReply::Acquired {
                        stream: name("s"),
                        result: Err(error),
                    },
                );
            }
            Step::Made(stream) => self.machine.handle_store(
                now,
                StoreReply::CreatedMissing {
                    stream: name(stream),
                    result: Ok(()),
                },
            ),
            Step::Released(stream) => self.machine.handle_store(
                now,
                StoreReply::Released {
                    stream: name(stream),
                    result: Ok(()),
                },
            ),
            Step::Deleted(stream, result) => self.machine.handle_store(
                now,
                StoreReply::Deleted {
                    stream: name(stream),
                    result,
                },
            ),
            Step::Truncated(stream, to) => {
                self.machine.handle_store(
                    now,
                    StoreReply::Truncated {
                        stream: name(stream),
                        result: Ok(()),
                        to,
                    },
                );
            }
            Step::Appended(client, result) => {
                let at = self
                    .tickets
                    .iter()
                    .position(|ticket| ticket.to == client)
                    .expect("an append of this client");
                let ticket = self.tickets.remove(at);
                self.machine.handle_appended(now, ticket, result);
            }
            Step::Discard(client) => {
                let (_, id) = self
                    .waiting
                    .iter()
                    .find(|(waiting, _)| *waiting == client)
                    .expect("it waited")
                    .clone();
                self.machine.discard(now, &id);
            }
            Step::Fault(stream, fault) => self.machine.set_fault(now, stream, fault),
            Step::At(millis) => self.now = Instant::ZERO + Duration::from_millis(millis),
            Step::WakeAt(millis) => {
                self.now = Instant::ZERO + Duration::from_millis(millis);
                self.machine.handle_deadlines(self.now);
            }
            Step::SetAccept(accept) => {
                let call = Call {
                    to: 0,
                    may_create: true,
                    deadline: None,
                    action: Action::SetAcceptNewStream(accept),
                };
                self.machine.handle_call(now, call);
            }
            Step::Drain => self.machine.drain(now),
            Step::Close => drop(self.machine.close(now)),
        }
    }

    fn ask(&mut self, client: Client, stream: &str, ask: &Ask, deadline: Option<Instant>) {
        let record = |size| EntryRecord {
            payload: vec![0; size].into(),
            slots: 1,
            is_record_set: false,
        };
        let work = match ask {
            Ask::Write(size) => Work::Write(record(*size)),
            Ask::Set(sequence, content) => set_of(1, *sequence, *content),
            Ask::Bulk(sizes) => Work::Bulk(Bulk {
                records: sizes.iter().map(|size| record(*size)).collect(),
                ..Bulk::default()
            }),
            Ask::Touch => Work::Touch,
            Ask::Truncate => Work::Truncate(Dlsn::INITIAL),
            Ask::Release => Work::Release,
            Ask::Delete => Work::Delete,
        };
        let waits = self.machine.handle_call(
            self.now,
            Call {
                to: client,
                may_create: true,
                deadline,
                action: Action::Stream { stream, work },
            },
        );
        self.waiting.extend(waits.map(|id| (client, id)));
    }

    fn outputs(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            words.push(match output {
                Output::Reply { to, reply } => format!("{to}: {}", words_of(&reply)),
                Output::Append {
                    lease,
                    entry,
                    ticket,
                } => {
                    let text = format!(
                        "append {}#{} x{} for {}",
                        lease.stream,
                        lease.epoch,
                        entry.records.len(),
                        ticket.to
                    );
                    self.tickets.push(ticket);
                    text
                }
                Output::Request(request) => match request {
                    StoreRequest::Acquire { stream } => format!("acquire {stream}"),
                    StoreRequest::CreateMissing { stream } => format!("make {stream}"),
                    StoreRequest::Release { lease } => {
                        format!("release {}#{}", lease.stream, lease.epoch)
                    }
                    StoreRequest::Delete { stream } => format!("delete {stream}"),
                    StoreRequest::Truncate { stream, to, .. } => {
                        format!("truncate {stream} for {to}")
                    }
                    StoreRequest::Create { stream, to } => format!("create {stream} for {to}"),
                    StoreRequest::Describe { stream, to } => format!("describe {stream} for {to}"),
                },
            });
        }
        words
    }
}

fn words_of(reply: &Reply) -> String {
    match reply {
        Reply::Stream(response) => words_of_response(response),
        Reply::Bulk(responses) => responses
            .iter()
            .map(words_of_response)
            .collect::<Vec<_>>()
            .join(", "),
        Reply::NotStarted(NotStarted::DeadlinePassed) => "deadline passed".to_owned(),
        Reply::NotStarted(NotStarted::Discarded) => "discarded".to_owned(),
        Reply::Void => "void".to_owned(),
        Reply::ServerInfo { .. } | Reply::Exception { .. } => format!("{reply:?}"),
    }
}

fn words_of_response(response: &StreamReply) -> String {
    let mut text = response.code.as_i32().to_string();
    if let Some(Dlsn {
        log_segment_sequence_no,
        entry_id,
        slot_id,
    }) = response.dlsn
    {
        text += &format!(" at {log_segment_sequence_no}/{entry_id}/{slot_id}");
    }
    if let Some(location) = &response.location {
        text += &format!(" -> {location}");
    }
    text
}

/// A write of a record set whose duplicates can be detected. Its bytes are not those of a set: the
/// machine does not look at them.
pub(super) fn set_of(writer: u8, sequence: u64, content: u32) -> Work {
    let identity = SetIdentity {
        writer: WriterId([writer; 16]),
        sequence,
    };
    let payload = Bytes::copy_from_slice(&content.to_be_bytes());
    Work::WriteOnce(
        EntryRecord {
            payload,
            slots: 1,
            is_record_set: true,
        },
        Fingerprint {
            identity,
            bytes: 4,
            checksum: content,
        },
    )
}

/// A payload that contains its client's number.
pub(super) fn payload_of(client: Client) -> Bytes {
    Bytes::copy_from_slice(&client.to_be_bytes())
}
