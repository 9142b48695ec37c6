use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use distributedlog::{Cause, Dlsn, Failure};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::command::{Command, InFlightPermit, Reply};
use super::reply::{BulkReply, HandshakeReply, HostReply, Owner};
use crate::ClientCounters;
use crate::driver::{Body, SharedCounters, Token};
use crate::error::RequestError;

/// Bytes are counted in pieces of this size: a semaphore's permits are fewer than bytes may be.
const PIECE: usize = 1024;

/// A client of the write proxies: one connection to each, many requests in flight on it.
///
/// A cheap handle: clones share the connections, which one task drives. When the last clone is
/// dropped, or [`close`](Self::close) was called, the task finishes what is in flight and ends.
///
/// Every operation finds the stream's owner by itself, follows redirects and tries other proxies as
/// the settings allow. An operation waits while
/// [`max_in_flight`](crate::ProxyClientBuilder::max_in_flight) others are in flight.
///
/// # Cancel safety
///
/// Dropping an operation's future cancels the operation: if its request is in flight, the proxy
/// gets a discard, and may or may not have carried it out. Other operations are not affected.
#[derive(Clone, Debug)]
pub struct ProxyClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    places: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    max_pieces: u32,
    tokens: AtomicU64,
    counters: SharedCounters,
}

impl ProxyClient {
    /// A handle whose commands go to `commands`' other end: at most `max_in_flight` operations at a
    /// time, with `max_bytes` in them.
    pub(super) fn new(
        commands: mpsc::UnboundedSender<Command>,
        counters: SharedCounters,
        max_in_flight: usize,
        max_bytes: usize,
    ) -> Self {
        let max_pieces = max_bytes
            .div_ceil(PIECE)
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let (places, pieces) = (
            Arc::new(Semaphore::new(max_in_flight)),
            Arc::new(Semaphore::new(max_pieces)),
        );
        let max_pieces = u32::try_from(max_pieces).expect("clamped to it");
        Self {
            shared: Arc::new(Shared {
                commands,
                places,
                pieces,
                max_pieces,
                tokens: AtomicU64::new(0),
                counters,
            }),
        }
    }

    /// Appends one record to `stream`, and returns its position. The stream is created if
    /// necessary.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; its [`known`](RequestError::known) says if the record may be in the stream
    /// nevertheless.
    pub async fn write(&self, stream: &str, record: &[u8]) -> Result<Dlsn, RequestError> {
        self.write_data(stream, record, false).await
    }

    /// Appends a record set, header included, and returns the position of its first record.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; either all records are in the stream or none.
    pub async fn write_record_set(
        &self,
        stream: &str,
        record_set: &[u8],
    ) -> Result<Dlsn, RequestError> {
        self.write_data(stream, record_set, true).await
    }

    /// Appends these records one by one, and returns the result of each of them. A record that
    /// fails does not undo those before it; those behind it fail too.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if there is no result for the single records.
    pub async fn write_bulk<R: AsRef<[u8]>>(
        &self,
        stream: &str,
        records: &[R],
    ) -> Result<BulkReply, RequestError> {
        let records = records
            .iter()
            .map(|record| record.as_ref().to_vec())
            .collect();
        match self.run(stream, Body::BulkWrite(records)).await? {
            Reply::Bulk(replies) => Ok(replies),
            Reply::Done(_) | Reply::Owner(_) => {
                unreachable!("the driver answers a bulk write in kind")
            }
        }
    }

    /// Creates `stream`, unless it exists already: the proxy's reply is the same in both cases.
    /// Proxies of the original that keep a namespace in several parts reply
    /// [`LogExists`](distributedlog::StatusCode::LogExists).
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn create(&self, stream: &str) -> Result<(), RequestError> {
        self.run(stream, Body::Create).await.map(drop)
    }

    /// Deletes `stream` and all its records.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn delete(&self, stream: &str) -> Result<(), RequestError> {
        self.run(stream, Body::Delete).await.map(drop)
    }

    /// Drops the records of `stream` before `position`.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn truncate(&self, stream: &str, position: Dlsn) -> Result<(), RequestError> {
        self.run(stream, Body::Truncate(position)).await.map(drop)
    }

    /// Makes the owner of `stream` release it. The next write opens a new log segment, on the proxy
    /// that it reaches.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn release(&self, stream: &str) -> Result<(), RequestError> {
        self.run(stream, Body::Release).await.map(drop)
    }

    /// Writes a control record to `stream` and returns its position. Readers advance past it
    /// without delivering it: after a stream was taken over, it shows them that no record is
    /// missing before it.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn heartbeat(&self, stream: &str) -> Result<Option<Dlsn>, RequestError> {
        self.beat(stream, true).await
    }

    /// Checks that some proxy owns `stream` and can serve it, without writing anything that readers
    /// see.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn check(&self, stream: &str) -> Result<(), RequestError> {
        self.beat(stream, false).await.map(drop)
    }

    /// Returns the owner of `stream`.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn owner(&self, stream: &str) -> Result<Owner, RequestError> {
        match self.run(stream, Body::Owner).await? {
            Reply::Owner(owner) => Ok(owner),
            Reply::Done(_) | Reply::Bulk(_) => {
                unreachable!("the driver answers a question for the owner in kind")
            }
        }
    }

    /// Shakes hands with every known proxy, which refreshes what is known of who owns what. Empty
    /// when no proxy is known, or the client is closed.
    pub async fn handshake(&self) -> Vec<HostReply<HandshakeReply>> {
        self.broadcast(Command::Handshake).await
    }

    /// Makes every known proxy accept or refuse streams that it does not own yet. Returns an empty
    /// list if no proxy is known, or if the client is closed.
    pub async fn set_accept_new_stream(&self, enabled: bool) -> Vec<HostReply<()>> {
        self.broadcast(|reply| Command::SetAcceptNewStream { enabled, reply })
            .await
    }

    /// Returns the counters since the client was made: requests, redirects, owners known and not
    /// known, connections. They are updated once per turn of the task, and remain available after
    /// the client was closed.
    #[must_use]
    pub fn counters(&self) -> ClientCounters {
        self.shared.counters.get()
    }

    /// Takes no more operations from any clone of this handle, waits until those in flight have
    /// completed, discards the cancelled ones at the proxies, and closes the connections.
    /// Operations started after it fail with [`Cause::Closed`]. Closing twice has no effect.
    ///
    /// # Cancel safety
    ///
    /// Once polled, closing continues even if the future is dropped.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.shared.commands.send(Command::Close(reply)).is_ok() {
            // If the task ends first, the sender is dropped: the client is closed then, too.
            let _ = closed.await;
        }
    }

    async fn write_data(
        &self,
        stream: &str,
        data: &[u8],
        record_set: bool,
    ) -> Result<Dlsn, RequestError> {
        match self
            .run(
                stream,
                Body::Write {
                    data: data.to_vec(),
                    record_set,
                },
            )
            .await?
        {
            Reply::Done(Some(position)) => Ok(position),
            Reply::Done(None) | Reply::Bulk(_) | Reply::Owner(_) => {
                unreachable!("the driver answers a write with a position")
            }
        }
    }

    async fn beat(&self, stream: &str, to_reader: bool) -> Result<Option<Dlsn>, RequestError> {
        match self.run(stream, Body::Heartbeat { to_reader }).await? {
            Reply::Done(position) => Ok(position),
            Reply::Bulk(_) | Reply::Owner(_) => {
                unreachable!("the driver answers a heartbeat in kind")
            }
        }
    }

    async fn run(&self, stream: &str, body: Body) -> Result<Reply, RequestError> {
        let operation = body.name();
        let Some(room) = self.shared.room(body.bytes()).await else {
            return Err(closed(operation, stream));
        };
        let token = Token(self.shared.tokens.fetch_add(1, Ordering::Relaxed));
        let (reply, replied) = oneshot::channel();
        if self
            .shared
            .commands
            .send(Command::Start {
                token,
                stream: stream.into(),
                body,
                reply,
                room,
            })
            .is_err()
        {
            return Err(closed(operation, stream));
        }
        let mut guard = CancelOnDrop {
            shared: &self.shared,
            token: Some(token),
        };
        let replied = replied.await;
        guard.token = None;
        // A driver that ended without a reply may have sent the request.
        replied.unwrap_or_else(|_| {
            Err(RequestError {
                failure: Failure::unanswered(Cause::Closed),
                ..closed(operation, stream)
            })
        })
    }

    async fn broadcast<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Vec<HostReply<T>>>) -> Command,
    ) -> Vec<HostReply<T>> {
        let (reply, replies) = oneshot::channel();
        if self.shared.commands.send(command(reply)).is_err() {
            return Vec::new();
        }
        replies.await.unwrap_or_default()
    }
}

impl Shared {
    /// Waits for the permits of one operation with this number of bytes. An operation larger than
    /// the maximum takes all permits.
    async fn room(&self, bytes: usize) -> Option<InFlightPermit> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE))
            .unwrap_or(u32::MAX)
            .min(self.max_pieces);
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&self.pieces)
            .acquire_many_owned(pieces)
            .await
            .ok()?;
        Some(InFlightPermit {
            _place: place,
            _bytes: bytes,
        })
    }
}

fn closed(operation: &'static str, stream: &str) -> RequestError {
    RequestError {
        failure: Failure::not_sent(Cause::Closed),
        operation,
        stream: stream.into(),
        host: None,
        message: "".into(),
    }
}

/// Cancels the operation when its future is dropped.
struct CancelOnDrop<'a> {
    shared: &'a Shared,
    token: Option<Token>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            // If the driver has ended, there is nothing left to cancel.
            let _ = self.shared.commands.send(Command::Cancel(token));
        }
    }
}
