//! Polls all there is to a client of the write proxies in one future: the routing machine, the
//! sessions and their sockets, the names, the timer.
//!
//! A request is encoded straight behind the bytes that its connection has to send already, and all
//! of them leave with one system call per turn; there is no task and no channel between the caller
//! that starts a request and the socket.

mod actions;
mod connect_failures;
mod connection;
mod domains;
mod pending;
mod pool;
mod ready;
mod settings;
mod timer;
mod tokens;
mod turn;

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use connect_failures::ConnectFailures;
use connection::{Closing, Connection};
use distributedlog::client::routing::{
    Client, Counters, Link, RetryPolicy, StreamKey, Submission, SubmitError, Success,
};
use distributedlog::client::session::{AllSessionFeatures, Call, Session};
use distributedlog::client::{Heap, HostId, RequestId};
use distributedlog::wire::service::{ClientInfo, Request};
use distributedlog::{Clock, Failure, FailureDomain, Instant};
pub(crate) use domains::SharedDomains;
use pending::Pending;
pub(crate) use pending::{Body, Detail};
pub(crate) use pool::SharedPool;
pub(crate) use settings::{DriverSettings, Hosts};
use timer::Timer;
pub(crate) use tokens::Token;
use tokens::Tokens;

use crate::TokioClock;
use crate::net::Names;

/// Maximum number of hosts that a client knows.
const HOSTS: usize = 64;
/// Maximum number of streams whose owners a client remembers.
const STREAMS: usize = 512;
/// Maximum number of requests in flight of a client.
const REQUESTS: usize = 4096;
/// Maximum number of operations in flight of handles: the rest is for requests to every host.
pub(crate) const MAX_IN_FLIGHT: usize = REQUESTS - HOSTS;

// Their tables grow to what is in flight at a time.
type Routing = Client<HOSTS, STREAMS, REQUESTS, Heap>;
/// Requests in flight on a connection include those that were discarded and not yet confirmed.
type ProxySession = Session<REQUESTS, AllSessionFeatures, Heap>;

/// A client of the write proxies that moves only when it is polled.
///
/// Commands ([`start`](Self::start), [`cancel`](Self::cancel), [`close`](Self::close)) do no I/O.
/// After them, and when the task was woken, call [`drive`](Self::drive), again as long as
/// [`next_finished`](Self::next_finished) returns a request.
pub(crate) struct Driver {
    clock: TokioClock,
    settings: DriverSettings,
    client: Routing,
    connections: Vec<Option<Connection>>,
    closing: Vec<Closing>,
    names: Option<Names>,
    requests: Vec<Option<Pending>>,
    /// By request, where it was sent last: what a discard needs, even after the request has ended.
    calls: Vec<Option<(RequestId, HostId, Call)>>,
    tokens: Tokens,
    pool: SharedPool,
    /// Of the streams of attempts that writers sent through this client.
    domains: SharedDomains,
    finished: VecDeque<FinishedRequest>,
    timer: Timer,
    /// True if a future was created that must be polled before the task sleeps.
    poll_again: bool,
    connect_failures: ConnectFailures,
    /// Number of connections that failed or were lost, as of the last turn.
    link_failures: u64,
    /// `true` once a host has completed a handshake.
    any_handshake: bool,
    /// Copy of the client's counters as of its last turn, for the handles.
    counters: SharedCounters,
    seed: u64,
}

/// Counters of a client, shared between the task that drives it and its handles.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedCounters(Arc<Mutex<Counters>>);

impl SharedCounters {
    pub(crate) fn get(&self) -> Counters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, counters: Counters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

/// A request to start.
pub(crate) struct NewRequest {
    pub(crate) token: Token,
    pub(crate) to: Destination,
    pub(crate) body: Body,
    pub(crate) deadline: Option<Instant>,
    pub(crate) retry_policy: RetryPolicy,
    pub(crate) earlier_attempts: u32,
}

/// Destination of a request.
pub(crate) enum Destination {
    Stream(Arc<str>, StreamKey),
    Host(HostId),
}

/// A request that has ended.
pub(crate) struct FinishedRequest {
    pub(crate) token: Token,
    pub(crate) result: Result<Success, Failure>,
    pub(crate) host: Option<HostId>,
    pub(crate) stream: Arc<str>,
    pub(crate) operation: &'static str,
    pub(crate) detail: Detail,
}

impl Driver {
    /// A client that has done nothing yet. `seed` is for jitter and trace ids.
    pub(crate) fn new(clock: TokioClock, settings: DriverSettings, seed: u64) -> Self {
        let mut client = Routing::on_heap(settings.routing.clone(), seed);
        let names = settings.hosts.names();
        if matches!(settings.hosts, Hosts::None) {
            client.handle_resolved(clock.now(), &[]);
        }
        Self {
            clock,
            client,
            connections: (0..HOSTS).map(|_| None).collect(),
            closing: Vec::new(),
            names,
            requests: Vec::new(),
            calls: Vec::new(),
            tokens: Tokens::default(),
            pool: SharedPool::default(),
            domains: SharedDomains::default(),
            finished: VecDeque::new(),
            timer: Timer::new(clock),
            poll_again: false,
            connect_failures: ConnectFailures::default(),
            link_failures: 0,
            any_handshake: false,
            counters: SharedCounters::default(),
            seed,
            settings,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Computes together where these streams belong on the ring.
    pub(crate) fn prepare(&mut self, streams: &[StreamKey]) {
        self.client.prepare(streams);
    }

    /// Returns the failure domain of the storage behind the proxy where the stream's requests go.
    pub(crate) fn failure_domain(&mut self, stream: StreamKey) -> Option<FailureDomain> {
        self.client.failure_domain(stream)
    }

    /// Makes the stream's failure domain known to the writers that share the client.
    pub(crate) fn publish_domain(&mut self, stream: StreamKey) {
        self.domains.set(stream, self.client.failure_domain(stream));
    }

    /// Returns the failure domains that were published.
    pub(crate) const fn domains(&self) -> &SharedDomains {
        &self.domains
    }

    /// Returns the pool of buffers for the data of requests, which are recycled.
    pub(crate) const fn pool(&self) -> &SharedPool {
        &self.pool
    }

    /// Takes a request. On refusal its buffers are recycled.
    pub(crate) fn start(&mut self, now: Instant, request: NewRequest) -> Result<(), SubmitError> {
        let NewRequest {
            token,
            to,
            body,
            deadline,
            retry_policy,
            earlier_attempts,
        } = request;
        let operation = body.operation();
        let (stream, mut submission) = match to {
            Destination::Stream(stream, key) => (stream, Submission::to_stream(operation, key)),
            Destination::Host(host) => (Arc::from(""), Submission::to_host(operation, host)),
        };
        submission = submission.with_retry_policy(retry_policy);
        if self.settings.routing.checksum()
            && let Some(checksum) = body.checksum(&stream)
        {
            submission = submission.with_checksum(checksum);
        }
        if let Some(deadline) = deadline {
            submission = submission.with_deadline(deadline);
        }
        let id = match self.client.submit(now, submission) {
            Ok(id) => id,
            Err(error) => {
                self.recycle(body);
                return Err(error);
            }
        };
        if self.requests.len() <= id.index() {
            self.requests.resize_with(id.index() + 1, || None);
            self.calls.resize_with(id.index() + 1, || None);
        }
        let pending = Pending {
            id,
            token,
            stream,
            body,
            deadline,
            retry_policy,
            earlier_attempts,
            detail: Detail::default(),
            last_answer: None,
        };
        self.requests[id.index()] = Some(pending);
        self.tokens.insert(token, id);
        self.perform_actions(now);
        Ok(())
    }

    /// Gives a request up: it finishes no more. Tokens of requests that have ended are ignored.
    pub(crate) fn cancel(&mut self, now: Instant, token: Token) {
        let Some(id) = self.tokens.remove(&token) else {
            return;
        };
        self.client.cancel(now, id);
        if let Some(pending) = self.requests[id.index()].take() {
            debug_assert_eq!(pending.id, id, "a token names the request in its place");
            self.recycle(pending.body);
        }
        self.perform_actions(now);
    }

    /// The next request that has ended.
    pub(crate) fn next_finished(&mut self) -> Option<FinishedRequest> {
        self.finished.pop_front()
    }

    /// Takes no more requests. Those in flight continue until `deadline`.
    pub(crate) fn close(&mut self, now: Instant, deadline: Instant) {
        self.names = None;
        self.client.close(now, deadline);
        self.perform_actions(now);
    }

    /// Returns `true` once all requests have ended and all connections are closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
            && self.closing.is_empty()
            && self.connections.iter().all(Option::is_none)
    }

    /// Returns a handle to the counters.
    pub(crate) fn counters(&self) -> SharedCounters {
        self.counters.clone()
    }

    /// Returns a host's address, while the host is known.
    pub(crate) fn address(&self, host: HostId) -> Option<SocketAddr> {
        self.client.host(host).and_then(|view| view.address)
    }

    /// The hosts that are connected.
    pub(crate) fn connected(&self) -> impl Iterator<Item = HostId> {
        let hosts = self
            .client
            .hosts()
            .filter(|host| matches!(host.link, Link::Connected));
        hosts.map(|host| host.id)
    }

    fn recycle(&self, body: Body) {
        match body {
            Body::Write { data, .. } => self.pool.give(data),
            Body::BulkWrite(_)
            | Body::Create
            | Body::Delete
            | Body::Truncate(_)
            | Body::Release
            | Body::Heartbeat { .. }
            | Body::Owner
            | Body::Handshake
            | Body::SetAcceptNewStream(_) => {}
        }
    }
}

/// Returns a client's request in a handshake.
fn handshake_request(regex: &str, ownerships: bool) -> Request<'_> {
    let info = ClientInfo {
        stream_name_regex: Some(regex),
        with_ownerships: Some(ownerships),
    };
    Request::HandshakeWithClientInfo { info }
}
