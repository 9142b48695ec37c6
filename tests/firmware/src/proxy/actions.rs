//! The actions of the routing machine, and the events of the session.

use distributedlog::client::routing::{Action, Success};
use distributedlog::client::session::{Call, EncodeError, Envelope, Event, Session};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::service::{ClientInfo, Request};
use distributedlog::{Cause, Failure, Instant};

use super::{HOSTS, REQUESTS, State, session_settings};

impl State {
    pub(super) fn carry_out(&mut self, now: Instant) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Connect { host } => self.host = Some(host),
                Action::Disconnect { host } => {
                    if self.host == Some(host) {
                        self.host = None;
                    }
                }
                Action::Send { request, host } => {
                    if let Err(cause) = self.send(now, request, host) {
                        self.client
                            .handle_failed(now, host, request, Failure::not_sent(cause));
                    }
                }
                Action::Handshake { request, host, .. } => match self.handshake(now, request) {
                    Ok(call) => self.handshake = Some((request, call)),
                    Err(cause) => {
                        self.client
                            .handle_failed(now, host, request, Failure::not_sent(cause));
                    }
                },
                Action::Discard { request, .. } => self.discard(now, request),
                Action::Complete {
                    request, result, ..
                } => self.complete(request, result),
            }
        }
    }

    fn send(&mut self, now: Instant, request: RequestId, host: HostId) -> Result<(), Cause> {
        let pending = self.requests[request.index()]
            .as_ref()
            .filter(|pending| pending.request == request);
        let pending = pending.ok_or(Cause::Closed)?;
        let session = self
            .session
            .as_mut()
            .filter(|_| self.host == Some(host))
            .ok_or(Cause::ConnectionLost)?;
        let mut texts = [""; HOSTS];
        let context = self
            .client
            .write_context(request, &mut texts)
            .ok_or(Cause::Closed)?;
        let stream = self.streams[usize::from(pending.stream.0)];
        let message = Request::WriteWithContext {
            stream,
            data: &pending.data,
            context,
        };
        let call = encode(session, self.outgoing, now, request, &message)?;
        self.calls[request.index()] = Some((request, call));
        Ok(())
    }

    /// Sends the handshake. It does not ask for the streams that the proxy owns: the reply may be
    /// long, and with one proxy there is no choice.
    fn handshake(&mut self, now: Instant, request: RequestId) -> Result<Call, Cause> {
        let session = self.session.as_mut().ok_or(Cause::ConnectionLost)?;
        let info = ClientInfo {
            stream_name_regex: None,
            with_ownerships: Some(false),
        };
        encode(
            session,
            self.outgoing,
            now,
            request,
            &Request::HandshakeWithClientInfo { info },
        )
    }

    fn discard(&mut self, now: Instant, request: RequestId) {
        let sent = if request.index() < REQUESTS {
            self.calls[request.index()]
        } else {
            self.handshake.take()
        };
        if let (Some((_, call)), Some(session)) =
            (sent.filter(|(sent, _)| *sent == request), &mut self.session)
        {
            session.discard(now, call);
        }
    }

    fn complete(&mut self, request: RequestId, result: Result<Success, Failure>) {
        let Some(pending) = self.requests[request.index()].take() else {
            return;
        };
        let outcome = match result {
            Ok(Success::Written(dlsn)) => Ok(dlsn),
            Ok(Success::Bulk | Success::Done | Success::Owner | Success::ServerInfo) => {
                Err(Failure::unanswered(Cause::ProtocolError))
            }
            Err(failure) => Err(failure),
        };
        self.finished
            .push_back((pending.attempt, outcome))
            .expect("no more finish than are outstanding, and the writer takes them first");
    }

    /// Begins the session of a new connection.
    pub(super) fn connected(&mut self, now: Instant) {
        self.unresponsive = false;
        self.connections += 1;
        self.outgoing.clear();
        self.session = Some(Session::new(now, session_settings(), self.connections));
    }

    /// Handles a connection that ended or could not be made: fails its outstanding requests with
    /// what is known of them.
    pub(super) fn lost(&mut self, now: Instant, host: HostId, cause: Cause) {
        self.outgoing.clear();
        self.handshake = None;
        let Some(mut session) = self.session.take() else {
            return self.client.handle_connect_failed(now, host);
        };
        while let Some(lost) = session.poll_lost() {
            self.client.handle_failed(
                now,
                host,
                lost.request,
                Failure {
                    known: lost.known,
                    ..Failure::unanswered(cause)
                },
            );
        }
        if session.is_ready() {
            self.client.handle_disconnected(now, host);
        } else {
            self.client.handle_connect_failed(now, host);
        }
    }

    /// Handles the frames at the front of `bytes`, and returns their length.
    pub(super) fn received(
        &mut self,
        now: Instant,
        host: HostId,
        bytes: &[u8],
    ) -> Result<usize, Cause> {
        let mut total = 0;
        while let Some(session) = &mut self.session {
            let (count, event) = session
                .handle_received(now, &bytes[total..])
                .map_err(|_| Cause::ProtocolError)?;
            let capacity = u32::try_from(session.capacity()).unwrap_or(u32::MAX);
            match event {
                Some(Event::Ready) => self.client.handle_connected(now, host, capacity),
                Some(Event::Reply { request, reply }) => {
                    self.client.handle_reply(now, host, request, &reply);
                }
                Some(Event::Failed {
                    request, failure, ..
                }) => {
                    self.client.handle_failed(now, host, request, failure);
                }
                Some(Event::Discarded { .. }) => self.client.handle_discarded(now, host),
                Some(Event::Draining) => self.client.handle_drain(now, host),
                Some(Event::Lease { .. }) | None => {}
            }
            if count == 0 {
                break;
            }
            total += count;
            self.carry_out(now);
        }
        Ok(total)
    }
}

/// Appends a request to the bytes to send.
fn encode<const N: usize>(
    session: &mut Session<REQUESTS>,
    outgoing: &mut heapless::Vec<u8, N>,
    now: Instant,
    request: RequestId,
    message: &Request<'_>,
) -> Result<Call, Cause> {
    let before = outgoing.len();
    outgoing.resize_default(N).expect("N is its capacity");
    let sent = session.encode_request(
        now,
        request,
        message,
        &Envelope::default(),
        &mut outgoing[before..],
    );
    outgoing.truncate(before + sent.as_ref().map_or(0, |(count, _)| *count));
    sent.map(|(_, call)| call).map_err(|refusal| match refusal {
        EncodeError::BufferTooSmall(_) => Cause::TransportFull,
        _ => Cause::Refused,
    })
}
