//! The actions of the routing machine.

use distributedlog::client::routing::{Action, Success};
use distributedlog::client::session::{EncodeError, Envelope};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::service::{ClientInfo, Request};
use distributedlog::{Cause, Failure, Instant, report};

use crate::state::{ClientState, Sent};

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    ClientState<'_, HOSTS, STREAMS, REQUESTS>
{
    /// Performs the actions that the routing machine wants.
    pub(crate) fn carry_out(&mut self, now: Instant) {
        while let Some(action) = self.routing.poll_action() {
            match action {
                Action::Connect { host } => self.links[host.index()].connect(host),
                Action::Disconnect { host } => self.links[host.index()].disconnect(),
                // A handshake is a request like the others. It never asks for the streams that the
                // proxy owns: the reply could be longer than a device's buffer, and redirects
                // name owners too.
                Action::Send { request, host } | Action::Handshake { request, host, .. } => {
                    if self.links[host.index()].queue.push_back(request).is_err() {
                        let failure = Failure::not_sent(Cause::TransportFull);
                        self.routing.handle_failed(now, host, request, failure);
                    }
                }
                Action::Discard { request, host } => self.discard(now, request, host),
                Action::Complete {
                    request, result, ..
                } => self.complete(request, result),
            }
        }
    }

    /// Encodes a request for this host, and returns the length of its frame.
    pub(crate) fn encode(
        &mut self,
        now: Instant,
        request: RequestId,
        host: HostId,
        out: &mut [u8],
    ) -> Result<usize, Cause> {
        let mut texts = [""; HOSTS];
        let message = if request.index() < REQUESTS {
            let pending = self.requests[request.index()].as_ref();
            let pending = pending.filter(|pending| pending.request == request);
            let pending = pending.ok_or(Cause::Closed)?;
            let begin = request.index() * self.set_bytes;
            let context = self.routing.write_context(request, &mut texts);
            Request::WriteWithContext {
                stream: self.streams[usize::from(pending.stream.0)],
                data: &self.sets[begin..begin + pending.len],
                context: context.ok_or(Cause::Closed)?,
            }
        } else {
            let info = ClientInfo {
                stream_name_regex: None,
                with_ownerships: Some(false),
            };
            Request::HandshakeWithClientInfo { info }
        };
        let link = &mut self.links[host.index()];
        let session = link.session_of(host).ok_or(Cause::ConnectionLost)?;
        let encoded = session.encode_request(now, request, &message, &Envelope::default(), out);
        let (count, call) = encoded.map_err(|refusal| match refusal {
            EncodeError::BufferTooSmall(_) => Cause::TransportFull,
            EncodeError::Full
            | EncodeError::NotReady
            | EncodeError::Draining
            | EncodeError::LeaseExpired
            | _ => Cause::Refused,
        })?;
        match self.calls.get_mut(request.index()) {
            Some(sent) => {
                *sent = Some(Sent {
                    request,
                    host,
                    call,
                });
            }
            None => link.handshake = Some((request, call)),
        }
        Ok(count)
    }

    fn discard(&mut self, now: Instant, request: RequestId, host: HostId) {
        let link = &mut self.links[host.index()];
        let queued = link.queue.len();
        link.queue.retain(|each| *each != request);
        if link.queue.len() < queued {
            // No byte of it was sent.
            return self.routing.handle_discarded(now, host);
        }
        let call = match self.calls.get(request.index()) {
            Some(sent) => sent
                .filter(|sent| sent.request == request && sent.host == host)
                .map(|sent| sent.call),
            None => link
                .handshake
                .take_if(|(sent, _)| *sent == request)
                .map(|(_, call)| call),
        };
        if let (Some(call), Some(session)) = (call, link.session_of(host)) {
            session.discard(now, call);
        }
    }

    fn complete(&mut self, request: RequestId, result: Result<Success, Failure>) {
        let pending = self
            .requests
            .get_mut(request.index())
            .and_then(|slot| slot.take_if(|pending| pending.request == request));
        let Some(pending) = pending else {
            return;
        };
        let outcome = match result {
            Ok(Success::Written(dlsn)) => Ok(dlsn),
            Ok(Success::Bulk | Success::Done | Success::Owner | Success::ServerInfo) => {
                Err(Failure::unanswered(Cause::ProtocolError))
            }
            Err(failure) => {
                let (stream, cause) = (pending.stream.0, failure.cause.name());
                report!(debug, "attempt at stream {} failed: {}", stream, cause);
                Err(failure)
            }
        };
        self.finished
            .push_back((pending.attempt, outcome))
            .expect("the transport starts no more attempts than there is room for outcomes");
    }
}
