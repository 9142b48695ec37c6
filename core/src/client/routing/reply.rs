use super::hosts::HandshakeState;
use super::operation::Operation;
use super::requests::{Request, Stage};
use super::rules;
use super::{AttemptOutcome, Client, HostId, Location, StreamKey, Success, Target};
use crate::client::RequestId;
use crate::status::StatusAction;
use crate::tables::Memory;
use crate::wire::service::{ExceptionKind, Reply, ResponseHeader, ServerInfo, ServerStatus};
use crate::{Cause, Dlsn, Failure, FailureDomain, Instant, WriteState};

/// Replies and failures of hosts.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Handles the host's reply to a request.
    pub fn handle_reply(
        &mut self,
        now: Instant,
        host: HostId,
        request: RequestId,
        reply: &Reply<'_>,
    ) -> AttemptOutcome {
        self.advance_clock(now);
        let Some(host) = self.hosts.find(host) else {
            return AttemptOutcome::Ignored;
        };
        if request.index() >= REQUESTS {
            if self.take_handshake(host, request) {
                self.handle_handshake_reply(host, reply);
            }
            return AttemptOutcome::Ignored;
        }
        let Some(index) = self.take_finished(host, request) else {
            return AttemptOutcome::Ignored;
        };
        self.apply_reply(index, host, reply);
        self.outcome_of(index)
    }

    /// Handles the end of a request without a reply at this host: it could not be encoded, was
    /// refused, or its connection is closing. Returns [`AttemptOutcome::Final`] if this ends the
    /// request.
    pub fn handle_failed(
        &mut self,
        now: Instant,
        host: HostId,
        request: RequestId,
        failure: Failure,
    ) -> AttemptOutcome {
        self.advance_clock(now);
        let Some(host) = self.hosts.find(host) else {
            return AttemptOutcome::Ignored;
        };
        if request.index() >= REQUESTS {
            if self.take_handshake(host, request) {
                self.handshake_failed(host, failure.cause);
            }
            return AttemptOutcome::Ignored;
        }
        let Some(index) = self.take_finished(host, request) else {
            return AttemptOutcome::Ignored;
        };
        match failure.cause {
            // The host lives and may own the stream; it does not accept this request at present.
            Cause::Refused | Cause::TransportFull => {}
            Cause::Status(_)
            | Cause::Unreachable
            | Cause::ConnectionLost
            | Cause::TimedOut
            | Cause::ProtocolError
            | Cause::Exception
            | Cause::TooManyRedirects
            | Cause::Closed => self.forget_owner(index, host),
        }
        // Requests that the host did not carry out, and those whose fate a lost connection leaves
        // open, may be tried elsewhere; a failure of the host itself is for the caller to handle.
        if failure.known == WriteState::NotWritten || failure.cause == Cause::ConnectionLost {
            self.reroute(index, host, failure, false);
        } else {
            self.fail(index, failure);
        }
        self.outcome_of(index)
    }

    /// Handles the end of a discarded request: its slot on the host's connection is free again.
    pub fn handle_discarded(&mut self, now: Instant, host: HostId) {
        self.advance_clock(now);
        if let Some(host) = self.hosts.find(host) {
            self.release(host);
        }
    }

    fn outcome_of(&self, index: usize) -> AttemptOutcome {
        if self.requests[index].stage == Stage::Ended {
            AttemptOutcome::Final
        } else {
            AttemptOutcome::Continues
        }
    }

    /// Takes the request that the host has finished with, if it is in flight there. Its slot is
    /// free again.
    fn take_finished(&mut self, host: usize, request: RequestId) -> Option<usize> {
        let index = self.requests.find(request)?;
        let Request {
            stage,
            discard,
            epoch,
            ..
        } = self.requests[index];
        if self.requests[index].host != Some(self.hosts.id(host)) || epoch != self.hosts[host].epoch
        {
            return None;
        }
        match stage {
            Stage::InFlight => {
                self.detach(index);
                self.release(host);
                Some(index)
            }
            Stage::Ended if discard => {
                // The reply came before the discard was sent.
                self.requests[index].discard = false;
                self.release(host);
                None
            }
            Stage::Free
            | Stage::Between
            | Stage::Sending
            | Stage::Waiting
            | Stage::Backoff(_)
            | Stage::Parked
            | Stage::Ended => None,
        }
    }

    fn apply_reply(&mut self, index: usize, host: usize, reply: &Reply<'_>) {
        use Operation as O;
        let operation = self.requests[index].operation;
        match (reply, operation) {
            (
                Reply::Exception {
                    kind: ExceptionKind::UnknownMethod,
                    ..
                },
                _,
            ) => {
                // A proxy that does not know its own service's methods cannot serve any request.
                self.mark_unavailable(host);
                self.reroute(index, host, Failure::not_sent(Cause::Exception), true);
            }
            (Reply::Exception { .. }, _) => self.fail(index, Failure::unanswered(Cause::Exception)),
            (Reply::ServerInfo(info), O::Handshake) => {
                self.apply_server_info(host, info);
                self.succeed(index, Success::ServerInfo);
            }
            (Reply::Void, O::SetAcceptNewStream) => self.succeed(index, Success::Done),
            (Reply::BulkWrite(response), O::WriteBulk) => {
                self.apply_status(index, host, &response.header, None)
            }
            (
                Reply::Write(response),
                O::Write
                | O::WriteRecordSet
                | O::Create
                | O::Delete
                | O::Truncate
                | O::Release
                | O::Heartbeat
                | O::Owner,
            ) => self.apply_status(index, host, &response.header, response.dlsn),
            (Reply::ServerInfo(_) | Reply::Write(_) | Reply::BulkWrite(_) | Reply::Void, _) => {
                self.fail(index, Failure::unanswered(Cause::ProtocolError));
            }
        }
    }

    fn apply_status(
        &mut self,
        index: usize,
        host: usize,
        header: &ResponseHeader<'_>,
        dlsn: Option<&str>,
    ) {
        let failure = rules::failure(header.code);
        if self.settings.stream_failfast && rules::fails_fast(header.code) {
            self.forget_owner(index, host);
            return self.fail(index, failure);
        }
        match header.code.action() {
            StatusAction::Succeed => self.apply_success(index, host, dlsn),
            StatusAction::Redirect => self.redirect(index, host, header.location),
            StatusAction::Fail => self.fail(index, failure),
            StatusAction::MarkUnavailable => {
                self.mark_unavailable(host);
                self.reroute(index, host, failure, true);
            }
            StatusAction::Reroute => self.reroute(index, host, failure, true),
            StatusAction::ForgetOwner => {
                self.forget_owner(index, host);
                self.reroute(index, host, failure, true);
            }
        }
    }

    fn apply_success(&mut self, index: usize, host: usize, dlsn: Option<&str>) {
        let Request {
            operation, target, ..
        } = self.requests[index];
        self.hosts[host].unavailable_count = 0;
        if let Target::Stream(stream) = target {
            match operation {
                Operation::Delete | Operation::Release => self.streams.forget_owner(stream, host),
                Operation::Write
                | Operation::WriteRecordSet
                | Operation::WriteBulk
                | Operation::Create
                | Operation::Truncate
                | Operation::Heartbeat
                | Operation::Owner
                | Operation::Handshake
                | Operation::SetAcceptNewStream => self.set_owner(stream, host),
            }
        }
        match operation {
            Operation::Write | Operation::WriteRecordSet => match dlsn.map(str::parse::<Dlsn>) {
                Some(Ok(dlsn)) => self.succeed(index, Success::Written(dlsn)),
                // Written, at an unknown position.
                Some(Err(_)) | None => self.fail(index, Failure::unanswered(Cause::ProtocolError)),
            },
            Operation::WriteBulk => self.succeed(index, Success::Bulk),
            Operation::Owner => self.succeed(index, Success::Owner),
            Operation::Create
            | Operation::Delete
            | Operation::Truncate
            | Operation::Release
            | Operation::Heartbeat
            | Operation::Handshake
            | Operation::SetAcceptNewStream => self.succeed(index, Success::Done),
        }
    }

    /// Follows the host's redirect to another owner.
    fn redirect(&mut self, index: usize, host: usize, location: Option<&str>) {
        let Request {
            operation, target, ..
        } = self.requests[index];
        let Target::Stream(stream) = target else {
            return self.fail(index, Failure::unanswered(Cause::ProtocolError));
        };
        self.counters.redirects += 1;
        let owner = location
            .and_then(|text| Location::parse(text).ok())
            .and_then(|location| self.locate(&location));
        if operation == Operation::Owner {
            if let Some(owner) = owner {
                self.set_owner(stream, owner);
            }
            return self.succeed(index, Success::Owner);
        }
        let failure = rules::failure(crate::StatusCode::Found);
        self.requests[index].note_failure(failure);
        self.requests[index].tried.insert(host);
        match owner {
            // A proxy that redirects to itself would do so again, and an unknown host is no help:
            // the ring decides.
            None => self.reroute(index, host, failure, true),
            Some(owner) if owner == host => {
                self.streams.forget_owner(stream, host);
                self.reroute(index, host, failure, true);
            }
            Some(owner) if self.hosts[owner].is_open() => {
                self.set_owner(stream, owner);
                self.route_to(index, owner);
            }
            // The owner cannot be reached just now: others may take the stream over.
            Some(owner) => self.reroute(index, owner, failure, true),
        }
    }

    fn forget_owner(&mut self, index: usize, host: usize) {
        if let Target::Stream(stream) = self.requests[index].target {
            self.streams.forget_owner(stream, host);
        }
    }

    fn set_owner(&mut self, stream: StreamKey, host: usize) {
        self.counters.evictions += u64::from(self.streams.set_owner(stream, host));
    }
}

/// The client's own handshakes.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// The id of the host's handshake.
    pub(super) fn handshake_id(&self, host: usize) -> RequestId {
        RequestId::new(
            (REQUESTS + host) as u32,
            self.hosts[host].handshake_generation,
        )
    }

    /// Returns `true` if `request` is the host's handshake in flight. Its slot is free again.
    fn take_handshake(&mut self, host: usize, request: RequestId) -> bool {
        if request != self.handshake_id(host) {
            return false;
        }
        let slot = &mut self.hosts[host];
        if slot.pending.discard_handshake {
            // The reply came before the discard was sent.
            slot.pending.discard_handshake = false;
            self.release(host);
            return false;
        }
        if !matches!(slot.handshake, HandshakeState::InFlight(_)) {
            return false;
        }
        slot.handshake = HandshakeState::Idle;
        self.release(host);
        true
    }

    fn handle_handshake_reply(&mut self, host: usize, reply: &Reply<'_>) {
        match reply {
            Reply::ServerInfo(info) => self.apply_server_info(host, info),
            Reply::Exception { .. } => self.handshake_failed(host, Cause::Exception),
            Reply::Write(_) | Reply::BulkWrite(_) | Reply::Void => {
                self.handshake_failed(host, Cause::ProtocolError)
            }
        }
    }

    /// Applies the server info of a handshake, which the client or its caller sent.
    fn apply_server_info(&mut self, host: usize, info: &ServerInfo<'_>) {
        self.counters.handshakes += 1;
        let slot = &mut self.hosts[host];
        (slot.status, slot.last_failure, slot.link_failures) = (info.status, None, 0);
        slot.failure_domain = info.failure_domain.map(FailureDomain::of);
        if info.status == Some(ServerStatus::Down) {
            return self.mark_unavailable(host);
        }
        let was_unavailable = slot.unavailable_until.take().is_some();
        for (stream, location) in info.ownerships.iter().flatten() {
            let Ok(location) = Location::parse(location) else {
                continue;
            };
            if let Some(owner) = self.locate(&location) {
                self.streams.offer_owner(StreamKey::of(stream), owner);
            }
        }
        if was_unavailable {
            self.unpark();
        }
    }

    pub(super) fn handshake_failed(&mut self, host: usize, cause: Cause) {
        let slot = &mut self.hosts[host];
        slot.last_failure = Some(cause);
        if slot.unavailable_until.is_some() {
            self.mark_unavailable(host);
        }
    }
}
