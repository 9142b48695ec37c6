use super::hosts::HandshakeState;
use super::requests::{Request, Stage};
use super::{Action, Client, Link};
use crate::tables::Memory;

/// Actions for the adapter.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Returns the adapter's next action, or `None` if there is none at present.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.host_action() {
                return Some(action);
            }
            let Some(index) = self.ready.first() else {
                if self.closing.is_some() && self.requests.len() == 0 && self.retire_all() {
                    continue;
                }
                return None;
            };
            let action = match self.requests[index].stage {
                Stage::Sending => self.send(index),
                Stage::Ended => self.complete(index),
                Stage::Free
                | Stage::Between
                | Stage::Waiting
                | Stage::InFlight
                | Stage::Backoff(_)
                | Stage::Parked => {
                    unreachable!("the ready list has only requests to send or to complete")
                }
            };
            if action.is_some() {
                return action;
            }
        }
    }

    /// Returns `true` once [`close`](Self::close) was called, all requests have completed and all
    /// connections are closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closing.is_some() && self.requests.len() == 0 && self.hosts.iter().next().is_none()
    }

    /// Sends the request at the front of the ready list. Returns `None` if it was routed elsewhere
    /// instead.
    fn send(&mut self, index: usize) -> Option<Action> {
        let Request { host, epoch, .. } = self.requests[index];
        let open =
            |host: &usize| self.hosts[*host].is_open() && self.hosts[*host].link == Link::Connected;
        let found = host
            .and_then(|host| self.hosts.find(host))
            .filter(open)
            .filter(|host| self.hosts[*host].epoch == epoch);
        let Some(host) = found else {
            self.detach(index);
            self.route(index);
            return None;
        };
        self.requests.pop_front(&mut self.ready);
        let request = &mut self.requests[index];
        request.stage = Stage::InFlight;
        request.sent_to.insert(host);
        request.tries = request.tries.saturating_add(1);
        self.requests
            .push_back(&mut self.hosts[host].awaited, index);
        self.counters.sent += 1;
        Some(Action::Send {
            request: self.requests.id(index),
            host: self.hosts.id(host),
        })
    }

    /// Completes the request at the front of the ready list: first the host gets a discard if it
    /// has not replied, then the caller gets the result.
    fn complete(&mut self, index: usize) -> Option<Action> {
        let id = self.requests.id(index);
        let Request {
            host,
            epoch,
            tries,
            result,
            ..
        } = self.requests[index];
        if core::mem::take(&mut self.requests[index].discard)
            && let Some(host) = host
            && let Some(slot) = self.hosts.find(host)
            && self.hosts[slot].link == Link::Connected
            && self.hosts[slot].epoch == epoch
        {
            self.counters.discarded += 1;
            return Some(Action::Discard { request: id, host });
        }
        self.requests.pop_front(&mut self.ready);
        self.requests.give_back(index);
        result.map(|result| Action::Complete {
            request: id,
            result,
            host,
            tries,
        })
    }

    fn host_action(&mut self) -> Option<Action> {
        while let Some(host) = self.hosts_with_actions.first() {
            let id = self.hosts.id(host);
            let slot = &mut self.hosts[host];
            if core::mem::take(&mut slot.pending.disconnect) {
                if slot.leaving {
                    self.forget(host);
                }
                return Some(Action::Disconnect { host: id });
            }
            if core::mem::take(&mut slot.pending.discard_handshake) {
                return Some(Action::Discard {
                    request: self.handshake_id(host),
                    host: id,
                });
            }
            if core::mem::take(&mut slot.pending.connect) {
                return Some(Action::Connect { host: id });
            }
            self.hosts_with_actions.remove(host);
            if let HandshakeState::Requested(ownerships) = slot.handshake
                && slot.has_room()
            {
                slot.handshake = HandshakeState::InFlight(self.now + self.settings.attempt_timeout);
                slot.handshake_generation = slot.handshake_generation.wrapping_add(1);
                slot.in_flight += 1;
                return Some(Action::Handshake {
                    request: self.handshake_id(host),
                    host: id,
                    ownerships,
                });
            }
        }
        None
    }

    /// Retires every host. Returns `false` if all were retired before.
    fn retire_all(&mut self) -> bool {
        let mut any = false;
        for host in 0..self.hosts.len() {
            if self.hosts[host].used && !self.hosts[host].leaving {
                any = true;
                self.retire(host);
            }
        }
        any
    }
}
