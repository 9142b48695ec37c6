//! The replies of one connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::wire::mux::{Message, Status, Tag};
use tokio::task::AbortHandle;

use super::reads::ReadAnswer;
use crate::budget::{ByteBudget, Reservation};
use crate::remote::frames::{push, push_failure, push_reply};
use crate::remote::outbox::Outbox;
use crate::remote::protocol::ReplyResult;

/// Sends the replies of one connection.
pub(super) struct Replies {
    outbox: Arc<Outbox>,
    /// Budget of the answers of reads, until they are written.
    pub(super) answers: ByteBudget,
    max_frame_bytes: usize,
    /// The waiting reads. Removing one from here obliges to reply to it, so each gets one reply.
    reads: Mutex<Reads>,
}

/// The reads of one connection.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) held: BTreeMap<Tag, AbortHandle>,
    pub(super) draining: bool,
}

impl Replies {
    pub(super) fn new(outbox: Arc<Outbox>, answers: ByteBudget, max_frame_bytes: usize) -> Self {
        Self {
            outbox,
            answers,
            max_frame_bytes,
            reads: Mutex::default(),
        }
    }

    pub(super) fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a small reply.
    pub(super) fn reply(&self, tag: Tag, reply: &ReplyResult<'_>) {
        self.outbox
            .push(|out| push_reply(out, tag, reply, self.max_frame_bytes));
    }

    /// Sends the reply to a read, in the room that is reserved for it.
    pub(super) fn reply_read(&self, tag: Tag, answer: &ReadAnswer, room: Reservation) {
        let reply = Ok(answer.reply());
        self.outbox.push_reserved(room, |out| {
            push_reply(out, tag, &reply, self.max_frame_bytes)
        });
    }

    /// Replies that the request was discarded.
    pub(super) fn discarded(&self, tag: Tag) {
        self.outbox.push(|out| push(out, tag, Message::Rdiscarded));
    }

    /// Replies that the request was not started, and why it never can be.
    pub(super) fn fail(&self, tag: Tag, text: &str) {
        self.outbox
            .push(|out| push_failure(out, tag, Status::Error, text));
    }

    /// Replies that the request was not started, because the server is shutting down.
    pub(super) fn nack(&self, tag: Tag) {
        self.outbox
            .push(|out| push_failure(out, tag, Status::Nack, "the server is shutting down"));
    }
}
