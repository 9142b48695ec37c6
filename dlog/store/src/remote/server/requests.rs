//! The requests of one connection.

use std::collections::btree_map;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::Tag;
use tokio::time::Instant;

use super::close_reason::CloseReason;
use super::context::ServerContext;
use super::metrics::operation_of;
use super::reads::ReadRequest;
use super::replies::Replies;
use super::sessions::Session;
use crate::budget::{ByteBudget, Reservation};
use crate::metrics::StoreOperation;
use crate::remote::protocol::{
    Operation, RecordRef, Reply, ReplyResult, Request, decode, own_entry,
};
use crate::{Entry, EntryRecord, Lease, StoreError};

/// A request counts as a multiple of this, so that the budget bounds the number of small requests
/// too.
const UNIT_BYTES: usize = 1 << 10;

/// Maximum number of reads of one connection.
const MAX_READS: usize = 4096;

/// The requests of one connection.
pub(super) struct Requests {
    context: Arc<ServerContext>,
    session: Arc<Session>,
    replies: Arc<Replies>,
    /// Budget of the requests in progress.
    in_progress: ByteBudget,
}

impl Requests {
    pub(super) fn new(
        context: Arc<ServerContext>,
        session: Arc<Session>,
        replies: Replies,
    ) -> Self {
        let limit = context.settings.max_append_bytes;
        Self {
            in_progress: context.bounds.requests.part(limit),
            context,
            session,
            replies: Arc::new(replies),
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
        self.in_progress.all_free().await;
    }

    /// Cancels a request that the client discarded. A waiting read ends; other requests are
    /// finished and get their reply.
    pub(super) fn discard(&self, tag: Tag) {
        if let Some(read) = self.replies.reads().held.remove(&tag) {
            read.abort();
            self.replies.discarded(tag);
        }
    }

    /// Starts a request; its reply is sent when it is finished. Waits while too many bytes are in
    /// progress.
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
                self.replies
                    .fail(tag, &format!("the request is {malformed}"));
                return Ok(());
            }
        };
        if self.replies.reads().draining {
            self.replies.nack(tag);
            return Ok(());
        }
        match request {
            Request::Read {
                stream,
                from,
                limit,
            } => return self.hold_read(tag, ReadRequest::Entries(stream, from, limit)),
            Request::Append { lease, records } if RecordRef::make_entry(&records) => {
                // Records of a byte take more memory than in their frame.
                let bytes = frame
                    .len()
                    .max(records.len().saturating_mul(size_of::<EntryRecord>()));
                let room = self.in_progress.reserve(in_units(bytes)).await;
                self.append(tag, &lease, own_entry(&records, frame), room);
            }
            Request::Append { .. } => {
                let text = "an entry has at least one record, and a record at least one slot";
                self.replies.fail(tag, text);
            }
            Request::Do(operation) => match ReadRequest::of(operation) {
                Ok(read) => return self.hold_read(tag, read),
                Err(operation) => {
                    let room = self.in_progress.reserve(in_units(frame.len())).await;
                    self.spawn(tag, operation, room);
                }
            },
        }
        Ok(())
    }

    fn append(&self, tag: Tag, lease: &Lease, entry: Entry, room: Reservation) {
        if !self.session.holds(lease) {
            self.replies
                .reply(tag, &Err(StoreError::Fenced(lease.stream.clone())));
            return;
        }
        let (replies, context) = (Arc::clone(&self.replies), Arc::clone(&self.context));
        let began = Instant::now();
        let done = move |result: Result<Dlsn, StoreError>| {
            let requests = &context.metrics.requests;
            requests.answered(
                StoreOperation::Append,
                began.elapsed(),
                result.as_ref().err(),
            );
            replies.reply(tag, &result.map(Reply::Appended));
            drop(room);
        };
        self.context.store.append(lease, entry, Box::new(done));
    }

    /// Starts a request that changes nothing. Its reply waits until the client has taken enough of
    /// the earlier ones.
    fn hold_read(&self, tag: Tag, request: ReadRequest) -> Result<(), CloseReason> {
        let request = request.within(&self.context.settings);
        let mut reads = self.replies.reads();
        let permit = Arc::clone(&self.context.bounds.reads).try_acquire_owned();
        let (Ok(permit), true) = (permit, reads.held.len() < MAX_READS) else {
            drop(reads);
            let limit = MAX_READS.min(self.context.settings.max_reads);
            self.replies
                .reply(tag, &Err(StoreError::Overloaded { limit }));
            return Ok(());
        };
        let btree_map::Entry::Vacant(vacant) = reads.held.entry(tag) else {
            return Err(CloseReason::Protocol(format!(
                "tag {tag} was used for two reads at once"
            )));
        };
        let (store, replies) = (Arc::clone(&self.context.store), Arc::clone(&self.replies));
        let context = Arc::clone(&self.context);
        // The lock is held until the read's handle is inserted, so the task finds it.
        let task = tokio::spawn(async move {
            let answered = AnswerGuard {
                replies: &replies,
                tag,
            };
            let (began, operation) = (Instant::now(), request.operation());
            let answer = request.answer(&*store, &replies.answers).await;
            let requests = &context.metrics.requests;
            requests.answered(operation, began.elapsed(), answer.as_ref().err());
            drop(answered);
            if replies.reads().held.remove(&tag).is_some() {
                match answer {
                    Ok((answer, room)) => replies.reply_read(tag, &answer, room),
                    Err(error) => replies.reply(tag, &Err(error)),
                }
            }
            drop(permit);
        });
        vacant.insert(task.abort_handle());
        Ok(())
    }

    /// Runs a request to its end, even if the connection is lost meanwhile: a granted lease must
    /// reach its session's table.
    fn spawn(&self, tag: Tag, operation: Operation, room: Reservation) {
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
            let (began, counted) = (Instant::now(), operation_of(&operation));
            let reply = execute(&context, &session, operation).await;
            let requests = &context.metrics.requests;
            requests.answered(counted, began.elapsed(), reply.as_ref().err());
            replies.reply(tag, &reply);
            drop(answered);
            drop(room);
        });
    }
}

/// Returns the bytes as which a request of this size counts.
const fn in_units(bytes: usize) -> usize {
    (bytes / UNIT_BYTES + 1).saturating_mul(UNIT_BYTES)
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
        Operation::Create(stream) => {
            stream.check_length()?;
            store.create(&stream).await.map(|()| Reply::Done)
        }
        Operation::Delete(stream) => store.delete(&stream).await.map(|()| Reply::Done),
        Operation::Truncate { stream, before } => {
            store.truncate(&stream, before).await.map(|()| Reply::Done)
        }
        Operation::Acquire { stream, owner } => {
            owner.check()?;
            let acquired = context.sessions.acquire(session, &stream, &owner).await?;
            Ok(Reply::Acquired(acquired))
        }
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
        Operation::Describe(_) | Operation::List { .. } => {
            unreachable!("requests that change nothing are reads")
        }
    }
}
