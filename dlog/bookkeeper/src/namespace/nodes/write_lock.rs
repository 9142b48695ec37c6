use core::fmt;
use core::time::Duration;

use super::error::LogError;
use super::log::LogNodes;
use crate::namespace::LockMember;
use crate::zookeeper::{
    CreateMode, NodeWatch, SessionEnd, ZooKeeper, ZooKeeperError, list_behind_sync, race,
};

/// Maximum tries of an acquisition or release that lost replies and other clients disturb.
const MAX_TRIES: u32 = 5;

/// Pause before a lock's node is watched again after a failure.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// The write lock of a log: its smallest member owns the log.
///
/// It gives one writer the log at a time as long as nothing goes wrong. What keeps a second one
/// from damage is BookKeeper's fence and the versions of the log's nodes.
#[derive(Clone, Debug)]
pub struct WriteLock<Z> {
    log: LogNodes<Z>,
    client_id: String,
}

/// Owner of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOwner {
    /// Id of the client.
    pub client_id: String,
    /// Its session with ZooKeeper.
    pub session: i64,
}

/// Result of an acquisition.
#[derive(Debug)]
pub enum Acquired<Z> {
    /// The lock is held.
    Held(HeldLock<Z>),
    /// Another client holds it. No node is left.
    OwnedBy(LockOwner),
    /// An earlier session of this client holds it, which has not ended yet: try again when the
    /// watch ends, within the session timeout. The node is left to its session.
    OwnSession {
        /// The earlier session.
        session: i64,
        /// Ends when the node is deleted.
        watch: NodeWatch,
    },
}

/// Reason for which a lock is not held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockLoss {
    /// The session ended.
    SessionEnded(SessionEnd),
    /// Another client deleted the lock's node, for instance an operator.
    NodeDeleted,
}

/// A member of the lock, as it was read.
struct Member {
    name: String,
    number: i32,
    owner: LockOwner,
}

impl<Z: ZooKeeper> WriteLock<Z> {
    /// Returns the lock of a log for a client. A proxy's id is `1;shard;host:port`.
    #[must_use]
    pub const fn new(log: LogNodes<Z>, client_id: String) -> Self {
        Self { log, client_id }
    }

    /// Acquires the lock if no other client is a member, without waiting.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist or ZooKeeper fails. A member's node may be left then;
    /// the next acquisition in this session takes it.
    ///
    /// # Cancel safety
    /// As after an error.
    pub async fn acquire(&self) -> Result<Acquired<Z>, LogError> {
        for _ in 0..MAX_TRIES {
            let members = self.members().await?;
            match members.first() {
                Some(first) if self.is_own(&first.owner) => {
                    return Ok(Acquired::Held(self.held(&first.name)));
                }
                Some(first) => {
                    // What an earlier call left behind must not stay in the line.
                    self.leave(&members).await?;
                    if let Some(refused) = self.refuse(first).await? {
                        return Ok(refused);
                    }
                    continue;
                }
                None => {}
            }
            self.enter().await?;
            let members = self.members().await?;
            match members.first() {
                Some(first) if self.is_own(&first.owner) => {
                    return Ok(Acquired::Held(self.held(&first.name)));
                }
                Some(first) => {
                    self.leave(&members).await?;
                    if let Some(refused) = self.refuse(first).await? {
                        return Ok(refused);
                    }
                }
                // The node was deleted by hand.
                None => {}
            }
        }
        let path = self.log.paths.lock();
        Err(LogError::Unsteady { path })
    }

    /// Deletes the members of this client in this session: the lock is released, and what an
    /// acquisition or a release that failed left behind is gone.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist or ZooKeeper fails; the call can be repeated.
    pub async fn release(&self) -> Result<(), LogError> {
        let members = self.members().await?;
        self.leave(&members).await
    }

    /// Returns the log's owner, or `None` if no client owns it.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist or ZooKeeper fails.
    pub async fn owner(&self) -> Result<Option<LockOwner>, LogError> {
        let members = self.members().await?;
        Ok(members.into_iter().next().map(|member| member.owner))
    }

    fn is_own(&self, owner: &LockOwner) -> bool {
        owner.client_id == self.client_id && owner.session == self.log.zookeeper.session()
    }

    fn held(&self, name: &str) -> HeldLock<Z> {
        HeldLock {
            zookeeper: self.log.zookeeper.clone(),
            path: format!("{}/{name}", self.log.paths.lock()),
        }
    }

    /// Path of a new member, to which ZooKeeper adds a number.
    fn prefix(&self) -> String {
        let name = LockMember::prefix(&self.client_id, self.log.zookeeper.session());
        format!("{}/{name}", self.log.paths.lock())
    }

    /// Creates a member's node, once, whatever is lost.
    async fn enter(&self) -> Result<(), LogError> {
        let folder = self.log.paths.lock();
        let prefix = self.prefix();
        let failed = |error| LogError::zookeeper(&folder, error);
        for _ in 0..MAX_TRIES {
            let mode = CreateMode::EphemeralSequential;
            let id = self.client_id.as_bytes();
            let created = self
                .log
                .zookeeper
                .create(&prefix, id, mode, self.log.access);
            match created.await {
                Ok(_) => return Ok(()),
                Err(ZooKeeperError::Lost) => {}
                Err(error) => return Err(failed(error)),
            }
            let names = list_behind_sync(&self.log.zookeeper, &folder).await;
            let names = names.map_err(failed)?.unwrap_or_default();
            // The name has the session's number, so it is this one's.
            let (_, own) = prefix.rsplit_once('/').unwrap_or(("", &prefix));
            if names.iter().any(|name| name.starts_with(own)) {
                return Ok(());
            }
        }
        Err(failed(ZooKeeperError::Lost))
    }

    /// Deletes the members that are this client's in this session.
    async fn leave(&self, members: &[Member]) -> Result<(), LogError> {
        for member in members.iter().filter(|it| self.is_own(&it.owner)) {
            self.held(&member.name).release().await?;
        }
        Ok(())
    }

    /// Returns the answer while another session owns the lock, or `None` if it has just left.
    async fn refuse(&self, first: &Member) -> Result<Option<Acquired<Z>>, LogError> {
        if first.owner.client_id != self.client_id {
            return Ok(Some(Acquired::OwnedBy(first.owner.clone())));
        }
        let path = format!("{}/{}", self.log.paths.lock(), first.name);
        let watched = self.log.zookeeper.exists_and_watch(&path).await;
        let (stat, watch) = watched.map_err(|error| LogError::zookeeper(&path, error))?;
        let session = first.owner.session;
        Ok(stat.map(|_| Acquired::OwnSession { session, watch }))
    }

    /// Reads the members, the owner first.
    async fn members(&self) -> Result<Vec<Member>, LogError> {
        let folder = self.log.paths.lock();
        let reply = self.log.zookeeper.children(&folder).await;
        let (names, _) = reply.map_err(|error| LogError::zookeeper(&folder, error))?;
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            // Other nodes there are no members.
            let Ok(decoded) = LockMember::decode(&name) else {
                continue;
            };
            let owner = match (decoded.client_id, decoded.session) {
                (Some(client_id), Some(session)) => LockOwner { client_id, session },
                (Some(_) | None, _) => match self.owner_of(&format!("{folder}/{name}")).await? {
                    Some(owner) => owner,
                    None => continue,
                },
            };
            members.push(Member {
                name,
                number: decoded.number,
                owner,
            });
        }
        members.sort_by_key(|member| member.number);
        Ok(members)
    }

    /// Reads a member whose name does not tell its owner, or returns `None` if it has left.
    async fn owner_of(&self, path: &str) -> Result<Option<LockOwner>, LogError> {
        match self.log.zookeeper.get(path).await {
            Ok((data, stat)) => Ok(Some(LockOwner {
                client_id: String::from_utf8_lossy(&data).into_owned(),
                session: stat.ephemeral_owner,
            })),
            Err(ZooKeeperError::NoNode) => Ok(None),
            Err(error) => Err(LogError::zookeeper(path, error)),
        }
    }
}

impl<Z: ZooKeeper> LogNodes<Z> {
    /// Returns the log's owner, or `None` if no client owns it.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist or ZooKeeper fails.
    pub async fn owner(&self) -> Result<Option<LockOwner>, LogError> {
        WriteLock::new(self.clone(), String::new()).owner().await
    }
}

/// A write lock that was acquired. Dropping it does not release it: its node stays until
/// [`release`](Self::release), or the end of the session.
#[derive(Clone)]
pub struct HeldLock<Z> {
    zookeeper: Z,
    path: String,
}

impl<Z: ZooKeeper> HeldLock<Z> {
    /// Returns the path of the member's node.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns true while no other client can have acquired the lock, by what is known here: the
    /// session has not ended, and the ensemble was heard from within two thirds of the session
    /// timeout. No request is sent. A writer stops when it is false, so before a successor can
    /// start.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let limit = self.zookeeper.session_timeout() * 2 / 3;
        self.zookeeper.end().is_none() && self.zookeeper.silence() < limit
    }

    /// Waits until the lock is lost: the session ended, or another client deleted its node.
    pub async fn lost(&self) -> LockLoss {
        let ended = async { LockLoss::SessionEnded(self.zookeeper.ended().await) };
        let deleted = async {
            loop {
                match self.zookeeper.exists_and_watch(&self.path).await {
                    Ok((Some(_), watch)) => _ = watch.await,
                    Ok((None, _)) => return LockLoss::NodeDeleted,
                    Err(_) => self.zookeeper.sleep(WATCH_PAUSE).await,
                }
            }
        };
        race(ended, deleted).await
    }

    /// Deletes the member's node. One that is not there is deleted already.
    ///
    /// # Errors
    /// [`LogError`] if ZooKeeper fails; the call can be repeated, and the session's end deletes it
    /// too.
    pub async fn release(&self) -> Result<(), LogError> {
        let mut lost = ZooKeeperError::Lost;
        for _ in 0..MAX_TRIES {
            match self.zookeeper.delete(&self.path, None).await {
                // An ended session has no nodes.
                Ok(()) | Err(ZooKeeperError::NoNode | ZooKeeperError::SessionEnded) => {
                    return Ok(());
                }
                Err(error) if error.is_temporary() => lost = error,
                Err(error) => return Err(LogError::zookeeper(&self.path, error)),
            }
        }
        Err(LogError::zookeeper(&self.path, lost))
    }
}

impl<Z> fmt::Debug for HeldLock<Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLock")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
