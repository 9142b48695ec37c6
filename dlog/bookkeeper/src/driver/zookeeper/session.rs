use core::fmt;
use core::future::Future;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use zookeeper_client::{Client, MultiWriteError, OneshotWatcher};

use super::Login;
use super::convert::{self, Connection};
use crate::zookeeper::{
    Access, CreateMode, MultiError, NodeWatch, Op, OpReply, SessionEnd, Stat, ZooKeeper,
    ZooKeeperError,
};

/// Settings of a session.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// Session timeout to ask for; servers have limits of their own. Default: 30 s.
    pub session_timeout: Duration,
    /// Maximum time to begin a session. Default: 10 s.
    pub connect_timeout: Duration,
    /// Maximum time of a request, including the time to reconnect. Default: 10 s.
    pub request_timeout: Duration,
    /// Maximum requests in flight; others wait. Default: 1024.
    pub max_requests: usize,
    /// User, or `None` for none.
    pub login: Option<Login>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            max_requests: 1024,
            login: None,
        }
    }
}

/// Error of beginning a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The servers' names are not `host:port,host:port`.
    Servers {
        /// The names.
        servers: String,
        /// Why they do not parse.
        reason: String,
    },
    /// No server began a session in time.
    Timeout {
        /// The names.
        servers: String,
        /// The time.
        after: Duration,
    },
    /// The login was refused.
    AuthFailed,
    /// A server could not begin a session.
    Failed {
        /// The names.
        servers: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers { servers, reason } => {
                write!(f, "{servers:?} are not ZooKeeper servers: {reason}")
            }
            Self::Timeout { servers, after } => write!(
                f,
                "no ZooKeeper server of {servers} began a session within {after:?}"
            ),
            Self::AuthFailed => f.write_str("ZooKeeper refused the login"),
            Self::Failed { servers, reason } => {
                write!(f, "no session with ZooKeeper at {servers}: {reason}")
            }
        }
    }
}

impl core::error::Error for ConnectError {}

/// A session with a ZooKeeper ensemble. Clones are the same session.
///
/// It ends when its last clone is dropped, and then its ephemeral nodes are deleted;
/// [`close`](Self::close) waits for that.
///
/// A request waits while the connection is lost, up to its timeout. So
/// [`Unavailable`](ZooKeeperError::Unavailable) says that it was not sent.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    client: Client,
    connection: watch::Receiver<Connection>,
    heard: Arc<Heard>,
    permits: Semaphore,
    request_timeout: Duration,
    /// Heartbeats, which hold a client that would keep the session.
    heartbeats: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.heartbeats.abort();
    }
}

/// Time at which the request was sent that was answered last.
struct Heard {
    start: Instant,
    /// Microseconds since the start.
    last: AtomicU64,
}

impl Heard {
    fn answered(&self, sent: Instant) {
        let micros = sent.duration_since(self.start).as_micros();
        // 64 bits of microseconds are 584,000 years.
        self.last
            .fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    fn silence(&self) -> Duration {
        let last = Duration::from_micros(self.last.load(Ordering::Acquire));
        self.start.elapsed().saturating_sub(last)
    }
}

/// A request that may be sent now.
struct Ready<'a> {
    _permit: SemaphorePermit<'a>,
    sent: Instant,
    deadline: Instant,
}

/// A session whose ensemble was silent for this many times its timeout has ended, whatever the
/// client thinks of it. The client itself gives up after 7/5 of the timeout.
const SILENT_TIMEOUTS: u32 = 2;

/// Heartbeats within a session timeout. Six, so that four of six may be lost before two thirds of
/// the timeout have passed, after which owners stop.
const HEARTBEATS: u32 = 6;

impl Session {
    /// Begins a session with one of the servers, `host:port,host:port`; semicolons separate too, as
    /// in DistributedLog's URIs.
    ///
    /// # Errors
    /// [`ConnectError`] if the names do not parse, or no server begins a session in time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no session, or one that expires.
    pub async fn connect(servers: &str, settings: &SessionSettings) -> Result<Self, ConnectError> {
        let servers = servers.replace(';', ",");
        let mut connector = Client::connector().with_session_timeout(settings.session_timeout);
        if let Some(login) = &settings.login {
            connector = connector.with_auth("digest", login.as_bytes());
        }
        let start = Instant::now();
        let after = settings.connect_timeout;
        let client = match timeout(after, connector.connect(&servers)).await {
            Ok(Ok(client)) => client,
            Err(_) | Ok(Err(zookeeper_client::Error::Timeout)) => {
                return Err(ConnectError::Timeout { servers, after });
            }
            Ok(Err(zookeeper_client::Error::AuthFailed)) => return Err(ConnectError::AuthFailed),
            Ok(Err(zookeeper_client::Error::BadArguments(reason))) => {
                let reason = (*reason).to_owned();
                return Err(ConnectError::Servers { servers, reason });
            }
            Ok(Err(error)) => {
                let reason = error.to_string();
                return Err(ConnectError::Failed { servers, reason });
            }
        };
        Ok(Self::new(client, start, settings))
    }

    fn new(client: Client, start: Instant, settings: &SessionSettings) -> Self {
        // The ensemble heard of the session after `start`.
        let heard = Arc::new(Heard {
            start,
            last: AtomicU64::new(0),
        });
        let (sender, connection) = watch::channel(convert::connection(client.state()));
        let heartbeats = tokio::spawn(follow(
            client.clone(),
            sender,
            Arc::clone(&heard),
            settings.request_timeout,
        ));
        Self(Arc::new(Inner {
            client,
            connection,
            heard,
            permits: Semaphore::new(settings.max_requests.clamp(1, Semaphore::MAX_PERMITS)),
            request_timeout: settings.request_timeout,
            heartbeats,
        }))
    }

    /// Ends the session if this is its last clone, and waits until the ensemble has deleted its
    /// ephemeral nodes, at most for the request timeout. A program that ends earlier leaves them to
    /// the session's timeout.
    pub async fn close(self) {
        let limit = self.0.request_timeout;
        let Some(inner) = Arc::into_inner(self.0) else {
            return;
        };
        let mut states = inner.client.state_watcher();
        drop(inner);
        let closed = async { while !states.changed().await.is_terminated() {} };
        // After the timeout nothing more can be done: the session expires.
        _ = timeout(limit, closed).await;
    }

    /// Waits until a request may be sent.
    async fn ready(&self) -> Result<Ready<'_>, ZooKeeperError> {
        let deadline = Instant::now() + self.0.request_timeout;
        let connected = async {
            let permit = self.0.permits.acquire().await;
            let mut connection = self.0.connection.clone();
            let state = connection
                .wait_for(|state| *state != Connection::Disconnected)
                .await;
            match (permit, state.as_deref()) {
                (Ok(permit), Ok(Connection::Connected)) => Ok(permit),
                // The semaphore is never closed, and the task that sends states ends with them.
                (Ok(_) | Err(_), _) => Err(ZooKeeperError::SessionEnded),
            }
        };
        match timeout_at(deadline, connected).await {
            Ok(permit) => Ok(Ready {
                _permit: permit?,
                sent: Instant::now(),
                deadline,
            }),
            Err(_) => Err(ZooKeeperError::Unavailable),
        }
    }

    /// Waits for the reply to a request. The client has no timeout of its own.
    async fn reply<T>(
        &self,
        ready: Ready<'_>,
        reply: impl Future<Output = Result<T, zookeeper_client::Error>>,
    ) -> Result<T, ZooKeeperError> {
        let Ok(reply) = timeout_at(ready.deadline, reply).await else {
            return Err(ZooKeeperError::Lost);
        };
        let reply = reply.map_err(|error| convert::error(&error));
        if heard(&reply) {
            self.0.heard.answered(ready.sent);
        }
        reply
    }
}

/// Returns true if a reply came from the ensemble, which then has heard from the session.
const fn heard<T>(reply: &Result<T, ZooKeeperError>) -> bool {
    !matches!(
        reply,
        Err(ZooKeeperError::Lost | ZooKeeperError::SessionEnded | ZooKeeperError::Refused(_))
    )
}

/// Forwards the session's states, and keeps the silence short, until the session ends.
async fn follow(
    client: Client,
    sender: watch::Sender<Connection>,
    heard: Arc<Heard>,
    request_timeout: Duration,
) {
    let mut states = client.state_watcher();
    let forward = async {
        // The state may have changed before the watcher was made.
        let mut state = convert::connection(client.state());
        loop {
            sender.send_replace(state);
            if let Connection::Ended(_) = state {
                return;
            }
            state = convert::connection(states.changed().await);
        }
    };
    tokio::select! {
        () = forward => {}
        () = keep_heard(&client, &heard, request_timeout) => {
            sender.send_replace(Connection::Ended(SessionEnd::Expired));
        }
    }
}

/// Asks the ensemble for something small whenever it was silent for a beat. Returns when it was
/// silent for so long that the session must have ended.
async fn keep_heard(client: &Client, heard: &Heard, request_timeout: Duration) {
    let session_timeout = client.session_timeout();
    let beat = session_timeout / HEARTBEATS;
    // Bounded: at most one request in a beat.
    while heard.silence() < session_timeout * SILENT_TIMEOUTS {
        let silence = heard.silence();
        if silence < beat {
            sleep(beat - silence).await;
            continue;
        }
        let sent = Instant::now();
        let limit = request_timeout.min(session_timeout);
        match timeout(limit, client.check_stat("/")).await {
            Ok(Ok(_)) => heard.answered(sent),
            Ok(Err(_)) | Err(_) => sleep(beat).await,
        }
    }
}

fn watched(watcher: OneshotWatcher) -> NodeWatch {
    NodeWatch::new(async move { convert::node_event(&watcher.changed().await) })
}

impl ZooKeeper for Session {
    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), ZooKeeperError> {
        let ready = self.ready().await?;
        let (data, stat) = self.reply(ready, self.0.client.get_data(path)).await?;
        Ok((data, convert::stat(&stat)))
    }

    async fn get_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<u8>, Stat, NodeWatch), ZooKeeperError> {
        let ready = self.ready().await?;
        let (data, stat, watcher) = self
            .reply(ready, self.0.client.get_and_watch_data(path))
            .await?;
        Ok((data, convert::stat(&stat), watched(watcher)))
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, ZooKeeperError> {
        let ready = self.ready().await?;
        let stat = self.reply(ready, self.0.client.check_stat(path)).await?;
        Ok(stat.as_ref().map(convert::stat))
    }

    async fn exists_and_watch(
        &self,
        path: &str,
    ) -> Result<(Option<Stat>, NodeWatch), ZooKeeperError> {
        let ready = self.ready().await?;
        let (stat, watcher) = self
            .reply(ready, self.0.client.check_and_watch_stat(path))
            .await?;
        Ok((stat.as_ref().map(convert::stat), watched(watcher)))
    }

    async fn children(&self, path: &str) -> Result<(Vec<String>, Stat), ZooKeeperError> {
        let ready = self.ready().await?;
        let (names, stat) = self.reply(ready, self.0.client.get_children(path)).await?;
        Ok((names, convert::stat(&stat)))
    }

    async fn children_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, Stat, NodeWatch), ZooKeeperError> {
        let ready = self.ready().await?;
        let (names, stat, watcher) = self
            .reply(ready, self.0.client.get_and_watch_children(path))
            .await?;
        Ok((names, convert::stat(&stat), watched(watcher)))
    }

    async fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        access: Access,
    ) -> Result<String, ZooKeeperError> {
        let ready = self.ready().await?;
        let options = convert::options(mode, access);
        let (_, number) = self
            .reply(ready, self.0.client.create(path, data, &options))
            .await?;
        Ok(if mode.is_sequential() {
            format!("{path}{number}")
        } else {
            path.to_owned()
        })
    }

    async fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> Result<Stat, ZooKeeperError> {
        let ready = self.ready().await?;
        let stat = self
            .reply(ready, self.0.client.set_data(path, data, version))
            .await?;
        Ok(convert::stat(&stat))
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), ZooKeeperError> {
        let ready = self.ready().await?;
        self.reply(ready, self.0.client.delete(path, version)).await
    }

    async fn multi(&self, ops: &[Op]) -> Result<Vec<OpReply>, MultiError> {
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let ready = self.ready().await.map_err(MultiError::Request)?;
        let committed = {
            let mut writer = self.0.client.new_multi_writer();
            for (index, op) in ops.iter().enumerate() {
                let added = match op {
                    Op::Check { path, version } => writer.add_check_version(path, *version),
                    Op::Create {
                        path,
                        data,
                        mode,
                        access,
                    } => writer.add_create(path, data, &convert::options(*mode, *access)),
                    Op::Set {
                        path,
                        data,
                        version,
                    } => writer.add_set_data(path, data, *version),
                    Op::Delete { path, version } => writer.add_delete(path, *version),
                };
                // Not sent: the path does not follow ZooKeeper's rules.
                added.map_err(|error| MultiError::Operation {
                    index,
                    error: ZooKeeperError::Refused(error.to_string()),
                })?;
            }
            writer.commit()
        };
        let Ok(reply) = timeout_at(ready.deadline, committed).await else {
            return Err(MultiError::Request(ZooKeeperError::Lost));
        };
        match reply {
            Ok(replies) => {
                self.0.heard.answered(ready.sent);
                let replies: Option<Vec<OpReply>> =
                    replies.into_iter().map(convert::op_reply).collect();
                replies
                    .filter(|replies| replies.len() == ops.len())
                    .ok_or(MultiError::Request(ZooKeeperError::Lost))
            }
            Err(failed) => {
                if matches!(failed, MultiWriteError::OperationFailed { .. }) {
                    self.0.heard.answered(ready.sent);
                }
                Err(convert::multi_error(&failed))
            }
        }
    }

    async fn sync(&self, path: &str) -> Result<(), ZooKeeperError> {
        let ready = self.ready().await?;
        self.reply(ready, self.0.client.sync(path)).await
    }

    fn session(&self) -> i64 {
        self.0.client.session_id().0
    }

    fn session_timeout(&self) -> Duration {
        self.0.client.session_timeout()
    }

    fn silence(&self) -> Duration {
        self.0.heard.silence()
    }

    fn ended(&self) -> impl Future<Output = SessionEnd> + Send + 'static {
        let mut connection = self.0.connection.clone();
        async move {
            let ended = connection
                .wait_for(|state| matches!(state, Connection::Ended(_)))
                .await;
            match ended.as_deref() {
                Ok(Connection::Ended(end)) => *end,
                // The last clone of the session was dropped.
                Ok(Connection::Connected | Connection::Disconnected) | Err(_) => SessionEnd::Closed,
            }
        }
    }

    fn end(&self) -> Option<SessionEnd> {
        match *self.0.connection.borrow() {
            Connection::Ended(end) => Some(end),
            Connection::Connected | Connection::Disconnected => None,
        }
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.client.session_id())
            .field("connection", &*self.0.connection.borrow())
            .finish_non_exhaustive()
    }
}
