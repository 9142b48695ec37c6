//! The replies of one connection.

use std::sync::Arc;

use distributedlog::wire::mux::{RequestKind, Server, Status, Tag};
use tokio::task::AbortHandle;

use super::reads::ReadAnswer;
use crate::budget::{ByteBudget, Reservation};
use crate::remote::endpoint::{Endpoint, Output};
use crate::remote::frames::push_reply;
use crate::remote::protocol::ReplyResult;

/// Reason of requests that are not started.
pub(super) const SHUTTING_DOWN: &str = "the server is shutting down";

/// The server's end of a connection. Finishing a request of the session obliges to reply to it, so
/// each gets one reply.
pub(super) type ServerEndpoint = Endpoint<Server<InFlight>>;

/// Sends the replies of one connection.
pub(super) struct Replies {
    pub(super) endpoint: Arc<ServerEndpoint>,
    /// Budget of the answers of reads, until they are written.
    pub(super) answers: ByteBudget,
    pub(super) max_frame_bytes: usize,
}

/// A request in flight.
pub(super) enum InFlight {
    /// It changes nothing: its task can be ended.
    Read(AbortHandle),
    /// It is carried out to its end.
    Write,
}

impl Replies {
    /// Sends a small reply to a request that was not started.
    pub(super) fn refuse(&self, tag: Tag, reply: &ReplyResult<'_>) {
        self.endpoint.with(|_, output| {
            output.push(|out| push_reply(out, tag, reply, self.max_frame_bytes));
        });
    }

    /// Sends a small reply to a request in flight, unless it has got one.
    pub(super) fn reply(&self, tag: Tag, reply: &ReplyResult<'_>) {
        self.endpoint.with(|session, output| {
            if session.finish(tag).is_some() {
                output.push(|out| push_reply(out, tag, reply, self.max_frame_bytes));
            }
        });
    }

    /// Sends the reply to a read in flight, unless it has got one, in the room that is reserved for
    /// it.
    pub(super) fn reply_read(&self, tag: Tag, answer: &ReadAnswer, room: Reservation) {
        let reply = Ok(answer.reply());
        self.endpoint.with(|session, output| {
            if session.finish(tag).is_some() {
                output.push_reserved(room, |out| {
                    push_reply(out, tag, &reply, self.max_frame_bytes)
                });
            }
        });
    }

    /// Replies that the request was not started, and why it never can be.
    pub(super) fn fail(&self, tag: Tag, text: &str) {
        let message = RequestKind::Tdispatch.reply(Status::Error, text.as_bytes());
        self.endpoint.send(tag, message);
    }
}

/// Replies that the request was not started, because the server is shutting down.
pub(super) fn nack(tag: Tag, output: &mut Output) {
    let message = RequestKind::Tdispatch.reply(Status::Nack, SHUTTING_DOWN.as_bytes());
    output.send(tag, message);
}
