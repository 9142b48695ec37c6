//! The connection to one host, as far as the machines see it.

use distributedlog::client::session::{Call, Event, Session};
use distributedlog::client::{HostId, RequestId};
use distributedlog::{Cause, Failure, Instant};

use crate::state::{ClientFeatures, ClientState};

/// State of a host's connection.
#[derive(Debug)]
pub(crate) struct Link<const REQUESTS: usize> {
    /// The host to connect to, or the connected one.
    host: Option<HostId>,
    /// Number of the connection, to tell it from an earlier one of the same host.
    number: u32,
    /// `true` once a future works on it.
    is_taken: bool,
    pub(crate) session: Option<Session<REQUESTS, ClientFeatures>>,
    /// Requests to encode. The routing machine sends no more than the session's capacity.
    pub(crate) queue: heapless::Deque<RequestId, REQUESTS>,
    /// The handshake's call, once it was encoded.
    pub(crate) handshake: Option<(RequestId, Call)>,
    /// The peer did not answer in time.
    is_unresponsive: bool,
}

/// Names one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkId {
    pub(crate) host: HostId,
    number: u32,
}

impl<const REQUESTS: usize> Link<REQUESTS> {
    pub(crate) const IDLE: Self = Self {
        host: None,
        number: 0,
        is_taken: false,
        session: None,
        queue: heapless::Deque::new(),
        handshake: None,
        is_unresponsive: false,
    };

    /// Requests a connection.
    pub(crate) fn connect(&mut self, host: HostId) {
        self.disconnect();
        self.host = Some(host);
    }

    /// Ends the connection, if there is one.
    pub(crate) fn disconnect(&mut self) {
        *self = Self {
            number: self.number.wrapping_add(1),
            ..Self::IDLE
        };
    }

    /// Returns the connection that is wanted and that no future works on yet.
    pub(crate) fn take(&mut self) -> Option<LinkId> {
        let host = self.host.filter(|_| !self.is_taken)?;
        self.is_taken = true;
        Some(LinkId {
            host,
            number: self.number,
        })
    }

    /// Returns the connection that a future works on.
    pub(crate) fn taken(&self) -> Option<LinkId> {
        let host = self.host.filter(|_| self.is_taken)?;
        Some(LinkId {
            host,
            number: self.number,
        })
    }

    /// Returns `true` if this connection is the current one.
    pub(crate) fn is(&self, id: LinkId) -> bool {
        self.number == id.number && self.host == Some(id.host)
    }

    /// Returns the cause if this connection is to be given up.
    pub(crate) fn end_of(&self, id: LinkId) -> Option<Cause> {
        if !self.is(id) {
            return Some(Cause::Closed);
        }
        self.is_unresponsive.then_some(Cause::ConnectionLost)
    }

    /// Returns the session of this host.
    pub(crate) fn session_of(
        &mut self,
        host: HostId,
    ) -> Option<&mut Session<REQUESTS, ClientFeatures>> {
        self.session.as_mut().filter(|_| self.host == Some(host))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        // A connection that is to be given up has no timeout any more.
        let session = self.session.as_ref().filter(|_| !self.is_unresponsive);
        session.and_then(Session::poll_timeout)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(session) = &mut self.session
            && session.handle_timeout(now).is_err()
        {
            self.is_unresponsive = true;
        }
    }
}

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    ClientState<'_, HOSTS, STREAMS, REQUESTS>
{
    /// Returns the link if this connection is the current one.
    fn link(&mut self, id: LinkId) -> Option<&mut Link<REQUESTS>> {
        self.links
            .get_mut(id.host.index())
            .filter(|link| link.is(id))
    }

    /// Begins the session of a connection that was made.
    pub(crate) fn connected(&mut self, now: Instant, id: LinkId) {
        let session = Session::with_features(now, self.session_settings.clone(), self.next_seed)
            .expect("the settings say mux, which every session speaks");
        self.next_seed = self.next_seed.wrapping_add(1);
        if let Some(link) = self.link(id) {
            link.session = Some(session);
        }
    }

    /// Handles a connection that ended or could not be made: fails its requests with what is known
    /// of them. Ignored if the routing machine has given the connection up already.
    pub(crate) fn lost(&mut self, now: Instant, id: LinkId, cause: Cause) {
        let Some(link) = self.link(id) else {
            return;
        };
        let mut queue = core::mem::take(&mut link.queue);
        let session = link.session.take();
        link.disconnect();
        let host = id.host;
        while let Some(request) = queue.pop_front() {
            self.routing
                .handle_failed(now, host, request, Failure::not_sent(cause));
        }
        let Some(mut session) = session else {
            return self.routing.handle_connect_failed(now, host);
        };
        while let Some(lost) = session.poll_lost() {
            let failure = Failure::unanswered(cause).with_known(lost.known);
            self.routing.handle_failed(now, host, lost.request, failure);
        }
        if session.is_ready() {
            self.routing.handle_disconnected(now, host);
        } else {
            self.routing.handle_connect_failed(now, host);
        }
    }

    /// Handles the frames at the front of `bytes`, and returns their length.
    pub(crate) fn received(
        &mut self,
        now: Instant,
        id: LinkId,
        bytes: &[u8],
    ) -> Result<usize, Cause> {
        let mut total = 0;
        let host = id.host;
        loop {
            let Some(session) = self.link(id).and_then(|link| link.session.as_mut()) else {
                return Err(Cause::Closed);
            };
            let (count, event) = session
                .handle_received(now, &bytes[total..])
                .map_err(|_| Cause::ProtocolError)?;
            let capacity = u32::try_from(session.capacity()).unwrap_or(u32::MAX);
            match event {
                Some(Event::Ready) => self.routing.handle_connected(now, host, capacity),
                Some(Event::Reply { request, reply }) => {
                    self.routing.handle_reply(now, host, request, &reply);
                }
                Some(Event::Failed {
                    request, failure, ..
                }) => {
                    self.routing.handle_failed(now, host, request, failure);
                }
                Some(Event::Discarded { .. }) => self.routing.handle_discarded(now, host),
                Some(Event::Draining) => self.routing.handle_drain(now, host),
                Some(Event::Lease { .. }) | None => {}
            }
            if count == 0 {
                return Ok(total);
            }
            total += count;
            self.carry_out(now);
        }
    }

    /// Handles the acceptance of `count` bytes by the connection.
    pub(crate) fn transmitted(&mut self, now: Instant, id: LinkId, count: usize) {
        if let Some(session) = self.link(id).and_then(|link| link.session.as_mut()) {
            session.handle_transmitted(now, count);
        }
    }

    /// Writes the session's own frames into `out` and returns their length; `None` if there are
    /// none and no request is queued either.
    pub(crate) fn encode_control(&mut self, id: LinkId, out: &mut [u8]) -> Option<usize> {
        let link = self.link(id)?;
        let count = link.session.as_mut()?.poll_transmit(out);
        (count > 0 || !link.queue.is_empty()).then_some(count)
    }

    /// Writes the frame of the next queued request into `out`, which has room for the longest one,
    /// and returns its length; 0 if there is none.
    pub(crate) fn encode_request(&mut self, now: Instant, id: LinkId, out: &mut [u8]) -> usize {
        // Each turn takes one request from a bounded queue. One that fails is not sent to this host
        // again.
        while let Some(request) = self.link(id).and_then(|link| link.queue.pop_front()) {
            match self.encode(now, request, id.host, out) {
                Ok(count) => return count,
                Err(cause) => {
                    let failure = Failure::not_sent(cause);
                    self.routing.handle_failed(now, id.host, request, failure);
                    self.carry_out(now);
                }
            }
        }
        0
    }
}
