//! The adapter: connections that delay their bytes, and the requests of the client.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};

use distributedlog::client::routing::{
    Action, Client, HostAddress, Operation, RetryPolicy, Settings, StreamKey, Submission,
};
use distributedlog::client::session::{
    self, Call, EncodeError, Envelope, Event, Protocol, Session,
};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::service::{ClientInfo, HeartbeatOptions, Request, WriteContext};
use distributedlog::{Cause, Failure, Instant, WriteState};

use super::dice::Dice;
use super::proxy::{PROXIES, Reaction, Server, World};

pub(crate) type Machine = Client<5, 8, 24>;
type Wire = Session<8>;

/// What happens at some time.
pub(crate) enum Happening {
    Connected(u64),
    ConnectFailed(u64),
    /// The socket takes some bytes.
    Flows(u64),
    Arrives(u64, Vec<u8>),
    Closes(u64),
    Submit,
    Cancel,
    Resolve(u64),
}

pub(crate) struct Connection {
    host: HostId,
    session: Option<Wire>,
    server: Server,
    out: Vec<u8>,
    taken: u64,
    flowing: bool,
    unread: Vec<u8>,
    /// Where in the outgoing stream each request's frame begins.
    starts: HashMap<RequestId, u64>,
    calls: HashMap<RequestId, Call>,
}

/// A request that was submitted and has not completed.
pub(crate) struct Pending {
    pub(crate) number: u64,
    pub(crate) operation: Operation,
    deadline: Option<Instant>,
    asked_at: Instant,
    stream: String,
}

pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) client: Machine,
    pub(crate) world: World,
    pub(crate) pending: HashMap<RequestId, Pending>,
    /// What completed: the request's number, what it was, and how it ended.
    pub(crate) ended: Vec<(
        u64,
        Operation,
        Result<distributedlog::client::routing::Success, Failure>,
    )>,
    pub(crate) connections: HashMap<u64, Connection>,
    events: BTreeMap<(Instant, u64), Happening>,
    counter: u64,
    dice: Dice,
    protocol: Protocol,
    pub(crate) lost_unsent: u64,
}

impl Rig {
    pub(crate) fn new(seed: u64, settings: Settings, protocol: Protocol) -> Self {
        Self {
            now: Instant::ZERO,
            client: Machine::new(settings, seed),
            world: World::new(seed ^ 0xabcd),
            pending: HashMap::new(),
            ended: Vec::new(),
            connections: HashMap::new(),
            events: BTreeMap::new(),
            counter: 0,
            dice: Dice(seed ^ 0x1234),
            protocol,
            lost_unsent: 0,
        }
    }

    pub(crate) fn at(&mut self, time: Instant, happening: Happening) {
        self.counter += 1;
        self.events.insert((time, self.counter), happening);
    }

    fn after(&mut self, length: Duration, happening: Happening) {
        self.at(self.now + length, happening);
    }

    /// Advances to the next event, unless that is after `end`. Returns `false` if there was none.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let sessions = self
            .connections
            .values()
            .filter_map(|connection| connection.session.as_ref()?.poll_timeout())
            .min();
        let Some(next) = [event, sessions, self.client.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
            .filter(|next| *next <= end)
        else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if event == Some(next) {
            let (_, happening) = self.events.pop_first().expect("it was seen");
            self.happen(happening);
        } else {
            self.client.handle_timeout(self.now);
            let keys: Vec<u64> = self.connections.keys().copied().collect();
            for key in keys {
                let session = self
                    .connections
                    .get_mut(&key)
                    .and_then(|connection| connection.session.as_mut());
                if session.is_some_and(|session| session.handle_timeout(self.now).is_err()) {
                    self.close(key);
                }
            }
        }
        self.pump();
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Connected(key) => self.connected(key),
            Happening::ConnectFailed(key) => {
                if let Some(connection) = self.connections.remove(&key) {
                    self.client.handle_connect_failed(self.now, connection.host);
                }
            }
            Happening::Flows(key) => self.flow(key),
            Happening::Arrives(key, bytes) => self.arrive(key, &bytes),
            Happening::Closes(key) => self.close(key),
            Happening::Submit => self.submit(),
            Happening::Cancel => {
                let mut requests: Vec<RequestId> = self.pending.keys().copied().collect();
                requests.sort_by_key(|request| request.index());
                if !requests.is_empty() {
                    let request = requests[self.dice.below(requests.len() as u64) as usize];
                    let known = self.client.cancel(self.now, request);
                    if let Some(known) = known {
                        let pending = self.pending.remove(&request).expect("it is pending");
                        if known == WriteState::NotWritten {
                            assert!(
                                !self.world.log.contains_key(&pending.number),
                                "cancelled as not written, and written"
                            );
                        }
                    }
                }
            }
            Happening::Resolve(mask) => {
                let hosts: Vec<HostAddress<'_>> = (0..PROXIES as u64 - 1)
                    .filter(|proxy| mask & (1 << proxy) != 0)
                    .map(|proxy| HostAddress {
                        name: "",
                        address: address(proxy as usize),
                        shard: -1,
                    })
                    .collect();
                self.client.handle_resolved(self.now, &hosts);
            }
        }
    }

    fn submit(&mut self) {
        self.counter += 1;
        let number = self.counter;
        let stream = format!("stream-{}", self.dice.below(9));
        let operation = match self.dice.below(8) {
            0 => Operation::WriteBulk,
            1 => Operation::Create,
            2 => Operation::Truncate,
            3 => Operation::Heartbeat,
            4 => Operation::WriteRecordSet,
            _ => Operation::Write,
        };
        let mut submission = Submission::to_stream(operation, StreamKey::of(&stream));
        let deadline = self
            .dice
            .percent(60)
            .then(|| self.now + Duration::from_micros(self.dice.below(3_000_000)));
        submission.deadline = deadline;
        submission.retry_policy = if self.dice.percent(50) {
            RetryPolicy::OneRound
        } else {
            RetryPolicy::UntilDeadline
        };
        if let Ok(request) = self.client.submit(self.now, submission) {
            let earlier = self.pending.insert(
                request,
                Pending {
                    number,
                    operation,
                    deadline,
                    asked_at: self.now,
                    stream,
                },
            );
            assert!(earlier.is_none(), "an id is not used twice");
        }
    }

    fn pump(&mut self) {
        while let Some(action) = self.client.poll_action() {
            self.act(action);
        }
        let keys: Vec<u64> = self.connections.keys().copied().collect();
        for key in keys {
            self.transmit(key);
        }
    }

    fn transmit(&mut self, key: u64) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let Some(session) = &mut connection.session else {
            return;
        };
        let mut out = [0; 256];
        loop {
            let count = session.poll_transmit(&mut out);
            connection.out.extend_from_slice(&out[..count]);
            if count == 0 {
                break;
            }
        }
        if !connection.out.is_empty() && !connection.flowing {
            connection.flowing = true;
            let length = Duration::from_micros(self.dice.below(2_000));
            self.after(length, Happening::Flows(key));
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { host } => self.connect(host),
            Action::Disconnect { host } => self
                .connections
                .retain(|_, connection| connection.host != host),
            Action::Send { request, host } => self.send(request, host),
            Action::Handshake {
                request,
                host,
                ownerships,
            } => {
                let info = ClientInfo {
                    stream_name_regex: Some(".*"),
                    with_ownerships: Some(ownerships),
                };
                self.encode(request, host, &Request::HandshakeWithClientInfo { info });
            }
            Action::Discard { request, host } => {
                let key = self.key(host).expect("it is connected");
                let connection = self.connections.get_mut(&key).expect("it is connected");
                let call = connection.calls[&request];
                let session = connection.session.as_mut().expect("it is open");
                assert!(session.discard(self.now, call), "the answer had not come");
            }
            Action::Complete {
                request, result, ..
            } => {
                let pending = self
                    .pending
                    .remove(&request)
                    .expect("a request completes once");
                assert!(
                    pending
                        .deadline
                        .is_none_or(|deadline| self.now <= deadline.max(pending.asked_at)),
                    "a request ends by its deadline"
                );
                self.ended.push((pending.number, pending.operation, result));
            }
        }
    }

    fn connect(&mut self, host: HostId) {
        let view = self.client.host(host).expect("it is known");
        let (address, name) = (view.address, view.name);
        let proxy = address.map_or(PROXIES - 1, |address| {
            (0..PROXIES)
                .find(|proxy| self::address(*proxy) == address)
                .expect("a proxy")
        });
        if address.is_none() {
            assert_eq!(name, "last.example");
            if self
                .client
                .handle_address(self.now, host, self::address(proxy))
                != host
            {
                return;
            }
        }
        self.counter += 1;
        let key = self.counter;
        let knows_init = self.dice.percent(70);
        let server = Server::new(proxy, self.protocol, knows_init);
        let connection = Connection {
            host,
            session: None,
            server,
            out: Vec::new(),
            taken: 0,
            flowing: false,
            unread: Vec::new(),
            starts: HashMap::new(),
            calls: HashMap::new(),
        };
        self.connections.insert(key, connection);
        let length =
            Duration::from_micros(
                self.dice
                    .below(if self.world.calm { 1_000 } else { 40_000 }),
            );
        match if self.world.calm {
            99
        } else {
            self.dice.below(100)
        } {
            // Never answered.
            0..=4 => {}
            5..=19 => self.after(length, Happening::ConnectFailed(key)),
            _ => self.after(length, Happening::Connected(key)),
        }
    }

    fn connected(&mut self, key: u64) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let settings = session::Settings::builder()
            .protocol(self.protocol)
            .client_id("simulated")
            .build()
            .expect("valid");
        let session = Wire::new(self.now, settings, key);
        let (ready, capacity, host) = (session.is_ready(), session.capacity(), connection.host);
        connection.session = Some(session);
        if ready {
            self.client
                .handle_connected(self.now, host, capacity as u32);
        }
    }

    fn send(&mut self, request: RequestId, host: HostId) {
        let Pending {
            number,
            operation,
            ref stream,
            ..
        } = self.pending[&request];
        let (stream, data) = (stream.clone(), number.to_be_bytes());
        let mut texts = [""; 5];
        let context = self
            .client
            .write_context(request, &mut texts)
            .expect("it is under way");
        let tried: Vec<String> = context
            .tried_hosts
            .expect("this host at least")
            .iter()
            .map(str::to_owned)
            .collect();
        let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
        let context = WriteContext {
            tried_hosts: Some(tried.as_slice().into()),
            ..WriteContext::default()
        };
        let records = [data.as_slice()];
        let (stream, data) = (stream.as_str(), data.as_slice());
        let message = match operation {
            Operation::Write | Operation::WriteRecordSet => Request::WriteWithContext {
                stream,
                data,
                context,
            },
            Operation::WriteBulk => Request::WriteBulkWithContext {
                stream,
                data: (&records).into(),
                context,
            },
            Operation::Create => Request::Create { stream, context },
            Operation::Truncate => Request::Truncate {
                stream,
                dlsn: "AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==",
                context,
            },
            Operation::Heartbeat => Request::HeartbeatWithOptions {
                stream,
                context,
                options: HeartbeatOptions::default(),
            },
            Operation::Delete
            | Operation::Release
            | Operation::Owner
            | Operation::Handshake
            | Operation::SetAcceptNewStream => {
                panic!("{operation:?} is not asked for")
            }
        };
        self.encode(request, host, &message);
    }

    fn encode(&mut self, request: RequestId, host: HostId, message: &Request<'_>) {
        let key = self.key(host).expect("it is connected");
        let connection = self.connections.get_mut(&key).expect("it was found");
        let session = connection.session.as_mut().expect("it is open");
        let mut out = [0; 1024];
        let start = connection.taken + connection.out.len() as u64;
        match session.encode_request(self.now, request, message, &Envelope::default(), &mut out) {
            Ok((count, call)) => {
                connection.out.extend_from_slice(&out[..count]);
                connection.starts.insert(request, start);
                connection.calls.insert(request, call);
            }
            Err(EncodeError::Draining | EncodeError::LeaseExpired) => {
                self.client.handle_failed(
                    self.now,
                    host,
                    request,
                    Failure::not_sent(Cause::Refused),
                );
            }
            Err(other) => panic!("the client keeps to what a connection takes: {other}"),
        }
    }

    /// The socket takes some of the bytes, and the proxy gets them.
    fn flow(&mut self, key: u64) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.flowing = false;
        let all = connection.out.len();
        let count = if self.dice.percent(70) {
            all
        } else {
            self.dice.below(all as u64 + 1) as usize
        };
        let bytes: Vec<u8> = connection.out.drain(..count).collect();
        connection.taken += count as u64;
        connection
            .session
            .as_mut()
            .expect("it is open")
            .handle_transmitted(self.now, count);
        for reaction in connection.server.receive(&bytes, &mut self.world) {
            match reaction {
                Reaction::Says(after, bytes) => self.after(after, Happening::Arrives(key, bytes)),
                Reaction::HangsUp(after) => self.after(after, Happening::Closes(key)),
            }
        }
    }

    fn arrive(&mut self, key: u64, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.unread.extend_from_slice(bytes);
        let mut unread = core::mem::take(&mut connection.unread);
        let host = connection.host;
        let mut read = 0;
        while let Some(session) = self
            .connections
            .get_mut(&key)
            .and_then(|connection| connection.session.as_mut())
        {
            let Ok((count, event)) = session.handle_received(self.now, &unread[read..]) else {
                return self.close(key);
            };
            let capacity = session.capacity();
            if count == 0 {
                break;
            }
            read += count;
            match event {
                None | Some(Event::Lease { .. }) => {}
                Some(Event::Ready) => self
                    .client
                    .handle_connected(self.now, host, capacity as u32),
                Some(Event::Reply { request, reply }) => {
                    self.client.handle_reply(self.now, host, request, &reply);
                }
                Some(Event::Failed {
                    request, failure, ..
                }) => {
                    self.client.handle_failed(self.now, host, request, failure);
                }
                Some(Event::Discarded { .. }) => self.client.handle_discarded(self.now, host),
                Some(Event::Draining) => self.client.handle_drain(self.now, host),
            }
        }
        unread.drain(..read);
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.unread = unread;
        }
    }

    /// The connection ends.
    fn close(&mut self, key: u64) {
        let Some(mut connection) = self.connections.remove(&key) else {
            return;
        };
        let Some(mut session) = connection.session.take() else {
            return self.client.handle_connect_failed(self.now, connection.host);
        };
        while let Some(lost) = session.poll_lost() {
            if lost.known == WriteState::NotWritten {
                self.lost_unsent += 1;
                assert!(
                    connection.taken <= connection.starts[&lost.request],
                    "bytes of it had left"
                );
            }
            let failure = Failure::not_sent(Cause::ConnectionLost).with_known(lost.known);
            self.client
                .handle_failed(self.now, connection.host, lost.request, failure);
        }
        self.client.handle_disconnected(self.now, connection.host);
    }

    /// From here on nothing goes wrong, and what was left unanswered is answered.
    pub(crate) fn calm_down(&mut self) {
        self.world.calm = true;
        self.at(self.now, Happening::Resolve(0b111));
        let keys: Vec<u64> = self.connections.keys().copied().collect();
        for key in keys {
            let answers = self
                .connections
                .get_mut(&key)
                .expect("it was listed")
                .server
                .calm_down();
            for answer in answers {
                self.after(Duration::from_millis(1), Happening::Arrives(key, answer));
            }
        }
    }

    /// Returns the number of requests in flight on all connections.
    pub(crate) fn in_flight(&self) -> usize {
        self.connections
            .values()
            .filter_map(|connection| connection.session.as_ref())
            .map(Wire::in_flight)
            .sum()
    }

    fn key(&self, host: HostId) -> Option<u64> {
        self.connections
            .iter()
            .find(|(_, connection)| connection.host == host)
            .map(|(key, _)| *key)
    }
}

fn address(proxy: usize) -> SocketAddr {
    format!("10.0.0.{}:8000", proxy + 1)
        .parse()
        .expect("an address")
}
