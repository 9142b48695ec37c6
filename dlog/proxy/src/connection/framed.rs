use bytes::Bytes;
use distributedlog::wire::framed::{self, Context, RequestHeader, ResponseHeader};
use distributedlog::wire::service::{ExceptionKind, Method, SequenceId};

use super::dispatch::{Attached, Dispatcher, Pending, Refused};
use super::reply::{Output, with_reply};
use crate::machine::Answer;

/// The one request that is under way has this number; there is no other to tell it from.
const SLOT: u32 = 0;

/// The server's side of framed thrift: one request at a time, in order, with Finagle's upgrade once
/// the client has asked for it.
#[derive(Debug, Default)]
pub(super) struct FramedSession {
    upgraded: bool,
    request: Option<Pending>,
}

impl FramedSession {
    /// Answers a frame, or starts to work on it. Must not be called while one is worked on.
    pub(super) fn handle_frame(
        &mut self,
        frame: &Bytes,
        dispatcher: &mut Dispatcher,
        out: &mut Output,
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
        let (attached, message) = match self.split(body) {
            Ok(parts) => parts,
            Err(error) => {
                dispatcher.service.stats.malformed.inc();
                tracing::warn!(peer = %dispatcher.peer, %error, "a request header that cannot be read");
                let answer = Answer::Exception {
                    kind: ExceptionKind::ProtocolError,
                    message: error.to_string().into(),
                };
                return self.put_answer(
                    out,
                    None,
                    "",
                    SequenceId(0),
                    &answer,
                    dispatcher.service.location(),
                );
            }
        };
        match dispatcher.dispatch(SLOT, frame, message, attached) {
            Ok(pending) => self.request = Some(pending),
            Err(Refused {
                method,
                sequence_id,
                answer,
            }) => {
                self.put_answer(
                    out,
                    Method::from_name(&method),
                    &method,
                    sequence_id,
                    &answer,
                    dispatcher.service.location(),
                );
            }
        }
    }

    fn split<'a>(
        &self,
        body: &'a [u8],
    ) -> Result<(Attached, &'a [u8]), distributedlog::wire::DecodeError> {
        if !self.upgraded {
            return Ok((
                Attached {
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
            Attached {
                deadline,
                has_client_id,
            },
            message,
        ))
    }

    /// Sends the answer of the request that was worked on.
    pub(super) fn handle_answer(
        &mut self,
        answer: &Answer,
        dispatcher: &mut Dispatcher,
        out: &mut Output,
    ) {
        let pending = self.request.take().expect("every request is answered once");
        dispatcher.answered(&pending, answer);
        let Pending {
            method,
            sequence_id,
            ..
        } = pending;
        self.put_answer(
            out,
            Some(method),
            method.name(),
            sequence_id,
            answer,
            dispatcher.service.location(),
        );
    }

    /// Refuses a frame that is longer than it may be.
    pub(super) fn handle_too_large(&self, why: &str, out: &mut Output) {
        let answer = Answer::Exception {
            kind: ExceptionKind::ProtocolError,
            message: why.to_owned().into(),
        };
        self.put_answer(out, None, "", SequenceId(0), &answer, "");
    }

    /// Whether a request is worked on, so that the next must wait.
    pub(super) const fn is_busy(&self) -> bool {
        self.request.is_some()
    }

    /// Drops the request if it has not started, because the client is gone.
    pub(super) fn abandon(&self, dispatcher: &Dispatcher) {
        if let Some(request) = &self.request {
            dispatcher.discard(request);
        }
    }

    fn put_answer(
        &self,
        out: &mut Output,
        method: Option<Method>,
        name: &str,
        id: SequenceId,
        answer: &Answer,
        location: &str,
    ) {
        let header = self.upgraded.then(ResponseHeader::default);
        with_reply(method, answer, location, |reply| {
            out.append(|room| framed::encode_reply(header.as_ref(), name, id, reply, room))
        });
    }
}
