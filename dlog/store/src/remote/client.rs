//! The client of a served store.

mod connection;
mod handshake;
mod metrics;
mod reconnect;
mod state;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::ClientSettings;
use super::protocol::{Operation, Reply, ReplyResult, Request, decode, own_entries};
use crate::metrics::Registry;
use crate::uri::{HostPort, Uri};
use crate::{
    Acquired, AppendDone, Entry, Lease, LogStore, NamesPage, Owner, ReadBatch, ReadLimit,
    Retention, RetentionInfo, StoreError, StoreFuture, StoreId, StreamInfo, StreamName,
};
use connection::{CallOutcome, Connection};
use handshake::connect;
use reconnect::reconnect_loop;
use state::{ClientState, ConnectionState};

/// A longer wait counts as this one where a deadline is computed, which must not overflow.
const MAX_WAIT: Duration = Duration::from_secs(86_400);

/// Client of a store in another process, served by [`serve`](super::serve). Cheap to clone; the
/// clones share one connection.
///
/// The client reconnects after a lost connection, and resumes its session if the server still has
/// it. Appends that were in flight fail with [`StoreError::Disconnected`], because it is unknown
/// whether they were written; the client never retries them. New appends fail with
/// [`StoreError::Unreachable`] until there is a connection. Creating and deleting a stream waits
/// for a connection and is sent once. All other operations can be repeated, and are sent again.
///
/// After an interruption longer than the server's grace period, or a restart of the server, the
/// leases are gone: appends fail with [`StoreError::Fenced`], and the stream must be acquired
/// again.
///
/// Dropping the last clone closes the connection without ending the session, and the server keeps
/// the leases for the grace period. [`close`](LogStore::close) releases them at once.
#[derive(Clone)]
pub struct RemoteStore {
    shared: Arc<Shared>,
}

/// The connection that all clones share.
struct Shared {
    address: String,
    settings: ClientSettings,
    state: Arc<ClientState>,
    reconnecting: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    /// Closes the connection immediately. The outcome of requests in flight is unknown.
    fn abort(&self) {
        self.reconnecting.abort();
        if let ConnectionState::Up(connection) = self.state.connection() {
            let detail = "it was closed with requests in flight".to_owned();
            connection.fail_all(
                &StoreError::Disconnected {
                    address: self.address.clone(),
                    detail,
                },
                StoreError::Closed,
            );
        }
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore")
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

/// Treatment of a request whose connection was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnLoss {
    /// Send it again: it changes nothing, or a second time has the same effect.
    Retry,
    /// Fail: it is unknown whether it was carried out.
    Fail,
}

/// Returns true if a ZooKeeper server answers at one of these addresses, so that a namespace there
/// is BookKeeper's.
///
/// # Cancel safety
///
/// Dropping the future closes its connection.
pub async fn is_zookeeper(hosts: &[HostPort]) -> bool {
    let settings = ClientSettings::default();
    for host in hosts {
        if handshake::zookeeper_version(host, &settings)
            .await
            .is_some()
        {
            return true;
        }
    }
    false
}

impl RemoteStore {
    /// Connects to the URI's host. Must be called on a tokio runtime with time and I/O.
    ///
    /// The client stays with the store that answers now: later connections to another one at the
    /// same address are refused.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if the host cannot be reached; [`StoreError::Refused`] if it is
    /// not a usable store (ZooKeeper, a write proxy, another version of the protocol, another
    /// namespace) or there are several; [`StoreError::InvalidSetting`] if a setting is outside
    /// its range.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn connect(uri: &Uri, settings: ClientSettings) -> Result<Self, StoreError> {
        settings.check()?;
        let established = connect(uri, &settings, None).await?;
        let connection = Arc::clone(&established.connection);
        let state = Arc::new(ClientState::new(ConnectionState::Up(Arc::clone(
            &connection,
        ))));
        state.note_store(connection.welcome.store);
        let reconnecting = tokio::spawn(reconnect_loop(
            uri.clone(),
            settings.clone(),
            established,
            Arc::clone(&state),
        ));
        Ok(Self {
            shared: Arc::new(Shared {
                address: uri.to_string(),
                settings,
                state,
                reconnecting,
            }),
        })
    }

    /// Returns the time for which the server keeps this client's leases after its connection is
    /// lost, or `None` while there is no connection.
    #[must_use]
    pub fn session_grace(&self) -> Option<Duration> {
        match self.shared.state.connection() {
            ConnectionState::Up(connection) => {
                Some(Duration::from_millis(connection.welcome.grace_ms.into()))
            }
            ConnectionState::Down(_) => None,
        }
    }

    /// Waits for a connection until `deadline`.
    async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, StoreError> {
        let up = self
            .shared
            .state
            .wait_for(|connection| matches!(connection, ConnectionState::Up(_)));
        let connection = match timeout_at(deadline, up).await {
            Ok(connection) => connection.ok_or(StoreError::Closed)?,
            Err(_) => self.shared.state.connection(),
        };
        match connection {
            ConnectionState::Up(connection) => Ok(connection),
            ConnectionState::Down(error) => Err(error),
        }
    }

    /// Sends the request, again after a lost connection if `on_loss` allows it, until there is a
    /// reply or the retry timeout has passed in addition to `wait`.
    async fn call(
        &self,
        request: Request<'_>,
        on_loss: OnLoss,
        wait: Duration,
    ) -> Result<Bytes, StoreError> {
        let deadline = Instant::now() + self.shared.settings.retry_timeout + wait;
        loop {
            let connection = self.connection(deadline).await?;
            match connection.call(&request).await {
                CallOutcome::Replied(frame) => return Ok(frame),
                CallOutcome::Lost(error @ StoreError::Refused { .. }) => return Err(error),
                CallOutcome::Lost(error)
                    if on_loss == OnLoss::Fail || Instant::now() >= deadline =>
                {
                    return Err(error);
                }
                CallOutcome::Lost(_) | CallOutcome::NotStarted => {
                    // The reconnect loop has noticed, or is about to notice, the end of this
                    // connection. Wait for the next one instead of trying this one again.
                    let other = |state: &ConnectionState| match state {
                        ConnectionState::Up(up) => !Arc::ptr_eq(up, &connection),
                        ConnectionState::Down(_) => true,
                    };
                    timeout_at(deadline, self.shared.state.wait_for(other))
                        .await
                        .ok();
                    if Instant::now() >= deadline {
                        return Err(self
                            .connection(deadline)
                            .await
                            .err()
                            .unwrap_or_else(|| self.no_capacity()));
                    }
                }
            }
        }
    }

    /// Error of a request that was not accepted on a connection before its deadline.
    fn no_capacity(&self) -> StoreError {
        let detail = "too many requests are unanswered, or the server is shutting down".to_owned();
        StoreError::Unreachable {
            address: self.shared.address.clone(),
            detail,
        }
    }

    async fn run<T>(
        &self,
        operation: Operation,
        on_loss: OnLoss,
        take: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<T, StoreError> {
        let frame = self
            .call(Request::Do(operation), on_loss, Duration::ZERO)
            .await?;
        self.read_reply(&frame, take)
    }

    fn read_reply<T>(
        &self,
        frame: &Bytes,
        take: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<T, StoreError> {
        let malformed_reply = |detail| StoreError::Disconnected {
            address: self.shared.address.clone(),
            detail,
        };
        let reply = decode::<ReplyResult<'_>>(frame)
            .map_err(|malformed| malformed_reply(format!("the reply is {malformed}")))??;
        take(reply)
            .ok_or_else(|| malformed_reply("the reply belongs to another request".to_owned()))
    }

    async fn run_done(&self, operation: Operation, on_loss: OnLoss) -> Result<(), StoreError> {
        self.run(operation, on_loss, |response| {
            matches!(response, Reply::Done).then_some(())
        })
        .await
    }

    async fn names_page(
        &self,
        after: Option<StreamName>,
        prefix: String,
        limit: usize,
    ) -> Result<NamesPage, StoreError> {
        let page = Operation::List {
            after,
            prefix,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        self.run(page, OnLoss::Retry, |reply| {
            let Reply::Names { names, more } = reply else {
                return None;
            };
            Some(NamesPage { names, more })
        })
        .await
    }

    async fn all_names(&self) -> Result<Vec<StreamName>, StoreError> {
        let mut all: Vec<StreamName> = Vec::new();
        loop {
            let after = all.last().cloned();
            let page = self.names_page(after, String::new(), usize::MAX).await?;
            all.extend(page.names);
            if !page.more {
                return Ok(all);
            }
        }
    }

    async fn read_until(
        &self,
        stream: StreamName,
        from: Dlsn,
        mut limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError> {
        let deadline = Instant::now().checked_add(limit.wait);
        let mut wait = limit.wait;
        loop {
            let request = Request::Read {
                stream: stream.clone(),
                from,
                limit: ReadLimit { wait, ..limit },
            };
            let frame = self
                .call(request, OnLoss::Retry, wait.min(MAX_WAIT))
                .await?;
            let batch = self.read_reply(&frame, |reply| {
                let Reply::Batch {
                    entries,
                    next,
                    start,
                    created_unix_ms,
                } = reply
                else {
                    return None;
                };
                Some(ReadBatch {
                    entries: own_entries(&entries, &frame),
                    next,
                    start,
                    created_unix_ms,
                })
            })?;
            // The server may hold a read for a shorter time than requested: ask for the rest of it.
            wait = deadline.map_or(limit.wait, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if !batch.entries.is_empty() || wait.is_zero() {
                return Ok(batch);
            }
            // The rest of the wait is for the same stream, not for one that gets its name.
            limit.created_unix_ms = Some(batch.created_unix_ms);
        }
    }

    async fn disconnect(&self) -> Result<(), StoreError> {
        if self.shared.state.close() {
            return Ok(());
        }
        if let ConnectionState::Up(connection) = self.shared.state.connection() {
            let limit = self.shared.settings.retry_timeout;
            // Ending the session fences its leases, so it must come after all appends.
            let end = async {
                connection.stop_accepting(StoreError::Closed);
                connection.all_appends_done().await;
                connection.end_session().await
            };
            timeout(limit, end).await.ok();
        }
        self.shared.abort();
        Ok(())
    }
}

impl LogStore for RemoteStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(Operation::Create(stream.clone()), OnLoss::Fail))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(Operation::Delete(stream.clone()), OnLoss::Fail))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        Box::pin(self.all_names())
    }

    fn list_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> StoreFuture<'_, NamesPage> {
        Box::pin(self.names_page(after.cloned(), prefix.to_owned(), limit))
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        Box::pin(self.run(
            Operation::Describe(stream.clone()),
            OnLoss::Retry,
            |reply| {
                let Reply::Info(info) = reply else {
                    return None;
                };
                Some(info)
            },
        ))
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        let acquire = Operation::Acquire {
            stream: stream.clone(),
            owner: owner.clone(),
        };
        // Can be sent again: the same owner gets another lease, which fences the first one, and
        // only the last one is returned.
        Box::pin(self.run(acquire, OnLoss::Retry, |reply| {
            let Reply::Acquired(acquired) = reply else {
                return None;
            };
            Some(acquired)
        }))
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(Operation::Release(lease.clone()), OnLoss::Retry))
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        if self.shared.state.is_closed() {
            return done(Err(StoreError::Closed));
        }
        // `done` must not run with the state locked: it may call this store.
        match self.shared.state.connection() {
            ConnectionState::Up(connection) => connection.append(lease, &entry, done),
            ConnectionState::Down(error) => done(Err(error)),
        }
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(
            Operation::Truncate {
                stream: stream.clone(),
                before,
            },
            OnLoss::Retry,
        ))
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        Box::pin(self.read_until(stream.clone(), from, limit))
    }

    fn set_retention(
        &self,
        stream: Option<&StreamName>,
        retention: Option<Retention>,
    ) -> StoreFuture<'_, ()> {
        let stream = stream.cloned();
        let set = Operation::SetRetention { stream, retention };
        Box::pin(self.run_done(set, OnLoss::Retry))
    }

    fn retention(&self, stream: Option<&StreamName>) -> StoreFuture<'_, RetentionInfo> {
        let operation = Operation::Retention(stream.cloned());
        Box::pin(self.run(operation, OnLoss::Retry, |reply| {
            let Reply::Retention(info) = reply else {
                return None;
            };
            Some(info)
        }))
    }

    fn check_health(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            // Without waiting for a connection: that there is none is the answer.
            if let ConnectionState::Down(error) = self.shared.state.connection() {
                return Err(error);
            }
            self.run_done(Operation::CheckHealth, OnLoss::Fail).await
        })
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.shared.state.metrics.register(registry);
    }

    fn identity(&self) -> Option<StoreId> {
        self.shared.state.store_id()
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.disconnect())
    }
}
