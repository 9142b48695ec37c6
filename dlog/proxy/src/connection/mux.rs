use bytes::Bytes;
use distributedlog::wire::mux::{
    Frame, InitHeaders, Message, ReceivedRequest, RequestKind, Server, ServerError, ServerEvent,
    Status, Tag, VERSION, encode_reply,
};
use distributedlog::wire::service::{Method, SequenceId};
use distributedlog::wire::{DecodeError, DecodeErrorKind};

use super::ProtocolViolation;
use super::dispatch::{Dispatcher, PendingRequest, RefusedRequest, RequestContext};
use super::reply::{ProxyInfo, not_started, with_reply};
use crate::machine::{NotStarted, Reply};
use distributedlog_store::frames::FrameWriter;
use distributedlog_store::log_limit::{Admitted, LogKind};

/// Thrift over mux: the session's requests are thrift messages.
#[derive(Debug)]
pub(super) struct MuxSession(Server<PendingRequest>);

impl MuxSession {
    pub(super) const fn new() -> Self {
        Self(Server::new("not started: the proxy is shutting down"))
    }

    /// Answers a frame, or starts to work on it.
    ///
    /// # Errors
    ///
    /// The client broke the protocol, and the connection cannot go on.
    pub(super) fn handle_frame(
        &mut self,
        frame: &Bytes,
        dispatcher: &mut Dispatcher,
        out: &mut FrameWriter,
    ) -> Result<(), ProtocolViolation> {
        match self.0.handle_frame(frame) {
            Ok(ServerEvent::Request(request)) => {
                self.handle_request(&request, frame, dispatcher, out)
            }
            Ok(ServerEvent::Discarded(tag)) => {
                if let Some(request) = self.0.request(tag) {
                    dispatcher.discard(request);
                }
            }
            Ok(ServerEvent::Init { tag, version, .. }) => say(out, tag, init_answer(version)),
            Ok(ServerEvent::Send(frame)) => out.send(&frame),
            Ok(ServerEvent::Nothing) => {}
            Ok(ServerEvent::Unexpected(frame)) => refuse_unexpected(&frame, out),
            Err(ServerError::Malformed(tag, error)) => {
                return refuse_malformed(tag, &error, dispatcher, out);
            }
            Err(ServerError::TagInUse(tag)) => {
                // Of two requests under one tag, the client could not tell the replies apart.
                let error = "this tag's earlier request is not answered yet";
                say(out, tag, Message::Rerr { error });
                return Err(ProtocolViolation::new(format!(
                    "tag {tag} was used again before its request was answered"
                )));
            }
        }
        Ok(())
    }

    fn handle_request(
        &mut self,
        request: &ReceivedRequest<'_>,
        frame: &Bytes,
        dispatcher: &mut Dispatcher,
        out: &mut FrameWriter,
    ) {
        let &ReceivedRequest { tag, kind, .. } = request;
        let context = RequestContext {
            deadline: request.contexts.deadline(),
            has_client_id: request.contexts.client_id().is_some(),
        };
        match dispatcher.dispatch(tag.get(), frame, request.payload, context) {
            Ok(pending) => self.0.start(tag, kind, pending),
            Err(RefusedRequest {
                method,
                sequence_id,
                reply,
            }) => {
                let known = Method::from_name(&method);
                let proxy = dispatcher.service.info();
                let to = ReplyHead {
                    tag,
                    kind,
                    method: known,
                    name: &method,
                    sequence_id,
                };
                to.put(&reply, proxy, out);
            }
        }
    }

    /// Sends the reply to the request under this tag.
    pub(super) fn handle_reply(
        &mut self,
        tag: u32,
        reply: &Reply,
        dispatcher: &mut Dispatcher,
        out: &mut FrameWriter,
    ) {
        let tag = Tag::new(tag).expect("it came as a tag");
        let finished = self.0.finish(tag);
        let (kind, pending) = finished.expect("every request is answered once");
        dispatcher.answered(&pending, reply);
        let to = ReplyHead {
            tag,
            kind,
            method: Some(pending.method),
            name: pending.method.name(),
            sequence_id: pending.sequence_id,
        };
        to.put(reply, dispatcher.service.info(), out);
    }

    /// Refuses a frame that exceeds the limit, of which only the first eight bytes were read.
    pub(super) fn handle_too_large(&self, start: &[u8], why: &str, out: &mut FrameWriter) {
        if let Some(tag) = Frame::peek_tag(start) {
            say(out, tag, Message::Rerr { error: why });
        }
    }

    /// Asks the client to stop sending requests.
    pub(super) fn drain(&mut self, out: &mut FrameWriter) {
        if let Some(frame) = self.0.drain() {
            out.send(&frame);
        }
    }

    /// Starts no further requests, even if the client has not agreed.
    pub(super) fn drain_now(&mut self, out: &mut FrameWriter) {
        self.drain(out);
        self.0.agree();
    }

    /// Returns true if no request is in flight and none will follow.
    pub(super) fn is_drained(&self) -> bool {
        self.0.is_drained()
    }

    /// Drops requests that have not started, because the client has gone.
    pub(super) fn abandon(&self, dispatcher: &Dispatcher) {
        for (_, request) in self.0.requests() {
            dispatcher.discard(request);
        }
    }
}

/// Refuses a frame that cannot be decoded, under its tag.
///
/// # Errors
///
/// The frame is too short to have a tag.
fn refuse_malformed(
    tag: Option<Tag>,
    error: &DecodeError,
    dispatcher: &Dispatcher,
    out: &mut FrameWriter,
) -> Result<(), ProtocolViolation> {
    dispatcher.service.stats.malformed.inc();
    let Some(tag) = tag else {
        return Err(ProtocolViolation::new(format!("{error}")));
    };
    let log_limits = &dispatcher.service.log_limits;
    if let Some(Admitted { left_out }) = log_limits.admit(LogKind::Malformed) {
        tracing::warn!(
            peer = %dispatcher.peer,
            %error,
            offset = error.offset,
            left_out,
            "cannot decode a mux frame"
        );
    }
    if let DecodeErrorKind::UnknownFrameType(number) = error.kind {
        refuse_type(tag, number, out);
    } else {
        let error = &error.to_string();
        say(out, tag, Message::Rerr { error });
    }
    Ok(())
}

/// Refuses a frame that only servers send. A client's errors need no answer.
fn refuse_unexpected(frame: &Frame<'_>, out: &mut FrameWriter) {
    if !matches!(
        frame.message,
        Message::Rerr { .. } | Message::BadRerr { .. }
    ) {
        refuse_type(frame.tag, frame.message.frame_type() as i8, out);
    }
}

/// Refuses a frame for its type, in the words of Finagle's own servers.
fn refuse_type(tag: Tag, number: i8, out: &mut FrameWriter) {
    let error = &format!("Unexpected mux message type {number}");
    say(out, tag, Message::Rerr { error });
}

fn init_answer(version: u16) -> Message<'static> {
    if version == 0 {
        let error = "mux has no version 0; this server speaks version 1";
        return Message::Rerr { error };
    }
    Message::Rinit {
        version: VERSION,
        headers: InitHeaders::default(),
    }
}

fn say(out: &mut FrameWriter, tag: Tag, message: Message<'_>) {
    out.send(&Frame::new(tag, message));
}

/// What a reply's frame says of its request.
#[derive(Clone, Copy)]
struct ReplyHead<'a> {
    tag: Tag,
    kind: RequestKind,
    method: Option<Method>,
    /// Name of the method as the client sent it.
    name: &'a str,
    sequence_id: SequenceId,
}

impl ReplyHead<'_> {
    fn put(self, reply: &Reply, proxy: ProxyInfo<'_>, out: &mut FrameWriter) {
        let Self {
            tag,
            kind,
            name,
            sequence_id,
            ..
        } = self;
        if let Reply::NotStarted(why) = *reply {
            // A client that discarded its request expects that it failed; one whose request was not
            // started may try it elsewhere.
            let status = match why {
                NotStarted::Discarded => Status::Error,
                NotStarted::DeadlinePassed => Status::Nack,
            };
            return say(out, tag, kind.reply(status, not_started(why).as_bytes()));
        }
        with_reply(self.method, reply, proxy, |wire_reply| match kind {
            RequestKind::Tdispatch => {
                out.append(|room| encode_reply(tag, name, sequence_id, wire_reply, room))
            }
            RequestKind::Treq => {
                let mut payload = vec![0; wire_reply.encoded_len(name, sequence_id)];
                wire_reply
                    .encode(name, sequence_id, &mut payload)
                    .expect("the buffer is as long as the message");
                say(out, tag, kind.reply(Status::Ok, &payload));
            }
        });
    }
}
