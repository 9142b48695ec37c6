use super::control::{OpeningFrame, PingFlood};
use super::encode::Framing;
use super::{Event, FailureReason, Phase, SentRequest, Session, SessionError, SessionFeatures};
use crate::tables::Memory;
use crate::wire::framed;
use crate::wire::mux::{self, CallResult, ClientEvent, FinishedCall, Frame, Status};
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
            Phase::Initialising | Phase::Upgrading | Phase::Ready(_) => {
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
        Ok(match self.mux.handle_frame(frame) {
            ClientEvent::Finished(call, result) => Some(call.event::<S>(result)),
            ClientEvent::CheckPassed => {
                self.control.opening = Some(OpeningFrame::Init);
                None
            }
            ClientEvent::Begun(_) => Some(self.become_ready(Framing::Mux)),
            ClientEvent::Ping => {
                self.control
                    .pong(tag)
                    .map_err(|PingFlood| SessionError::PingFlood)?;
                None
            }
            ClientEvent::Drain { first } => {
                self.control.drained = Some(tag);
                first.then_some(Event::Draining)
            }
            ClientEvent::Lease { unit, amount } => self.handle_lease(now, unit, amount),
            ClientEvent::Nothing => None,
            ClientEvent::OtherVersion(version) => return Err(SessionError::Version(version)),
            ClientEvent::Unexpected => {
                return Err(SessionError::Unexpected {
                    kind: frame.message.frame_type() as i8,
                    tag: tag.get(),
                });
            }
        })
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
        Ok(Some(self.become_ready(if accepted {
            Framing::UpgradedThrift
        } else {
            Framing::PlainThrift
        })))
    }

    fn handle_framed<'b>(&mut self, frame: &'b [u8]) -> Result<Event<'b>, SessionError> {
        let mut message = framed::frame_body(frame).map_err(SessionError::Malformed)?;
        if self.phase == Phase::Ready(Framing::UpgradedThrift) {
            // Behind a header that cannot be read, nothing can: where it ends is not known.
            message = framed::ResponseHeader::decode(message)
                .map_err(SessionError::Malformed)?
                .1;
        }
        let Some(finished) = self.mux.finish_only() else {
            return Err(SessionError::Unexpected { kind: 0, tag: 0 });
        };
        Ok(finished.event::<S>(CallResult::Replied(Status::Ok, message)))
    }
}

impl FinishedCall<SentRequest> {
    /// Returns the event of a call with this result. A reply that cannot be decoded fails its own
    /// request only: the frames around it are complete.
    fn event<S: SessionFeatures>(self, result: CallResult<'_>) -> Event<'_> {
        let request = self.value.id;
        if self.discarded {
            return Event::Discarded { request };
        }
        let (failure, reason) = match result {
            CallResult::Replied(Status::Ok, message) => {
                let reply = if S::ALL_REPLIES {
                    Reply::decode(message)
                } else {
                    Reply::decode_write(message)
                };
                match reply {
                    Ok((_, reply)) => return Event::Reply { request, reply },
                    Err(_) => (
                        Failure::unanswered(Cause::ProtocolError),
                        FailureReason::Unreadable(message),
                    ),
                }
            }
            CallResult::Replied(Status::Error, why) => {
                (Failure::unanswered(Cause::Exception), text(why))
            }
            CallResult::Replied(Status::Nack, why) => {
                (Failure::overloaded(Cause::Refused, None), text(why))
            }
            // The peer gave it up by itself, and may have begun it.
            CallResult::GivenUp => (Failure::unanswered(Cause::Refused), text(&[])),
            // The peer says which frame it could not handle, not how far the request came.
            CallResult::NotHandled(error) => (
                Failure::unanswered(Cause::ProtocolError),
                FailureReason::Message(error),
            ),
        };
        Event::Failed {
            request,
            failure,
            reason,
        }
    }
}

/// Returns the peer's text for people, or an empty text if it is not UTF-8.
fn text(payload: &[u8]) -> FailureReason<'_> {
    FailureReason::Message(core::str::from_utf8(payload).unwrap_or_default())
}
