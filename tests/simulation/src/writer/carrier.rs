//! Carries a writer's record sets to the proxies: core's routing machine and sessions over
//! simulated connections, as an adapter drives them.

use core::task::Poll;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;

use distributedlog::client::routing::{
    Action, Client, HostAddress, Operation, RetryPolicy, Settings, StreamKey, Submission, Success,
};
use distributedlog::client::session::{
    self, Call, EncodeError, Envelope, Event, Protocol, Session,
};
use distributedlog::client::{HostId as Proxy, RequestId};
use distributedlog::wire::crc;
use distributedlog::wire::mux::Deadline;
use distributedlog::wire::service::{ClientInfo, Request, WriteContext};
use distributedlog::{Attempt, AttemptId, Cause, Failure, Instant, Outcome};

use crate::clocks::Wall;
use crate::net::{Dialling, HostId, Network, SimStream};

/// Small tables, so that they are full now and then.
type Routing = Client<4, 8, REQUESTS>;
type Wire = Session<16>;
const REQUESTS: usize = 48;

/// How often in a row connections are looked at before a turn ends: what is left waits for the next
/// one.
const MAX_ROUNDS: usize = 16;

/// The client of one writer.
pub(super) struct Carrier {
    network: Network,
    host: HostId,
    wall: Wall,
    client: Box<Routing>,
    protocol: Protocol,
    links: BTreeMap<u64, Link>,
    last_link: u64,
    requests: HashMap<RequestId, Pending>,
    by_attempt: HashMap<AttemptId, RequestId>,
    finished: VecDeque<(AttemptId, Outcome)>,
}

/// A request of which the end is not known.
struct Pending {
    attempt: AttemptId,
    stream: String,
    data: Vec<u8>,
    deadline: Instant,
}

/// A connection to a proxy.
struct Link {
    proxy: Proxy,
    phase: Phase,
}

enum Phase {
    Dialling(Dialling),
    Open(Box<Open>),
}

struct Open {
    stream: SimStream,
    session: Wire,
    out: Vec<u8>,
    unread: Vec<u8>,
    calls: HashMap<RequestId, Call>,
}

impl Carrier {
    pub(super) fn new(
        seed: u64,
        host: HostId,
        network: &Network,
        wall: &Wall,
        settings: Settings,
        protocol: Protocol,
    ) -> Self {
        Self {
            network: network.clone(),
            host,
            wall: wall.clone(),
            client: Box::new(Routing::new(settings, seed)),
            protocol,
            links: BTreeMap::new(),
            last_link: seed,
            requests: HashMap::new(),
            by_attempt: HashMap::new(),
            finished: VecDeque::new(),
        }
    }

    /// Tells it where proxies are.
    pub(super) fn resolve(&mut self, now: Instant, proxies: &[HostId]) {
        let hosts: Vec<HostAddress<'_>> = proxies
            .iter()
            .map(|proxy| HostAddress {
                name: "",
                address: proxy.address(crate::proxy::PROXY_PORT),
                shard: -1,
            })
            .collect();
        self.client.handle_resolved(now, &hosts);
    }

    /// Starts an attempt. False: there is no room.
    pub(super) fn start(&mut self, now: Instant, stream: &str, attempt: &Attempt<'_>) -> bool {
        let submission = Submission::to_stream(Operation::WriteRecordSet, StreamKey::of(stream))
            .with_retry_policy(RetryPolicy::OneRound)
            .with_checksum(crc::write(stream, attempt.record_set))
            .with_deadline(attempt.deadline);
        let Ok(request) = self.client.submit(now, submission) else {
            return false;
        };
        let data = attempt.record_set.to_vec();
        let pending = Pending {
            attempt: attempt.id,
            stream: stream.to_owned(),
            data,
            deadline: attempt.deadline,
        };
        assert!(
            self.requests.insert(request, pending).is_none(),
            "R11: the client named two requests {request:?}"
        );
        self.by_attempt.insert(attempt.id, request);
        true
    }

    pub(super) fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        if let Some(request) = self.by_attempt.remove(&attempt) {
            self.client.cancel(now, request);
            self.requests.remove(&request);
        }
    }

    pub(super) fn next_finished(&mut self) -> Option<(AttemptId, Outcome)> {
        self.finished.pop_front()
    }

    /// How many requests the client has, and how many its connections think are in flight.
    pub(super) fn load(&self) -> (usize, usize) {
        let open = self.links.values().filter_map(|link| {
            if let Phase::Open(open) = &link.phase {
                Some(open)
            } else {
                None
            }
        });
        (
            self.client.requests(),
            open.map(|open| open.session.in_flight()).sum(),
        )
    }

    /// Moves everything as far as it goes.
    pub(super) fn turn(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            self.carry_out(now);
            self.transmit_all(now);
            let received = self.receive_all(now);
            self.expire(now);
            self.carry_out(now);
            self.transmit_all(now);
            if !received {
                return;
            }
        }
    }

    fn keys(&self) -> Vec<u64> {
        self.links.keys().copied().collect()
    }

    fn key_of(&self, proxy: Proxy) -> Option<u64> {
        self.links
            .iter()
            .find(|(_, link)| link.proxy == proxy)
            .map(|(key, _)| *key)
    }

    fn open(&mut self, key: u64) -> Option<(Proxy, &mut Open)> {
        match self.links.get_mut(&key) {
            Some(Link {
                proxy,
                phase: Phase::Open(open),
            }) => Some((*proxy, open)),
            Some(Link {
                phase: Phase::Dialling(_),
                ..
            })
            | None => None,
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.client.poll_timeout().is_some_and(|at| at <= now) {
            self.client.handle_timeout(now);
        }
        for key in self.keys() {
            if let Some((_, open)) = self.open(key)
                && open.session.poll_timeout().is_some_and(|at| at <= now)
                && open.session.handle_timeout(now).is_err()
            {
                self.lose(now, key, Cause::ConnectionLost);
            }
        }
    }

    fn carry_out(&mut self, now: Instant) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Connect { host } => self.connect(now, host),
                Action::Disconnect { host } => self.links.retain(|_, link| link.proxy != host),
                Action::Send { request, host } => self.send(now, request, host),
                Action::Handshake {
                    request,
                    host,
                    ownerships,
                } => {
                    let info = ClientInfo {
                        stream_name_regex: Some(".*"),
                        with_ownerships: Some(ownerships),
                    };
                    let message = Request::HandshakeWithClientInfo { info };
                    if !self.encode(now, request, host, &message, None) {
                        self.client.handle_failed(
                            now,
                            host,
                            request,
                            Failure::not_sent(Cause::Refused),
                        );
                    }
                }
                Action::Discard { request, host } => {
                    if let Some(key) = self.key_of(host)
                        && let Some((_, open)) = self.open(key)
                        && let Some(call) = open.calls.remove(&request)
                    {
                        open.session.discard(now, call);
                    }
                }
                Action::Complete {
                    request, result, ..
                } => {
                    let pending = self
                        .requests
                        .remove(&request)
                        .expect("R1: a request completed that was not under way");
                    self.by_attempt.remove(&pending.attempt);
                    let outcome = match result {
                        Ok(Success::Written(dlsn)) => Ok(dlsn),
                        Ok(
                            Success::Bulk | Success::Done | Success::Owner | Success::ServerInfo,
                        ) => Err(Failure::unanswered(Cause::ProtocolError)),
                        Err(failure) => Err(failure),
                    };
                    self.finished.push_back((pending.attempt, outcome));
                }
            }
        }
    }

    fn connect(&mut self, now: Instant, proxy: Proxy) {
        let Some(address) = self.client.host(proxy).and_then(|view| view.address) else {
            // Hosts are known by their addresses here; a name leads nowhere.
            return self.client.handle_connect_failed(now, proxy);
        };
        self.last_link += 1;
        let dialling = self.network.dial(self.host, address);
        self.links.insert(
            self.last_link,
            Link {
                proxy,
                phase: Phase::Dialling(dialling),
            },
        );
    }

    fn send(&mut self, now: Instant, request: RequestId, host: Proxy) {
        let Some(pending) = self.requests.get(&request) else {
            return;
        };
        let (stream, data, deadline) = (
            pending.stream.clone(),
            pending.data.clone(),
            pending.deadline,
        );
        let mut texts = [""; 4];
        let Some(context) = self.client.write_context(request, &mut texts) else {
            return;
        };
        let tried: Vec<String> = context
            .tried_hosts
            .iter()
            .flat_map(|hosts| hosts.iter().map(str::to_owned))
            .collect();
        let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
        let (crc32, is_record_set) = (context.crc32, context.is_record_set);
        let context = WriteContext {
            crc32,
            is_record_set,
            tried_hosts: Some(tried.as_slice().into()),
            ..WriteContext::default()
        };
        let message = Request::WriteWithContext {
            stream: &stream,
            data: &data,
            context,
        };
        let attempt_ends = now + self.client.settings().attempt_timeout();
        let ends = deadline.min(attempt_ends);
        if !self.encode(now, request, host, &message, Some(ends)) {
            self.client
                .handle_failed(now, host, request, Failure::not_sent(Cause::Refused));
        }
    }

    /// Puts a request behind what its connection has to send. False: it was not taken.
    fn encode(
        &mut self,
        now: Instant,
        request: RequestId,
        host: Proxy,
        message: &Request<'_>,
        ends: Option<Instant>,
    ) -> bool {
        let timestamp_ns = i64::try_from(self.wall.unix_ms() * 1_000_000).unwrap_or(i64::MAX);
        let left = |ends: Instant| i64::try_from(ends.since(now).as_nanos()).unwrap_or(i64::MAX);
        let deadline = ends.map(|ends| Deadline {
            timestamp_ns,
            deadline_ns: timestamp_ns + left(ends),
        });
        let Some((_, open)) = self.key_of(host).and_then(|key| self.open(key)) else {
            return false;
        };
        let envelope = Envelope {
            trace: None,
            deadline,
        };
        let start = open.out.len();
        let room = open.session.encoded_len(message, &envelope);
        open.out.resize(start + room, 0);
        match open
            .session
            .encode_request(now, request, message, &envelope, &mut open.out[start..])
        {
            Ok((count, call)) => {
                open.out.truncate(start + count);
                open.calls.insert(request, call);
                true
            }
            Err(EncodeError::Draining | EncodeError::LeaseExpired) => {
                open.out.truncate(start);
                false
            }
            Err(other) => {
                panic!("R7: the client does not keep to what a connection takes: {other}")
            }
        }
    }

    fn transmit_all(&mut self, now: Instant) {
        for key in self.keys() {
            let Some((_, open)) = self.open(key) else {
                continue;
            };
            if transmit(now, open).is_err() {
                self.lose(now, key, Cause::ConnectionLost);
            }
        }
    }

    fn receive_all(&mut self, now: Instant) -> bool {
        let mut any = false;
        for key in self.keys() {
            let Some(Link { proxy, phase }) = self.links.get_mut(&key) else {
                continue;
            };
            let proxy = *proxy;
            match phase {
                Phase::Dialling(dialling) => match dialling.try_finish() {
                    Poll::Pending => {}
                    Poll::Ready(Ok(stream)) => {
                        any = true;
                        self.connected(now, key, proxy, stream);
                    }
                    Poll::Ready(Err(_)) => {
                        any = true;
                        self.links.remove(&key);
                        self.client.handle_connect_failed(now, proxy);
                    }
                },
                Phase::Open(open) => match open.stream.try_read(64 << 10) {
                    Ok(None) => {}
                    Ok(Some(bytes)) if !bytes.is_empty() => {
                        any = true;
                        open.unread.extend_from_slice(&bytes);
                        self.handle_frames(now, key);
                    }
                    Ok(Some(_)) | Err(_) => {
                        any = true;
                        self.lose(now, key, Cause::ConnectionLost);
                    }
                },
            }
        }
        any
    }

    fn connected(&mut self, now: Instant, key: u64, proxy: Proxy, stream: SimStream) {
        let settings = session::Settings::builder()
            .protocol(self.protocol)
            .client_id("simulated")
            .build()
            .expect("a short name");
        let session = Wire::new(now, settings, key);
        let (ready, capacity) = (session.is_ready(), session.capacity());
        let open = Open {
            stream,
            session,
            out: Vec::new(),
            unread: Vec::new(),
            calls: HashMap::new(),
        };
        self.links.insert(
            key,
            Link {
                proxy,
                phase: Phase::Open(Box::new(open)),
            },
        );
        if ready {
            self.client.handle_connected(
                now,
                proxy,
                u32::try_from(capacity).expect("a small table"),
            );
        }
    }

    fn handle_frames(&mut self, now: Instant, key: u64) {
        let Some((proxy, open)) = self.open(key) else {
            return;
        };
        let mut unread = core::mem::take(&mut open.unread);
        let mut read = 0;
        while let Some((_, open)) = self.open(key) {
            let Ok((count, event)) = open.session.handle_received(now, &unread[read..]) else {
                return self.lose(now, key, Cause::ProtocolError);
            };
            let capacity = u32::try_from(open.session.capacity()).expect("a small table");
            if count == 0 && event.is_none() {
                break;
            }
            read += count;
            match event {
                None | Some(Event::Lease { .. }) => {}
                Some(Event::Ready) => self.client.handle_connected(now, proxy, capacity),
                Some(Event::Reply { request, reply }) => {
                    open.calls.remove(&request);
                    self.client.handle_reply(now, proxy, request, &reply);
                }
                Some(Event::Failed {
                    request, failure, ..
                }) => {
                    open.calls.remove(&request);
                    self.client.handle_failed(now, proxy, request, failure);
                }
                Some(Event::Discarded { .. }) => self.client.handle_discarded(now, proxy),
                Some(Event::Draining) => self.client.handle_drain(now, proxy),
            }
        }
        unread.drain(..read);
        if let Some((_, open)) = self.open(key) {
            open.unread = unread;
        }
    }

    /// A connection has ended: whatever was under way on it is told what is known of it.
    fn lose(&mut self, now: Instant, key: u64, cause: Cause) {
        let Some(Link {
            proxy,
            phase: Phase::Open(mut open),
        }) = self.links.remove(&key)
        else {
            return;
        };
        let was_ready = open.session.is_ready();
        while let Some(lost) = open.session.poll_lost() {
            let failure = Failure {
                known: lost.known,
                ..Failure::unanswered(cause)
            };
            self.client.handle_failed(now, proxy, lost.request, failure);
        }
        if was_ready {
            self.client.handle_disconnected(now, proxy);
        } else {
            self.client.handle_connect_failed(now, proxy);
        }
    }
}

/// Sends what the session and the requests want sent, as far as the connection takes it.
fn transmit(now: Instant, open: &mut Open) -> io::Result<()> {
    let mut control = [0; 4 * Wire::MAX_CONTROL_BYTES];
    loop {
        let count = open.session.poll_transmit(&mut control);
        if count == 0 {
            break;
        }
        open.out.extend_from_slice(&control[..count]);
    }
    while !open.out.is_empty() {
        let count = open.stream.try_write(&open.out)?;
        if count == 0 {
            break;
        }
        open.out.drain(..count);
        open.session.handle_transmitted(now, count);
    }
    Ok(())
}
