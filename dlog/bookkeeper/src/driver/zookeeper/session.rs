use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use zookeeper_client::{Client, OneshotWatcher};

use super::Login;
use super::convert::{self, Connection};
use super::liveness::{self, ClientSlot, Heard};
use crate::zookeeper::{NodeEvent, NodeWatch, SessionEnd, ZooKeeper as _, ZooKeeperError};

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
/// [`close`](Self::close) ends it for all clones and waits for that.
///
/// A request waits while the connection is lost, up to its timeout. So
/// [`Unavailable`](ZooKeeperError::Unavailable) says that it was not sent.
#[derive(Clone)]
pub struct Session(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) client: Arc<ClientSlot>,
    pub(super) session: i64,
    pub(super) session_timeout: Duration,
    pub(super) connection: watch::Receiver<Connection>,
    sender: watch::Sender<Connection>,
    pub(super) heard: Arc<Heard>,
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

/// A request that may be sent now.
pub(super) struct Ready<'a> {
    _permit: SemaphorePermit<'a>,
    pub(super) client: Client,
    pub(super) sent: Instant,
    pub(super) deadline: Instant,
}

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
        let heard = Arc::new(Heard::new(start));
        let (sender, connection) = watch::channel(convert::connection(client.state()));
        let session = client.session_id().0;
        let session_timeout = client.session_timeout();
        let slot = Arc::new(ClientSlot(Mutex::new(Some(client.clone()))));
        let heartbeats = tokio::spawn(liveness::follow(
            client,
            Arc::clone(&slot),
            sender.clone(),
            Arc::clone(&heard),
            settings.request_timeout,
        ));
        Self(Arc::new(Inner {
            client: slot,
            session,
            session_timeout,
            connection,
            sender,
            heard,
            permits: Semaphore::new(settings.max_requests.clamp(1, Semaphore::MAX_PERMITS)),
            request_timeout: settings.request_timeout,
            heartbeats,
        }))
    }

    /// Ends the session, for all clones, and waits until the ensemble has deleted its ephemeral
    /// nodes, at most for the request timeout. A program that ends earlier leaves them to the
    /// session's timeout.
    pub async fn close(&self) {
        let client = self.0.client.client();
        self.0.sender.send_if_modified(|connection| {
            let is_open = !matches!(connection, Connection::Ended(_));
            if is_open {
                *connection = Connection::Ended(SessionEnd::Closed);
            }
            is_open
        });
        self.0.heartbeats.abort();
        self.0.client.clear();
        let Some(client) = client else {
            return;
        };
        let mut states = client.state_watcher();
        // The last clone of the client: requests in flight are answered, then the session ends.
        drop(client);
        let closed = async { while !states.changed().await.is_terminated() {} };
        // After the timeout nothing more can be done: the session expires.
        _ = timeout(self.0.request_timeout, closed).await;
    }

    /// Returns the watch of a watcher. It ends with the session, also if this side gave it up.
    pub(super) fn watched(&self, watcher: OneshotWatcher) -> NodeWatch {
        let ended = self.ended();
        NodeWatch::new(async move {
            tokio::select! {
                event = watcher.changed() => convert::node_event(&event),
                _ = ended => NodeEvent::SessionEnded,
            }
        })
    }

    /// Waits until a request may be sent.
    pub(super) async fn ready(&self) -> Result<Ready<'_>, ZooKeeperError> {
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
                client: self.0.client.client().ok_or(ZooKeeperError::SessionEnded)?,
                sent: Instant::now(),
                deadline,
            }),
            Err(_) => Err(ZooKeeperError::Unavailable),
        }
    }

    /// Waits for the reply to a request. The client has no timeout of its own.
    pub(super) async fn reply<T>(
        &self,
        ready: &Ready<'_>,
        reply: impl Future<Output = Result<T, zookeeper_client::Error>>,
    ) -> Result<T, ZooKeeperError> {
        let Ok(reply) = timeout_at(ready.deadline, reply).await else {
            return Err(ZooKeeperError::Lost);
        };
        let reply = reply.map_err(|error| convert::error(&error));
        if liveness::is_heard(&reply) {
            self.0.heard.answered(ready.sent);
        }
        reply
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.session)
            .field("connection", &*self.0.connection.borrow())
            .finish_non_exhaustive()
    }
}
