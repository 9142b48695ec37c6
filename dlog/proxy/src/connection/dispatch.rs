use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Instant;
use distributedlog::wire::mux::Deadline;
use distributedlog::wire::service::{
    ExceptionKind, Method, Request, RequestError, SequenceId, WriteContext,
};

use super::clock_skew::{ClockSkewEstimate, DeadlinePassed};
use crate::machine::{self, Call, NotStarted, QueuedRequestId, Reply, Usage, shorten};
use crate::mailbox::{Mailbox, ReplyTo};
use crate::service::Service;
use crate::stats::RequestOutcome;

/// The longest name of an unknown method that is repeated to the client.
const MAX_METHOD_BYTES: usize = 256;

/// How much of what is wrong with a message is repeated to the client: it may quote what the client
/// sent.
const MAX_MESSAGE_CHARS: usize = 512;

/// Takes a connection's thrift messages to the service, and keeps count of what is unanswered.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) service: Arc<Service>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) peer: SocketAddr,
    /// Requests that the service works on, and the bytes of their frames.
    pub(super) in_flight: Usage,
    pub(super) clock_skew: ClockSkewEstimate,
}

/// A request that the service works on.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) method: Method,
    pub(super) sequence_id: SequenceId,
    /// Bytes of its frame.
    frame_bytes: usize,
    /// Bytes that it wants written.
    payload_bytes: usize,
    since: Instant,
    /// How to drop it while it waits.
    waiting: Option<QueuedRequestId>,
    /// For the log, when somebody reads it.
    stream: Option<Box<str>>,
}

/// A request that is answered at once.
#[derive(Debug)]
pub(super) struct RefusedRequest {
    /// The method's name, as the client has it; empty when the message could not be read so far.
    pub(super) method: Box<str>,
    pub(super) sequence_id: SequenceId,
    pub(super) reply: Reply,
}

/// What came with a message besides the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext {
    pub(super) deadline: Option<Deadline>,
    pub(super) has_client_id: bool,
}

impl Dispatcher {
    /// Hands the thrift message, which is a part of `frame`, to the service. The answer comes by
    /// mail, under `slot`.
    ///
    /// # Errors
    ///
    /// The answer, where there is one at once.
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
        if matches!(
            request,
            Request::WriteWithContext {
                context: WriteContext {
                    attempt: Some(1..),
                    ..
                },
                ..
            }
        ) {
            self.service.stats.repeated.inc();
        }
        let refused = |reply| RefusedRequest {
            method: method.name().into(),
            sequence_id,
            reply,
        };
        let checked = self
            .admit(&request, context, now)
            .and_then(|deadline| Ok((deadline, machine::check(&request, frame)?)));
        let (deadline, action) = match checked {
            Ok(checked) => checked,
            Err(reply) => {
                self.count(method, 0, now, now, None, &reply);
                return Err(refused(reply));
            }
        };
        let stream =
            tracing::enabled!(tracing::Level::DEBUG).then(|| action.stream().unwrap_or("").into());
        let payload_bytes = action.payload_bytes();
        let to = ReplyTo {
            mailbox: self.mailbox.clone(),
            slot,
        };
        let waiting = self.service.call(
            now,
            Call {
                to,
                deadline,
                action,
            },
        );
        self.in_flight.add(frame.len());
        Ok(PendingRequest {
            method,
            sequence_id,
            frame_bytes: frame.len(),
            payload_bytes,
            since: now,
            waiting,
            stream,
        })
    }

    fn admit(
        &mut self,
        request: &Request<'_>,
        context: RequestContext,
        now: Instant,
    ) -> Result<Option<Instant>, Reply> {
        if self.service.require_client_id && !context.has_client_id {
            let message = format!(
                "Internal error processing {}: \
                 'com.twitter.finagle.thrift.NoClientIdSpecifiedException' (this proxy demands a \
                 client id)",
                request.method()
            );
            return Err(Reply::Exception {
                kind: ExceptionKind::InternalError,
                message: message.into(),
            });
        }
        let Some(said) = context.deadline else {
            return Ok(None);
        };
        let (unix_nanos, max_skew, idle) = (
            self.service.unix_nanos(),
            self.service.max_clock_skew,
            self.in_flight.requests == 0,
        );
        let judged = self.clock_skew.judge(said, now, unix_nanos, max_skew, idle);
        if matches!(
            request,
            Request::Handshake | Request::HandshakeWithClientInfo { .. }
        ) {
            // Changes nothing, and is answered at once. A client that gives up a connection on
            // which it cannot shake hands would never send so many late requests that
            // its clock is doubted.
            return Ok(judged.ok());
        }
        judged
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
        tracing::warn!(peer = %self.peer, error = message, "a request that cannot be carried out");
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

    /// Settles the account of a request that is answered.
    pub(super) fn answered(&mut self, pending: &PendingRequest, reply: &Reply) {
        self.in_flight.remove(pending.frame_bytes);
        self.count(
            pending.method,
            pending.payload_bytes,
            pending.since,
            self.service.now(),
            pending.stream.as_deref(),
            reply,
        );
    }

    fn count(
        &self,
        method: Method,
        size: usize,
        since: Instant,
        now: Instant,
        request: Option<&str>,
        reply: &Reply,
    ) {
        let outcome = RequestOutcome::of(reply);
        let took = now.since(since);
        self.service.stats.answered(method, outcome, size, took);
        tracing::debug!(peer = %self.peer, %method, request, ?outcome, ?took, "answered");
    }

    /// Drops a request if it has not started. Its answer, that it was dropped, comes by mail like
    /// any other.
    pub(super) fn discard(&self, pending: &PendingRequest) -> bool {
        let Some(waiting) = &pending.waiting else {
            return false;
        };
        let dropped = self.service.discard(self.service.now(), waiting);
        if dropped {
            self.service.stats.discarded.inc();
        }
        dropped
    }
}
