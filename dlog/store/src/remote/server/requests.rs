//! The requests of one connection.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::{Message, Status, Tag};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::close_reason::CloseReason;
use super::context::ServerContext;
use super::sessions::Session;
use crate::remote::frames::{push, push_failure, push_reply};
use crate::remote::outbox::Outbox;
use crate::remote::protocol::{
    EntryRef, NAMES_PER_PAGE, Operation, RecordRef, Reply, ReplyResult, Request, decode, own_entry,
};
use crate::{Entry, Lease, ReadBatch, ReadLimit, StoreError, StreamName};

/// A request takes one unit for each started KiB of its frame, so that the units bound the number
/// of small requests too.
const UNIT_BYTES: usize = 1 << 10;

/// Maximum number of waiting reads of one connection.
const MAX_READS: usize = 4096;

/// No request is started while this many bytes of replies wait to be written.
const MAX_UNWRITTEN_BYTES: usize = 16 << 20;

/// The requests of one connection. Units bound the bytes of those that are in progress.
pub(super) struct Requests {
    context: Arc<ServerContext>,
    session: Arc<Session>,
    replies: Arc<Replies>,
    units: Arc<Semaphore>,
    all_units: u32,
}

/// Sends the replies of one connection.
struct Replies {
    outbox: Arc<Outbox>,
    max_frame_bytes: usize,
    /// The waiting reads. Removing one from here obliges to reply to it, so each gets one reply.
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

    fn reply(&self, tag: Tag, reply: &ReplyResult<'_>) {
        self.outbox
            .push(|out| push_reply(out, tag, reply, self.max_frame_bytes));
    }

    fn nack(&self, tag: Tag) {
        self.outbox
            .push(|out| push_failure(out, tag, Status::Nack, "the server is shutting down"));
    }
}

impl Requests {
    pub(super) fn new(
        context: Arc<ServerContext>,
        session: Arc<Session>,
        outbox: Arc<Outbox>,
        max_frame_bytes: usize,
    ) -> Self {
        // A frame of the largest size must fit, or it would wait forever.
        let bytes = context
            .settings
            .max_append_bytes
            .max(context.settings.max_frame_bytes);
        let all_units = u32::try_from(bytes / UNIT_BYTES + 1)
            .unwrap_or(u32::MAX)
            .min(1 << 24);
        let replies = Arc::new(Replies {
            outbox,
            max_frame_bytes,
            reads: Mutex::default(),
        });
        Self {
            context,
            session,
            replies,
            units: Arc::new(Semaphore::new(all_units as usize)),
            all_units,
        }
    }

    /// Refuses new requests and the waiting reads: the client can send them again elsewhere or
    /// later.
    pub(super) fn begin_drain(&self) {
        let mut reads = self.replies.reads();
        reads.draining = true;
        for (tag, read) in core::mem::take(&mut reads.held) {
            read.abort();
            self.replies.nack(tag);
        }
    }

    /// Waits until no request is in progress.
    pub(super) async fn all_replied(&self) {
        let all = self
            .units
            .acquire_many(self.all_units)
            .await
            .expect("the semaphore is never closed");
        drop(all);
    }

    /// Cancels a request that the client discarded. A waiting read ends; other requests are
    /// finished and get their reply.
    pub(super) fn discard(&self, tag: Tag) {
        if let Some(read) = self.replies.reads().held.remove(&tag) {
            read.abort();
            self.replies
                .outbox
                .push(|out| push(out, tag, Message::Rdiscarded));
        }
    }

    /// Starts a request; its reply is sent when it is finished. Waits while too many bytes are in
    /// progress or unwritten.
    ///
    /// # Errors
    ///
    /// The client violated the protocol.
    pub(super) async fn start(
        &self,
        tag: Tag,
        payload: &[u8],
        frame: &Bytes,
    ) -> Result<(), CloseReason> {
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
                .expect("the semaphore is never closed")
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
                .reply(tag, &Err(StoreError::Fenced(lease.stream.clone())));
            return;
        }
        let replies = Arc::clone(&self.replies);
        let done = move |result: Result<Dlsn, StoreError>| {
            replies.reply(tag, &result.map(Reply::Appended));
            drop(permit);
        };
        self.context.store.append(lease, entry, Box::new(done));
    }

    fn hold_read(
        &self,
        tag: Tag,
        stream: StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> Result<(), CloseReason> {
        let settings = &self.context.settings;
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
                .reply(tag, &Err(StoreError::Overloaded { limit: MAX_READS }));
            return Ok(());
        }
        let btree_map::Entry::Vacant(vacant) = reads.held.entry(tag) else {
            return Err(CloseReason::Protocol(format!(
                "tag {tag} was used for two reads at once"
            )));
        };
        let (store, replies) = (Arc::clone(&self.context.store), Arc::clone(&self.replies));
        // The lock is held until the read's handle is inserted, so the task finds it.
        let task = tokio::spawn(async move {
            let answered = AnswerGuard {
                replies: &replies,
                tag,
            };
            let read = store.read(&stream, from, limit).await;
            drop(answered);
            if replies.reads().held.remove(&tag).is_some() {
                let reply = read.as_ref().map_err(Clone::clone);
                let reply = reply.map(
                    |ReadBatch {
                         entries,
                         next,
                         start,
                         created_unix_ms,
                     }| Reply::Batch {
                        entries: EntryRef::list(entries),
                        next: *next,
                        start: *start,
                        created_unix_ms: *created_unix_ms,
                    },
                );
                replies.reply(tag, &reply);
            }
        });
        vacant.insert(task.abort_handle());
        Ok(())
    }

    /// Runs a request to its end, even if the connection is lost meanwhile: a granted lease must
    /// reach its session's table.
    fn spawn(&self, tag: Tag, operation: Operation, permit: OwnedSemaphorePermit) {
        let (context, session, replies) = (
            Arc::clone(&self.context),
            Arc::clone(&self.session),
            Arc::clone(&self.replies),
        );
        tokio::spawn(async move {
            let answered = AnswerGuard {
                replies: &replies,
                tag,
            };
            let reply = execute(&context, &session, operation).await;
            replies.reply(tag, &reply);
            drop(answered);
            drop(permit);
        });
    }
}

/// Replies to a request if a bug in the store ends its task, so that the client does not wait for
/// ever.
struct AnswerGuard<'a> {
    replies: &'a Replies,
    tag: Tag,
}

impl Drop for AnswerGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.replies.reply(
                self.tag,
                &Err(StoreError::Io {
                    path: "the store".to_owned(),
                    detail: "a bug ended the operation".to_owned(),
                }),
            );
        }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        for read in self.replies.reads().held.values() {
            read.abort();
        }
    }
}

async fn execute(
    context: &ServerContext,
    session: &Session,
    operation: Operation,
) -> ReplyResult<'static> {
    let store = &context.store;
    match operation {
        Operation::Create(stream) => store.create(&stream).await.map(|()| Reply::Done),
        Operation::Delete(stream) => store.delete(&stream).await.map(|()| Reply::Done),
        Operation::Describe(stream) => store.describe(&stream).await.map(Reply::Info),
        Operation::Truncate { stream, before } => {
            store.truncate(&stream, before).await.map(|()| Reply::Done)
        }
        Operation::List {
            after,
            prefix,
            limit,
        } => {
            let limit = usize::try_from(limit)
                .unwrap_or(usize::MAX)
                .min(NAMES_PER_PAGE);
            let page = store.list_page(after.as_ref(), &prefix, limit).await?;
            Ok(Reply::Names {
                names: page.names,
                more: page.more,
            })
        }
        Operation::Acquire { stream, owner } => context
            .sessions
            .acquire(session, &stream, &owner)
            .await
            .map(Reply::Acquired),
        Operation::Release(lease) => {
            // A session can release only its own leases. A fenced one is no error.
            if session.remove_lease(&lease) {
                store.release(&lease).await?;
            }
            Ok(Reply::Done)
        }
        Operation::SetRetention { stream, retention } => {
            store.set_retention(stream.as_ref(), retention).await?;
            Ok(Reply::Done)
        }
        Operation::Retention(stream) => {
            store.retention(stream.as_ref()).await.map(Reply::Retention)
        }
        Operation::CheckHealth => store.check_health().await.map(|()| Reply::Done),
        Operation::EndSession => {
            context.sessions.end(session, None).await;
            Ok(Reply::Done)
        }
    }
}
