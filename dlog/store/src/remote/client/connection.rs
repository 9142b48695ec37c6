//! One connection to the server, and the requests in flight on it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::{Frame, Message, Status, Tag};
use tokio::sync::{Notify, oneshot};

use crate::remote::frames::push_request;
use crate::remote::outbox::Outbox;
use crate::remote::protocol::{Operation, RecordRef, Reply, ReplyResult, Request, Welcome, decode};
use crate::{AppendDone, Entry, Lease, StoreError};

/// Maximum number of requests in flight on one connection. Mux has 2^23 tags, eight times as many.
const MAX_REQUESTS: usize = 1 << 20;

/// First tag of a request. Tag 0 is for messages without reply, 1 for pings and the handshake.
const FIRST_TAG: u32 = 2;

/// Outcome of a request other than an append.
pub(super) enum CallOutcome {
    /// The server's reply: a valid frame's payload.
    Replied(Bytes),
    /// The request was not sent, or the server did not start it. It can be sent again.
    NotStarted,
    /// It is unknown whether the request was carried out.
    Lost(StoreError),
}

/// One connection to the server.
///
/// Invariant: each tag in use was sent once, and is completed once, by a reply or by
/// [`Connection::fail_all`].
pub(super) struct Connection {
    pub(super) outbox: Outbox,
    pub(super) welcome: Welcome,
    pub(super) address: String,
    max_append_bytes: usize,
    tags: Mutex<Tags>,
    /// Notified when an append completes or new requests are refused.
    append_done: Notify,
}

#[derive(Default)]
struct Tags {
    slots: Vec<Slot>,
    free: Vec<u32>,
    appends: usize,
    append_bytes: usize,
    calls: u64,
    /// Error for new requests. `None` while they are accepted.
    refuse_with: Option<StoreError>,
}

enum Slot {
    Free,
    Append {
        done: AppendDone,
        bytes: usize,
    },
    Call {
        reply: oneshot::Sender<CallOutcome>,
        /// Distinguishes the call from an earlier one with the same tag.
        number: u64,
    },
    /// The caller dropped its future; the reply frees the tag.
    Discarded,
}

impl Tags {
    fn take(&mut self, slot: Slot) -> Tag {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            u32::try_from(self.slots.len() - 1).expect("MAX_REQUESTS bounds the slots")
        });
        self.slots[index as usize] = slot;
        Tag::new(index + FIRST_TAG).expect("MAX_REQUESTS is far below the largest tag")
    }

    fn slot(&mut self, tag: Tag) -> Option<&mut Slot> {
        self.slots
            .get_mut(tag.get().checked_sub(FIRST_TAG)? as usize)
    }

    fn free(&mut self, tag: Tag) -> Slot {
        let Some(slot) = self.slot(tag) else {
            return Slot::Free;
        };
        let slot = core::mem::replace(slot, Slot::Free);
        match &slot {
            Slot::Free => return Slot::Free,
            Slot::Append { bytes, .. } => {
                self.append_bytes -= bytes;
                self.appends -= 1;
            }
            Slot::Call { .. } | Slot::Discarded => {}
        }
        self.free.push(tag.get() - FIRST_TAG);
        slot
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= MAX_REQUESTS
    }
}

impl Connection {
    pub(super) fn new(welcome: Welcome, address: String, max_append_bytes: usize) -> Self {
        Self {
            outbox: Outbox::new(None),
            welcome,
            address,
            max_append_bytes,
            tags: Mutex::default(),
            append_done: Notify::new(),
        }
    }

    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an append. `done` is called with the reply, or when the connection is lost, or by this
    /// function if the append is refused.
    pub(super) fn append(&self, lease: &Lease, entry: &Entry, done: AppendDone) {
        if let Err(invalid) = entry.check() {
            return done(Err(invalid));
        }
        let size = entry
            .records
            .iter()
            .map(|record| record.payload.len())
            .sum();
        let request = Request::Append {
            lease: lease.clone(),
            records: RecordRef::list(&entry.records),
        };
        if let Err((error, done)) = self.send_append(&request, size, done) {
            done(Err(error));
        }
    }

    fn send_append(
        &self,
        request: &Request<'_>,
        bytes: usize,
        done: AppendDone,
    ) -> Result<(), (StoreError, AppendDone)> {
        let mut tags = self.tags();
        if let Some(error) = &tags.refuse_with {
            return Err((error.clone(), done));
        }
        // An entry is always accepted if no other append is in flight: only the frame's limit
        // bounds a single entry.
        if tags.is_full() || (tags.appends > 0 && tags.append_bytes + bytes > self.max_append_bytes)
        {
            return Err((
                StoreError::Overloaded {
                    limit: self.max_append_bytes,
                },
                done,
            ));
        }
        let limit = self.welcome.max_frame_bytes as usize;
        // Refused before it is encoded: encoding hundreds of megabytes with the tags locked would
        // delay the replies to pings until the server closes the connection.
        if bytes > limit {
            return Err((StoreError::TooLarge { size: bytes, limit }, done));
        }
        tags.appends += 1;
        tags.append_bytes += bytes;
        let tag = tags.take(Slot::Append { done, bytes });
        let mut fits = true;
        // Pushed with the tags locked, so that no request follows the confirmation of a drain. If
        // the outbox was closed in between, `fail_all` completes the append.
        self.outbox.push(|out| {
            let start = out.len();
            fits = push_request(out, tag, request) <= limit;
            if !fits {
                out.truncate(start);
            }
        });
        match if fits { Slot::Free } else { tags.free(tag) } {
            Slot::Append { done, .. } => Err((StoreError::TooLarge { size: bytes, limit }, done)),
            Slot::Free | Slot::Call { .. } | Slot::Discarded => Ok(()),
        }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future discards the request: the server is asked to stop it, but may have
    /// carried it out.
    pub(super) async fn call(&self, request: &Request<'_>) -> CallOutcome {
        self.call_unless(request, |tags| tags.refuse_with.is_some())
            .await
    }

    /// Ends the session, which releases its leases. Works also while new requests are refused.
    pub(super) async fn end_session(&self) -> CallOutcome {
        self.call_unless(&Request::Do(Operation::EndSession), |_| false)
            .await
    }

    async fn call_unless(
        &self,
        request: &Request<'_>,
        refused: impl FnOnce(&Tags) -> bool,
    ) -> CallOutcome {
        let (reply, receiver) = oneshot::channel();
        let _waiting = {
            let mut tags = self.tags();
            if refused(&tags) || tags.is_full() {
                return CallOutcome::NotStarted;
            }
            tags.calls += 1;
            let number = tags.calls;
            let tag = tags.take(Slot::Call { reply, number });
            self.outbox.push(|out| _ = push_request(out, tag, request));
            CallGuard {
                connection: self,
                tag,
                number,
            }
        };
        // The sender is dropped unused only by a discarded call, whose future is not there to see
        // it.
        receiver.await.unwrap_or(CallOutcome::NotStarted)
    }

    /// Marks the request as discarded if its reply is still missing.
    fn discard(&self, tag: Tag, call: u64) {
        if let Some(slot @ Slot::Call { .. }) = self.tags().slot(tag)
            && matches!(slot, Slot::Call { number, .. } if *number == call)
        {
            *slot = Slot::Discarded;
            let message = Message::Tdiscarded {
                discarded: tag,
                reason: "nobody waits for it",
            };
            self.outbox.send(Tag::ZERO, message);
        }
    }

    /// Takes nothing new any more; answers what is asked with `why`.
    pub(super) fn stop_accepting(&self, why: StoreError) {
        let mut tags = self.tags();
        tags.refuse_with.get_or_insert(why);
        drop(tags);
        self.append_done.notify_waiters();
    }

    /// Confirms the server's drain: no request follows. Call after
    /// [`stop_accepting`](Self::stop_accepting).
    pub(super) fn confirm_drain(&self, tag: Tag) {
        self.outbox.send(tag, Message::Rdrain);
    }

    /// Waits until no append is in flight. Call after [`stop_accepting`](Self::stop_accepting), or
    /// it may never return.
    pub(super) async fn all_appends_done(&self) {
        loop {
            let append_done = self.append_done.notified();
            if self.tags().appends == 0 {
                return;
            }
            append_done.await;
        }
    }

    /// Completes all requests in flight with `why` after the connection was lost; refuses new ones
    /// with `refuse_with`.
    pub(super) fn fail_all(&self, why: &StoreError, refuse_with: StoreError) {
        let slots = {
            let mut tags = self.tags();
            tags.refuse_with.get_or_insert(refuse_with);
            tags.free.clear();
            tags.appends = 0;
            tags.append_bytes = 0;
            core::mem::take(&mut tags.slots)
        };
        self.outbox.close();
        for slot in slots {
            match slot {
                #[cfg(seeded_bugs)]
                Slot::Append { done, .. }
                    if distributedlog::seeded_bugs::is_on(
                        distributedlog::seeded_bugs::Bug::LostAppendIsUnsent,
                    ) =>
                {
                    let (address, detail) = (
                        self.address.clone(),
                        String::from("the connection was lost"),
                    );
                    done(Err(StoreError::Unreachable { address, detail }));
                }
                Slot::Append { done, .. } => done(Err(why.clone())),
                Slot::Call { reply, .. } => _ = reply.send(CallOutcome::Lost(why.clone())),
                Slot::Free | Slot::Discarded => {}
            }
        }
        self.append_done.notify_waiters();
    }

    /// Handles a frame from the server.
    ///
    /// # Errors
    /// The frame is invalid in this protocol. The connection must be closed.
    pub(super) fn receive(&self, bytes: &Bytes) -> Result<Received, String> {
        let frame = Frame::decode(bytes).map_err(|error| error.to_string())?;
        match frame.message {
            Message::Rdispatch {
                status, payload, ..
            } => self.handle_reply(frame.tag, status, bytes.slice_ref(payload)),
            Message::Rdiscarded => {
                self.tags().free(frame.tag);
                Ok(Received::Nothing)
            }
            Message::Tping => {
                self.outbox.send(frame.tag, Message::Rping);
                Ok(Received::Nothing)
            }
            Message::Tdrain => Ok(Received::Drain(frame.tag)),
            Message::Rping | Message::Tlease { .. } => Ok(Received::Nothing),
            Message::Rerr { error } | Message::BadRerr { error } => {
                Err(format!("it did not understand a frame: {error}"))
            }
            other @ (Message::Treq { .. }
            | Message::Rreq { .. }
            | Message::Tdispatch { .. }
            | Message::Rdrain
            | Message::Tdiscarded { .. }
            | Message::BadTdiscarded { .. }
            | Message::Tinit { .. }
            | Message::Rinit { .. }) => Err(format!(
                "it sent {}, which is not valid here",
                other.frame_type().name()
            )),
        }
    }

    fn handle_reply(&self, tag: Tag, status: Status, payload: Bytes) -> Result<Received, String> {
        let slot = self.tags().free(tag);
        match (slot, status) {
            (Slot::Free, _) => {
                return Err(format!("it replied to the tag {tag}, which is not in use"));
            }
            (Slot::Discarded, _) => {}
            (Slot::Call { reply, .. }, Status::Ok) => _ = reply.send(CallOutcome::Replied(payload)),
            (Slot::Call { reply, .. }, Status::Nack) => _ = reply.send(CallOutcome::NotStarted),
            (Slot::Call { reply, .. }, Status::Error) => {
                _ = reply.send(CallOutcome::Lost(self.refused(&payload)))
            }
            (Slot::Append { done, .. }, Status::Ok) => {
                done(position(&payload).unwrap_or_else(|detail| {
                    Err(StoreError::Disconnected {
                        address: self.address.clone(),
                        detail,
                    })
                }));
                self.append_done.notify_waiters();
            }
            (Slot::Append { done, .. }, Status::Nack | Status::Error) => {
                let detail = String::from_utf8_lossy(&payload).into_owned();
                done(Err(StoreError::Unreachable {
                    address: self.address.clone(),
                    detail,
                }));
                self.append_done.notify_waiters();
            }
        }
        Ok(if status == Status::Nack {
            Received::Nack
        } else {
            Received::Nothing
        })
    }

    fn refused(&self, text: &[u8]) -> StoreError {
        StoreError::Refused {
            address: self.address.clone(),
            detail: String::from_utf8_lossy(text).into_owned(),
        }
    }
}

/// Decodes the reply to an append.
fn position(payload: &[u8]) -> Result<Result<Dlsn, StoreError>, String> {
    match decode::<ReplyResult<'_>>(payload) {
        Ok(Ok(Reply::Appended(dlsn))) => Ok(Ok(dlsn)),
        Ok(Err(error)) => Ok(Err(error)),
        Ok(Ok(other)) => Err(format!("the reply of an append is {other:?}")),
        Err(malformed) => Err(format!("the reply of an append is {malformed}")),
    }
}

/// Effect of a frame on the connection as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Nothing,
    /// The server drains: it wants no more requests, and a confirmation with this tag.
    Drain(Tag),
    /// The server refused to start a request, as it does during a drain.
    Nack,
}

/// Discards the request when its caller drops the future.
struct CallGuard<'a> {
    connection: &'a Connection,
    tag: Tag,
    number: u64,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.connection.discard(self.tag, self.number);
    }
}
