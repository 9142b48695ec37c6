use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::{Frame, Message, Status, Tag};
use tokio::sync::{Notify, oneshot};

use crate::remote::frames::{push, push_request};
use crate::remote::outbox::Outbox;
use crate::remote::protocol::{Answer, Operation, RecordRef, Request, Response, Welcome, decode};
use crate::{AppendDone, Entry, Lease, StoreError};

/// At most so many requests are unanswered on one connection. Mux has tags for eight times as many.
const MAX_REQUESTS: usize = 1 << 20;

/// The first tag of a request: 0 is for what is not answered, 1 for pings and the session's start.
const FIRST_TAG: u32 = 2;

/// What came of a request that is no append.
pub(super) enum Outcome {
    /// The server's answer, in a frame that was checked to be one.
    Answered(Bytes),
    /// It did not get to the server, or the server did not start it: it may be asked again.
    NotStarted,
    /// Whether it was carried out is not known.
    Lost(StoreError),
}

/// One connection to the server.
///
/// Invariant: each tag that is in use was sent once and will be answered once, or is dealt with by
/// [`Link::lose`].
pub(super) struct Link {
    pub(super) outbox: Outbox,
    pub(super) welcome: Welcome,
    pub(super) address: String,
    max_append_bytes: usize,
    tags: Mutex<Tags>,
    /// An append was answered while no more are taken.
    settled: Notify,
}

#[derive(Default)]
struct Tags {
    slots: Vec<Slot>,
    free: Vec<u32>,
    appends: usize,
    append_bytes: usize,
    calls: u64,
    /// Why nothing new is taken.
    refusing: Option<StoreError>,
}

enum Slot {
    Free,
    Append {
        done: AppendDone,
        bytes: usize,
    },
    Call {
        answer: oneshot::Sender<Outcome>,
        /// Tells it from an earlier call with the same tag.
        number: u64,
    },
    /// Its caller went away; the answer frees the tag.
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

impl Link {
    pub(super) fn new(welcome: Welcome, address: String, max_append_bytes: usize) -> Self {
        Self {
            outbox: Outbox::default(),
            welcome,
            address,
            max_append_bytes,
            tags: Mutex::default(),
            settled: Notify::new(),
        }
    }

    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an append. `done` is called when it is answered, or when the connection is lost; or
    /// here, when it is refused.
    pub(super) fn append(&self, lease: &Lease, entry: &Entry, done: AppendDone) {
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
        if let Some(error) = &tags.refusing {
            return Err((error.clone(), done));
        }
        // One entry is always taken, however large: the frame's limit is for that.
        if tags.is_full() || (tags.appends > 0 && tags.append_bytes + bytes > self.max_append_bytes)
        {
            return Err((
                StoreError::Overloaded {
                    limit: self.max_append_bytes,
                },
                done,
            ));
        }
        tags.appends += 1;
        tags.append_bytes += bytes;
        let tag = tags.take(Slot::Append { done, bytes });
        let limit = self.welcome.max_frame_bytes as usize;
        let mut fits = true;
        // With the tags still locked, so that nothing gets behind an agreement to send no more.
        // When the outbox was closed in between, `lose` deals with the append.
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

    /// Sends a request and waits for its answer.
    ///
    /// Cancel safety: when the future is dropped, the server is told that nobody waits any more.
    pub(super) async fn call(&self, request: &Request<'_>) -> Outcome {
        self.call_unless(request, |tags| tags.refusing.is_some())
            .await
    }

    /// Says good-bye, also while nothing new is taken: the session ends, and its leases are
    /// released.
    pub(super) async fn leave(&self) -> Outcome {
        self.call_unless(&Request::Do(Operation::Leave), |_| false)
            .await
    }

    async fn call_unless(
        &self,
        request: &Request<'_>,
        refused: impl FnOnce(&Tags) -> bool,
    ) -> Outcome {
        let (answer, receiver) = oneshot::channel();
        let _waiting = {
            let mut tags = self.tags();
            if refused(&tags) || tags.is_full() {
                return Outcome::NotStarted;
            }
            tags.calls += 1;
            let number = tags.calls;
            let tag = tags.take(Slot::Call { answer, number });
            self.outbox.push(|out| _ = push_request(out, tag, request));
            Waiting {
                link: self,
                tag,
                number,
            }
        };
        // The sender is dropped unused only by a discarded call, whose future is not there to see
        // it.
        receiver.await.unwrap_or(Outcome::NotStarted)
    }

    /// The caller of this request went away, perhaps because it has its answer.
    fn discard(&self, tag: Tag, call: u64) {
        if let Some(slot @ Slot::Call { .. }) = self.tags().slot(tag)
            && matches!(slot, Slot::Call { number, .. } if *number == call)
        {
            *slot = Slot::Discarded;
            self.outbox.push(|out| {
                push(
                    out,
                    Tag::ZERO,
                    Message::Tdiscarded {
                        discarded: tag,
                        reason: "nobody waits for it",
                    },
                )
            });
        }
    }

    /// Takes nothing new any more; answers what is asked with `why`.
    pub(super) fn refuse(&self, why: StoreError) {
        let mut tags = self.tags();
        tags.refusing.get_or_insert(why);
        drop(tags);
        self.settled.notify_waiters();
    }

    /// Tells the server that nothing new comes after this. Call after [`refuse`](Self::refuse).
    pub(super) fn agree_to_drain(&self, tag: Tag) {
        self.outbox.push(|out| push(out, tag, Message::Rdrain));
    }

    /// Returns when all appends were answered. Call after [`refuse`](Self::refuse), or it may never
    /// come to that.
    pub(super) async fn settle(&self) {
        loop {
            let settled = self.settled.notified();
            if self.tags().appends == 0 {
                return;
            }
            settled.await;
        }
    }

    /// The connection is lost: everything unanswered is unknown.
    pub(super) fn lose(&self, why: &StoreError, refusing: StoreError) {
        let slots = {
            let mut tags = self.tags();
            tags.refusing.get_or_insert(refusing);
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
                Slot::Call { answer, .. } => _ = answer.send(Outcome::Lost(why.clone())),
                Slot::Free | Slot::Discarded => {}
            }
        }
        self.settled.notify_waiters();
    }

    /// Takes a frame of the server.
    ///
    /// # Errors
    /// It is none that a server of this protocol sends: the connection cannot be trusted any more.
    pub(super) fn receive(&self, bytes: &Bytes) -> Result<Received, String> {
        let frame = Frame::decode(bytes).map_err(|error| error.to_string())?;
        match frame.message {
            Message::Rdispatch {
                status, payload, ..
            } => self.answered(frame.tag, status, bytes.slice_ref(payload)),
            Message::Rdiscarded => {
                self.tags().free(frame.tag);
                Ok(Received::Nothing)
            }
            Message::Tping => {
                self.outbox.push(|out| push(out, frame.tag, Message::Rping));
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
                "it sent {}, which has no place here",
                other.frame_type().name()
            )),
        }
    }

    fn answered(&self, tag: Tag, status: Status, payload: Bytes) -> Result<Received, String> {
        let slot = self.tags().free(tag);
        match (slot, status) {
            (Slot::Free, _) => {
                return Err(format!(
                    "it answered the request {tag}, which was not asked"
                ));
            }
            (Slot::Discarded, _) => {}
            (Slot::Call { answer, .. }, Status::Ok) => _ = answer.send(Outcome::Answered(payload)),
            (Slot::Call { answer, .. }, Status::Nack) => _ = answer.send(Outcome::NotStarted),
            (Slot::Call { answer, .. }, Status::Error) => {
                _ = answer.send(Outcome::Lost(self.refused(&payload)))
            }
            (Slot::Append { done, .. }, Status::Ok) => {
                done(position(&payload).unwrap_or_else(|detail| {
                    Err(StoreError::Disconnected {
                        address: self.address.clone(),
                        detail,
                    })
                }));
                self.settled.notify_waiters();
            }
            (Slot::Append { done, .. }, Status::Nack | Status::Error) => {
                let detail = String::from_utf8_lossy(&payload).into_owned();
                done(Err(StoreError::Unreachable {
                    address: self.address.clone(),
                    detail,
                }));
                self.settled.notify_waiters();
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

/// The answer of an append.
fn position(payload: &[u8]) -> Result<Result<Dlsn, StoreError>, String> {
    match decode::<Answer<'_>>(payload) {
        Ok(Ok(Response::Appended(dlsn))) => Ok(Ok(dlsn)),
        Ok(Err(error)) => Ok(Err(error)),
        Ok(Ok(other)) => Err(format!("the answer of an append is {other:?}")),
        Err(malformed) => Err(format!("the answer of an append is {malformed}")),
    }
}

/// What a frame means for the connection as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Nothing,
    /// The server asks for no more requests, and for an agreement under this tag.
    Drain(Tag),
    /// The server started a request no more.
    Nack,
}

/// A caller that waits for an answer.
struct Waiting<'a> {
    link: &'a Link,
    tag: Tag,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.link.discard(self.tag, self.number);
    }
}
