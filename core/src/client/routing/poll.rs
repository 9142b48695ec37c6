use super::hosts::HandshakeState;
use super::requests::{Request, Stage};
use super::{Action, Client, Link};

/// What is to be done.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    Client<HOSTS, STREAMS, REQUESTS>
{
    /// What the adapter is to do next; [`None`] when there is nothing just now.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.host_action() {
                return Some(action);
            }
            let Some(index) = self.ready.front() else {
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
                    unreachable!("only what is to be sent or told is in the list of what is ready")
                }
            };
            if action.is_some() {
                return action;
            }
        }
    }

    /// Whether [`close`](Self::close) was called and nothing is under way or connected any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closing.is_some() && self.requests.len() == 0 && self.hosts.iter().next().is_none()
    }

    /// The request at the front of the ready list is to be sent: [`None`] when it has to go
    /// elsewhere after all.
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

    /// The request at the front of the ready list has ended: the host is told first that nobody
    /// waits, then the caller how it ended.
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

    /// Lets every host go. Whether there was one that had not been let go before.
    fn retire_all(&mut self) -> bool {
        let mut any = false;
        for host in 0..HOSTS {
            if self.hosts[host].used && !self.hosts[host].leaving {
                any = true;
                self.retire(host);
            }
        }
        any
    }
}
