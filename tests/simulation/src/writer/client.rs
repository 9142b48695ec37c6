//! Sends a writer's record sets to the proxies: core's routing client and sessions over simulated
//! connections, as an adapter drives them.

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
use distributedlog::{Attempt, AttemptId, Cause, Failure, FailureDomain, Instant, Outcome};

use crate::clocks::SimWallClock;
use crate::net::{Connecting, HostId, Network, SimStream};

/// Small tables, which are full now and then.
type RoutingClient = Client<4, 8, REQUESTS>;
type ProxySession = Session<16>;
const REQUESTS: usize = 48;

/// Largest number of rounds in one turn; what is left waits for the next turn.
const MAX_ROUNDS: usize = 16;

/// Client of one writer.
pub(super) struct ProxyClient {
    network: Network,
    host: HostId,
    wall_clock: SimWallClock,
    client: Box<RoutingClient>,
    protocol: Protocol,
    connections: BTreeMap<u64, ProxyConnection>,
    last_connection: u64,
    requests: HashMap<RequestId, PendingRequest>,
    by_attempt: HashMap<AttemptId, RequestId>,
    finished: VecDeque<(AttemptId, Outcome)>,
}

/// Request without an outcome yet.
struct PendingRequest {
    attempt: AttemptId,
    stream: String,
    data: Vec<u8>,
    deadline: Instant,
}

/// Connection to a proxy.
struct ProxyConnection {
    proxy: Proxy,
    phase: ConnectionPhase,
}

enum ConnectionPhase {
    Connecting(Connecting),
    Open(Box<OpenConnection>),
}

struct OpenConnection {
    stream: SimStream,
    session: ProxySession,
    out: Vec<u8>,
    unread: Vec<u8>,
    calls: HashMap<RequestId, Call>,
}

impl ProxyClient {
    pub(super) fn new(
        seed: u64,
        host: HostId,
        network: &Network,
        wall_clock: &SimWallClock,
        settings: Settings,
        protocol: Protocol,
    ) -> Self {
        Self {
            network: network.clone(),
            host,
            wall_clock: wall_clock.clone(),
            client: Box::new(RoutingClient::new(settings, seed)),
            protocol,
            connections: BTreeMap::new(),
            last_connection: seed,
            requests: HashMap::new(),
            by_attempt: HashMap::new(),
            finished: VecDeque::new(),
        }
    }

    /// Passes the addresses of the proxies to the client.
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

    /// Starts an attempt. Returns false if the client has no room.
    pub(super) fn start(&mut self, now: Instant, stream: &str, attempt: &Attempt<'_>) -> bool {
        let submission = Submission::to_stream(Operation::WriteRecordSet, StreamKey::of(stream))
            .with_retry_policy(RetryPolicy::OneRound)
            .with_checksum(crc::write(stream, attempt.record_set))
            .with_deadline(attempt.deadline);
        let Ok(request) = self.client.submit(now, submission) else {
            return false;
        };
        let data = attempt.record_set.to_vec();
        let pending = PendingRequest {
            attempt: attempt.id,
            stream: stream.to_owned(),
            data,
            deadline: attempt.deadline,
        };
        assert!(
            self.requests.insert(request, pending).is_none(),
            "R11: the client gave two requests the id {request:?}"
        );
        self.by_attempt.insert(attempt.id, request);
        true
    }

    /// Returns the failure domain of the storage behind the proxy where the stream's requests go.
    pub(super) fn failure_domain(&mut self, stream: &str) -> Option<FailureDomain> {
        self.client.failure_domain(StreamKey::of(stream))
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

    /// Returns the number of requests of the client, and of calls in flight on its connections.
    pub(super) fn load(&self) -> (usize, usize) {
        let open = self.connections.values().filter_map(|connection| {
            if let ConnectionPhase::Open(open) = &connection.phase {
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

    /// Runs until there is no progress, for at most [`MAX_ROUNDS`] rounds.
    pub(super) fn turn(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            self.handle_actions(now);
            self.transmit_all(now);
            let received = self.receive_all(now);
            self.expire(now);
            self.handle_actions(now);
            self.transmit_all(now);
            if !received {
                return;
            }
        }
    }

    fn keys(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    fn key_of(&self, proxy: Proxy) -> Option<u64> {
        self.connections
            .iter()
            .find(|(_, connection)| connection.proxy == proxy)
            .map(|(key, _)| *key)
    }

    fn open(&mut self, key: u64) -> Option<(Proxy, &mut OpenConnection)> {
        match self.connections.get_mut(&key) {
            Some(ProxyConnection {
                proxy,
                phase: ConnectionPhase::Open(open),
            }) => Some((*proxy, open)),
            Some(ProxyConnection {
                phase: ConnectionPhase::Connecting(_),
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
                self.connection_lost(now, key, Cause::ConnectionLost);
            }
        }
    }

    fn handle_actions(&mut self, now: Instant) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Connect { host } => self.connect(now, host),
                Action::Disconnect { host } => self
                    .connections
                    .retain(|_, connection| connection.proxy != host),
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
                        .expect("R1: a request completed that was not in flight");
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
            // The simulation has no name service, so a host without an address cannot be reached.
            return self.client.handle_connect_failed(now, proxy);
        };
        self.last_connection += 1;
        let connecting = self.network.dial(self.host, address);
        self.connections.insert(
            self.last_connection,
            ProxyConnection {
                proxy,
                phase: ConnectionPhase::Connecting(connecting),
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

    /// Encodes a request behind the bytes that its connection has to send. Returns false if the
    /// connection refused it.
    fn encode(
        &mut self,
        now: Instant,
        request: RequestId,
        host: Proxy,
        message: &Request<'_>,
        ends: Option<Instant>,
    ) -> bool {
        let timestamp_ns = i64::try_from(self.wall_clock.unix_ms() * 1_000_000).unwrap_or(i64::MAX);
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
                panic!("R7: the client exceeds the limits of a connection: {other}")
            }
        }
    }

    fn transmit_all(&mut self, now: Instant) {
        for key in self.keys() {
            let Some((_, open)) = self.open(key) else {
                continue;
            };
            if transmit(now, open).is_err() {
                self.connection_lost(now, key, Cause::ConnectionLost);
            }
        }
    }

    fn receive_all(&mut self, now: Instant) -> bool {
        let mut any = false;
        for key in self.keys() {
            let Some(ProxyConnection { proxy, phase }) = self.connections.get_mut(&key) else {
                continue;
            };
            let proxy = *proxy;
            match phase {
                ConnectionPhase::Connecting(connecting) => match connecting.try_finish() {
                    Poll::Pending => {}
                    Poll::Ready(Ok(stream)) => {
                        any = true;
                        self.connected(now, key, proxy, stream);
                    }
                    Poll::Ready(Err(_)) => {
                        any = true;
                        self.connections.remove(&key);
                        self.client.handle_connect_failed(now, proxy);
                    }
                },
                ConnectionPhase::Open(open) => match open.stream.try_read(64 << 10) {
                    Ok(None) => {}
                    Ok(Some(bytes)) if !bytes.is_empty() => {
                        any = true;
                        open.unread.extend_from_slice(&bytes);
                        self.handle_frames(now, key);
                    }
                    Ok(Some(_)) | Err(_) => {
                        any = true;
                        self.connection_lost(now, key, Cause::ConnectionLost);
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
        let session = ProxySession::new(now, settings, key);
        let (ready, capacity) = (session.is_ready(), session.capacity());
        let open = OpenConnection {
            stream,
            session,
            out: Vec::new(),
            unread: Vec::new(),
            calls: HashMap::new(),
        };
        self.connections.insert(
            key,
            ProxyConnection {
                proxy,
                phase: ConnectionPhase::Open(Box::new(open)),
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
                return self.connection_lost(now, key, Cause::ProtocolError);
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

    /// Removes a connection that has ended, and reports a failure for each call on it.
    fn connection_lost(&mut self, now: Instant, key: u64, cause: Cause) {
        let Some(ProxyConnection {
            proxy,
            phase: ConnectionPhase::Open(mut open),
        }) = self.connections.remove(&key)
        else {
            return;
        };
        let was_ready = open.session.is_ready();
        while let Some(lost) = open.session.poll_lost() {
            let failure = Failure::unanswered(cause).with_known(lost.known);
            self.client.handle_failed(now, proxy, lost.request, failure);
        }
        if was_ready {
            self.client.handle_disconnected(now, proxy);
        } else {
            self.client.handle_connect_failed(now, proxy);
        }
    }
}

/// Sends the output of the session, then requests, as far as the connection accepts bytes.
fn transmit(now: Instant, open: &mut OpenConnection) -> io::Result<()> {
    let mut control = [0; 4 * ProxySession::MAX_CONTROL_BYTES];
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
