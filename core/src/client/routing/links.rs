use core::net::SocketAddr;
use core::time::Duration;

use super::hosts::{HandshakeState, PendingActions};
use super::requests::Stage;
use super::{Client, HostId, Link, Target};
use crate::tables::{Memory, Queue};
use crate::{Cause, Failure, Instant};

/// Connections.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Records the address of a host that a proxy named, once its name was resolved. Returns the
    /// host to connect to: the same one, or another that is known at that address already. In that
    /// case `host` is forgotten, no connection is needed, and its requests move to the other.
    pub fn handle_address(&mut self, now: Instant, host: HostId, address: SocketAddr) -> HostId {
        self.advance_clock(now);
        let Some(index) = self.hosts.find(host) else {
            return host;
        };
        if self.hosts[index].link != Link::Connecting || self.hosts[index].address.is_some() {
            // The lookup was not requested, or is no longer needed.
            return host;
        }
        match self.hosts.with_address(address) {
            Some(other) if other != index => self.merge(index, other),
            Some(_) | None => {
                self.hosts[index].resolve(address);
                self.streams.forget_places(index);
                host
            }
        }
    }

    /// The connection to the host is ready, for `capacity` requests at a time.
    pub fn handle_connected(&mut self, now: Instant, host: HostId, capacity: u32) {
        self.advance_clock(now);
        let Some(host) = self.hosts.find(host) else {
            return;
        };
        let slot = &mut self.hosts[host];
        if slot.link != Link::Connecting {
            return;
        }
        slot.link = Link::Connected;
        slot.connected_at = self.now;
        slot.epoch = slot.epoch.wrapping_add(1);
        (slot.capacity, slot.in_flight) = (capacity.max(1), 0);
        slot.draining = false;
        self.counters.connects += 1;
        self.request_handshake(host, true);
        // The handshake goes first, and takes one slot.
        for _ in 1..capacity {
            if !self.dispatch_next(host) {
                break;
            }
        }
        self.unpark();
    }

    /// No connection to the host could be made, or its name could not be resolved.
    pub fn handle_connect_failed(&mut self, now: Instant, host: HostId) {
        self.advance_clock(now);
        if let Some(host) = self.hosts.find(host)
            && self.hosts[host].link == Link::Connecting
        {
            self.counters.connect_failures += 1;
            self.mark_down(host, Cause::Unreachable);
        }
    }

    /// The connection to the host ended. Call [`handle_failed`](Self::handle_failed) first for the
    /// requests whose fate is known; all others that were in flight there may have been carried
    /// out.
    pub fn handle_disconnected(&mut self, now: Instant, host: HostId) {
        self.advance_clock(now);
        let Some(host) = self.hosts.find(host) else {
            return;
        };
        match self.hosts[host].link {
            Link::Connected => {}
            Link::Connecting => {
                self.counters.connect_failures += 1;
                return self.mark_down(host, Cause::ConnectionLost);
            }
            Link::Idle | Link::Down { .. } => return,
        }
        self.counters.disconnects += 1;
        self.lose_link(host);
    }

    /// The host takes no more requests on its connection (Tdrain). It replies to those in flight.
    pub fn handle_drain(&mut self, now: Instant, host: HostId) {
        self.advance_clock(now);
        let Some(host) = self.hosts.find(host) else {
            return;
        };
        self.hosts[host].draining = true;
        self.evict(host, Cause::Refused);
        self.close_if_done(host);
    }

    /// Handles the loss of the host's connection, or its close: requests in flight on it are lost.
    pub(super) fn lose_link(&mut self, host: usize) {
        let now = self.now;
        let slot = &mut self.hosts[host];
        slot.in_flight = 0;
        slot.pending.discard_handshake = false;
        // A connection that died young, or on which no handshake came through, counts as one that
        // could not be made: without that, a proxy that accepts and hangs up would be
        // connected to without end.
        let died_young = now.since(slot.connected_at) < self.settings.blackout_start
            || slot.handshake != HandshakeState::Idle;
        slot.handshake = HandshakeState::Idle;
        let mut awaited = core::mem::replace(&mut slot.awaited, Queue::EMPTY);
        let (leaving, draining, wanted) = (
            slot.leaving,
            slot.draining,
            slot.in_ring || !slot.waiting.is_empty(),
        );
        slot.link = Link::Idle;
        if leaving {
            // Forgotten below, once the requests in flight were moved.
        } else if draining || died_young {
            self.mark_down(host, Cause::ConnectionLost);
        } else if wanted {
            self.connect(host);
        }
        while let Some(index) = self.requests.pop_front(&mut awaited) {
            self.requests[index].stage = Stage::Between;
            if let Target::Stream(stream) = self.requests[index].target {
                self.streams.forget_owner(stream, host);
            }
            self.reroute(
                index,
                host,
                Failure::unanswered(Cause::ConnectionLost),
                false,
            );
        }
        if leaving {
            self.forget(host);
        }
    }

    pub(super) fn connect(&mut self, host: usize) {
        let slot = &mut self.hosts[host];
        if !slot.in_ring && !slot.name().is_empty() {
            // Its name may lead elsewhere by now.
            slot.forget_address();
            self.streams.forget_places(host);
        }
        let slot = &mut self.hosts[host];
        slot.link = Link::Connecting;
        slot.connect_deadline = self.now + self.settings.connect_timeout;
        slot.draining = false;
        slot.pending.connect = true;
        self.hosts_with_actions.insert(host);
    }

    /// Marks the host as unreachable: it is not tried until its blackout ends, and the requests
    /// that wait for it are routed elsewhere.
    pub(super) fn mark_down(&mut self, host: usize, cause: Cause) {
        let slot = &mut self.hosts[host];
        if slot.leaving {
            slot.link = Link::Idle;
            return self.close_if_done(host);
        }
        slot.link_failures = slot.link_failures.saturating_add(1);
        let failures = slot.link_failures;
        slot.last_failure = Some(cause);
        slot.draining = false;
        slot.unavailable_until = None;
        slot.handshake = HandshakeState::Idle;
        slot.pending = PendingActions {
            connect: false,
            discard_handshake: false,
            ..slot.pending
        };
        let until = self.now + self.blackout(failures);
        self.hosts[host].link = Link::Down { until };
        self.evict(host, Cause::Unreachable);
    }

    /// Marks the host as unavailable: it can be reached and reports that it serves nothing. It gets
    /// no requests for a while.
    pub(super) fn mark_unavailable(&mut self, host: usize) {
        let slot = &mut self.hosts[host];
        slot.unavailable_count = slot.unavailable_count.saturating_add(1);
        let unavailable_count = slot.unavailable_count;
        let until = self.now + self.blackout(unavailable_count);
        self.hosts[host].unavailable_until = Some(until);
        self.evict(host, Cause::Status(crate::StatusCode::ServiceUnavailable));
    }

    /// Removes the host from the ring. It is forgotten when it has no request in flight.
    pub(super) fn retire(&mut self, host: usize) {
        let slot = &mut self.hosts[host];
        (slot.in_ring, slot.leaving) = (false, true);
        self.evict(host, Cause::Unreachable);
        if self.hosts[host].link == Link::Connecting {
            self.hosts[host].pending = PendingActions {
                disconnect: true,
                connect: false,
                ..self.hosts[host].pending
            };
            self.hosts[host].link = Link::Idle;
            self.hosts_with_actions.insert(host);
        }
        self.close_if_done(host);
    }

    /// No stream is the host's any more, and what waited for it goes elsewhere.
    fn evict(&mut self, host: usize, cause: Cause) {
        self.streams.forget_owners(host);
        let waiting = core::mem::replace(&mut self.hosts[host].waiting, Queue::EMPTY);
        self.route_all(waiting, |request| {
            request.tried.insert(host);
            request.note_failure(Failure::not_sent(cause));
        });
    }

    /// A host that takes no more requests, and at which none is awaited, is disconnected; one that
    /// leaves is forgotten.
    pub(super) fn close_if_done(&mut self, host: usize) {
        let slot = &mut self.hosts[host];
        if !(slot.draining || slot.leaving) || !slot.awaited.is_empty() {
            return;
        }
        if slot.link == Link::Connected {
            slot.pending.disconnect = true;
            self.hosts_with_actions.insert(host);
            self.lose_link(host);
        } else if slot.leaving && !slot.pending.disconnect {
            self.forget(host);
        }
    }

    /// Frees a slot on the host's connection.
    pub(super) fn release(&mut self, host: usize) {
        let slot = &mut self.hosts[host];
        slot.in_flight = slot.in_flight.saturating_sub(1);
        if matches!(slot.handshake, HandshakeState::Requested(_)) {
            self.hosts_with_actions.insert(host);
        }
        self.dispatch_next(host);
        self.close_if_done(host);
    }

    /// Prepares the first request that waits for the host for sending. Returns `false` if there is
    /// none.
    fn dispatch_next(&mut self, host: usize) -> bool {
        let slot = &mut self.hosts[host];
        if !slot.has_room() {
            return false;
        }
        let Some(index) = self.requests.pop_front(&mut slot.waiting) else {
            return false;
        };
        self.reserve_slot(index, host);
        true
    }

    /// Requests a handshake with the host, if it is connected and no handshake is in flight.
    pub(super) fn request_handshake(&mut self, host: usize, ownerships: bool) {
        let slot = &mut self.hosts[host];
        if !slot.used
            || slot.link != Link::Connected
            || slot.draining
            || slot.leaving
            || matches!(slot.handshake, HandshakeState::InFlight(_))
        {
            return;
        }
        let ownerships = ownerships || slot.handshake == HandshakeState::Requested(true);
        slot.handshake = HandshakeState::Requested(ownerships);
        slot.next_handshake = self.now
            + self
                .settings
                .periodic_handshake_interval
                .min(self.settings.ownership_sync_interval);
        if ownerships {
            slot.next_sync = self.now + self.settings.ownership_sync_interval;
        }
        self.hosts_with_actions.insert(host);
    }

    /// `host`, which is known by name only, is `other`.
    fn merge(&mut self, host: usize, other: usize) -> HostId {
        let name = self.hosts[host].name_copy();
        self.hosts[other].set_alias(&name);
        // It is needed again, even if name resolution does not return it any more.
        self.hosts[other].leaving = false;
        let waiting = core::mem::replace(&mut self.hosts[host].waiting, Queue::EMPTY);
        self.streams.move_owners(host, other);
        self.forget(host);
        // A request that `other` redirected to this alias of itself must not return to it: the ring
        // decides.
        self.route_all(waiting, |_| {});
        self.hosts.id(other)
    }

    /// Returns the time for which a host is not tried after this number of failures in a row.
    fn blackout(&mut self, failures: u32) -> Duration {
        let doubled = self
            .settings
            .blackout_start
            .saturating_mul(1 << failures.saturating_sub(1).min(20));
        self.jittered(doubled.min(self.settings.blackout_max))
    }

    /// The slot is free again; nothing refers to it any more. Goes over all requests and streams:
    /// hosts are seldom forgotten.
    pub(super) fn forget(&mut self, host: usize) {
        debug_assert!(
            self.hosts[host].waiting.is_empty() && self.hosts[host].awaited.is_empty(),
            "nothing is under way at it"
        );
        if self.hosts[host].pending.disconnect {
            // Forgotten when the adapter polls the disconnect.
            return;
        }
        self.streams.forget_owners(host);
        self.streams.forget_places(host);
        for request in self.requests.used_mut() {
            request.sent_to.remove(host);
            request.tried.remove(host);
        }
        self.hosts_with_actions.remove(host);
        self.hosts.give_back(host);
    }
}
