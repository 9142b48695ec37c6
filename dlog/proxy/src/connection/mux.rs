use std::collections::HashMap;

use bytes::Bytes;
use distributedlog::wire::mux::{
    Contexts, Frame, INIT_CHECK, InitHeaders, Message, Status, Tag, VERSION, encode_reply,
};
use distributedlog::wire::service::{Method, SequenceId};
use distributedlog::wire::{DecodeError, DecodeErrorKind};

use super::ProtocolViolation;
use super::dispatch::{Dispatcher, PendingRequest, RefusedRequest, RequestContext};
use super::reply::{WriteBuffer, not_started, with_reply};
use crate::machine::{NotStarted, Reply};
use distributedlog_store::log_limit::{Admitted, LogKind};

/// The server's side of a mux session: replies to frames, and the requests in flight.
///
/// The invariant: a tag is in `requests` from its request's arrival until its reply is in the
/// output, and no longer.
#[derive(Debug, Default)]
pub(super) struct MuxSession {
    requests: HashMap<u32, MuxRequest>,
    drain: DrainState,
}

#[derive(Debug)]
struct MuxRequest {
    pending: PendingRequest,
    kind: RequestKind,
}

/// The two kinds of requests that mux has, each with its own kind of reply.
#[derive(Clone, Copy, Debug)]
enum RequestKind {
    Treq,
    Tdispatch,
}

/// Progress of closing the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum DrainState {
    /// The session is not draining.
    #[default]
    No,
    /// The client was sent Tdrain. Requests that it sent before it read that are still carried out.
    Requested,
    /// The client answered with Rdrain, or its time for that is over. Requests that it sends now
    /// are not started.
    Agreed,
}

impl MuxSession {
    /// Answers a frame, or starts to work on it.
    ///
    /// # Errors
    ///
    /// The client broke the protocol, and the connection cannot go on.
    pub(super) fn handle_frame(
        &mut self,
        frame: &Bytes,
        dispatcher: &mut Dispatcher,
        out: &mut WriteBuffer,
    ) -> Result<(), ProtocolViolation> {
        let Frame { tag, message } = match Frame::decode(frame) {
            Ok(frame) => frame,
            Err(error) => return refuse_unreadable(frame, &error, dispatcher, out),
        };
        match message {
            Message::Tdispatch {
                contexts, payload, ..
            } => {
                let context = RequestContext {
                    deadline: contexts.deadline(),
                    has_client_id: contexts.client_id().is_some(),
                };
                let kind = RequestKind::Tdispatch;
                self.handle_request(tag, kind, frame, payload, context, dispatcher, out)
            }
            Message::Treq { payload, .. } => {
                let context = RequestContext {
                    deadline: None,
                    has_client_id: false,
                };
                let kind = RequestKind::Treq;
                self.handle_request(tag, kind, frame, payload, context, dispatcher, out)
            }
            Message::Tdiscarded { discarded, .. } | Message::BadTdiscarded { discarded, .. } => {
                if let Some(request) = self.requests.get(&discarded.get()) {
                    dispatcher.discard(&request.pending);
                }
                Ok(())
            }
            Message::Rdrain if self.drain != DrainState::No => {
                self.drain = DrainState::Agreed;
                Ok(())
            }
            control @ (Message::Tping
            | Message::Rping
            | Message::Tdrain
            | Message::Rdrain
            | Message::Tinit { .. }
            | Message::Rinit { .. }
            | Message::Rreq { .. }
            | Message::Rdispatch { .. }
            | Message::Rdiscarded
            | Message::Tlease { .. }
            | Message::Rerr { .. }
            | Message::BadRerr { .. }) => {
                answer_control(tag, control, out);
                Ok(())
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a frame's parts and the connection's, each used once"
    )]
    fn handle_request(
        &mut self,
        tag: Tag,
        kind: RequestKind,
        frame: &Bytes,
        payload: &[u8],
        context: RequestContext,
        dispatcher: &mut Dispatcher,
        out: &mut WriteBuffer,
    ) -> Result<(), ProtocolViolation> {
        if tag == Tag::ZERO {
            say(
                out,
                tag,
                Message::Rerr {
                    error: "tag 0 is for messages without a reply, and a request has one",
                },
            );
            return Ok(());
        }
        if self.requests.contains_key(&tag.get()) {
            // Of two requests under one tag, the client could not tell the replies apart.
            say(
                out,
                tag,
                Message::Rerr {
                    error: "this tag's earlier request is not answered yet",
                },
            );
            return Err(ProtocolViolation::new(format!(
                "tag {tag} was used again before its request was answered"
            )));
        }
        if self.drain == DrainState::Agreed {
            say(
                out,
                tag,
                refusal(
                    kind,
                    Status::Nack,
                    "not started: the proxy is shutting down",
                ),
            );
            return Ok(());
        }
        match dispatcher.dispatch(tag.get(), frame, payload, context) {
            Ok(pending) => drop(
                self.requests
                    .insert(tag.get(), MuxRequest { pending, kind }),
            ),
            Err(RefusedRequest {
                method,
                sequence_id,
                reply,
            }) => {
                put_reply(
                    out,
                    tag,
                    kind,
                    Method::from_name(&method),
                    &method,
                    sequence_id,
                    &reply,
                    dispatcher.service.location(),
                );
            }
        }
        Ok(())
    }

    /// Sends the reply to the request under this tag.
    pub(super) fn handle_reply(
        &mut self,
        tag: u32,
        reply: &Reply,
        dispatcher: &mut Dispatcher,
        out: &mut WriteBuffer,
    ) {
        let MuxRequest { pending, kind } = self
            .requests
            .remove(&tag)
            .expect("every request is answered once");
        dispatcher.answered(&pending, reply);
        let tag = Tag::new(tag).expect("it came as a tag");
        let PendingRequest {
            method,
            sequence_id,
            ..
        } = pending;
        put_reply(
            out,
            tag,
            kind,
            Some(method),
            method.name(),
            sequence_id,
            reply,
            dispatcher.service.location(),
        );
    }

    /// Refuses a frame that exceeds the limit, of which only the first eight bytes were read.
    pub(super) fn handle_too_large(&self, start: &[u8], why: &str, out: &mut WriteBuffer) {
        if let Some(tag) = Frame::peek_tag(start) {
            say(out, tag, Message::Rerr { error: why });
        }
    }

    /// Asks the client to stop sending requests.
    pub(super) fn drain(&mut self, out: &mut WriteBuffer) {
        if self.drain == DrainState::No {
            self.drain = DrainState::Requested;
            say(out, Tag::ONE, Message::Tdrain);
        }
    }

    /// Starts no further requests, even if the client has not agreed.
    pub(super) fn drain_now(&mut self, out: &mut WriteBuffer) {
        self.drain(out);
        self.drain = DrainState::Agreed;
    }

    /// Returns true if no request is in flight and none will follow.
    pub(super) fn is_drained(&self) -> bool {
        self.drain == DrainState::Agreed && self.requests.is_empty()
    }

    /// Drops requests that have not started, because the client has gone.
    pub(super) fn abandon(&self, dispatcher: &Dispatcher) {
        // In the order of their tags, so that a simulation has the same course each time: a map's
        // order is random.
        let mut requests: Vec<_> = self.requests.iter().collect();
        requests.sort_unstable_by_key(|(tag, _)| **tag);
        for (_, request) in requests {
            dispatcher.discard(&request.pending);
        }
    }
}

/// Refuses a frame that cannot be decoded, under its tag.
///
/// # Errors
///
/// The frame is too short to have a tag.
fn refuse_unreadable(
    frame: &Bytes,
    error: &DecodeError,
    dispatcher: &Dispatcher,
    out: &mut WriteBuffer,
) -> Result<(), ProtocolViolation> {
    dispatcher.service.stats.malformed.inc();
    let Some(tag) = Frame::peek_tag(frame) else {
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
    // An unknown type is refused in the words of Finagle's own servers.
    let text = if let DecodeErrorKind::UnknownFrameType(number) = error.kind {
        format!("Unexpected mux message type {number}")
    } else {
        error.to_string()
    };
    say(out, tag, Message::Rerr { error: &text });
    Ok(())
}

/// Answers a frame that carries no request: pings, handshakes, and frames that only servers send.
fn answer_control(tag: Tag, message: Message<'_>, out: &mut WriteBuffer) {
    match message {
        Message::Tping => say(out, tag, Message::Rping),
        Message::Tdrain => say(out, tag, Message::Rdrain),
        Message::Tinit { version: 0, .. } => say(
            out,
            tag,
            Message::Rerr {
                error: "mux has no version 0; this server speaks version 1",
            },
        ),
        Message::Tinit { .. } => say(
            out,
            tag,
            Message::Rinit {
                version: VERSION,
                headers: InitHeaders::default(),
            },
        ),
        Message::BadRerr { error } if error == INIT_CHECK => say(out, tag, message),
        // These need no answer: each is one itself, or has no meaning for a server.
        Message::Rping
        | Message::Rdrain
        | Message::Rerr { .. }
        | Message::BadRerr { .. }
        | Message::Tlease { .. } => {}
        Message::Rreq { .. }
        | Message::Rdispatch { .. }
        | Message::Rdiscarded
        | Message::Rinit { .. } => {
            let text = format!("Unexpected mux message type {}", message.frame_type() as i8);
            say(out, tag, Message::Rerr { error: &text });
        }
        Message::Tdispatch { .. }
        | Message::Treq { .. }
        | Message::Tdiscarded { .. }
        | Message::BadTdiscarded { .. } => unreachable!("the session handles requests"),
    }
}

fn say(out: &mut WriteBuffer, tag: Tag, message: Message<'_>) {
    out.append(|room| Frame::new(tag, message).encode(room));
}

fn refusal(kind: RequestKind, status: Status, text: &str) -> Message<'_> {
    match kind {
        RequestKind::Treq => Message::Rreq {
            status,
            payload: text.as_bytes(),
        },
        RequestKind::Tdispatch => Message::Rdispatch {
            status,
            contexts: Contexts::default(),
            payload: text.as_bytes(),
        },
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "what an answer's frame consists of"
)]
fn put_reply(
    out: &mut WriteBuffer,
    tag: Tag,
    kind: RequestKind,
    method: Option<Method>,
    name: &str,
    sequence_id: SequenceId,
    reply: &Reply,
    location: &str,
) {
    if let Reply::NotStarted(why) = *reply {
        // A client that discarded its request expects that it failed; one whose request was not
        // started may try it elsewhere.
        let status = match why {
            NotStarted::Discarded => Status::Error,
            NotStarted::DeadlinePassed => Status::Nack,
        };
        return say(out, tag, refusal(kind, status, not_started(why)));
    }
    with_reply(method, reply, location, |wire_reply| match kind {
        RequestKind::Tdispatch => {
            out.append(|room| encode_reply(tag, name, sequence_id, wire_reply, room))
        }
        RequestKind::Treq => {
            let mut payload = vec![0; wire_reply.encoded_len(name, sequence_id)];
            wire_reply
                .encode(name, sequence_id, &mut payload)
                .expect("the buffer is as long as the message");
            say(
                out,
                tag,
                Message::Rreq {
                    status: Status::Ok,
                    payload: &payload,
                },
            );
        }
    });
}
