use super::hosts::HandshakeState;
use super::requests::{Request, Stage};
use super::{Client, Link};
use crate::tables::Memory;
use crate::{Cause, Failure, Instant};

/// Time.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) is due. Any other call
    /// may change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let request = self.requests.first_timer().map(|(at, _)| at);
        let host = self
            .hosts
            .iter()
            .filter_map(|(_, host)| host.next_timeout())
            .min();
        // Without requests there is nothing that the deadline could end.
        let closing = self
            .closing
            .filter(|at| self.requests.len() > 0 && *at != Instant::MAX);
        [request, host, closing].into_iter().flatten().min()
    }

    /// The time is `now`. Early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance_clock(now);
        while let Some((at, index)) = self.requests.first_timer() {
            if at > self.now {
                break;
            }
            self.requests.clear_timer(index);
            self.wake(index);
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host]
                .next_timeout()
                .is_some_and(|at| at <= self.now)
            {
                self.wake_host(host);
            }
        }
        if self.closing.is_some_and(|deadline| deadline <= self.now) {
            self.fail_all();
        }
    }

    pub(super) fn advance_clock(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The request's timer went off, and is not set any more.
    fn wake(&mut self, index: usize) {
        let Request {
            stage, deadline, ..
        } = self.requests[index];
        let Stage::Backoff(to) = stage else {
            return self.expire(index);
        };
        if deadline <= self.now {
            return self.expire(index);
        }
        self.requests[index].stage = Stage::Between;
        match to.and_then(|host| self.hosts.find(host)) {
            Some(host) if self.hosts[host].is_open() => self.dispatch(index, host),
            Some(_) | None => self.route(index),
        }
    }

    /// Something that concerns the host is due.
    fn wake_host(&mut self, host: usize) {
        let now = self.now;
        let slot = &mut self.hosts[host];
        if slot.link == Link::Connecting && slot.connect_deadline <= now {
            slot.pending.disconnect = true;
            self.hosts_with_actions.insert(host);
            self.counters.connect_failures += 1;
            return self.mark_down(host, Cause::TimedOut);
        }
        if matches!(slot.link, Link::Down { until } if until <= now) {
            slot.link = Link::Idle;
            if slot.in_ring {
                self.connect(host);
            }
            return;
        }
        if matches!(slot.handshake, HandshakeState::InFlight(until) if until <= now) {
            slot.handshake = HandshakeState::Idle;
            slot.pending.discard_handshake = true;
            self.hosts_with_actions.insert(host);
            self.handshake_failed(host, Cause::TimedOut);
        }
        let slot = &mut self.hosts[host];
        if slot.unavailable_until.is_some_and(|until| until <= now) {
            // A handshake is sent; the host gets no requests until it has replied.
            slot.unavailable_until =
                (slot.link == Link::Connected).then_some(now + self.settings.attempt_timeout);
            self.request_handshake(host, true);
        }
        let slot = &mut self.hosts[host];
        if slot.link == Link::Connected && slot.next_handshake <= now {
            slot.next_handshake = now + self.settings.periodic_handshake_interval;
            let ownerships = slot.next_sync <= now;
            self.request_handshake(host, ownerships);
        }
    }

    /// The time that was given for closing is over.
    fn fail_all(&mut self) {
        for index in 0..self.requests.touched() {
            let failure = match self.requests[index].stage {
                Stage::Free | Stage::Ended => continue,
                Stage::InFlight => Failure::unanswered(Cause::Closed),
                Stage::Between
                | Stage::Sending
                | Stage::Waiting
                | Stage::Backoff(_)
                | Stage::Parked => Failure::not_sent(Cause::Closed),
            };
            self.fail(index, failure);
        }
    }
}
