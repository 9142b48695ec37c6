use super::hosts::parse_ip;
use super::sets::HostSet;
use super::{Client, HostAddress, HostId, HostView, Link, Location, MAX_NAME_BYTES, StreamKey};
use crate::tables::Memory;
use crate::{FailureDomain, Instant};
use core::net::SocketAddr;

/// Known hosts.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Reports the complete result of name resolution: new hosts join the ring and are connected,
    /// missing ones leave it after the requests in flight at them have ended. Returns the number of
    /// hosts that were left out because they did not fit into `HOSTS` or have too long a name.
    pub fn handle_resolved(&mut self, now: Instant, hosts: &[HostAddress<'_>]) -> usize {
        self.advance_clock(now);
        if self.closing.is_some() {
            return 0;
        }
        self.resolved = true;
        for index in 0..self.hosts.len() {
            let slot = &self.hosts[index];
            let is_missing = !hosts.iter().any(|host| slot.address == Some(host.address));
            if slot.used && slot.in_ring && is_missing {
                self.retire(index);
            }
        }
        let left_out = hosts.iter().filter(|host| !self.join(host)).count();
        self.unpark();
        left_out
    }

    /// Adds a host to the ring. Returns `false` if there is no free slot.
    fn join(&mut self, host: &HostAddress<'_>) -> bool {
        if host.name.len() > MAX_NAME_BYTES {
            return false;
        }
        let (index, is_new) = match self.hosts.with_address(host.address) {
            Some(index) => (index, false),
            None => match self.take_slot() {
                Some(index) => (index, true),
                None => return false,
            },
        };
        let shard = host.shard.max(-1);
        let slot = &mut self.hosts[index];
        if is_new || !slot.in_ring || slot.name() != host.name || slot.shard != shard {
            slot.set_address(host.name, Some(host.address), host.address.port());
            slot.shard = shard;
            self.streams.forget_places(index);
        }
        let slot = &mut self.hosts[index];
        (slot.in_ring, slot.leaving) = (true, false);
        if slot.link == Link::Idle {
            self.connect(index);
        }
        true
    }

    /// Returns the host that a proxy names, and adds it if it was unknown; `None` if there is no
    /// free slot.
    pub(super) fn locate(&mut self, location: &Location<'_>) -> Option<usize> {
        if let Some(index) = self.hosts.with_location(location) {
            // Name resolution does not return it any more, but it owns a stream: it is needed.
            self.hosts[index].leaving = false;
            return Some(index);
        }
        let address = parse_ip(location.host).map(|ip| SocketAddr::new(ip, location.port));
        let name = if address.is_some() { "" } else { location.host };
        if name.len() > MAX_NAME_BYTES || self.closing.is_some() {
            return None;
        }
        let index = self.take_slot()?;
        let slot = &mut self.hosts[index];
        slot.set_address(name, address, location.port);
        slot.shard = location.shard.max(-1);
        slot.last_used = self.now;
        Some(index)
    }

    /// Returns a free slot. If there is none, frees that of the least recently used host which name
    /// resolution does not return and which has no request in flight.
    fn take_slot(&mut self) -> Option<usize> {
        if let Some(index) = self.hosts.take() {
            return Some(index);
        }
        let spare = self.hosts.iter().filter(|(_, host)| {
            !host.in_ring
                && host.awaited.is_empty()
                && host.waiting.is_empty()
                && host.pending == super::hosts::PendingActions::default()
        });
        let (index, host) = spare.min_by_key(|(_, host)| host.last_used)?;
        match host.link {
            Link::Idle | Link::Down { .. } => {
                self.forget(index);
                self.hosts.take()
            }
            Link::Connecting | Link::Connected => {
                // Its connection must be closed first: the slot is free the next time.
                self.retire(index);
                None
            }
        }
    }
}

/// Getters that concern hosts.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Returns the state of a host, or `None` if it was forgotten.
    #[must_use]
    pub fn host(&self, host: HostId) -> Option<HostView<'_>> {
        self.hosts
            .find(host)
            .map(|index| self.hosts[index].view(host))
    }

    /// Every host that is known.
    pub fn hosts(&self) -> impl Iterator<Item = HostView<'_>> {
        self.hosts
            .iter()
            .map(|(index, host)| host.view(self.hosts.id(index)))
    }

    /// Returns the stream's owner, or `None` if it is not known.
    #[must_use]
    pub fn owner(&self, stream: StreamKey) -> Option<HostId> {
        self.streams.owner(stream).map(|index| self.hosts.id(index))
    }

    /// Returns the failure domain of the storage behind the host that the stream's requests go to:
    /// its owner, or the first host on the ring while none is known. `None` if that host said none.
    pub fn failure_domain(&mut self, stream: StreamKey) -> Option<FailureDomain> {
        let owner = self.streams.owner(stream);
        let host = owner
            .filter(|owner| self.hosts[*owner].is_open())
            .or_else(|| self.pick(stream, HostSet::NONE))?;
        self.hosts[host].failure_domain
    }
}
