use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::wire::mux::Deadline;
use distributedlog::wire::service::{ExceptionKind, Method, Request, RequestError, SequenceId};
use distributedlog::{Instant, StatusCode};

use super::authorize::Administration;
use super::clock_skew::{ClockSkewEstimate, DeadlinePassed};
use crate::access::Caller;
use crate::machine::{self, Call, NotStarted, QueuedRequestId, Reply, Usage, shorten};
use crate::mailbox::{Mailbox, ReplyTo};
use crate::service::{Service, Unflushed};
use crate::stats::{AnsweredRequest, RequestOutcome, is_repeated};
use distributedlog_store::log_limit::{Admitted, LogKind};

/// Longest name of an unknown method that is repeated to the client.
const MAX_METHOD_BYTES: usize = 256;

/// Limit of an error message that is sent to the client, in characters: it may quote what the
/// client sent.
const MAX_MESSAGE_CHARS: usize = 512;

/// Passes a connection's thrift messages to the service, and counts the unanswered ones.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) service: Arc<Service>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) peer: SocketAddr,
    pub(super) caller: Caller,
    /// Requests that the service works on, and the bytes of their frames.
    pub(super) in_flight: Usage,
    pub(super) clock_skew: ClockSkewEstimate,
    /// Time of day at which the frames came that are handled now. `None`: not read yet.
    pub(super) unix_nanos: Option<u64>,
    /// What the requests since the last [`flush`](Dispatcher::flush) have left to it.
    pub(super) unflushed: Unflushed,
}

/// A request that the service works on.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) method: Method,
    pub(super) sequence_id: SequenceId,
    /// Size of its frame.
    frame_bytes: usize,
    /// Payload bytes that it would write.
    payload_bytes: usize,
    is_repeated: bool,
    since: Instant,
    /// Id for dropping it, if it was queued.
    queued: Option<QueuedRequestId>,
    /// Name of its stream, if the log level shows it.
    stream: Option<Box<str>>,
    /// What the audit log says of it, if it is logged.
    administration: Option<Box<Administration>>,
}

/// A request that is answered at once.
#[derive(Debug)]
pub(super) struct RefusedRequest {
    /// Name of the method as the client sent it; empty if the message could not be read so far.
    pub(super) method: Box<str>,
    pub(super) sequence_id: SequenceId,
    pub(super) reply: Reply,
}

/// Deadline and identity of the client that the transport carries with a thrift message.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext {
    pub(super) deadline: Option<Deadline>,
    pub(super) has_client_id: bool,
}

impl Dispatcher {
    /// Has the store write what was appended since the last call, on this thread if it likes.
    /// Returns true if there was anything: the mailbox must be looked at again, and wakes the
    /// connection only after that.
    pub(super) fn flush(&mut self) -> bool {
        let unflushed = core::mem::take(&mut self.unflushed);
        if !unflushed.has_appended {
            return false;
        }
        self.mailbox.forget_waker();
        self.service.flush(unflushed);
        true
    }

    /// Passes the thrift message, which is a part of `frame`, to the service. The reply comes by
    /// mail, under `slot`. [`flush`](Self::flush) must be called soon.
    ///
    /// # Errors
    ///
    /// The reply, if the request is answered at once.
    pub(super) fn dispatch(
        &mut self,
        slot: u32,
        frame: &Bytes,
        message: &[u8],
        context: RequestContext,
    ) -> Result<PendingRequest, RefusedRequest> {
        let now = self.service.now();
        let (sequence_id, request) =
            Request::decode(message).map_err(|error| self.refuse_malformed(&error))?;
        let method = request.method();
        let is_repeated = is_repeated(&request);
        if is_repeated {
            self.service.stats.repeated.inc();
        }
        let refused = |reply| RefusedRequest {
            method: method.name().into(),
            sequence_id,
            reply,
        };
        let checked = self
            .admit(&request, frame.len(), context, now)
            .and_then(|deadline| Ok((deadline, machine::check(&request, frame)?)));
        let (deadline, action) = match checked {
            Ok(checked) => checked,
            Err(reply) => {
                let answered = AnsweredRequest {
                    method,
                    is_repeated,
                    outcome: RequestOutcome::of(&reply),
                    size: 0,
                    took: Duration::ZERO,
                };
                self.count(now, answered, None, &reply);
                return Err(refused(reply));
            }
        };
        let stream =
            tracing::enabled!(tracing::Level::DEBUG).then(|| action.stream().unwrap_or("").into());
        let payload_bytes = action.payload_bytes();
        let administration = self.administration(&request);
        let may_create = self.may_create(action.stream());
        let to = ReplyTo {
            mailbox: self.mailbox.clone(),
            slot,
        };
        let (queued, unflushed) = self.service.call(
            now,
            Call {
                to,
                deadline,
                may_create,
                action,
            },
        );
        self.unflushed.add(unflushed);
        self.in_flight.add(frame.len());
        Ok(PendingRequest {
            method,
            sequence_id,
            frame_bytes: frame.len(),
            payload_bytes,
            is_repeated,
            since: now,
            queued,
            stream,
            administration,
        })
    }

    fn admit(
        &mut self,
        request: &Request<'_>,
        frame_bytes: usize,
        context: RequestContext,
        now: Instant,
    ) -> Result<Option<Instant>, Reply> {
        if self.service.require_client_id && !context.has_client_id {
            let message = format!(
                "Internal error processing {}: \
                 'com.twitter.finagle.thrift.NoClientIdSpecifiedException' (this proxy requires a \
                 client id)",
                request.method()
            );
            return Err(Reply::Exception {
                kind: ExceptionKind::InternalError,
                message: message.into(),
            });
        }
        self.check_administration(request)?;
        self.authorize(request, frame_bytes)?;
        let Some(sent) = context.deadline else {
            return Ok(None);
        };
        let (unix_nanos, max_skew, idle) = (
            *self
                .unix_nanos
                .get_or_insert_with(|| self.service.unix_nanos()),
            self.service.max_clock_skew,
            self.in_flight.requests == 0,
        );
        let deadline = self
            .clock_skew
            .local_deadline(sent, now, unix_nanos, max_skew, idle);
        if matches!(
            request,
            Request::Handshake | Request::HandshakeWithClientInfo { .. }
        ) {
            // A handshake changes nothing, and is answered at once. A client that gives up a
            // connection on which it cannot shake hands would never send the late requests by which
            // the skew of its clock is detected.
            return Ok(deadline.ok());
        }
        deadline
            .map(Some)
            .map_err(|DeadlinePassed| Reply::NotStarted(NotStarted::DeadlinePassed))
    }

    fn refuse_malformed(&self, error: &RequestError<'_>) -> RefusedRequest {
        self.service.stats.malformed.inc();
        let (method, sequence_id, kind) = match *error {
            RequestError::UnknownMethod { name, sequence_id } => {
                (name, sequence_id, ExceptionKind::UnknownMethod)
            }
            RequestError::BadArguments {
                method,
                sequence_id,
                ..
            } => (method.name(), sequence_id, ExceptionKind::ProtocolError),
            RequestError::Malformed(_) => ("", SequenceId(0), ExceptionKind::ProtocolError),
        };
        let message = shorten(&error.to_string(), MAX_MESSAGE_CHARS);
        if let Some(Admitted { left_out }) = self.service.log_limits.admit(LogKind::Malformed) {
            let peer = self.peer;
            tracing::warn!(%peer, error = message, left_out, "refusing a malformed request");
        }
        let method = if method.len() <= MAX_METHOD_BYTES {
            method
        } else {
            ""
        };
        RefusedRequest {
            method: method.into(),
            sequence_id,
            reply: Reply::Exception {
                kind,
                message: message.into(),
            },
        }
    }

    /// Counts a request's reply, and frees its room.
    pub(super) fn answered(&mut self, pending: &PendingRequest, reply: &Reply) {
        self.in_flight.remove(pending.frame_bytes);
        if let Some(act) = &pending.administration {
            self.administered(pending.method, act, reply);
        }
        let now = self.service.now();
        let answered = AnsweredRequest {
            method: pending.method,
            is_repeated: pending.is_repeated,
            outcome: RequestOutcome::of(reply),
            size: pending.payload_bytes,
            took: now.since(pending.since),
        };
        self.count(now, answered, pending.stream.as_deref(), reply);
    }

    fn count(&self, now: Instant, answered: AnsweredRequest, request: Option<&str>, reply: &Reply) {
        let AnsweredRequest {
            method,
            outcome,
            took,
            ..
        } = answered;
        self.service.stats.answered(now, answered);
        if let Some((kind, message)) = error_of(reply) {
            self.service.note_error(kind, message);
        }
        tracing::debug!(peer = %self.peer, %method, request, ?outcome, ?took, "answered");
    }

    /// Drops a request if it has not started. The reply to it comes by mail like any other.
    pub(super) fn discard(&self, pending: &PendingRequest) -> bool {
        let Some(id) = &pending.queued else {
            return false;
        };
        let dropped = self.service.discard(self.service.now(), id);
        if dropped {
            self.service.stats.discarded.inc();
        }
        dropped
    }
}

/// Returns kind and message of a reply that is an error. A redirect is none: clients find the owner
/// of a stream by it.
fn error_of(reply: &Reply) -> Option<(&'static str, &str)> {
    match reply {
        Reply::Stream(response) => {
            let is_error = !matches!(response.code, StatusCode::Success | StatusCode::Found);
            let message = response.message.as_deref().unwrap_or("");
            is_error.then(|| (response.code.name(), message))
        }
        Reply::Exception { message, .. } => Some(("EXCEPTION", message)),
        Reply::NotStarted(NotStarted::DeadlinePassed) => Some((
            "NOT_STARTED",
            "the request's deadline passed while it was queued",
        )),
        Reply::NotStarted(NotStarted::Discarded)
        | Reply::ServerInfo { .. }
        | Reply::Void
        | Reply::Bulk(_) => None,
    }
}
