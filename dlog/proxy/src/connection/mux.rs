use std::collections::HashMap;

use bytes::Bytes;
use distributedlog::wire::DecodeErrorKind;
use distributedlog::wire::mux::{
    Contexts, Frame, INIT_CHECK, InitHeaders, Message, Status, Tag, VERSION, encode_reply,
};
use distributedlog::wire::service::{Method, SequenceId};

use super::Violation;
use super::dispatch::{Attached, Dispatcher, Pending, Refused};
use super::reply::{Output, not_started, with_reply};
use crate::machine::{Answer, NotStarted};

/// The server's side of a mux session: what to answer to each frame, and which requests are under
/// way.
///
/// The invariant: a tag is in `requests` from its request's arrival until its answer is in the
/// output, and no longer.
#[derive(Debug, Default)]
pub(super) struct MuxSession {
    requests: HashMap<u32, Request>,
    drain: Drain,
}

#[derive(Debug)]
struct Request {
    pending: Pending,
    form: Form,
}

/// The two kinds of requests that mux has, which are answered by the same kind.
#[derive(Clone, Copy, Debug)]
enum Form {
    Treq,
    Tdispatch,
}

/// How far the session is on its way to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Drain {
    /// It is not ending.
    #[default]
    No,
    /// The client was told. What it sent before it read that is still worked on.
    Told,
    /// The client agreed, or had time to. What it sends now is not started.
    Agreed,
}

impl MuxSession {
    /// Answers a frame, or starts to work on it.
    ///
    /// # Errors
    ///
    /// The client broke the protocol in a way that leaves no sense in going on.
    pub(super) fn handle_frame(
        &mut self,
        frame: &Bytes,
        dispatcher: &mut Dispatcher,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Frame { tag, message } = match Frame::decode(frame) {
            Ok(frame) => frame,
            Err(error) => {
                dispatcher.service.stats.malformed.inc();
                let Some(tag) = Frame::peek_tag(frame) else {
                    return Err(Violation::new(format!("{error}")));
                };
                tracing::warn!(peer = %dispatcher.peer, %error, offset = error.offset, "a mux frame that cannot be read");
                // An unknown type is refused in the words of Finagle's own servers.
                let text = if let DecodeErrorKind::UnknownFrameType(number) = error.kind {
                    format!("Unexpected mux message type {number}")
                } else {
                    error.to_string()
                };
                say(out, tag, Message::Rerr { error: &text });
                return Ok(());
            }
        };
        match message {
            Message::Tdispatch {
                contexts, payload, ..
            } => {
                let attached = Attached {
                    deadline: contexts.deadline(),
                    has_client_id: contexts.client_id().is_some(),
                };
                self.handle_request(
                    tag,
                    Form::Tdispatch,
                    frame,
                    payload,
                    attached,
                    dispatcher,
                    out,
                )?;
            }
            Message::Treq { payload, .. } => {
                let attached = Attached {
                    deadline: None,
                    has_client_id: false,
                };
                self.handle_request(tag, Form::Treq, frame, payload, attached, dispatcher, out)?;
            }
            Message::Tdiscarded { discarded, .. } | Message::BadTdiscarded { discarded, .. } => {
                if let Some(request) = self.requests.get(&discarded.get()) {
                    dispatcher.discard(&request.pending);
                }
            }
            Message::Tping => say(out, tag, Message::Rping),
            Message::Tdrain => say(out, tag, Message::Rdrain),
            Message::Tinit { version: 0, .. } => say(
                out,
                tag,
                Message::Rerr {
                    error: "mux has no version 0; version 1 is spoken here",
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
            Message::Rdrain if self.drain != Drain::No => self.drain = Drain::Agreed,
            // Nobody is waiting for these: they answer nothing, or something that is no use any
            // more.
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
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a frame's parts and the connection's, each used once"
    )]
    fn handle_request(
        &mut self,
        tag: Tag,
        form: Form,
        frame: &Bytes,
        payload: &[u8],
        attached: Attached,
        dispatcher: &mut Dispatcher,
        out: &mut Output,
    ) -> Result<(), Violation> {
        if tag == Tag::ZERO {
            say(
                out,
                tag,
                Message::Rerr {
                    error: "tag 0 is for what is not answered, and requests are",
                },
            );
            return Ok(());
        }
        if self.requests.contains_key(&tag.get()) {
            // Two requests under one tag: no answer could be told from the other.
            say(
                out,
                tag,
                Message::Rerr {
                    error: "this tag's earlier request is not answered yet",
                },
            );
            return Err(Violation::new(format!(
                "tag {tag} was used again before its request was answered"
            )));
        }
        if self.drain == Drain::Agreed {
            say(
                out,
                tag,
                refusal(
                    form,
                    Status::Nack,
                    "not started: the proxy is shutting down",
                ),
            );
            return Ok(());
        }
        match dispatcher.dispatch(tag.get(), frame, payload, attached) {
            Ok(pending) => drop(self.requests.insert(tag.get(), Request { pending, form })),
            Err(Refused {
                method,
                sequence_id,
                answer,
            }) => {
                put_answer(
                    out,
                    tag,
                    form,
                    Method::from_name(&method),
                    &method,
                    sequence_id,
                    &answer,
                    dispatcher.service.location(),
                );
            }
        }
        Ok(())
    }

    /// Sends the answer of the request under this tag.
    pub(super) fn handle_answer(
        &mut self,
        tag: u32,
        answer: &Answer,
        dispatcher: &mut Dispatcher,
        out: &mut Output,
    ) {
        let Request { pending, form } = self
            .requests
            .remove(&tag)
            .expect("every request is answered once");
        dispatcher.answered(&pending, answer);
        let tag = Tag::new(tag).expect("it came as a tag");
        let Pending {
            method,
            sequence_id,
            ..
        } = pending;
        put_answer(
            out,
            tag,
            form,
            Some(method),
            method.name(),
            sequence_id,
            answer,
            dispatcher.service.location(),
        );
    }

    /// Refuses a frame that is longer than it may be, of which only the first eight bytes were
    /// looked at.
    pub(super) fn handle_too_large(&self, start: &[u8], why: &str, out: &mut Output) {
        if let Some(tag) = Frame::peek_tag(start) {
            say(out, tag, Message::Rerr { error: why });
        }
    }

    /// Asks the client to stop sending requests.
    pub(super) fn drain(&mut self, out: &mut Output) {
        if self.drain == Drain::No {
            self.drain = Drain::Told;
            say(out, Tag::ONE, Message::Tdrain);
        }
    }

    /// Starts no further requests, whatever the client has to say to that.
    pub(super) fn drain_now(&mut self, out: &mut Output) {
        self.drain(out);
        self.drain = Drain::Agreed;
    }

    /// Whether nothing is to be done and nothing more will come.
    pub(super) fn is_drained(&self) -> bool {
        self.drain == Drain::Agreed && self.requests.is_empty()
    }

    /// Drops what has not started, because the client is gone.
    pub(super) fn abandon(&self, dispatcher: &Dispatcher) {
        // In the order of their tags: whatever follows from it is the same whenever the same
        // happened.
        let mut requests: Vec<_> = self.requests.iter().collect();
        requests.sort_unstable_by_key(|(tag, _)| **tag);
        for (_, request) in requests {
            dispatcher.discard(&request.pending);
        }
    }
}

fn say(out: &mut Output, tag: Tag, message: Message<'_>) {
    out.append(|room| Frame::new(tag, message).encode(room));
}

fn refusal(form: Form, status: Status, text: &str) -> Message<'_> {
    match form {
        Form::Treq => Message::Rreq {
            status,
            payload: text.as_bytes(),
        },
        Form::Tdispatch => Message::Rdispatch {
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
fn put_answer(
    out: &mut Output,
    tag: Tag,
    form: Form,
    method: Option<Method>,
    name: &str,
    sequence_id: SequenceId,
    answer: &Answer,
    location: &str,
) {
    if let Answer::NotStarted(why) = *answer {
        // A client that discarded its request expects that it failed; one whose request was not
        // started may try it elsewhere.
        let status = match why {
            NotStarted::Discarded => Status::Error,
            NotStarted::DeadlinePassed => Status::Nack,
        };
        return say(out, tag, refusal(form, status, not_started(why)));
    }
    with_reply(method, answer, location, |reply| match form {
        Form::Tdispatch => out.append(|room| encode_reply(tag, name, sequence_id, reply, room)),
        Form::Treq => {
            let mut payload = vec![0; reply.encoded_len(name, sequence_id)];
            reply
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
