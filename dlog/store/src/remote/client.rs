//! The side that uses the store.

mod hello;
mod keeper;
mod link;
mod state;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::ClientSettings;
use super::protocol::{Answer, Operation, Request, Response, decode, own_entries};
use crate::uri::Uri;
use crate::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreError,
    StoreFuture, StreamInfo, StreamName,
};
use hello::connect;
use keeper::keep;
use link::{Link, Outcome};
use state::{Connection, State};

/// A store in another process, behind [`serve`](super::serve). Cheap to clone; the clones share one
/// connection.
///
/// A lost connection is made again, with the same session as long as the server keeps it. Appends
/// that were in flight then fail with [`StoreError::Disconnected`], for it is not known whether
/// they were written, and are never sent again by themselves; new ones fail with
/// [`StoreError::Unreachable`] until there is a connection. Reads, lists and descriptions are asked
/// again; other operations wait for a connection to be sent on, and are sent once. After a time
/// longer than the server's grace, or after the server's own restart, leases are gone: appends fail
/// with [`StoreError::Fenced`], and the stream must be acquired again.
///
/// When the last clone is dropped, the connection is closed without saying good-bye, and the leases
/// live on for the time of grace; [`close`](LogStore::close) gives them back at once.
#[derive(Clone)]
pub struct RemoteStore {
    shared: Arc<Shared>,
}

struct Shared {
    address: String,
    settings: ClientSettings,
    state: Arc<State>,
    keeper: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Shared {
    /// Ends the connection now. Whatever was unanswered is unknown.
    fn hang_up(&self) {
        self.keeper.abort();
        if let Connection::Up(link) = self.state.connection() {
            let detail = "it was closed with requests in flight".to_owned();
            link.lose(
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

/// What may be done with a request whose connection was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It changes nothing, or the same once more: ask again.
    Ask,
    /// Say that it is not known.
    Never,
}

impl RemoteStore {
    /// Connects to the first of the URI's hosts that answers. Must be called on a tokio runtime
    /// with time and I/O.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when no host can be reached; [`StoreError::Refused`] when what
    /// answers is no store that can be used: ZooKeeper, a write proxy, another version of the
    /// protocol, another namespace.
    pub async fn connect(uri: &Uri, settings: ClientSettings) -> Result<Self, StoreError> {
        let greeted = connect(uri, &settings, None).await?;
        let link = Arc::new(Link::new(
            greeted.welcome.clone(),
            greeted.address.clone(),
            settings.max_append_bytes,
        ));
        let state = Arc::new(State::new(Connection::Up(Arc::clone(&link))));
        let keeper = tokio::spawn(keep(
            uri.clone(),
            settings.clone(),
            (greeted, link),
            Arc::clone(&state),
        ));
        Ok(Self {
            shared: Arc::new(Shared {
                address: uri.to_string(),
                settings,
                state,
                keeper,
            }),
        })
    }

    /// How long the server keeps this client's leases after its connection is lost.
    #[must_use]
    pub fn session_grace(&self) -> Option<Duration> {
        match self.shared.state.connection() {
            Connection::Up(link) => Some(Duration::from_millis(link.welcome.grace_ms.into())),
            Connection::Down(_) => None,
        }
    }

    /// The connection, when there is one before `deadline`.
    async fn link(&self, deadline: Instant) -> Result<Arc<Link>, StoreError> {
        let up = self
            .shared
            .state
            .wait_for(|connection| matches!(connection, Connection::Up(_)));
        let connection = match timeout_at(deadline, up).await {
            Ok(connection) => connection.ok_or(StoreError::Closed)?,
            Err(_) => self.shared.state.connection(),
        };
        match connection {
            Connection::Up(link) => Ok(link),
            Connection::Down(error) => Err(error),
        }
    }

    /// Asks until there is an answer, as far as `again` and the time of patience beyond `wait`
    /// allow.
    async fn ask(
        &self,
        request: Request<'_>,
        again: Again,
        wait: Duration,
    ) -> Result<Bytes, StoreError> {
        let deadline = Instant::now() + self.shared.settings.patience + wait;
        loop {
            let link = self.link(deadline).await?;
            match link.call(&request).await {
                Outcome::Answered(frame) => return Ok(frame),
                Outcome::Lost(error @ StoreError::Refused { .. }) => return Err(error),
                Outcome::Lost(error) if again == Again::Never || Instant::now() >= deadline => {
                    return Err(error);
                }
                Outcome::Lost(_) | Outcome::NotStarted => {
                    // The keeper has seen, or is about to see, what happened to this link; until
                    // then it is no use.
                    let other = |connection: &Connection| !matches!(connection, Connection::Up(up) if Arc::ptr_eq(up, &link));
                    timeout_at(deadline, self.shared.state.wait_for(other))
                        .await
                        .ok();
                    if Instant::now() >= deadline {
                        return Err(self
                            .link(deadline)
                            .await
                            .err()
                            .unwrap_or_else(|| self.busy()));
                    }
                }
            }
        }
    }

    /// What a request is told that found a connection, but no place on it for as long as it could
    /// wait.
    fn busy(&self) -> StoreError {
        let detail = "too many requests are unanswered, or the server is shutting down".to_owned();
        StoreError::Unreachable {
            address: self.shared.address.clone(),
            detail,
        }
    }

    async fn run<T>(
        &self,
        operation: Operation,
        again: Again,
        take: impl FnOnce(Response<'_>) -> Option<T>,
    ) -> Result<T, StoreError> {
        let frame = self
            .ask(Request::Do(operation), again, Duration::ZERO)
            .await?;
        self.read_answer(&frame, take)
    }

    fn read_answer<T>(
        &self,
        frame: &Bytes,
        take: impl FnOnce(Response<'_>) -> Option<T>,
    ) -> Result<T, StoreError> {
        let strange = |detail| StoreError::Disconnected {
            address: self.shared.address.clone(),
            detail,
        };
        let response = decode::<Answer<'_>>(frame)
            .map_err(|malformed| strange(format!("the answer is {malformed}")))??;
        take(response).ok_or_else(|| strange("the answer belongs to another request".to_owned()))
    }

    async fn run_done(&self, operation: Operation, again: Again) -> Result<(), StoreError> {
        self.run(operation, again, |response| {
            matches!(response, Response::Done).then_some(())
        })
        .await
    }

    async fn all_names(&self) -> Result<Vec<StreamName>, StoreError> {
        let mut all: Vec<StreamName> = Vec::new();
        loop {
            let page = Operation::List {
                after: all.last().cloned(),
            };
            let (names, more) = self
                .run(page, Again::Ask, |response| match response {
                    Response::Names { names, more } => Some((names, more)),
                    Response::Done
                    | Response::Info(_)
                    | Response::Acquired(_)
                    | Response::Appended(_)
                    | Response::Batch { .. } => None,
                })
                .await?;
            all.extend(names);
            if !more {
                return Ok(all);
            }
        }
    }

    async fn read_on(
        &self,
        stream: StreamName,
        from: Dlsn,
        limit: ReadLimit,
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
                .ask(request, Again::Ask, wait.min(Duration::from_secs(86_400)))
                .await?;
            let batch = self.read_answer(&frame, |response| match response {
                Response::Batch {
                    entries,
                    next,
                    start,
                    created_unix_ms,
                } => Some(ReadBatch {
                    entries: own_entries(&entries, &frame),
                    next,
                    start,
                    created_unix_ms,
                }),
                Response::Done
                | Response::Info(_)
                | Response::Acquired(_)
                | Response::Appended(_)
                | Response::Names { .. } => None,
            })?;
            // The server may hold a read for a shorter time than was asked for.
            wait = deadline.map_or(limit.wait, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if !batch.entries.is_empty() || wait.is_zero() {
                return Ok(batch);
            }
        }
    }

    async fn say_goodbye(&self) -> Result<(), StoreError> {
        if self.shared.state.close() {
            return Ok(());
        }
        if let Connection::Up(link) = self.shared.state.connection() {
            let patience = self.shared.settings.patience;
            // An append that is sent after the good-bye would be fenced, so the good-bye comes
            // last.
            let goodbye = async {
                link.refuse(StoreError::Closed);
                link.settle().await;
                link.leave().await
            };
            timeout(patience, goodbye).await.ok();
        }
        self.shared.hang_up();
        Ok(())
    }
}

impl LogStore for RemoteStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(Operation::Create(stream.clone()), Again::Never))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(Operation::Delete(stream.clone()), Again::Never))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        Box::pin(self.all_names())
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        Box::pin(self.run(
            Operation::Describe(stream.clone()),
            Again::Ask,
            |response| match response {
                Response::Info(info) => Some(info),
                Response::Done
                | Response::Names { .. }
                | Response::Acquired(_)
                | Response::Appended(_)
                | Response::Batch { .. } => None,
            },
        ))
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        let acquire = Operation::Acquire {
            stream: stream.clone(),
            owner: owner.clone(),
        };
        // The same owner asking twice has the later lease, which is the one it gets to know.
        Box::pin(self.run(acquire, Again::Ask, |response| match response {
            Response::Acquired(acquired) => Some(acquired),
            Response::Done
            | Response::Names { .. }
            | Response::Info(_)
            | Response::Appended(_)
            | Response::Batch { .. } => None,
        }))
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(Operation::Release(lease.clone()), Again::Ask))
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        if self.shared.state.is_closed() {
            return done(Err(StoreError::Closed));
        }
        // `done` does not run with the state locked: it may well call this store again.
        match self.shared.state.connection() {
            Connection::Up(link) => link.append(lease, &entry, done),
            Connection::Down(error) => done(Err(error)),
        }
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        Box::pin(self.run_done(
            Operation::Truncate {
                stream: stream.clone(),
                before,
            },
            Again::Ask,
        ))
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        Box::pin(self.read_on(stream.clone(), from, limit))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.say_goodbye())
    }
}
