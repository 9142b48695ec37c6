use core::fmt::Write as _;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use heapless::String;

use super::view::{HostView, Link, MAX_NAME_BYTES};
use super::{HostId, Location};
use crate::tables::{Memory, Queue, Row, Rows};
use crate::wire::service::ServerStatus;
use crate::{Cause, FailureDomain, Instant};

/// A name, a slash, the longest address that Java prints
/// (`[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535`).
const MAX_TEXT_BYTES: usize = MAX_NAME_BYTES + 1 + 47;

/// One host's slot.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) generation: u16,
    pub(crate) used: bool,
    /// As Java prints it: `name/address:port`.
    text: String<MAX_TEXT_BYTES>,
    name_len: usize,
    /// Another name, by which proxies called it.
    alias: String<MAX_NAME_BYTES>,
    pub(crate) address: Option<SocketAddr>,
    port: u16,
    pub(crate) shard: i32,
    /// Names resolution gave it.
    pub(crate) in_ring: bool,
    /// `true` if it takes no more requests: it drains, or will be forgotten.
    pub(crate) draining: bool,
    /// `true` if it will be forgotten once it has no request in flight.
    pub(crate) leaving: bool,
    pub(crate) link: Link,
    /// Time at which connecting times out.
    pub(crate) connect_deadline: Instant,
    pub(crate) connected_at: Instant,
    /// Counts the connections: what concerned an earlier one means nothing to this one.
    pub(crate) epoch: u32,
    pub(crate) capacity: u32,
    /// Number of requests that are ready to send, or that were sent and have no reply, discarded
    /// ones included.
    pub(crate) in_flight: u32,
    /// Requests that wait for the connection, or for a free slot on it.
    pub(crate) waiting: Queue,
    /// Requests that were sent and are awaited.
    pub(crate) awaited: Queue,
    pub(crate) status: Option<ServerStatus>,
    /// As its last handshake said it.
    pub(crate) failure_domain: Option<FailureDomain>,
    /// Set when the host reported that it serves nothing: no request goes to it before this time,
    /// and a handshake is sent then.
    pub(crate) unavailable_until: Option<Instant>,
    /// Failures in a row: of connections, and of a host that serves nothing.
    pub(crate) link_failures: u32,
    pub(crate) unavailable_count: u32,
    pub(crate) handshake: HandshakeState,
    /// Generation of the handshake, which distinguishes it from earlier ones.
    pub(crate) handshake_generation: u32,
    pub(crate) next_handshake: Instant,
    pub(crate) next_sync: Instant,
    pub(crate) last_failure: Option<Cause>,
    pub(crate) last_used: Instant,
    pub(crate) pending: PendingActions,
}

/// State of the client's own handshake with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeState {
    /// No handshake is in flight or requested.
    Idle,
    /// A handshake will be sent as soon as the connection has a free slot; `true` asks for
    /// ownerships.
    Requested(bool),
    /// Sent; given up at this time.
    InFlight(Instant),
}

/// Actions about a host that the adapter has not polled yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PendingActions {
    pub(crate) disconnect: bool,
    pub(crate) connect: bool,
    pub(crate) discard_handshake: bool,
}

impl Row for Host {
    const EMPTY: Self = Self {
        generation: 0,
        used: false,
        text: String::new(),
        name_len: 0,
        alias: String::new(),
        address: None,
        port: 0,
        shard: -1,
        in_ring: false,
        draining: false,
        leaving: false,
        link: Link::Idle,
        connect_deadline: Instant::MAX,
        connected_at: Instant::ZERO,
        epoch: 0,
        capacity: 0,
        in_flight: 0,
        waiting: Queue::EMPTY,
        awaited: Queue::EMPTY,
        status: None,
        failure_domain: None,
        unavailable_until: None,
        link_failures: 0,
        unavailable_count: 0,
        handshake: HandshakeState::Idle,
        handshake_generation: 0,
        next_handshake: Instant::MAX,
        next_sync: Instant::ZERO,
        last_failure: None,
        last_used: Instant::ZERO,
        pending: PendingActions {
            disconnect: false,
            connect: false,
            discard_handshake: false,
        },
    };
}

impl Host {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn name(&self) -> &str {
        &self.text[..self.name_len]
    }

    /// Returns the shard and the text from which its positions on the ring are computed.
    pub(crate) fn places(&self) -> (i32, &str) {
        (self.shard, &self.text)
    }

    /// Returns `true` if requests may be routed to it; it may have to be connected first.
    pub(crate) fn is_open(&self) -> bool {
        self.used
            && !self.draining
            && !self.leaving
            && self.unavailable_until.is_none()
            && !matches!(self.link, Link::Down { .. })
    }

    /// Returns `true` if its connection has a free slot.
    pub(crate) fn has_room(&self) -> bool {
        self.link == Link::Connected && self.in_flight < self.capacity
    }

    /// Returns `true` if it accepts streams that it does not own.
    pub(crate) const fn takes_streams(&self) -> bool {
        !matches!(
            self.status,
            Some(ServerStatus::WriteOnly | ServerStatus::Down)
        )
    }

    /// Returns the earliest time at which one of its timers fires.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if !self.used {
            return None;
        }
        let link = match self.link {
            Link::Idle => None,
            Link::Connecting => Some(self.connect_deadline),
            Link::Connected => (!self.draining).then_some(self.next_handshake),
            Link::Down { until } => Some(until),
        };
        let handshake = match self.handshake {
            HandshakeState::InFlight(until) => Some(until),
            HandshakeState::Idle | HandshakeState::Requested(_) => None,
        };
        [link, handshake, self.unavailable_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns `true` if a proxy's location `host` means this host.
    fn is_called(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        self.used
            && self.port == port
            && (self.address.is_some_and(|own| Some(own.ip()) == address)
                || (!host.is_empty() && (self.name() == host || self.alias == host)))
    }

    /// Sets name and address, and with them the text. The name is short enough.
    pub(crate) fn set_address(&mut self, name: &str, address: Option<SocketAddr>, port: u16) {
        let mut text = String::new();
        match address {
            Some(address) => write!(text, "{name}/{}:{port}", JavaIp(address.ip())),
            None => write!(text, "{name}:{port}"),
        }
        .expect("MAX_TEXT_BYTES has room for a name of MAX_NAME_BYTES and every address");
        (self.text, self.name_len, self.address, self.port) = (text, name.len(), address, port);
    }

    /// The name, apart from the slot.
    pub(crate) fn name_copy(&self) -> String<MAX_NAME_BYTES> {
        String::try_from(self.name()).expect("a name has at most MAX_NAME_BYTES")
    }

    /// It is found at this address.
    pub(crate) fn resolve(&mut self, address: SocketAddr) {
        let name = self.name_copy();
        self.set_address(&name, Some(address), address.port());
    }

    /// Forgets its address.
    pub(crate) fn forget_address(&mut self) {
        let name = self.name_copy();
        self.set_address(&name, None, self.port);
    }

    /// Proxies call it by this name too.
    pub(crate) fn set_alias(&mut self, alias: &str) {
        if let Ok(alias) = String::try_from(alias) {
            self.alias = alias;
        }
    }

    pub(crate) fn view(&self, id: HostId) -> HostView<'_> {
        HostView {
            id,
            text: &self.text,
            name: self.name(),
            address: self.address,
            port: self.port,
            shard: self.shard,
            in_ring: self.in_ring,
            link: self.link,
            in_flight: self.in_flight,
            status: self.status,
            failure_domain: self.failure_domain,
            last_failure: self.last_failure,
        }
    }
}

/// The table of hosts.
#[derive(Debug)]
pub(crate) struct Hosts<const HOSTS: usize, M: Memory> {
    slots: M::Table<Host, HOSTS>,
}

impl<const HOSTS: usize, M: Memory> Hosts<HOSTS, M> {
    pub(crate) const fn new() -> Self {
        Self { slots: Rows::NEW }
    }

    /// Returns the number of slots, used or not: an index is below it.
    pub(crate) fn len(&self) -> usize {
        self.slots.as_ref().len()
    }

    pub(crate) fn id(&self, index: usize) -> HostId {
        HostId::new(index as u16, self[index].generation)
    }

    /// The slot of a host that is not forgotten.
    pub(crate) fn find(&self, host: HostId) -> Option<usize> {
        let slot = self.slots.as_ref().get(host.index())?;
        (slot.used && slot.generation == host.generation()).then_some(host.index())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Host)> {
        let slots = self.slots.as_ref().iter().enumerate();
        slots.filter(|(_, host)| host.used)
    }

    pub(crate) fn with_address(&self, address: SocketAddr) -> Option<usize> {
        self.iter()
            .find(|(_, host)| host.address == Some(address))
            .map(|(index, _)| index)
    }

    /// The host that a proxy means.
    pub(crate) fn with_location(&self, location: &Location<'_>) -> Option<usize> {
        let address = parse_ip(location.host);
        self.iter()
            .find(|(_, host)| host.is_called(location.host, address, location.port))
            .map(|(index, _)| index)
    }

    /// A fresh slot; [`None`] when all are used.
    pub(crate) fn take(&mut self) -> Option<usize> {
        let unused = self.slots.as_ref().iter().position(|host| !host.used);
        let fresh = self.len();
        let index = unused.or_else(|| self.slots.grow().then_some(fresh))?;
        // Generations continue across the slot's hosts: they distinguish replies to an earlier one.
        let Host {
            generation,
            handshake_generation,
            epoch,
            ..
        } = self[index];
        self[index] = Host {
            used: true,
            generation,
            handshake_generation,
            epoch,
            ..Host::EMPTY
        };
        Some(index)
    }

    pub(crate) fn give_back(&mut self, index: usize) {
        let slot = &mut self[index];
        slot.used = false;
        slot.generation = slot.generation.wrapping_add(1);
    }
}

impl<const HOSTS: usize, M: Memory> core::ops::Index<usize> for Hosts<HOSTS, M> {
    type Output = Host;

    fn index(&self, index: usize) -> &Host {
        &self.slots.as_ref()[index]
    }
}

impl<const HOSTS: usize, M: Memory> core::ops::IndexMut<usize> for Hosts<HOSTS, M> {
    fn index_mut(&mut self, index: usize) -> &mut Host {
        &mut self.slots.as_mut()[index]
    }
}

/// The address in a location's host, which may stand in brackets.
pub(crate) fn parse_ip(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
        .parse()
        .ok()
}

/// An address as Java 14 and later print it in an `InetSocketAddress`: IPv6 in brackets, without
/// the short form for zeros.
struct JavaIp(IpAddr);

impl core::fmt::Display for JavaIp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => bracketed(address, f),
        }
    }
}

fn bracketed(address: Ipv6Addr, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    for (index, segment) in address.segments().into_iter().enumerate() {
        write!(f, "{}{segment:x}", if index == 0 { '[' } else { ':' })?;
    }
    f.write_char(']')
}

#[cfg(test)]
mod tests {
    use super::Host;
    use crate::tables::Row;

    #[test]
    fn a_host_prints_as_java_prints_its_socket_address() {
        for (name, address, expected) in [
            ("", Some("127.0.0.1:8000"), "/127.0.0.1:8000"),
            (
                "localhost",
                Some("127.0.0.1:8000"),
                "localhost/127.0.0.1:8000",
            ),
            ("localhost", None, "localhost:8000"),
            ("", Some("[::1]:8000"), "/[0:0:0:0:0:0:0:1]:8000"),
            (
                "a",
                Some("[2001:db8::ff]:8000"),
                "a/[2001:db8:0:0:0:0:0:ff]:8000",
            ),
        ] {
            let mut host = Host::EMPTY;
            host.set_address(
                name,
                address.map(|address| address.parse().expect("an address")),
                8000,
            );
            assert_eq!((host.text(), host.name()), (expected, name));
        }
    }
}
