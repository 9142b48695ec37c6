//! The replies of one connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::wire::mux::{Message, RequestKind, Server, Status, Tag};
use tokio::task::AbortHandle;

use super::reads::ReadAnswer;
use crate::budget::{ByteBudget, Reservation};
use crate::remote::frames::push_reply;
use crate::remote::outbox::Outbox;
use crate::remote::protocol::ReplyResult;

/// Reason of requests that are not started.
const SHUTTING_DOWN: &str = "the server is shutting down";

/// Sends the replies of one connection.
pub(super) struct Replies {
    outbox: Arc<Outbox>,
    /// Budget of the answers of reads, until they are written.
    pub(super) answers: ByteBudget,
    max_frame_bytes: usize,
    /// Finishing a request in here obliges to reply to it, so each gets one reply.
    session: Mutex<Server<InFlight>>,
}

/// A request in flight.
pub(super) enum InFlight {
    /// It changes nothing: its task can be ended.
    Read(AbortHandle),
    /// It is carried out to its end.
    Write,
}

impl Replies {
    pub(super) fn new(outbox: Arc<Outbox>, answers: ByteBudget, max_frame_bytes: usize) -> Self {
        Self {
            outbox,
            answers,
            max_frame_bytes,
            session: Mutex::new(Server::new(SHUTTING_DOWN)),
        }
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Server<InFlight>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a small reply to a request that was not started.
    pub(super) fn refuse(&self, tag: Tag, reply: &ReplyResult<'_>) {
        self.outbox
            .push(|out| push_reply(out, tag, reply, self.max_frame_bytes));
    }

    /// Sends a small reply to a request in flight, unless it has got one.
    pub(super) fn reply(&self, tag: Tag, reply: &ReplyResult<'_>) {
        // A statement of its own: the session is not locked while the reply is encoded.
        let finished = self.session().finish(tag);
        if finished.is_some() {
            self.refuse(tag, reply);
        }
    }

    /// Sends the reply to a read in flight, unless it has got one, in the room that is reserved for
    /// it.
    pub(super) fn reply_read(&self, tag: Tag, answer: &ReadAnswer, room: Reservation) {
        let finished = self.session().finish(tag);
        if finished.is_some() {
            let reply = Ok(answer.reply());
            self.outbox.push_reserved(room, |out| {
                push_reply(out, tag, &reply, self.max_frame_bytes)
            });
        }
    }

    /// Sends a frame.
    pub(super) fn send(&self, tag: Tag, message: Message<'_>) {
        self.outbox.send(tag, message);
    }

    /// Replies that the request was not started, and why it never can be.
    pub(super) fn fail(&self, tag: Tag, text: &str) {
        let message = RequestKind::Tdispatch.reply(Status::Error, text.as_bytes());
        self.send(tag, message);
    }

    /// Replies that the request was not started, because the server is shutting down.
    pub(super) fn nack(&self, tag: Tag) {
        let message = RequestKind::Tdispatch.reply(Status::Nack, SHUTTING_DOWN.as_bytes());
        self.send(tag, message);
    }
}
