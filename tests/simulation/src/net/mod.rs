//! Simulated network: connections deliver in order and late, break, and are partitioned. TCP loses
//! no bytes while a connection lives, so loss is a connection that breaks (any part of the bytes in
//! flight is still delivered) or one whose bytes wait behind a partition until it heals or the
//! process gives up. Different connections overtake each other freely.

mod ends;
mod stream;
mod wire;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog_testkit::Random;

use crate::trace::{Trace, hash_of};
use wire::{ConnectState, Connection, EndState, Segment};

pub(crate) use ends::{Connecting, SimDial};
pub(crate) use stream::SimStream;

/// Number of a machine in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostId(pub(crate) u8);

impl HostId {
    pub(crate) const fn address(self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, self.0 + 1)), port)
    }

    pub(crate) fn of(address: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = address.ip() else {
            return None;
        };
        ip.octets()[3].checked_sub(1).map(Self)
    }
}

/// Kind of crash that ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashKind {
    /// The process is killed; its operating system closes its connections.
    Killed,
    /// The machine loses its power; its peers receive nothing.
    PowerLost,
}

/// Simulated network. Clones share the same network.
#[derive(Clone, Debug)]
pub(crate) struct Network(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    now: u64,
    random: Random,
    trace: Trace,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    listeners: BTreeMap<SocketAddr, ListenerState>,
    up: BTreeSet<HostId>,
    /// Directed links, sender first, on which nothing gets through.
    blocked: BTreeSet<(HostId, HostId)>,
    /// Largest extra delay of each directed link, in milliseconds.
    slow: BTreeMap<(HostId, HostId), u64>,
    /// Largest ordinary delay of a link, in milliseconds, beside the 1 ms that every delivery
    /// takes.
    latency: u64,
    window: usize,
}

#[derive(Debug)]
struct ListenerState {
    host: HostId,
    queue: VecDeque<(u64, SocketAddr)>,
    waker: Option<Waker>,
}

impl Network {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let latency = random.below(4);
        // Small windows make frames come in pieces and writers wait.
        let window = if random.chance(0.3) {
            200 + random.below(2_000) as usize
        } else {
            64 << 10
        };
        Self(Arc::new(Mutex::new(Inner {
            now: 0,
            random,
            trace,
            connections: BTreeMap::new(),
            last_connection: 0,
            listeners: BTreeMap::new(),
            up: BTreeSet::new(),
            blocked: BTreeSet::new(),
            slow: BTreeMap::new(),
            latency,
            window,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Advances the clock to `now` and delivers everything that is due.
    pub(crate) fn tick(&self, now: u64) {
        let mut inner = self.inner();
        inner.now = now;
        inner.open_connections();
        let ids: Vec<u64> = inner.connections.keys().copied().collect();
        for id in ids {
            inner.deliver(id, 0);
            inner.deliver(id, 1);
        }
        inner
            .connections
            .retain(|_, connection| !connection.is_over());
    }

    pub(crate) fn set_up(&self, host: HostId) {
        self.inner().up.insert(host);
    }

    /// Crashes a host: it stops listening, and its connections end by `kind`.
    pub(crate) fn end_host(&self, host: HostId, kind: CrashKind) {
        self.inner().end_host(host, kind);
    }

    /// Blocks or unblocks the link in this direction.
    pub(crate) fn block(&self, from: HostId, to: HostId, blocked: bool) {
        let mut inner = self.inner();
        if blocked {
            inner.blocked.insert((from, to));
        } else {
            inner.blocked.remove(&(from, to));
        }
    }

    /// Sets the largest extra delay in this direction, in milliseconds; 0 removes it.
    pub(crate) fn slow_down(&self, from: HostId, to: HostId, most: u64) {
        self.inner().slow.insert((from, to), most);
    }

    /// Breaks one random connection. Returns false if no connection is open. Any part of the bytes
    /// in flight still arrives.
    pub(crate) fn break_one(&self, random: &mut Random) -> bool {
        self.inner().break_one(random)
    }

    /// Ends all partitions and delays.
    pub(crate) fn heal(&self) {
        let mut inner = self.inner();
        inner.blocked.clear();
        inner.slow.clear();
    }

    /// Returns the number of connections, and of bytes in flight or unread.
    pub(crate) fn load(&self) -> (usize, usize) {
        let inner = self.inner();
        let held = inner
            .connections
            .values()
            .flat_map(|connection| &connection.pipes)
            .map(wire::Pipe::held);
        (inner.connections.len(), held.sum())
    }
}

impl Inner {
    /// Returns the arrival time of a segment that is sent now: at least 1 ms later, so that no
    /// reply arrives in the millisecond of its request.
    fn due(&mut self, from: HostId, to: HostId) -> u64 {
        let slow = self.slow.get(&(from, to)).copied().unwrap_or(0);
        self.now + 1 + self.random.below(self.latency + 1) + self.random.below(slow + 1)
    }

    fn is_open(&self, from: HostId, to: HostId) -> bool {
        !self.blocked.contains(&(from, to))
    }

    /// Delivers connection requests and the replies to them.
    fn open_connections(&mut self) {
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| c.connect_state != ConnectState::Done)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let connection = &self.connections[&id];
            let [from, to] = connection.hosts;
            match connection.connect_state {
                ConnectState::Requested { due, at }
                    if due <= self.now && self.is_open(from, to) =>
                {
                    self.handle_request(id, at)
                }
                ConnectState::Accepted { due } if due <= self.now && self.is_open(to, from) => {
                    self.finish_connecting(id, ConnectState::Done)
                }
                ConnectState::Refused { due } if due <= self.now && self.is_open(to, from) => {
                    self.finish_connecting(id, ConnectState::Failed)
                }
                ConnectState::Requested { .. }
                | ConnectState::Accepted { .. }
                | ConnectState::Refused { .. }
                | ConnectState::Done
                | ConnectState::Failed => {}
            }
        }
    }

    fn handle_request(&mut self, id: u64, at: SocketAddr) {
        let [from, to] = self.connections[&id].hosts;
        if !self.up.contains(&to) {
            // A host that is down does not reply. The operating system repeats the request, each
            // time later: after 1 s, 2 s, 4 s, then every 8 s.
            let connection = self.connections.get_mut(&id).expect("it was just seen");
            connection.failed_requests += 1;
            let due = self.now + (500 << connection.failed_requests.min(4));
            return connection.connect_state = ConnectState::Requested { due, at };
        }
        let due = self.due(to, from);
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        if let Some(listener) = self.listeners.get_mut(&at) {
            listener.queue.push_back((id, from.address(40_000)));
            if let Some(waker) = listener.waker.take() {
                waker.wake();
            }
            connection.connect_state = ConnectState::Accepted { due };
        } else {
            connection.ends[1] = EndState::Closed;
            connection.connect_state = ConnectState::Refused { due };
        }
    }

    fn finish_connecting(&mut self, id: u64, outcome: ConnectState) {
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        connection.connect_state = outcome;
        if let Some(waker) = connection.connect_waker.take() {
            waker.wake();
        }
    }

    /// Delivers what is due on the pipe that leads away from end `from`.
    fn deliver(&mut self, id: u64, from: usize) {
        loop {
            let connection = &self.connections[&id];
            let hosts = [connection.hosts[from], connection.hosts[1 - from]];
            let due = connection.pipes[from]
                .in_flight
                .front()
                .is_some_and(|(due, _)| *due <= self.now);
            if !due
                || connection.connect_state != ConnectState::Done
                || !self.is_open(hosts[0], hosts[1])
            {
                return;
            }
            let receiver_is_up = self.up.contains(&hosts[1]);
            let back = self.due(hosts[1], hosts[0]);
            let connection = self.connections.get_mut(&id).expect("it was just seen");
            let Some((_, segment)) = connection.pipes[from].in_flight.pop_front() else {
                return;
            };
            self.trace.count(|counts| counts.deliveries += 1);
            match (&segment, connection.ends[1 - from]) {
                (Segment::Bytes(bytes), EndState::Open) => {
                    self.trace.note(format_args!(
                        "net {id}.{from}: {} bytes {:08x}",
                        bytes.len(),
                        hash_of(bytes)
                    ));
                }
                (Segment::End | Segment::Reset, EndState::Open) => self
                    .trace
                    .note(format_args!("net {id}.{from}: {segment:?}")),
                (Segment::Bytes(_), EndState::Closed) => {
                    connection.pipes[1 - from].send(back, Segment::Reset)
                }
                (Segment::Bytes(_), EndState::Vanished) if receiver_is_up => {
                    connection.pipes[1 - from].send(back, Segment::Reset)
                }
                (
                    Segment::Bytes(_) | Segment::End | Segment::Reset,
                    EndState::Closed | EndState::Vanished,
                ) => {}
            }
            if connection.ends[1 - from] == EndState::Open {
                connection.arrive(from, segment);
            }
        }
    }

    /// Closes an end: a reset if bytes are unread, as TCP does, an end of stream otherwise.
    fn close(&mut self, id: u64, end: usize) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.ends[end] != EndState::Open {
            return;
        }
        let hosts = connection.hosts;
        let unread = !connection.pipes[1 - end].arrived.is_empty();
        connection.ends[end] = EndState::Closed;
        let due = self.due(hosts[end], hosts[1 - end]).max(now);
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        let pipe = &mut connection.pipes[end];
        if unread {
            pipe.send(due, Segment::Reset);
        } else if !pipe.ended {
            pipe.ended = true;
            pipe.send(due, Segment::End);
        }
        if connection.connect_state == ConnectState::Failed
            || matches!(connection.connect_state, ConnectState::Requested { .. })
        {
            self.connections.remove(&id);
        }
    }

    fn end_host(&mut self, host: HostId, kind: CrashKind) {
        self.up.remove(&host);
        self.listeners.retain(|_, listener| listener.host != host);
        let ids: Vec<(u64, usize)> = self
            .connections
            .iter()
            .flat_map(|(id, c)| {
                (0..2)
                    .filter(|end| c.hosts[*end] == host && c.ends[*end] == EndState::Open)
                    .map(|end| (*id, end))
            })
            .collect();
        for (id, end) in ids {
            match kind {
                CrashKind::Killed if self.random.chance(0.5) => self.close(id, end),
                CrashKind::Killed => self.reset(id, end),
                CrashKind::PowerLost => {
                    let connection = self.connections.get_mut(&id).expect("it was just listed");
                    connection.ends[end] = EndState::Vanished;
                    connection.pipes[end].in_flight.clear();
                }
            }
        }
    }

    /// Resets a connection from one end; a random part of what this end sent still arrives.
    fn reset(&mut self, id: u64, end: usize) {
        let connection = &self.connections[&id];
        let hosts = connection.hosts;
        let keep = self.random.below(connection.pipes[end].held() as u64 + 1) as usize;
        let due = self.due(hosts[end], hosts[1 - end]);
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        connection.ends[end] = EndState::Closed;
        connection.pipes[end].cut(keep);
        connection.pipes[end].send(due, Segment::Reset);
    }

    fn break_one(&mut self, random: &mut Random) -> bool {
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| c.connect_state == ConnectState::Done && c.ends == [EndState::Open; 2])
            .map(|(id, _)| *id)
            .collect();
        if ids.is_empty() {
            return false;
        }
        let id = ids[random.below(ids.len() as u64) as usize];
        for end in 0..2 {
            let connection = &self.connections[&id];
            let hosts = connection.hosts;
            let keep = self.random.below(connection.pipes[end].held() as u64 + 1) as usize;
            let due = self.due(hosts[end], hosts[1 - end]);
            let pipe = &mut self
                .connections
                .get_mut(&id)
                .expect("it was just seen")
                .pipes[end];
            pipe.cut(keep);
            pipe.send(due, Segment::Reset);
        }
        self.trace.note(format_args!("net {id}: broken"));
        true
    }
}
