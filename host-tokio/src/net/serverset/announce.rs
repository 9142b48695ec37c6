//! Announcement of a write proxy as a member of a serverset, and its withdrawal.

use core::fmt;
use core::time::Duration;

use distributedlog::names::{Name, NameError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::login::{self, ZooKeeperLogin};
use super::member::{Endpoint, Json};
use super::{FIRST_RETRY, MAX_RETRY, MEMBER};

/// Timeout of the first announcement. Later ones are retried without limit.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a withdrawal. A node that remains ends with its session.
const WITHDRAWAL_TIMEOUT: Duration = Duration::from_secs(2);

/// A write proxy's announcement in ZooKeeper, in the format of the original's write proxies and
/// Finagle's servers.
///
/// ```no_run
/// # async fn example() -> Result<(), distributedlog_tokio::AnnounceError> {
/// use distributedlog_tokio::Announcement;
///
/// let announcement = Announcement::new("zk!zk-1:2181!/proxies", "proxy-1", 8000).shard(1);
/// let announced = announcement.publish().await?;
/// // … serves, until it is to end …
/// announced.withdraw().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is announced until it is published"]
pub struct Announcement {
    name: String,
    json: Json,
    login: Option<ZooKeeperLogin>,
}

impl Announcement {
    /// In the serverset of this name (`zk!hosts!path` or `serverset!hosts!path`), clients are at
    /// this host and port.
    pub fn new(name: impl Into<String>, host: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            json: Json::alive(Endpoint {
                host: host.into(),
                port,
            }),
            login: None,
        }
    }

    /// Its number among others; below zero, none. Default: none.
    pub fn shard(mut self, shard: i32) -> Self {
        self.json.shard = (shard >= 0).then_some(shard);
        self
    }

    /// A further address of it, which names of the form `zk!hosts!path!endpoint` lead to.
    pub fn endpoint(
        mut self,
        endpoint: impl Into<String>,
        host: impl Into<String>,
        port: u16,
    ) -> Self {
        self.json.additional_endpoints.insert(
            endpoint.into(),
            Endpoint {
                host: host.into(),
                port,
            },
        );
        self
    }

    /// Logs in to ZooKeeper. Then only that user may change the announcement, and everyone may read
    /// it. Default: no login, and everyone may change it.
    pub fn login(mut self, login: ZooKeeperLogin) -> Self {
        self.login = Some(login);
        self
    }

    /// Announces, and keeps it announced: a session that ends is followed by another one. The path
    /// is made where it is missing. Must be called on a tokio runtime with time and I/O.
    ///
    /// A node that an operator deletes while the session lasts stays deleted: this takes a proxy
    /// out of service by hand.
    ///
    /// # Errors
    ///
    /// [`AnnounceError`]: the name is not one of a serverset, or ZooKeeper cannot be reached within
    /// 10 s, or refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes back what was announced.
    pub async fn publish(self) -> Result<Announced, AnnounceError> {
        let (ensemble, path) = match Name::parse(&self.name) {
            Ok(
                Name::Zk {
                    hosts,
                    path,
                    endpoint: None,
                }
                | Name::ServerSet { hosts, path },
            ) => (hosts.as_str().to_owned(), path.to_owned()),
            Ok(_) => return Err(AnnounceError::NotAServerSet { name: self.name }),
            Err(error) => {
                return Err(AnnounceError::Name {
                    name: self.name,
                    error,
                });
            }
        };
        let data =
            serde_json::to_vec(&self.json).expect("texts and numbers can be written as JSON");
        let announcer = Announcer {
            ensemble,
            path: path.trim_end_matches('/').to_owned(),
            data,
            login: self.login,
        };
        let first = match timeout(FIRST_TIMEOUT, announcer.register()).await {
            Ok(Ok(registration)) => registration,
            Ok(Err(error)) => return Err(announcer.refusal(reason(&error))),
            Err(_) => return Err(announcer.refusal(format!("no answer within {FIRST_TIMEOUT:?}"))),
        };
        let node = first.node.clone();
        let (withdraw, withdrawn) = oneshot::channel();
        let task = tokio::spawn(announcer.run(first, withdrawn));
        Ok(Announced {
            node,
            withdraw,
            task: AbortOnDrop(task),
        })
    }
}

/// A write proxy that is announced. Dropping it takes the announcement back too, without waiting
/// until that is done.
#[derive(Debug)]
pub struct Announced {
    node: String,
    withdraw: oneshot::Sender<()>,
    task: AbortOnDrop,
}

impl Announced {
    /// The node in ZooKeeper that it was announced by at first. After the end of a session there is
    /// another one.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Takes the announcement back. Returns when the node is gone, or after 2 s: then it goes when
    /// its session ends, 10 s later at the latest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws it too.
    pub async fn withdraw(mut self) {
        // If the task has ended, there is nothing to withdraw.
        let _ = self.withdraw.send(());
        if timeout(WITHDRAWAL_TIMEOUT, &mut self.task.0).await.is_err() {
            tracing::warn!(
                node = self.node,
                "ZooKeeper does not reply: the announcement ends with its session"
            );
        }
    }
}

/// The task holds the session, and ends with the value.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Error of announcing a proxy.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnnounceError {
    /// The text is no name.
    Name {
        /// The text.
        name: String,
        /// Error in the text, and its offset.
        error: NameError,
    },
    /// The name is not that of a serverset as a whole.
    NotAServerSet {
        /// The name.
        name: String,
    },
    /// ZooKeeper cannot be reached, or refuses.
    ZooKeeper {
        /// Its servers.
        ensemble: String,
        /// The serverset's path.
        path: String,
        /// Reason, for people.
        reason: String,
    },
}

impl fmt::Display for AnnounceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name, error } => write!(f, "cannot announce in {name:?}: {error}"),
            Self::NotAServerSet { name } => {
                write!(
                    f,
                    "cannot announce in {name:?}: a serverset in ZooKeeper is named \
                     zk!HOST:PORT!/PATH or serverset!HOST:PORT!/PATH"
                )
            }
            Self::ZooKeeper {
                ensemble,
                path,
                reason,
            } => write!(
                f,
                "cannot announce in ZooKeeper at {ensemble}{path}: {reason}"
            ),
        }
    }
}

distributedlog::debug_is_display!(AnnounceError);

impl core::error::Error for AnnounceError {}

/// Describes ZooKeeper's error for the operator of a proxy.
fn reason(error: &Error) -> String {
    if *error == Error::NoHosts {
        "none of its servers can be reached".to_owned()
    } else if *error == Error::NoAuth {
        "this user may not make nodes there".to_owned()
    } else {
        error.to_string()
    }
}

/// Keeps one member announced.
struct Announcer {
    ensemble: String,
    path: String,
    data: Vec<u8>,
    login: Option<ZooKeeperLogin>,
}

/// A session with its node.
struct Registration {
    client: Client,
    node: String,
}

impl Announcer {
    fn refusal(self, reason: String) -> AnnounceError {
        AnnounceError::ZooKeeper {
            ensemble: self.ensemble,
            path: self.path,
            reason,
        }
    }

    /// A new session, and its node. If it is not known whether the node was made, the session ends,
    /// and the node with it.
    async fn register(&self) -> Result<Registration, Error> {
        let client = login::connect(&self.ensemble, self.login.as_ref()).await?;
        let node = match self.create(&client).await {
            Err(Error::NoNode) => {
                // As the original makes it: any proxy can join.
                let everyones = CreateMode::Persistent.with_acls(Acls::anyone_all());
                login::answered(client.mkdir(&self.path, &everyones)).await?;
                self.create(&client).await?
            }
            made => made?,
        };
        Ok(Registration { client, node })
    }

    async fn create(&self, client: &Client) -> Result<String, Error> {
        let options = CreateMode::EphemeralSequential.with_acls(login::rights(self.login.as_ref()));
        let prefix = format!("{}/{MEMBER}", self.path);
        let created = client.create(&prefix, &self.data, &options);
        let (_, sequence) = login::answered(created).await?;
        Ok(format!("{prefix}{sequence}"))
    }

    /// Announces again each time a session has ended, until the withdrawal.
    async fn run(self, mut registration: Registration, mut withdrawn: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                // Also when the sender was dropped.
                _ = &mut withdrawn => return withdraw(registration).await,
                () = session_end(&registration.client) => {}
            }
            tracing::warn!(
                ensemble = self.ensemble,
                path = self.path,
                "the session with ZooKeeper has ended: announcing again"
            );
            let again = tokio::select! {
                _ = &mut withdrawn => return,
                again = self.register_again() => again,
            };
            tracing::info!(node = again.node, "announced again");
            registration = again;
        }
    }

    async fn register_again(&self) -> Registration {
        let mut retry = FIRST_RETRY;
        loop {
            match self.register().await {
                Ok(registration) => return registration,
                Err(error) => {
                    tracing::warn!(
                        ensemble = self.ensemble,
                        path = self.path,
                        %error,
                        "cannot announce in ZooKeeper"
                    );
                }
            }
            sleep(retry).await;
            retry = (retry * 2).min(MAX_RETRY);
        }
    }
}

async fn session_end(client: &Client) {
    let mut states = client.state_watcher();
    let mut state = states.state();
    while !state.is_terminated() {
        state = states.changed().await;
    }
}

async fn withdraw(registration: Registration) {
    match login::answered(registration.client.delete(&registration.node, None)).await {
        Ok(()) | Err(Error::NoNode) => {}
        // The session ends with the client, and the node with the session.
        Err(error) => {
            tracing::warn!(
                node = registration.node,
                %error,
                "cannot delete an announcement: it ends with its session"
            );
        }
    }
}
