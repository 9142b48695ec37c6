use super::calls::FinishedCall;
use super::control::{OpeningFrame, PingFlood};
use super::encode::Framing;
use super::{Event, FailureReason, Phase, Session, SessionError, SessionFeatures};
use crate::tables::Memory;
use crate::wire::framed;
use crate::wire::mux::{self, Frame, INIT_CHECK, Message, Status, Tag};
use crate::wire::service::Reply;
use crate::{Cause, Failure, Instant};

impl<const REQUESTS: usize, S: SessionFeatures, M: Memory> Session<REQUESTS, S, M> {
    /// Decodes at most one frame from the front of `bytes`. Returns the number of bytes consumed
    /// and the event that they are, if any. The event borrows `bytes`, not the session. `(0, None)`
    /// asks for more bytes: call again with the same ones and those that follow.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the connection cannot go on; a frame above the limit is refused from
    /// its first four bytes.
    pub fn handle_received<'b>(
        &mut self,
        now: Instant,
        bytes: &'b [u8],
    ) -> Result<(usize, Option<Event<'b>>), SessionError> {
        let limit = self.settings.max_frame_bytes;
        // Mux and framed thrift both begin with the same length.
        let Some(length) = mux::frame_len(bytes, limit).map_err(SessionError::FrameTooLarge)?
        else {
            return Ok((0, None));
        };
        let Some(frame) = bytes.get(..length) else {
            return Ok((0, None));
        };
        self.note_received(now);
        let event = match self.phase {
            Phase::Upgrading if S::FRAMED => self.handle_upgrade_answer(frame)?,
            Phase::Ready(Framing::UpgradedThrift | Framing::PlainThrift) if S::FRAMED => {
                Some(self.handle_framed(frame)?)
            }
            Phase::Checking | Phase::Initialising | Phase::Upgrading | Phase::Ready(_) => {
                let frame = Frame::decode(frame).map_err(SessionError::Malformed)?;
                self.handle_mux(now, &frame)?
            }
        };
        Ok((length, event))
    }

    fn handle_mux<'b>(
        &mut self,
        now: Instant,
        frame: &Frame<'b>,
    ) -> Result<Option<Event<'b>>, SessionError> {
        let tag = frame.tag;
        match frame.message {
            Message::Rdispatch {
                status, payload, ..
            } => self.handle_dispatched(tag, status, payload).map(Some),
            Message::Rdiscarded => {
                let finished = self.end(frame)?;
                // The session did not discard this call: the peer gave it up by itself, and may
                // have begun it.
                Ok(Some(
                    finished.event(Failure::unanswered(Cause::Refused), ""),
                ))
            }
            Message::Rerr { error } | Message::BadRerr { error } => self.handle_error(frame, error),
            Message::Rinit { version, .. }
                if self.phase == Phase::Initialising && tag == Tag::ONE =>
            {
                if version != mux::VERSION {
                    return Err(SessionError::Version(version));
                }
                Ok(Some(self.become_ready(now, Framing::Mux)))
            }
            Message::Rping if tag == Tag::ONE => Ok(None),
            Message::Tping => {
                self.control
                    .pong(tag)
                    .map_err(|PingFlood| SessionError::PingFlood)?;
                Ok(None)
            }
            Message::Tdrain => {
                self.control.drained = Some(tag);
                let known = core::mem::replace(&mut self.draining, true);
                Ok((!known).then_some(Event::Draining))
            }
            Message::Tlease { unit, amount } => Ok(self.handle_lease(now, unit, amount)),
            Message::Rinit { .. }
            | Message::Rping
            | Message::Treq { .. }
            | Message::Rreq { .. }
            | Message::Tdispatch { .. }
            | Message::Rdrain
            | Message::Tdiscarded { .. }
            | Message::Tinit { .. }
            | Message::BadTdiscarded { .. } => Err(unexpected(frame)),
        }
    }

    fn handle_dispatched<'b>(
        &mut self,
        tag: Tag,
        status: Status,
        payload: &'b [u8],
    ) -> Result<Event<'b>, SessionError> {
        let Some(finished) = self.calls.end(tag) else {
            return Err(SessionError::Unexpected {
                kind: mux::FrameType::Rdispatch as i8,
                tag: tag.get(),
            });
        };
        Ok(match status {
            Status::Ok => finished.answer::<S>(payload),
            Status::Error => finished.event(Failure::unanswered(Cause::Exception), text(payload)),
            Status::Nack => {
                finished.event(Failure::overloaded(Cause::Refused, None), text(payload))
            }
        })
    }

    /// The peer could not handle a frame of ours: the check for `Tinit`, or a request.
    fn handle_error<'b>(
        &mut self,
        frame: &Frame<'b>,
        error: &'b str,
    ) -> Result<Option<Event<'b>>, SessionError> {
        if frame.tag != Tag::ONE {
            let finished = self.end(frame)?;
            // The peer says which frame it could not handle, not how far the request came.
            return Ok(Some(
                finished.event(Failure::unanswered(Cause::ProtocolError), error),
            ));
        }
        match self.phase {
            Phase::Checking if error == INIT_CHECK => {
                self.phase = Phase::Initialising;
                self.control.opening = Some(OpeningFrame::Init);
                Ok(None)
            }
            // A peer that does not know Tinit, or refuses the options in it, speaks mux without
            // them.
            Phase::Checking | Phase::Initialising => {
                Ok(Some(self.become_ready(self.last_received, Framing::Mux)))
            }
            // An error instead of a pong is a sign of life too.
            Phase::Ready(_) => Ok(None),
            Phase::Upgrading => Err(unexpected(frame)),
        }
    }

    fn handle_lease(&mut self, now: Instant, unit: u8, amount: u64) -> Option<Event<'static>> {
        // Other units than milliseconds were never defined.
        (unit == 0).then(|| {
            let length = crate::time::duration(amount, 1_000);
            self.lease_until = Some(now + length);
            Event::Lease { length }
        })
    }

    fn handle_upgrade_answer<'b>(
        &mut self,
        frame: &'b [u8],
    ) -> Result<Option<Event<'b>>, SessionError> {
        let body = framed::frame_body(frame).map_err(SessionError::Malformed)?;
        let accepted = framed::upgrade_accepted(body).map_err(SessionError::Malformed)?;
        Ok(Some(self.become_ready(
            self.last_received,
            if accepted {
                Framing::UpgradedThrift
            } else {
                Framing::PlainThrift
            },
        )))
    }

    fn handle_framed<'b>(&mut self, frame: &'b [u8]) -> Result<Event<'b>, SessionError> {
        let mut message = framed::frame_body(frame).map_err(SessionError::Malformed)?;
        if self.phase == Phase::Ready(Framing::UpgradedThrift) {
            // Behind a header that cannot be read, nothing can: where it ends is not known.
            message = framed::ResponseHeader::decode(message)
                .map_err(SessionError::Malformed)?
                .1;
        }
        let Some(finished) = self.calls.end_only() else {
            return Err(SessionError::Unexpected { kind: 0, tag: 0 });
        };
        Ok(finished.answer::<S>(message))
    }

    fn end(&mut self, frame: &Frame<'_>) -> Result<FinishedCall, SessionError> {
        self.calls.end(frame.tag).ok_or_else(|| unexpected(frame))
    }
}

impl FinishedCall {
    /// Returns the event of a call that was answered with this message. A message that cannot be
    /// decoded fails its own request only: the frames around it are complete.
    fn answer<S: SessionFeatures>(self, message: &[u8]) -> Event<'_> {
        if self.discarded {
            return Event::Discarded {
                request: self.request,
            };
        }
        match if S::ALL_REPLIES {
            Reply::decode(message)
        } else {
            Reply::decode_write(message)
        } {
            Ok((_, reply)) => Event::Reply {
                request: self.request,
                reply,
            },
            Err(_) => Event::Failed {
                request: self.request,
                failure: Failure::unanswered(Cause::ProtocolError),
                reason: FailureReason::Unreadable(message),
            },
        }
    }

    /// The event of a call that finished with this failure.
    fn event(self, failure: Failure, message: &str) -> Event<'_> {
        let reason = FailureReason::Message(message);
        if self.discarded {
            Event::Discarded {
                request: self.request,
            }
        } else {
            Event::Failed {
                request: self.request,
                failure,
                reason,
            }
        }
    }
}

const fn unexpected(frame: &Frame<'_>) -> SessionError {
    SessionError::Unexpected {
        kind: frame.message.frame_type() as i8,
        tag: frame.tag.get(),
    }
}

/// Returns the peer's text for people, or an empty text if it is not UTF-8.
fn text(payload: &[u8]) -> &str {
    core::str::from_utf8(payload).unwrap_or_default()
}
