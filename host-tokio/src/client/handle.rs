use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use distributedlog::client::routing::{RetryPolicy, StreamKey};
use distributedlog::{Cause, Dlsn, Failure, FailureDomain};
use tokio::sync::{mpsc, oneshot};

use super::command::{Command, Reply};
use super::reply::{BulkReply, HandshakeReply, HostReply, Owner};
use super::room::Room;
use crate::driver::{Body, Driver, SharedCounters, SharedDomains, SharedPool, Token};
use crate::error::RequestError;
use crate::{ClientCounters, TokioClock};

/// A client of the write proxies: one connection to each, many requests in flight on it.
///
/// A cheap handle: clones share the connections, which one task drives, and so do
/// [writers](crate::MultiStreamWriterBuilder::shared_client) that are given one. When the last of
/// them is dropped, or [`close`](Self::close) was called, the task finishes what is in flight and
/// ends.
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
    room: Room,
    tokens: AtomicU64,
    counters: SharedCounters,
    pool: SharedPool,
    domains: SharedDomains,
    clock: TokioClock,
    /// Rule for the attempts of writers.
    attempt_policy: RetryPolicy,
    /// Numbers the client among those of the process, for its metrics.
    #[cfg(feature = "metrics")]
    number: u64,
}

impl ProxyClient {
    /// A handle of `driver`, whose commands go to `commands`' other end: at most `max_in_flight`
    /// operations at a time, with `max_bytes` in them.
    pub(super) fn new(
        commands: mpsc::UnboundedSender<Command>,
        driver: &Driver,
        clock: TokioClock,
        attempt_policy: RetryPolicy,
        max_in_flight: usize,
        max_bytes: usize,
    ) -> Self {
        #[cfg(feature = "metrics")]
        static CLIENTS: AtomicU64 = AtomicU64::new(1);
        Self {
            shared: Arc::new(Shared {
                commands,
                room: Room::new(max_in_flight, max_bytes),
                tokens: AtomicU64::new(0),
                counters: driver.counters(),
                pool: driver.pool().clone(),
                domains: driver.domains().clone(),
                clock,
                attempt_policy,
                #[cfg(feature = "metrics")]
                number: CLIENTS.fetch_add(1, Ordering::Relaxed),
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

    /// Takes no more operations from any clone of this handle, nor attempts of writers that share
    /// it, waits until those in flight have completed, discards the cancelled ones at the proxies,
    /// and closes the connections. Its writers end with it.
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
                    data: self.shared.pool.copy(data),
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
        let room = &self.shared.room;
        let Some(room) = room.acquire(room.pieces(body.bytes())).await else {
            return Err(closed(operation, stream));
        };
        let token = self.next_token();
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

/// What the writers that share the client need of it.
impl ProxyClient {
    /// Sends a command to the client's task. If that has ended, the command is dropped.
    pub(super) fn send(&self, command: Command) {
        let _ = self.shared.commands.send(command);
    }

    /// Announces streams that will be written to.
    pub(crate) fn prepare(&self, streams: Vec<StreamKey>) {
        self.send(Command::Prepare(streams));
    }

    /// Returns `true` once the client's task has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.commands.is_closed()
    }

    pub(super) fn next_token(&self) -> Token {
        Token(self.shared.tokens.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn room(&self) -> &Room {
        &self.shared.room
    }

    /// Returns the failure domain of a stream, as of the last attempt that the client has started
    /// there.
    pub(crate) fn failure_domain(&self, stream: StreamKey) -> Option<FailureDomain> {
        self.shared.domains.get(stream)
    }

    /// Returns the pool of buffers for records.
    pub(crate) fn pool(&self) -> &SharedPool {
        &self.shared.pool
    }

    /// Returns the clock of the client's deadlines.
    pub(crate) fn clock(&self) -> TokioClock {
        self.shared.clock
    }

    /// Returns the rule for the attempts of writers.
    pub(crate) fn attempt_policy(&self) -> RetryPolicy {
        self.shared.attempt_policy
    }

    pub(crate) fn shared_counters(&self) -> SharedCounters {
        self.shared.counters.clone()
    }

    /// Returns the client's number among those of the process.
    #[cfg(feature = "metrics")]
    pub(crate) fn number(&self) -> u64 {
        self.shared.number
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
