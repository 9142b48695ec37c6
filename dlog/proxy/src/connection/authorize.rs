use std::borrow::Cow;

use distributedlog::wire::service::{ExceptionKind, Method, Request};
use distributedlog::{StatusCode, stream_name};

use super::dispatch::Dispatcher;
use crate::access::{AuditEvent, Denied, Operation, Requested, Scope, over_limit};
use crate::machine::{Reply, StreamReply};
use crate::stats::RequestOutcome;

/// An act of administration under way, for the audit log.
#[derive(Debug)]
pub(super) struct Administration {
    operation: Operation,
    stream: Option<Box<str>>,
}

impl Dispatcher {
    /// Checks a request against the rules and its client's limits.
    ///
    /// # Errors
    ///
    /// The reply for the client.
    pub(super) fn authorize(
        &mut self,
        request: &Request<'_>,
        frame_bytes: usize,
    ) -> Result<(), Reply> {
        if self.service.access.is_open() {
            return Ok(());
        }
        let Some(requested) = self.requested(request, frame_bytes) else {
            return Ok(());
        };
        let now = self.service.now();
        let Err(denied) = self.caller.check(&self.service.access, now, &requested) else {
            return Ok(());
        };
        let (code, why, reason) = match denied {
            Denied::NoRule(why) => (StatusCode::RequestDenied, why, "rule"),
            Denied::OverLimit(wait) => {
                let why = over_limit(&self.caller.principal, wait);
                (StatusCode::OverCapacity, Cow::Owned(why), "limit")
            }
        };
        let operation = requested.operation.name();
        self.service.stats.access.refused(operation, reason);
        if let Some(audit) = &self.service.access.audit {
            audit.refused(&AuditEvent {
                principal: &self.caller.principal,
                peer: self.peer,
                port: "thrift",
                operation,
                request: request.method().name(),
                stream: stream_of(&requested),
                outcome: &code.as_i32().to_string(),
                reason: Some(&why),
            });
        }
        Err(if let Request::SetAcceptNewStream { .. } = request {
            // Its reply has no room for a status.
            Reply::Exception {
                kind: ExceptionKind::InternalError,
                message: why,
            }
        } else {
            Reply::Stream(StreamReply::refused(code, why))
        })
    }

    /// Checks a request of administration against `--admin-from`.
    ///
    /// # Errors
    ///
    /// The reply for the client.
    pub(super) fn check_administration(&self, request: &Request<'_>) -> Result<(), Reply> {
        let admin_from = self.service.admin_from;
        let Err(reply) = admin_from.check_request(request, self.peer.ip()) else {
            return Ok(());
        };
        let operation = Operation::Admin.name();
        self.service.stats.access.refused(operation, "address");
        if let Some(audit) = &self.service.access.audit {
            let requested = self.requested(request, 0);
            audit.refused(&AuditEvent {
                principal: &self.caller.principal,
                peer: self.peer,
                port: "thrift",
                operation,
                request: request.method().name(),
                stream: requested.as_ref().and_then(stream_of),
                outcome: "403",
                reason: Some("--admin-from"),
            });
        }
        Err(reply)
    }

    /// Returns what a request needs, or `None` if every client may send it.
    fn requested<'a>(&self, request: &Request<'a>, frame_bytes: usize) -> Option<Requested<'a>> {
        let (operation, scope) = match *request {
            Request::Handshake | Request::HandshakeWithClientInfo { .. } => return None,
            Request::SetAcceptNewStream { .. } => (Operation::Admin, Scope::Whole),
            Request::Write { stream, .. }
            | Request::WriteWithContext { stream, .. }
            | Request::WriteBulkWithContext { stream, .. }
            | Request::Heartbeat { stream, .. }
            | Request::HeartbeatWithOptions { stream, .. } => (Operation::Write, named(stream)),
            Request::Create { stream, .. } => (Operation::Create, named(stream)),
            Request::GetOwner { stream, .. } => {
                // Writers and readers may ask.
                let scope = named(stream);
                let writes = self.caller.may(Operation::Write, scope);
                (
                    if writes {
                        Operation::Write
                    } else {
                        Operation::Read
                    },
                    scope,
                )
            }
            Request::Truncate { stream, .. }
            | Request::Release { stream, .. }
            | Request::Delete { stream, .. } => (Operation::Admin, named(stream)),
        };
        let bytes = match request {
            Request::Write { data, .. } | Request::WriteWithContext { data, .. } => data.len(),
            // Its records, and a few bytes for each.
            Request::WriteBulkWithContext { .. } => frame_bytes,
            Request::Handshake
            | Request::HandshakeWithClientInfo { .. }
            | Request::SetAcceptNewStream { .. }
            | Request::Heartbeat { .. }
            | Request::HeartbeatWithOptions { .. }
            | Request::Create { .. }
            | Request::GetOwner { .. }
            | Request::Truncate { .. }
            | Request::Release { .. }
            | Request::Delete { .. } => 0,
        };
        Some(Requested {
            operation,
            scope,
            bytes: bytes as u64,
        })
    }

    /// Returns true if a write of the client may create its stream.
    pub(super) fn may_create(&self, stream: Option<&str>) -> bool {
        stream.is_none_or(|stream| self.caller.may(Operation::Create, Scope::Stream(stream)))
    }

    /// Returns what the audit log says of a request once it is answered, if it logs it.
    pub(super) fn administration(&self, request: &Request<'_>) -> Option<Box<Administration>> {
        self.service.access.audit.as_ref()?;
        let requested = self.requested(request, 0)?;
        let is_logged = matches!(requested.operation, Operation::Create | Operation::Admin);
        is_logged.then(|| {
            Box::new(Administration {
                operation: requested.operation,
                stream: stream_of(&requested).map(Into::into),
            })
        })
    }

    /// Logs an act of administration with its outcome.
    pub(super) fn administered(&self, method: Method, act: &Administration, reply: &Reply) {
        let Some(audit) = &self.service.access.audit else {
            return;
        };
        let outcome = match RequestOutcome::of(reply) {
            RequestOutcome::Code(code) => code.as_i32().to_string(),
            RequestOutcome::Exception => "exception".to_owned(),
            RequestOutcome::NotStarted => "not_started".to_owned(),
        };
        audit.administered(&AuditEvent {
            principal: &self.caller.principal,
            peer: self.peer,
            port: "thrift",
            operation: act.operation.name(),
            request: method.name(),
            stream: act.stream.as_deref(),
            outcome: &outcome,
            reason: None,
        });
    }
}

/// The stream of a request, without the one leading `/` that is dropped. A name that is none is
/// refused later, with its own reason.
fn named(stream: &str) -> Scope<'_> {
    Scope::Stream(stream_name::validate(stream).unwrap_or(stream))
}

const fn stream_of<'a>(requested: &Requested<'a>) -> Option<&'a str> {
    match requested.scope {
        Scope::Stream(name) => Some(name),
        Scope::AnyStream | Scope::Whole => None,
    }
}
