//! The network: connections that deliver in order and late, break, and are cut off.
//!
//! TCP loses no bytes while a connection lives, so loss is a connection that breaks (with any part
//! of what was under way delivered) or one whose bytes wait behind a partition until it heals or
//! the process gives up. Different connections overtake each other freely.

mod ends;
mod stream;
mod wire;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog_testkit::Random;

use crate::trace::{Trace, hash_of};
use wire::{Connection, End, Opening, Piece};

pub(crate) use ends::{Dialling, SimDial};
pub(crate) use stream::SimStream;

/// A machine of the network.
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

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// It is killed; its system closes what it had open.
    Killed,
    /// The machine loses its power; nobody is told.
    PowerLost,
}

/// The network. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Network(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    now: u64,
    random: Random,
    trace: Trace,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    listeners: BTreeMap<SocketAddr, Listening>,
    up: BTreeSet<HostId>,
    /// From one to the other nothing gets through.
    blocked: BTreeSet<(HostId, HostId)>,
    /// From one to the other everything takes up to so many milliseconds longer.
    slow: BTreeMap<(HostId, HostId), u64>,
    /// What everything takes, in milliseconds.
    latency: u64,
    window: usize,
}

#[derive(Debug)]
struct Listening {
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

    /// Delivers what is due.
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

    /// A process ends without a word of its own.
    pub(crate) fn end_host(&self, host: HostId, death: Death) {
        self.inner().end_host(host, death);
    }

    /// Nothing gets through in this direction, or everything does again.
    pub(crate) fn block(&self, from: HostId, to: HostId, blocked: bool) {
        let mut inner = self.inner();
        if blocked {
            inner.blocked.insert((from, to));
        } else {
            inner.blocked.remove(&(from, to));
        }
    }

    /// Everything takes up to so many milliseconds longer in this direction; 0: it does not.
    pub(crate) fn slow_down(&self, from: HostId, to: HostId, most: u64) {
        self.inner().slow.insert((from, to), most);
    }

    /// Breaks one connection, if there is one. Any part of what is under way still arrives.
    pub(crate) fn break_one(&self, random: &mut Random) -> bool {
        self.inner().break_one(random)
    }

    /// Ends all partitions and delays.
    pub(crate) fn heal(&self) {
        let mut inner = self.inner();
        inner.blocked.clear();
        inner.slow.clear();
    }

    /// How many connections there are, and how many bytes are under way or unread.
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
    /// When what is sent now arrives.
    fn due(&mut self, from: HostId, to: HostId) -> u64 {
        let slow = self.slow.get(&(from, to)).copied().unwrap_or(0);
        self.now + 1 + self.random.below(self.latency + 1) + self.random.below(slow + 1)
    }

    fn is_open(&self, from: HostId, to: HostId) -> bool {
        !self.blocked.contains(&(from, to))
    }

    /// Requests to connect arrive, and the answers to them.
    fn open_connections(&mut self) {
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| c.opening != Opening::Done)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let connection = &self.connections[&id];
            let [from, to] = connection.hosts;
            match connection.opening {
                Opening::Asked { due, at } if due <= self.now && self.is_open(from, to) => {
                    self.asked(id, at)
                }
                Opening::Accepted { due } if due <= self.now && self.is_open(to, from) => {
                    self.opened(id, Opening::Done)
                }
                Opening::Refused { due } if due <= self.now && self.is_open(to, from) => {
                    self.opened(id, Opening::Failed)
                }
                Opening::Asked { .. }
                | Opening::Accepted { .. }
                | Opening::Refused { .. }
                | Opening::Done
                | Opening::Failed => {}
            }
        }
    }

    fn asked(&mut self, id: u64, at: SocketAddr) {
        let [from, to] = self.connections[&id].hosts;
        if !self.up.contains(&to) {
            // Nobody answers: the system asks again, each time later.
            let connection = self.connections.get_mut(&id).expect("it was just seen");
            connection.asked += 1;
            let due = self.now + (500 << connection.asked.min(4));
            return connection.opening = Opening::Asked { due, at };
        }
        let due = self.due(to, from);
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        if let Some(listening) = self.listeners.get_mut(&at) {
            listening.queue.push_back((id, from.address(40_000)));
            if let Some(waker) = listening.waker.take() {
                waker.wake();
            }
            connection.opening = Opening::Accepted { due };
        } else {
            connection.ends[1] = End::Closed;
            connection.opening = Opening::Refused { due };
        }
    }

    fn opened(&mut self, id: u64, outcome: Opening) {
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        connection.opening = outcome;
        if let Some(waker) = connection.dialler.take() {
            waker.wake();
        }
    }

    /// Delivers what is due on the pipe that leads away from an end.
    fn deliver(&mut self, id: u64, from: usize) {
        loop {
            let connection = &self.connections[&id];
            let hosts = [connection.hosts[from], connection.hosts[1 - from]];
            let due = connection.pipes[from]
                .flying
                .front()
                .is_some_and(|(due, _)| *due <= self.now);
            if !due || connection.opening != Opening::Done || !self.is_open(hosts[0], hosts[1]) {
                return;
            }
            let receiver_is_up = self.up.contains(&hosts[1]);
            let back = self.due(hosts[1], hosts[0]);
            let connection = self.connections.get_mut(&id).expect("it was just seen");
            let Some((_, piece)) = connection.pipes[from].flying.pop_front() else {
                return;
            };
            self.trace.count(|counts| counts.deliveries += 1);
            match (&piece, connection.ends[1 - from]) {
                (Piece::Bytes(bytes), End::Open) => {
                    self.trace.note(format_args!(
                        "net {id}.{from}: {} bytes {:08x}",
                        bytes.len(),
                        hash_of(bytes)
                    ));
                }
                (Piece::End | Piece::Reset, End::Open) => {
                    self.trace.note(format_args!("net {id}.{from}: {piece:?}"))
                }
                (Piece::Bytes(_), End::Closed) => {
                    connection.pipes[1 - from].send(back, Piece::Reset)
                }
                (Piece::Bytes(_), End::Vanished) if receiver_is_up => {
                    connection.pipes[1 - from].send(back, Piece::Reset)
                }
                (Piece::Bytes(_) | Piece::End | Piece::Reset, End::Closed | End::Vanished) => {}
            }
            if connection.ends[1 - from] == End::Open {
                connection.arrive(from, piece);
            }
        }
    }

    /// A process closes its end.
    fn close(&mut self, id: u64, end: usize) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.ends[end] != End::Open {
            return;
        }
        let hosts = connection.hosts;
        let unread = !connection.pipes[1 - end].arrived.is_empty();
        connection.ends[end] = End::Closed;
        let due = self.due(hosts[end], hosts[1 - end]).max(now);
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        let pipe = &mut connection.pipes[end];
        if unread {
            pipe.send(due, Piece::Reset);
        } else if !pipe.ended {
            pipe.ended = true;
            pipe.send(due, Piece::End);
        }
        if connection.opening == Opening::Failed
            || matches!(connection.opening, Opening::Asked { .. })
        {
            self.connections.remove(&id);
        }
    }

    fn end_host(&mut self, host: HostId, death: Death) {
        self.up.remove(&host);
        self.listeners.retain(|_, listening| listening.host != host);
        let ids: Vec<(u64, usize)> = self
            .connections
            .iter()
            .flat_map(|(id, c)| {
                (0..2)
                    .filter(|end| c.hosts[*end] == host && c.ends[*end] == End::Open)
                    .map(|end| (*id, end))
            })
            .collect();
        for (id, end) in ids {
            match death {
                Death::Killed if self.random.chance(0.5) => self.close(id, end),
                Death::Killed => self.reset(id, end),
                Death::PowerLost => {
                    let connection = self.connections.get_mut(&id).expect("it was just listed");
                    connection.ends[end] = End::Vanished;
                    connection.pipes[end].flying.clear();
                }
            }
        }
    }

    /// Ends a connection from one end, with a part of what this end sent still arriving.
    fn reset(&mut self, id: u64, end: usize) {
        let connection = &self.connections[&id];
        let hosts = connection.hosts;
        let keep = self.random.below(connection.pipes[end].held() as u64 + 1) as usize;
        let due = self.due(hosts[end], hosts[1 - end]);
        let connection = self.connections.get_mut(&id).expect("it was just seen");
        connection.ends[end] = End::Closed;
        connection.pipes[end].cut(keep);
        connection.pipes[end].send(due, Piece::Reset);
    }

    fn break_one(&mut self, random: &mut Random) -> bool {
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| c.opening == Opening::Done && c.ends == [End::Open; 2])
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
            pipe.send(due, Piece::Reset);
        }
        self.trace.note(format_args!("net {id}: broken"));
        true
    }
}
