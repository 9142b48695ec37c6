use bytes::Bytes;
use distributedlog::wire::framed::{self, Context, RequestHeader, ResponseHeader};
use distributedlog::wire::service::{ExceptionKind, Method, SequenceId};

use super::dispatch::{Dispatcher, PendingRequest, RefusedRequest, RequestContext};
use super::reply::{ProxyInfo, with_reply};
use crate::machine::Reply;
use distributedlog_store::frames::FrameWriter;
use distributedlog_store::log_limit::{Admitted, LogKind};

/// Slot of the request that is under way. There is no other.
const SLOT: u32 = 0;

/// The server's side of framed thrift: one request at a time, in order, with Finagle's upgrade once
/// the client has asked for it.
#[derive(Debug, Default)]
pub(super) struct FramedSession {
    upgraded: bool,
    request: Option<PendingRequest>,
}

impl FramedSession {
    /// Answers a frame, or starts to work on it. Must not be called while a request is under way.
    pub(super) fn handle_frame(
        &mut self,
        frame: &Bytes,
        dispatcher: &mut Dispatcher,
        out: &mut FrameWriter,
    ) {
        debug_assert!(self.request.is_none(), "one request at a time");
        let body = framed::frame_body(frame).expect("the frame is as long as it says");
        if !self.upgraded
            && let Some(sequence_id) = framed::upgrade_request(body)
        {
            self.upgraded = true;
            out.append(|room| framed::encode_upgrade_reply(sequence_id, room));
            return;
        }
        let (context, message) = match self.split(body) {
            Ok(parts) => parts,
            Err(error) => {
                dispatcher.service.stats.malformed.inc();
                let log_limits = &dispatcher.service.log_limits;
                if let Some(Admitted { left_out }) = log_limits.admit(LogKind::Malformed) {
                    tracing::warn!(
                        peer = %dispatcher.peer,
                        %error,
                        left_out,
                        "cannot decode a request header"
                    );
                }
                let reply = Reply::Exception {
                    kind: ExceptionKind::ProtocolError,
                    message: error.to_string().into(),
                };
                return self.put_reply(
                    out,
                    None,
                    "",
                    SequenceId(0),
                    &reply,
                    dispatcher.service.info(),
                );
            }
        };
        match dispatcher.dispatch(SLOT, frame, message, context) {
            Ok(pending) => self.request = Some(pending),
            Err(RefusedRequest {
                method,
                sequence_id,
                reply,
            }) => {
                self.put_reply(
                    out,
                    Method::from_name(&method),
                    &method,
                    sequence_id,
                    &reply,
                    dispatcher.service.info(),
                );
            }
        }
    }

    fn split<'a>(
        &self,
        body: &'a [u8],
    ) -> Result<(RequestContext, &'a [u8]), distributedlog::wire::DecodeError> {
        if !self.upgraded {
            return Ok((
                RequestContext {
                    deadline: None,
                    has_client_id: false,
                },
                body,
            ));
        }
        let (header, message) = RequestHeader::decode(body)?;
        let deadline = header.contexts.and_then(|contexts| contexts.deadline());
        let in_contexts =
            |contexts: framed::Contexts<'_>| contexts.value(Context::CLIENT_ID).is_some();
        let has_client_id = header.client_id.is_some() || header.contexts.is_some_and(in_contexts);
        Ok((
            RequestContext {
                deadline,
                has_client_id,
            },
            message,
        ))
    }

    /// Sends the reply to the request that was under way.
    pub(super) fn handle_reply(
        &mut self,
        reply: &Reply,
        dispatcher: &mut Dispatcher,
        out: &mut FrameWriter,
    ) {
        let pending = self.request.take().expect("every request is answered once");
        dispatcher.answered(&pending, reply);
        let PendingRequest {
            method,
            sequence_id,
            ..
        } = pending;
        self.put_reply(
            out,
            Some(method),
            method.name(),
            sequence_id,
            reply,
            dispatcher.service.info(),
        );
    }

    /// Refuses a frame that exceeds the limit.
    pub(super) fn handle_too_large(&self, why: &str, out: &mut FrameWriter) {
        let reply = Reply::Exception {
            kind: ExceptionKind::ProtocolError,
            message: why.to_owned().into(),
        };
        self.put_reply(out, None, "", SequenceId(0), &reply, ProxyInfo::default());
    }

    /// Returns true if a request is under way, so that the next must wait.
    pub(super) const fn is_busy(&self) -> bool {
        self.request.is_some()
    }

    /// Drops the request if it has not started, because the client has gone.
    pub(super) fn abandon(&self, dispatcher: &Dispatcher) {
        if let Some(request) = &self.request {
            dispatcher.discard(request);
        }
    }

    fn put_reply(
        &self,
        out: &mut FrameWriter,
        method: Option<Method>,
        name: &str,
        id: SequenceId,
        reply: &Reply,
        proxy: ProxyInfo<'_>,
    ) {
        let header = self.upgraded.then(ResponseHeader::default);
        with_reply(method, reply, proxy, |wire_reply| {
            out.append(|room| framed::encode_reply(header.as_ref(), name, id, wire_reply, room))
        });
    }
}
