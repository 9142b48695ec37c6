//! Execution of the routing machine's actions.

use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use distributedlog::client::routing::{Action, RetryPolicy, Success};
use distributedlog::client::session::{Call, EncodeError, Envelope};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::mux::Deadline;
use distributedlog::{Cause, Failure, Instant};

use super::connection::{Closing, Connection, Open, Phase};
use super::pending::Scratch;
use super::{Driver, FinishedRequest, HOSTS, REQUESTS, handshake_request};
use crate::error::HostFailureReason;
use crate::net::{ConnectError, connect, system_lookup};

/// Time that the driver waits for a peer after it has closed its own end of a connection.
const CLOSING_TIME: Duration = Duration::from_millis(500);

impl Driver {
    /// Carries out the routing machine's actions until there are no more.
    pub(super) fn perform_actions(&mut self, now: Instant) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Connect { host } => self.connect(host),
                Action::Disconnect { host } => self.disconnect(now, host),
                Action::Send { request, host } => self.send(now, request, host),
                Action::Handshake {
                    request,
                    host,
                    ownerships,
                } => self.send_handshake(now, request, host, ownerships),
                Action::Discard { request, host } => self.discard(now, request, host),
                Action::Complete {
                    request,
                    result,
                    host,
                    ..
                } => self.complete(request, result, host),
            }
        }
    }

    /// Returns the host's open connection. A host that was forgotten has none, even if another host
    /// uses its slot.
    pub(super) fn open(&mut self, host: HostId) -> Option<&mut Open> {
        match self.connections.get_mut(host.index())? {
            Some(Connection {
                host: known,
                phase: Phase::Open(open),
            }) if *known == host => Some(open),
            Some(_) | None => None,
        }
    }

    /// Begins to make the host's connection; the next round polls it.
    pub(super) fn connect(&mut self, host: HostId) {
        let Some(view) = self.client.host(host) else {
            return;
        };
        let (name, port) = (view.name.to_owned(), view.port);
        let phase = match view.address {
            Some(address) => {
                let name = if name.is_empty() {
                    address.ip().to_string()
                } else {
                    name
                };
                tracing::debug!(%address, name, "connecting to a proxy");
                Phase::Connecting(Box::pin(connect(
                    self.settings.connect.clone(),
                    address,
                    name,
                )))
            }
            None => Phase::Resolving(Box::pin(system_lookup(name, port))),
        };
        self.connections[host.index()] = Some(Connection { host, phase });
        self.poll_again = true;
    }

    fn disconnect(&mut self, now: Instant, host: HostId) {
        let place = &mut self.connections[host.index()];
        if place
            .as_ref()
            .is_none_or(|connection| connection.host != host)
        {
            return;
        }
        match place.take().map(|connection| connection.phase) {
            Some(Phase::Open(open)) => self.closing.push(Closing::new(*open, now + CLOSING_TIME)),
            Some(Phase::Connecting(_) | Phase::Resolving(_))
                if !self.connect_failures.has(host) =>
            {
                let limit = self.settings.routing.connect_timeout();
                self.connect_failures.note(
                    host,
                    HostFailureReason::Connect(ConnectError::TimedOut(limit)),
                );
            }
            Some(Phase::Connecting(_) | Phase::Resolving(_)) | None => {}
        }
    }

    fn send(&mut self, now: Instant, request: RequestId, host: HostId) {
        let sent = self.encode(now, request, host);
        match sent {
            Some(Ok(call)) => self.calls[request.index()] = Some((request, host, call)),
            Some(Err(refusal)) => {
                self.note_failure(request, &refusal.to_string());
                self.client
                    .handle_failed(now, host, request, Failure::not_sent(Cause::Refused));
            }
            None => {
                self.client.handle_failed(
                    now,
                    host,
                    request,
                    Failure::not_sent(Cause::ConnectionLost),
                );
            }
        }
    }

    /// Encodes a request behind what its host's connection has to send. [`None`]: there is no such
    /// connection or request.
    fn encode(
        &mut self,
        now: Instant,
        request: RequestId,
        host: HostId,
    ) -> Option<Result<Call, EncodeError>> {
        let pending = self
            .requests
            .get(request.index())?
            .as_ref()
            .filter(|pending| pending.id == request)?;
        let Some(Connection {
            host: known,
            phase: Phase::Open(open),
        }) = self.connections.get_mut(host.index())?
        else {
            return None;
        };
        if *known != host {
            return None;
        }
        let mut texts = [""; HOSTS];
        let context = self.client.write_context(request, &mut texts)?;
        let attempt_ends = now + self.settings.routing.attempt_timeout();
        let deadline = match (pending.deadline, pending.retry_policy) {
            (Some(deadline), RetryPolicy::OneRoundUntilDeadline) => deadline,
            (Some(deadline), RetryPolicy::OneRound | RetryPolicy::UntilDeadline) => {
                deadline.min(attempt_ends)
            }
            (None, _) => attempt_ends,
        };
        let envelope = Envelope {
            trace: None,
            deadline: wall_clock(now, deadline),
        };
        let mut scratch = Scratch::default();
        let message = pending.message(context, &self.settings.stream_name_regex, &mut scratch);
        Some(open.send(
            now,
            request,
            &message,
            &envelope,
            pending.body.frame_hint(&pending.stream),
        ))
    }

    fn send_handshake(&mut self, now: Instant, request: RequestId, host: HostId, ownerships: bool) {
        let ends = now + self.settings.routing.attempt_timeout();
        let envelope = Envelope {
            trace: None,
            deadline: wall_clock(now, ends),
        };
        let Some(Connection {
            host: known,
            phase: Phase::Open(open),
        }) = &mut self.connections[host.index()]
        else {
            self.client
                .handle_failed(now, host, request, Failure::not_sent(Cause::ConnectionLost));
            return;
        };
        debug_assert_eq!(*known, host, "a handshake goes to a connected host");
        let message = handshake_request(&self.settings.stream_name_regex, ownerships);
        match open.send(
            now,
            request,
            &message,
            &envelope,
            1024 + self.settings.stream_name_regex.len(),
        ) {
            Ok(call) => open.handshake = Some((request, call)),
            Err(_) => {
                self.client
                    .handle_failed(now, host, request, Failure::not_sent(Cause::Refused));
            }
        }
    }

    fn discard(&mut self, now: Instant, request: RequestId, host: HostId) {
        let call = if request.index() >= REQUESTS {
            self.open(host)
                .and_then(|open| open.handshake.take())
                .filter(|(handshake, _)| *handshake == request)
                .map(|(_, call)| call)
        } else {
            let sent = self.calls.get(request.index()).copied().flatten();
            sent.filter(|(sent, to, _)| *sent == request && *to == host)
                .map(|(_, _, call)| call)
        };
        if let (Some(call), Some(open)) = (call, self.open(host)) {
            open.session.discard(now, call);
        }
    }

    fn complete(
        &mut self,
        request: RequestId,
        result: Result<Success, Failure>,
        host: Option<HostId>,
    ) {
        let Some(mut pending) = self
            .requests
            .get_mut(request.index())
            .and_then(Option::take)
        else {
            debug_assert!(false, "a request completes once");
            return;
        };
        debug_assert_eq!(
            pending.id, request,
            "a completed request is the one in its place"
        );
        self.tokens.remove(&pending.token);
        if let Err(failure) = result
            && pending.detail.message.is_empty()
        {
            pending.detail.message = match pending.last_answer_about(failure) {
                Some(answer) => answer,
                None if failure.cause == Cause::Unreachable => self.unreachable_reason(),
                None => "".into(),
            };
        }
        let operation = pending.body.name();
        self.recycle(pending.body);
        let stream = Arc::clone(&pending.stream);
        self.finished.push_back(FinishedRequest {
            token: pending.token,
            result,
            host,
            stream,
            operation,
            detail: pending.detail,
        });
    }

    /// Keeps the message of a request's failure, in case it is the last one.
    pub(super) fn note_failure(&mut self, request: RequestId, message: &str) {
        if let Some(Some(pending)) = self.requests.get_mut(request.index())
            && pending.id == request
            && !message.is_empty()
        {
            pending.detail.message = message.into();
        }
    }
}

/// Returns the deadline by the wall clock. If this machine's clock is wrong, the peer can recognise
/// that by the timestamp.
fn wall_clock(now: Instant, deadline: Instant) -> Option<Deadline> {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    let timestamp_ns = i64::try_from(since_1970.as_nanos()).ok()?;
    let left_ns = i64::try_from(deadline.since(now).as_nanos()).ok()?;
    Some(Deadline {
        timestamp_ns,
        deadline_ns: timestamp_ns.checked_add(left_ns)?,
    })
}
