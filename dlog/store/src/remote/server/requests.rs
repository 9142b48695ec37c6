use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::{Message, Status, Tag};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::close_reason::Closed;
use super::context::Served;
use super::sessions::Session;
use crate::remote::frames::{push, push_answer, push_failure};
use crate::remote::outbox::Outbox;
use crate::remote::protocol::{
    Answer, EntryRef, NAMES_PER_PAGE, Operation, RecordRef, Request, Response, decode, own_entry,
};
use crate::{Entry, Lease, ReadBatch, ReadLimit, StoreError, StreamName};

/// A request is charged one unit for each begun KiB of its frame, so that small ones are bounded
/// too.
const UNIT_BYTES: usize = 1 << 10;

/// So many reads of one connection may be held at once.
const MAX_READS: usize = 4096;

/// Work is begun only while fewer answered bytes than this wait to be written.
const MAX_UNWRITTEN_BYTES: usize = 16 << 20;

/// The requests of one connection: at most so many bytes of them are unanswered at a time.
pub(super) struct Requests {
    served: Arc<Served>,
    session: Arc<Session>,
    replies: Arc<Replies>,
    units: Arc<Semaphore>,
    all_units: u32,
}

/// Where answers go.
struct Replies {
    outbox: Arc<Outbox>,
    max_frame_bytes: usize,
    /// The reads that are held. Whoever takes one out of here answers it, so each is answered
    /// once.
    reads: Mutex<Reads>,
}

#[derive(Default)]
struct Reads {
    held: BTreeMap<Tag, AbortHandle>,
    draining: bool,
}

impl Replies {
    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, tag: Tag, answer: &Answer<'_>) {
        self.outbox
            .push(|out| push_answer(out, tag, answer, self.max_frame_bytes));
    }

    fn nack(&self, tag: Tag) {
        self.outbox
            .push(|out| push_failure(out, tag, Status::Nack, "the server is shutting down"));
    }
}

impl Requests {
    pub(super) fn new(
        served: Arc<Served>,
        session: Arc<Session>,
        outbox: Arc<Outbox>,
        max_frame_bytes: usize,
    ) -> Self {
        // A whole frame of the largest size must fit, or it would wait for ever.
        let bytes = served
            .settings
            .max_append_bytes
            .max(served.settings.max_frame_bytes);
        let all_units = u32::try_from(bytes / UNIT_BYTES + 1)
            .unwrap_or(u32::MAX)
            .min(1 << 24);
        let replies = Arc::new(Replies {
            outbox,
            max_frame_bytes,
            reads: Mutex::default(),
        });
        Self {
            served,
            session,
            replies,
            units: Arc::new(Semaphore::new(all_units as usize)),
            all_units,
        }
    }

    /// From now on requests are turned away, and held reads too: the client may ask again elsewhere
    /// or later.
    pub(super) fn begin_drain(&self) {
        let mut reads = self.replies.reads();
        reads.draining = true;
        for (tag, read) in core::mem::take(&mut reads.held) {
            read.abort();
            self.replies.nack(tag);
        }
    }

    /// Returns when no request is unanswered.
    pub(super) async fn all_answered(&self) {
        let all = self
            .units
            .acquire_many(self.all_units)
            .await
            .expect("nobody closes the semaphore");
        drop(all);
    }

    /// The client has no use for an answer any more: a held read ends; anything else is answered as
    /// if nothing had been said.
    pub(super) fn discard(&self, tag: Tag) {
        if let Some(read) = self.replies.reads().held.remove(&tag) {
            read.abort();
            self.replies
                .outbox
                .push(|out| push(out, tag, Message::Rdiscarded));
        }
    }

    /// Begins a request; its answer follows when there is one. Waits while too much is unanswered.
    pub(super) async fn start(
        &self,
        tag: Tag,
        payload: &[u8],
        frame: &Bytes,
    ) -> Result<(), Closed> {
        let request = match decode::<Request<'_>>(payload) {
            Ok(request) => request,
            Err(malformed) => {
                let text = format!("the request is {malformed}");
                self.replies
                    .outbox
                    .push(|out| push_failure(out, tag, Status::Error, &text));
                return Ok(());
            }
        };
        if self.replies.reads().draining {
            self.replies.nack(tag);
            return Ok(());
        }
        self.replies.outbox.room(MAX_UNWRITTEN_BYTES).await;
        let units = u32::try_from(frame.len() / UNIT_BYTES + 1)
            .unwrap_or(u32::MAX)
            .min(self.all_units);
        let permit = async || {
            Arc::clone(&self.units)
                .acquire_many_owned(units)
                .await
                .expect("nobody closes the semaphore")
        };
        match request {
            Request::Read {
                stream,
                from,
                limit,
            } => return self.hold_read(tag, stream, from, limit),
            Request::Append { lease, records } if RecordRef::make_entry(&records) => {
                self.append(tag, &lease, own_entry(&records, frame), permit().await);
            }
            Request::Append { .. } => {
                let text = "an entry has at least one record, and a record at least one slot";
                self.replies
                    .outbox
                    .push(|out| push_failure(out, tag, Status::Error, text));
            }
            Request::Do(operation) => self.spawn(tag, operation, permit().await),
        }
        Ok(())
    }

    fn append(&self, tag: Tag, lease: &Lease, entry: Entry, permit: OwnedSemaphorePermit) {
        if !self.session.holds(lease) {
            self.replies
                .answer(tag, &Err(StoreError::Fenced(lease.stream.clone())));
            return;
        }
        let replies = Arc::clone(&self.replies);
        let done = move |result: Result<Dlsn, StoreError>| {
            replies.answer(tag, &result.map(Response::Appended));
            drop(permit);
        };
        self.served.store.append(lease, entry, Box::new(done));
    }

    fn hold_read(
        &self,
        tag: Tag,
        stream: StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> Result<(), Closed> {
        let settings = &self.served.settings;
        let (max_bytes, wait) = (
            limit.max_bytes.min(settings.max_read_bytes),
            limit.wait.min(settings.max_read_wait),
        );
        let limit = ReadLimit {
            max_bytes,
            wait,
            ..limit
        };
        let mut reads = self.replies.reads();
        if reads.held.len() >= MAX_READS {
            drop(reads);
            self.replies
                .answer(tag, &Err(StoreError::Overloaded { limit: MAX_READS }));
            return Ok(());
        }
        let Place::Vacant(place) = reads.held.entry(tag) else {
            return Err(Closed::Protocol(format!(
                "tag {tag} was used for two reads at once"
            )));
        };
        let (store, replies) = (Arc::clone(&self.served.store), Arc::clone(&self.replies));
        // The task finds its place filled: the lock is held until then.
        let task = tokio::spawn(async move {
            let read = store.read(&stream, from, limit).await;
            if replies.reads().held.remove(&tag).is_some() {
                let answer = read.as_ref().map_err(Clone::clone);
                let answer = answer.map(
                    |ReadBatch {
                         entries,
                         next,
                         start,
                         created_unix_ms,
                     }| Response::Batch {
                        entries: EntryRef::list(entries),
                        next: *next,
                        start: *start,
                        created_unix_ms: *created_unix_ms,
                    },
                );
                replies.answer(tag, &answer);
            }
        });
        place.insert(task.abort_handle());
        Ok(())
    }

    /// Runs a request to its end, also when the connection is lost meanwhile: a lease that was
    /// granted must reach its session's table.
    fn spawn(&self, tag: Tag, operation: Operation, permit: OwnedSemaphorePermit) {
        let (served, session, replies) = (
            Arc::clone(&self.served),
            Arc::clone(&self.session),
            Arc::clone(&self.replies),
        );
        tokio::spawn(async move {
            let answer = carry_out(&served, &session, operation).await;
            replies.answer(tag, &answer);
            drop(permit);
        });
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        for read in self.replies.reads().held.values() {
            read.abort();
        }
    }
}

async fn carry_out(served: &Served, session: &Session, operation: Operation) -> Answer<'static> {
    let store = &served.store;
    match operation {
        Operation::Create(stream) => store.create(&stream).await.map(|()| Response::Done),
        Operation::Delete(stream) => store.delete(&stream).await.map(|()| Response::Done),
        Operation::Describe(stream) => store.describe(&stream).await.map(Response::Info),
        Operation::Truncate { stream, before } => store
            .truncate(&stream, before)
            .await
            .map(|()| Response::Done),
        Operation::List { after } => store.list().await.map(|names| page(names, after.as_ref())),
        Operation::Acquire { stream, owner } => served
            .sessions
            .acquire(session, &stream, &owner)
            .await
            .map(Response::Acquired),
        Operation::Release(lease) => {
            // Another session's lease is not this one's to release; one that was fenced is no
            // error.
            if session.forget(&lease) {
                store.release(&lease).await?;
            }
            Ok(Response::Done)
        }
        Operation::Leave => {
            served.sessions.end(session, None).await;
            Ok(Response::Done)
        }
    }
}

/// The next names after `after`, of all names in their order.
fn page(mut names: Vec<StreamName>, after: Option<&StreamName>) -> Response<'static> {
    let start = after.map_or(0, |after| names.partition_point(|name| name <= after));
    names.drain(..start);
    let more = names.len() > NAMES_PER_PAGE;
    names.truncate(NAMES_PER_PAGE);
    Response::Names { names, more }
}
