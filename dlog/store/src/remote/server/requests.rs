//! The requests of one connection.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::mux::{
    Message, ReceivedRequest, RequestKind, Server, ServerError, ServerEvent, Tag,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::close_reason::CloseReason;
use super::context::ServerContext;
use super::metrics::operation_of;
use super::reads::ReadRequest;
use super::replies::{InFlight, Replies, nack};
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
    /// The reads that this connection may still begin.
    reads: Arc<Semaphore>,
    /// True if tasks were begun since the last flush, which this thread would keep waiting.
    has_spawned: AtomicBool,
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
            reads: Arc::new(Semaphore::new(MAX_READS)),
            has_spawned: AtomicBool::new(false),
        }
    }

    /// Has the store write what was appended, if the last frame `is_last` of those that came
    /// together and the store likes on this thread.
    pub(super) fn flush(&self, is_last: bool) {
        let has_spawned = self.has_spawned.swap(false, Ordering::Relaxed);
        self.context.store.flush(is_last && !has_spawned);
    }

    /// Asks the client to send no more requests. Refuses new requests and the waiting reads: the
    /// client can send them again elsewhere or later.
    pub(super) fn begin_drain(&self) {
        self.replies.endpoint.with(|session, output| {
            if let Some(frame) = session.drain() {
                output.send(frame.tag, frame.message);
            }
            session.refuse();
            let all: Vec<Tag> = session.requests().map(|(tag, _)| tag).collect();
            for tag in all {
                if end_read(session, tag) {
                    nack(tag, output);
                }
            }
        });
    }

    /// Takes the drain for confirmed: the client had its time for that.
    pub(super) fn agree_to_drain(&self) {
        self.replies.endpoint.with(|session, _| session.agree());
    }

    /// Returns true if the drain is confirmed: all of the client's requests have been read by then,
    /// and none is lost in the socket's buffer.
    pub(super) fn is_drain_agreed(&self) -> bool {
        let endpoint = &self.replies.endpoint;
        endpoint.with(|session, _| session.is_agreed())
    }

    /// Waits until no request is in progress.
    pub(super) async fn all_replied(&self) {
        self.in_progress.all_free().await;
    }

    /// Handles one frame. Waits while too many bytes are in progress.
    ///
    /// # Errors
    ///
    /// The client violated the protocol.
    pub(super) async fn handle_frame(&self, bytes: &Bytes) -> Result<(), CloseReason> {
        let endpoint = &self.replies.endpoint;
        // A statement of its own: the session is not locked while the request starts.
        let event = endpoint.with(|session, _| session.handle_frame(bytes));
        let not_valid = |tag, name: &str| {
            let text = format!("{name} is not valid in a session with a store");
            endpoint.send(tag, Message::Rerr { error: &text });
        };
        match event.map_err(violation)? {
            ServerEvent::Request(request) => match request.kind {
                RequestKind::Tdispatch => self.start(&request, bytes).await,
                RequestKind::Treq => not_valid(request.tag, "Treq"),
            },
            ServerEvent::Discarded(tag) => self.discard(tag),
            ServerEvent::Init { tag, .. } => not_valid(tag, "Tinit"),
            ServerEvent::Send(frame) => endpoint.send(frame.tag, frame.message),
            ServerEvent::Nothing => {}
            ServerEvent::Unexpected(_) => {
                return Err(CloseReason::Protocol(
                    "it replied to a request that was not sent".into(),
                ));
            }
        }
        Ok(())
    }

    /// Cancels a request that the client discarded. A waiting read ends; other requests are
    /// finished and get their reply.
    fn discard(&self, tag: Tag) {
        self.replies.endpoint.with(|session, output| {
            if end_read(session, tag) {
                output.send(tag, Message::Rdiscarded);
            }
        });
    }

    /// Starts a request; its reply is sent when it is finished.
    async fn start(&self, request: &ReceivedRequest<'_>, frame: &Bytes) {
        let tag = request.tag;
        let request = match decode::<Request<'_>>(request.payload) {
            Ok(request) => request,
            Err(malformed) => {
                let why = format!("the request is {malformed}");
                return self.replies.fail(tag, &why);
            }
        };
        match request {
            Request::Read {
                stream,
                from,
                limit,
            } => self.hold_read(tag, ReadRequest::Entries(stream, from, limit)),
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
                Ok(read) => self.hold_read(tag, read),
                Err(operation) => {
                    let room = self.in_progress.reserve(in_units(frame.len())).await;
                    self.spawn(tag, operation, room);
                }
            },
        }
    }

    fn append(&self, tag: Tag, lease: &Lease, entry: Entry, room: Reservation) {
        if !self.session.holds(lease) {
            let fenced = StoreError::Fenced(lease.stream.clone());
            return self.replies.refuse(tag, &Err(fenced));
        }
        self.keep(tag, InFlight::Write);
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
        self.context
            .store
            .append_later(lease, entry, Box::new(done));
    }

    fn keep(&self, tag: Tag, request: InFlight) {
        let endpoint = &self.replies.endpoint;
        endpoint.with(|session, _| session.start(tag, RequestKind::Tdispatch, request));
    }

    /// Starts a request that changes nothing. Its reply waits until the client has taken enough of
    /// the earlier ones.
    fn hold_read(&self, tag: Tag, request: ReadRequest) {
        let request = request.within(&self.context.settings);
        let permit = |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_owned().ok();
        let permits = permit(&self.context.bounds.reads).zip(permit(&self.reads));
        let Some(permits) = permits else {
            let limit = MAX_READS.min(self.context.settings.max_reads);
            return self
                .replies
                .refuse(tag, &Err(StoreError::Overloaded { limit }));
        };
        let (store, replies) = (Arc::clone(&self.context.store), Arc::clone(&self.replies));
        let context = Arc::clone(&self.context);
        let task = async move {
            let answered = AnswerGuard {
                replies: &replies,
                tag,
            };
            let (began, operation) = (Instant::now(), request.operation());
            let answer = request.answer(&*store, &replies.answers).await;
            let requests = &context.metrics.requests;
            requests.answered(operation, began.elapsed(), answer.as_ref().err());
            drop(answered);
            match answer {
                Ok((answer, room)) => replies.reply_read(tag, &answer, room),
                Err(error) => replies.reply(tag, &Err(error)),
            }
            drop(permits);
        };
        // Locked until the read is kept, so that its task finds it.
        self.replies.endpoint.with(|session, _| {
            self.has_spawned.store(true, Ordering::Relaxed);
            let read = InFlight::Read(tokio::spawn(task).abort_handle());
            session.start(tag, RequestKind::Tdispatch, read);
        });
    }

    /// Runs a request to its end, even if the connection is lost meanwhile: a granted lease must
    /// reach its session's table.
    fn spawn(&self, tag: Tag, operation: Operation, room: Reservation) {
        self.keep(tag, InFlight::Write);
        let (context, session, replies) = (
            Arc::clone(&self.context),
            Arc::clone(&self.session),
            Arc::clone(&self.replies),
        );
        self.has_spawned.store(true, Ordering::Relaxed);
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

/// Ends the task of a read. Returns false if the tag is not that of a read in flight.
fn end_read(session: &mut Server<InFlight>, tag: Tag) -> bool {
    let Some(InFlight::Read(read)) = session.request(tag) else {
        return false;
    };
    read.abort();
    session.finish(tag).is_some()
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
        self.replies.endpoint.with(|session, _| {
            for (_, request) in session.requests() {
                if let InFlight::Read(read) = request {
                    read.abort();
                }
            }
        });
    }
}

fn violation(error: ServerError) -> CloseReason {
    CloseReason::Protocol(match error {
        ServerError::Malformed(_, error) => format!("a frame is not a mux frame: {error}"),
        ServerError::TagInUse(tag) => format!("tag {tag} was used for two requests at once"),
    })
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
