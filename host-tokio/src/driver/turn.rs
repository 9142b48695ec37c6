//! One turn of the driver: receive, handle timeouts, carry out actions, transmit.

use core::task::{Context, Poll};

use distributedlog::client::HostId;
use distributedlog::client::routing::{AttemptOutcome, Counters, HostAddress, Link};
use distributedlog::client::session::Event;
use distributedlog::wire::service::Reply;
use distributedlog::{Clock, Failure, Instant};

use super::connection::{CloseReason, Connection, Open, Phase};
use super::{Driver, REQUESTS, Routing};
use crate::error::HostFailureReason;
use crate::net::{ConnectError, NetStream};

/// Maximum number of rounds of one turn, before other tasks run.
const MAX_ROUNDS: usize = 16;

impl Driver {
    /// Advances everything as far as possible. Returns when requests have finished, which the
    /// caller takes and then drives again, or when nothing is left to do until the task is woken.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        self.turn(cx);
        self.counters.set(self.client.counters());
    }

    fn turn(&mut self, cx: &mut Context<'_>) {
        for _ in 0..MAX_ROUNDS {
            let now = self.clock.now();
            self.perform_actions(now);
            self.transmit(cx, now);
            self.poll_names(cx, now);
            let received = self.receive(cx, now);
            self.handle_timeouts(now);
            self.perform_actions(now);
            self.look_up_if_unusable();
            self.closing
                .retain_mut(|closing| now < closing.until && closing.poll(cx).is_pending());
            if !self.finished.is_empty() {
                return;
            }
            self.transmit(cx, now);
            if !received && !core::mem::take(&mut self.poll_again) {
                let next = self.next_deadline();
                self.timer.arm(cx, next);
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    fn next_deadline(&self) -> Option<Instant> {
        let sessions = self
            .connections
            .iter()
            .flatten()
            .filter_map(|connection| match &connection.phase {
                Phase::Open(open) => open.session.poll_timeout(),
                Phase::Connecting(_) | Phase::Resolving(_) => None,
            });
        let closing = self.closing.iter().map(|closing| closing.until);
        sessions
            .chain(closing)
            .chain(self.client.poll_timeout())
            .min()
    }

    /// Advances the machines' clocks.
    fn handle_timeouts(&mut self, now: Instant) {
        if self.client.poll_timeout().is_some_and(|at| at <= now) {
            self.client.handle_timeout(now);
        }
        for index in 0..self.connections.len() {
            if let Some(Connection {
                host,
                phase: Phase::Open(open),
            }) = &mut self.connections[index]
                && open.session.poll_timeout().is_some_and(|at| at <= now)
                && let Err(error) = open.session.handle_timeout(now)
            {
                let host = *host;
                self.handle_close(now, host, &CloseReason::Session(error));
            }
        }
    }

    fn poll_names(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(names) = &mut self.names else { return };
        let Poll::Ready(event) = names.poll(cx) else {
            return;
        };
        let hosts: Vec<HostAddress<'_>> = event
            .found
            .iter()
            .map(|found| HostAddress {
                name: &found.name,
                address: found.address,
                shard: found.shard,
            })
            .collect();
        self.connect_failures.set_names(event.failures);
        let left_out = self.client.handle_resolved(now, &hosts);
        if left_out > 0 {
            tracing::warn!(
                left_out,
                known = hosts.len() - left_out,
                "the name leads to more proxies than a client can know"
            );
        }
    }

    /// Looks the name up again if none of its hosts can be used: it may lead elsewhere by now.
    fn look_up_if_unusable(&mut self) {
        let Counters {
            connect_failures,
            disconnects,
            ..
        } = self.client.counters();
        let failures = connect_failures + disconnects;
        // Only a new failure is a reason; after it, the hosts are looked at once.
        if core::mem::replace(&mut self.link_failures, failures) == failures {
            return;
        }
        let mut any_down = false;
        for host in self.client.hosts().filter(|host| host.in_ring) {
            match host.link {
                Link::Connected | Link::Connecting => return,
                Link::Down { .. } => any_down = true,
                Link::Idle => {}
            }
        }
        if any_down && let Some(names) = &mut self.names {
            names.look_up_soon();
            // Registers the waker for the new time.
            self.poll_again = true;
        }
    }

    /// Takes what came in on each connection, one read each. Whether anything did.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = false;
        for index in 0..self.connections.len() {
            let Some(Connection { host, phase }) = &mut self.connections[index] else {
                continue;
            };
            let host = *host;
            match phase {
                Phase::Open(open) => match open.poll_receive(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => {
                        progress = true;
                        self.handle_frames(now, index, host);
                    }
                    Poll::Ready(Err(reason)) => {
                        progress = true;
                        self.handle_close(now, host, &reason);
                    }
                },
                Phase::Connecting(connecting) => {
                    if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
                        progress = true;
                        self.handle_connect_result(now, host, result);
                    }
                }
                Phase::Resolving(lookup) => {
                    if let Poll::Ready(result) = lookup.as_mut().poll(cx) {
                        progress = true;
                        self.handle_lookup_result(now, host, result);
                    }
                }
            }
        }
        progress
    }

    /// Handles every complete frame in the connection's buffer.
    fn handle_frames(&mut self, now: Instant, index: usize, host: HostId) {
        loop {
            let Some(Connection {
                phase: Phase::Open(open),
                ..
            }) = &mut self.connections[index]
            else {
                return;
            };
            let open = &mut **open;
            match open.session.handle_received(now, open.receive.unread()) {
                Ok((0, None)) => return,
                Ok((count, event)) => {
                    if let Some(event) = event {
                        let capacity = u32::try_from(open.session.capacity()).unwrap_or(u32::MAX);
                        let mut handler = FrameHandler {
                            client: &mut self.client,
                            requests: &mut self.requests,
                            connect_failures: &mut self.connect_failures,
                            any_handshake: &mut self.any_handshake,
                        };
                        handler.handle_event(now, host, capacity, event);
                    }
                    open.receive.consume(count);
                }
                Err(error) => {
                    self.handle_close(now, host, &CloseReason::Session(error));
                    return;
                }
            }
        }
    }

    fn transmit(&mut self, cx: &mut Context<'_>, now: Instant) {
        for index in 0..self.connections.len() {
            if let Some(Connection {
                host,
                phase: Phase::Open(open),
            }) = &mut self.connections[index]
                && let Err(reason) = open.poll_transmit(cx, now)
            {
                let host = *host;
                self.handle_close(now, host, &reason);
            }
        }
    }

    fn handle_connect_result(
        &mut self,
        now: Instant,
        host: HostId,
        result: Result<NetStream, ConnectError>,
    ) {
        match result {
            Ok(stream) => {
                self.seed = self.seed.wrapping_add(1);
                let open = Open::new(now, &self.settings.session, self.seed, stream);
                if open.session.is_ready() {
                    let capacity = u32::try_from(open.session.capacity()).unwrap_or(u32::MAX);
                    self.client.handle_connected(now, host, capacity);
                }
                self.connections[host.index()] = Some(Connection {
                    host,
                    phase: Phase::Open(Box::new(open)),
                });
            }
            Err(error) => {
                self.connections[host.index()] = None;
                tracing::debug!(%host, %error, "no connection to a proxy");
                self.connect_failures
                    .note(host, HostFailureReason::Connect(error));
                self.client.handle_connect_failed(now, host);
            }
        }
    }

    fn handle_lookup_result(
        &mut self,
        now: Instant,
        host: HostId,
        result: std::io::Result<Vec<core::net::SocketAddr>>,
    ) {
        self.connections[host.index()] = None;
        let found = result.and_then(|found| {
            found
                .first()
                .copied()
                .ok_or_else(|| std::io::Error::other("the name has no address"))
        });
        match found {
            Ok(address) => {
                let same = self.client.handle_address(now, host, address);
                if same == host {
                    self.connect(host);
                }
            }
            Err(error) => {
                self.connect_failures.note(
                    host,
                    HostFailureReason::Connect(ConnectError::NoAddress(error)),
                );
                self.client.handle_connect_failed(now, host);
            }
        }
    }

    /// Handles the end of the host's connection: reports to every request in flight on it what is
    /// known of it.
    fn handle_close(&mut self, now: Instant, host: HostId, close_reason: &CloseReason) {
        let Some(Connection {
            phase: Phase::Open(mut open),
            ..
        }) = self.connections[host.index()].take()
        else {
            return;
        };
        let was_ready = open.session.is_ready();
        let encrypted = self.settings.connect.tls.is_some();
        let mut reason = close_reason.to_string();
        if let Some(peer) = open.foreign_peer(close_reason, encrypted) {
            reason = format!("{peer} ({reason})");
        }
        tracing::debug!(%host, reason, "a proxy's connection has ended");
        while let Some(lost) = open.session.poll_lost() {
            self.note_failure(lost.request, &reason);
            let failure = Failure::unanswered(close_reason.cause()).with_known(lost.known);
            self.client.handle_failed(now, host, lost.request, failure);
        }
        if was_ready {
            self.client.handle_disconnected(now, host);
        } else {
            self.client.handle_connect_failed(now, host);
        }
        self.connect_failures
            .note(host, HostFailureReason::Handshake(reason.into()));
    }
}

/// The parts of a driver that an event of a connection changes.
struct FrameHandler<'a> {
    client: &'a mut Routing,
    requests: &'a mut Vec<Option<super::Pending>>,
    connect_failures: &'a mut super::ConnectFailures,
    any_handshake: &'a mut bool,
}

impl FrameHandler<'_> {
    fn handle_event(&mut self, now: Instant, host: HostId, capacity: u32, event: Event<'_>) {
        match event {
            Event::Ready => {
                self.client.handle_connected(now, host, capacity);
            }
            Event::Reply { request, reply } => {
                let outcome = self.client.handle_reply(now, host, request, &reply);
                if request.index() >= REQUESTS {
                    self.handle_handshake_reply(host, &reply);
                } else if let Some(Some(pending)) = self.requests.get_mut(request.index()) {
                    match outcome {
                        AttemptOutcome::Final => pending.note_reply(&reply),
                        AttemptOutcome::Continues => pending.note_intermediate_reply(&reply),
                        AttemptOutcome::Ignored => {}
                    }
                }
            }
            Event::Failed {
                request,
                failure,
                reason,
            } => {
                let outcome = self.client.handle_failed(now, host, request, failure);
                if request.index() >= REQUESTS {
                    self.connect_failures.note(
                        host,
                        HostFailureReason::Handshake(reason.to_string().into()),
                    );
                } else if outcome == AttemptOutcome::Final
                    && let Some(Some(pending)) = self.requests.get_mut(request.index())
                {
                    pending.detail.message = reason.to_string().into();
                }
            }
            Event::Discarded { .. } => self.client.handle_discarded(now, host),
            Event::Draining => {
                tracing::debug!(%host, "a proxy takes no more requests on its connection");
                self.client.handle_drain(now, host);
            }
            // Until it is over, requests are taken; after it, they are refused one by one and go
            // elsewhere.
            Event::Lease { .. } => {}
        }
    }

    fn handle_handshake_reply(&mut self, host: HostId, reply: &Reply<'_>) {
        match reply {
            Reply::Exception { message, .. } => self
                .connect_failures
                .note(host, HostFailureReason::Handshake((*message).into())),
            Reply::ServerInfo(_) | Reply::Write(_) | Reply::BulkWrite(_) | Reply::Void => {
                *self.any_handshake = true;
                self.connect_failures.forget(host);
            }
        }
    }
}
