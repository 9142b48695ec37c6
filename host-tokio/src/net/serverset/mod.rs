//! Proxies that announce themselves in ZooKeeper, as Finagle and Twitter commons do: a node for
//! each member of a set.

mod announce;
mod login;
mod member;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

pub use announce::{AnnounceError, Announced, Announcement};
pub use login::ZooKeeperLogin;
use login::answered;
use member::Member;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use zookeeper_client::{Client, Error, OneshotWatcher, SessionState, WatchedEvent};

use super::{NameEvent, ResolvedProxy, system_lookup};

/// Prefix of the names of members' nodes; the path may contain others.
const MEMBER: &str = "member_";

/// More members than any client can know. What is beyond is left out.
const MAX_MEMBERS: usize = 1024;

/// Time before the first retry after an ensemble could not be reached, and the maximum to which it
/// doubles.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const MAX_RETRY: Duration = Duration::from_secs(5);

/// Time after which members' host names are looked up again when none of their addresses can be
/// used.
const MIN_LOOKUP_INTERVAL: Duration = Duration::from_secs(1);

/// Time for which ZooKeeper keeps a session whose connection is lost. Watches and announcements end
/// with the session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of looking up one host name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// `zk!` and `serverset!` in parts.
#[derive(Clone, Debug)]
pub(crate) struct ServerSetName {
    /// ZooKeeper's servers: `host:port,host:port`.
    pub(crate) ensemble: String,
    /// The set's path.
    pub(crate) path: String,
    /// Name of the members' endpoint; `None` for their main one.
    pub(crate) endpoint: Option<String>,
    /// User of ZooKeeper, if it needs one.
    pub(crate) login: Option<ZooKeeperLogin>,
    /// Interval at which members' host names are looked up again.
    pub(crate) every: Duration,
}

/// Follows the members of a set. Dropping it ends its session with ZooKeeper.
///
/// What was known last holds while the ensemble cannot be reached, however long that is, and
/// through the end of a session.
pub(crate) struct ServerSet {
    events: mpsc::Receiver<NameEvent>,
    unusable: Arc<Notify>,
    task: JoinHandle<()>,
}

impl ServerSet {
    /// Begins to follow the set, on the current runtime.
    pub(crate) fn new(name: ServerSetName) -> Self {
        let (sender, events) = mpsc::channel(1);
        let unusable = Arc::new(Notify::new());
        let task = tokio::spawn(
            Follower {
                name,
                events: sender,
                unusable: Arc::clone(&unusable),
                addresses: HashMap::new(),
                known: Vec::new(),
            }
            .run(),
        );
        Self {
            events,
            unusable,
            task,
        }
    }

    /// Looks members' host names up again soon, because none of their addresses can be used.
    pub(crate) fn look_up_soon(&self) {
        self.unusable.notify_one();
    }

    /// The members as they are now. Pending while nothing is known, and while nothing changes.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<NameEvent> {
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => {
                // The channel registers no waker when it returns an event, so the task polls once
                // more.
                cx.waker().wake_by_ref();
                Poll::Ready(event)
            }
            // The task ends only with this.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for ServerSet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Follower {
    name: ServerSetName,
    events: mpsc::Sender<NameEvent>,
    /// Notified when none of the known addresses can be used.
    unusable: Arc<Notify>,
    /// Last known addresses of hosts, used while their name server fails.
    addresses: HashMap<(String, u16), SocketAddr>,
    known: Vec<ResolvedProxy>,
}

/// State of the log's warnings about an ensemble that cannot be reached: one for each outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// The ensemble has not been reached yet. The error of building the client says so; the log
    /// does when the outage outlasts that.
    AtStart,
    /// The ensemble was reached: the next failure is reported.
    None,
    /// The outage was reported.
    Reported,
}

impl Outage {
    /// Returns `true` if a failure is reported, before which the last pause was `retry`. At the
    /// start that is after 200 + 400 + 800 + 1,600 + 3,200 ms, which is longer than a client waits
    /// by default until it is ready.
    fn is_reported_now(self, retry: Duration) -> bool {
        match self {
            Self::AtStart => retry >= MAX_RETRY,
            Self::None => true,
            Self::Reported => false,
        }
    }
}

/// Reason why following the set ended.
enum FollowEnd {
    /// The receiver was dropped.
    Unwanted,
    /// ZooKeeper.
    Failed(Error),
}

impl From<Error> for FollowEnd {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Follower {
    async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        let mut outage = Outage::AtStart;
        loop {
            let connected = login::connect(&self.name.ensemble, self.name.login.as_ref()).await;
            let ended = match connected {
                Ok(client) => {
                    retry = FIRST_RETRY;
                    outage = Outage::None;
                    self.follow(&client).await
                }
                Err(error) => FollowEnd::Failed(error),
            };
            let FollowEnd::Failed(error) = ended else {
                return;
            };
            let ensemble = &self.name.ensemble;
            let (path, known) = (&self.name.path, self.known.len());
            if outage.is_reported_now(retry) {
                tracing::warn!(
                    ensemble,
                    path,
                    %error,
                    known,
                    "cannot follow a serverset in ZooKeeper; trying again"
                );
                outage = Outage::Reported;
            } else {
                tracing::debug!(ensemble, path, %error, known, "cannot follow a serverset yet");
            }
            let why = io::Error::other(format!("ZooKeeper cannot be asked: {error}"));
            // What is known stays: a set that cannot be read is not an empty one.
            if self.known.is_empty()
                && self
                    .publish(vec![(format!("{ensemble}{}", self.name.path), why)])
                    .await
                    .is_err()
            {
                return;
            }
            sleep(retry).await;
            retry = (retry * 2).min(MAX_RETRY);
        }
    }

    /// Reads the set, publishes it, and waits for a change, repeatedly.
    async fn follow(&mut self, client: &Client) -> FollowEnd {
        loop {
            let ended = match self.read(client).await {
                Ok(changes) => self.until_changed(changes).await,
                Err(ended) => Err(ended),
            };
            if let Err(ended) = ended {
                return ended;
            }
        }
    }

    /// Reads the set and publishes it. Returns the watches for its next change.
    async fn read(&mut self, client: &Client) -> Result<JoinSet<WatchedEvent>, FollowEnd> {
        let mut changes = JoinSet::new();
        let path = self.name.path.clone();
        let (names, watcher) = match answered(client.list_and_watch_children(&path)).await {
            Ok(listed) => listed,
            Err(Error::NoNode) => {
                let (stat, watcher) = answered(client.check_and_watch_stat(&path)).await?;
                if stat.is_none() {
                    self.known.clear();
                    let why = io::Error::new(io::ErrorKind::NotFound, "ZooKeeper has no such path");
                    self.publish(vec![(format!("{}{path}", self.name.ensemble), why)])
                        .await?;
                }
                watch(&mut changes, watcher);
                return Ok(changes);
            }
            Err(error) => return Err(error.into()),
        };
        watch(&mut changes, watcher);
        let mut members = Vec::new();
        for name in names
            .iter()
            .filter(|name| name.starts_with(MEMBER))
            .take(MAX_MEMBERS)
        {
            let node = format!("{}/{name}", path.trim_end_matches('/'));
            let (data, _, watcher) = match answered(client.get_and_watch_data(&node)).await {
                Ok(read) => read,
                // It was deleted since; the list's watch reports that.
                Err(Error::NoNode) => continue,
                Err(error) => return Err(error.into()),
            };
            watch(&mut changes, watcher);
            match Member::parse(&data, self.name.endpoint.as_deref()) {
                Ok(member) => members.extend(member),
                Err(reason) => tracing::warn!(
                    path,
                    name,
                    reason,
                    "a member of a serverset that cannot be read"
                ),
            }
        }
        self.resolve(&members).await?;
        Ok(changes)
    }

    /// Looks up the members' addresses and publishes them.
    async fn resolve(&mut self, members: &[Member]) -> Result<(), FollowEnd> {
        let mut failures = Vec::new();
        self.known.clear();
        for member in members {
            match self.address(member).await {
                Ok(address) if self.known.iter().all(|known| known.address != address) => {
                    self.known
                        .push(ResolvedProxy::new(address, &member.host, member.shard));
                }
                // Two nodes of one process, of which the older one has not expired yet.
                Ok(_) => {}
                Err(error) => failures.push((member.host.clone(), error)),
            }
        }
        self.addresses.retain(|(host, port), _| {
            members
                .iter()
                .any(|member| member.host == *host && member.port == *port)
        });
        self.publish(failures).await
    }

    /// Returns a member's address: one, because it is one process. IPv4 first, as in Java.
    async fn address(&mut self, member: &Member) -> io::Result<SocketAddr> {
        let place = (member.host.clone(), member.port);
        let looked_up = timeout(
            LOOKUP_TIMEOUT,
            system_lookup(member.host.clone(), member.port),
        )
        .await;
        let found = looked_up
            .map_err(|_| io::ErrorKind::TimedOut.into())
            .and_then(|found| {
                let found = found?;
                let best = found
                    .iter()
                    .find(|address| address.is_ipv4())
                    .or_else(|| found.first());
                best.copied()
                    .ok_or_else(|| io::Error::other("the name has no address"))
            });
        match found {
            Ok(address) => {
                self.addresses.insert(place, address);
                Ok(address)
            }
            Err(error) => self.addresses.get(&place).copied().ok_or(error),
        }
    }

    async fn publish(&self, failures: Vec<(String, io::Error)>) -> Result<(), FollowEnd> {
        self.events
            .send(NameEvent {
                found: self.known.clone(),
                failures,
            })
            .await
            .map_err(|_| FollowEnd::Unwanted)
    }

    /// Waits until a watch fires, or until host names must be looked up again.
    async fn until_changed(&self, mut changes: JoinSet<WatchedEvent>) -> Result<(), FollowEnd> {
        let has_names = self.known.iter().any(|found| !found.name.is_empty());
        tokio::select! {
            change = changes.join_next() => match change {
                Some(Ok(event)) => ended(event.session_state),
                Some(Err(_)) | None => Ok(()),
            },
            () = sleep(self.name.every), if has_names => Ok(()),
            () = self.look_up_again(), if has_names => Ok(()),
        }
    }
}

impl Follower {
    /// Completes when the addresses cannot be used, at most once in [`MIN_LOOKUP_INTERVAL`].
    async fn look_up_again(&self) {
        sleep(MIN_LOOKUP_INTERVAL).await;
        self.unusable.notified().await;
    }
}

fn watch(changes: &mut JoinSet<WatchedEvent>, watcher: OneshotWatcher) {
    changes.spawn(watcher.changed());
}

/// Returns an error if the session has ended.
fn ended(state: SessionState) -> Result<(), FollowEnd> {
    match state {
        SessionState::Expired | SessionState::Closed => Err(Error::SessionExpired.into()),
        SessionState::AuthFailed => Err(Error::AuthFailed.into()),
        SessionState::Disconnected
        | SessionState::SyncConnected
        | SessionState::ConnectedReadOnly => Ok(()),
    }
}
