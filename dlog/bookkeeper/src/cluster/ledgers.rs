use super::error::ClusterError;
use super::new_ledger::NewLedger;
use crate::LedgerId;
use crate::ledger::{MetadataReply, SetReply, Versioned};
use crate::metadata::{Layout, LedgerMetadata};
use crate::zookeeper::{
    Access, CreateMode, NodeWatch, Stat, ZooKeeper, ZooKeeperError, create_with_parents,
    read_behind_sync,
};

/// Maximum ids that one creation tries.
const MAX_IDS: u32 = 8;

/// Maximum creations of one node whose reply was lost and which was not applied.
const MAX_CREATES: u32 = 4;

/// Ledgers' nodes of a cluster.
#[derive(Clone, Debug)]
pub struct Ledgers<Z> {
    zookeeper: Z,
    root: String,
    layout: Layout,
    access: Access,
}

impl<Z: ZooKeeper> Ledgers<Z> {
    /// Reads the layout of the cluster at a root, for instance `/ledgers`. `access` is of the nodes
    /// that will be created.
    ///
    /// # Errors
    /// [`ClusterError`] if no cluster was formatted there, or one with an unknown layout, or
    /// ZooKeeper fails.
    pub async fn open(zookeeper: Z, root: &str, access: Access) -> Result<Self, ClusterError> {
        let root = root.trim_end_matches('/').to_owned();
        let path = format!("{root}/LAYOUT");
        let data = match zookeeper.get(&path).await {
            Ok((data, _)) => data,
            Err(ZooKeeperError::NoNode) => return Err(ClusterError::NotFormatted { root }),
            Err(error) => return Err(ClusterError::zookeeper(&path, error)),
        };
        let layout = Layout::decode(&data).map_err(ClusterError::Layout)?;
        Ok(Self {
            zookeeper,
            root,
            layout,
            access,
        })
    }

    /// Returns the nodes of the same cluster as another session sees them.
    #[must_use]
    pub fn in_session(&self, zookeeper: Z) -> Self {
        Self {
            zookeeper,
            root: self.root.clone(),
            layout: self.layout,
            access: self.access,
        }
    }

    /// Returns the session.
    #[must_use]
    pub const fn zookeeper(&self) -> &Z {
        &self.zookeeper
    }

    /// Returns the cluster's root, without a slash at the end.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns the cluster's layout.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) const fn access(&self) -> Access {
        self.access
    }

    /// Returns the path of a ledger's node.
    ///
    /// # Errors
    /// [`ClusterError::NoPlace`] if the layout has none for the id.
    pub fn path(&self, ledger: LedgerId) -> Result<String, ClusterError> {
        let below = self.layout.path(ledger);
        let below = below.ok_or(ClusterError::NoPlace { ledger })?;
        Ok(format!("{}/{below}", self.root))
    }

    /// Creates a ledger's node under a new id.
    ///
    /// A reply that is lost is resolved by reading: the token tells an own node from another's.
    ///
    /// # Errors
    /// [`ClusterError`] if the metadata is invalid or ZooKeeper fails. With an error that
    /// [`may_have_been_applied`](ZooKeeperError::may_have_been_applied) a ledger may be left, which
    /// holds no entry and which no one names.
    pub async fn create(&self, new: &NewLedger) -> Result<(LedgerId, Versioned), ClusterError> {
        let metadata = new.metadata();
        metadata.check().map_err(ClusterError::Invalid)?;
        for _ in 0..MAX_IDS {
            let ledger = self.generate_id().await?;
            if let Some(versioned) = self.create_at(ledger, new, &metadata).await? {
                return Ok((ledger, versioned));
            }
        }
        Err(ClusterError::NoFreeId { tries: MAX_IDS })
    }

    /// Creates the node of this id, or returns `None` if it is another's.
    async fn create_at(
        &self,
        ledger: LedgerId,
        new: &NewLedger,
        metadata: &LedgerMetadata,
    ) -> Result<Option<Versioned>, ClusterError> {
        let path = self.path(ledger)?;
        let data = metadata.encode();
        for _ in 0..MAX_CREATES {
            let mode = CreateMode::Persistent;
            let created =
                create_with_parents(&self.zookeeper, &path, &data, mode, self.access).await;
            match created {
                Ok(_) => {
                    return Ok(Some(Versioned {
                        metadata: metadata.clone(),
                        version: 0,
                    }));
                }
                Err(ZooKeeperError::NodeExists | ZooKeeperError::Lost) => {}
                Err(error) => return Err(ClusterError::zookeeper(&path, error)),
            }
            let found = read_behind_sync(&self.zookeeper, &path).await;
            let found = found.map_err(|error| ClusterError::zookeeper(&path, error))?;
            let Some((stored, stat)) = found else {
                continue;
            };
            // Something else than metadata is not ours either.
            let stored = LedgerMetadata::decode(&stored).ok();
            return Ok(stored
                .filter(|stored| new.is_own(stored))
                .map(|metadata| Versioned {
                    metadata,
                    version: stat.version,
                }));
        }
        Err(ClusterError::zookeeper(&path, ZooKeeperError::Lost))
    }

    /// Reads a ledger's node, for the state machines of [`ledger`](crate::ledger): a sync before it
    /// shows what became of a change whose reply was lost.
    pub async fn read(&self, ledger: LedgerId) -> MetadataReply {
        match self.read_or_error(ledger).await {
            Ok(versioned) => MetadataReply::Found(versioned),
            Err(ClusterError::NoLedger { .. }) => MetadataReply::NoNode,
            Err(_) => MetadataReply::Unknown,
        }
    }

    /// As [`read`](Self::read), and says why it fails.
    ///
    /// # Errors
    /// [`ClusterError`] if the ledger does not exist, its node does not decode, or ZooKeeper fails.
    pub async fn read_or_error(&self, ledger: LedgerId) -> Result<Versioned, ClusterError> {
        let path = self.path(ledger)?;
        let synced = self.zookeeper.sync(&path).await;
        synced.map_err(|error| ClusterError::zookeeper(&path, error))?;
        let reply = self.zookeeper.get(&path).await;
        decoded(ledger, &path, reply)
    }

    /// Reads a ledger's node and watches it: the watch ends when the metadata changes or the ledger
    /// is deleted.
    ///
    /// # Errors
    /// As [`read_or_error`](Self::read_or_error).
    pub async fn read_and_watch(
        &self,
        ledger: LedgerId,
    ) -> Result<(Versioned, NodeWatch), ClusterError> {
        let path = self.path(ledger)?;
        let (reply, watch) = match self.zookeeper.get_and_watch(&path).await {
            Ok((data, stat, watch)) => (Ok((data, stat)), Some(watch)),
            Err(error) => (Err(error), None),
        };
        let versioned = decoded(ledger, &path, reply)?;
        let watch = watch.ok_or(ClusterError::NoLedger { ledger })?;
        Ok((versioned, watch))
    }

    /// Replaces a ledger's metadata if its node has the version that `change` names.
    pub async fn compare_and_set(&self, ledger: LedgerId, change: &Versioned) -> SetReply {
        let Ok(path) = self.path(ledger) else {
            return SetReply::NoNode;
        };
        let data = change.metadata.encode();
        match self.zookeeper.set(&path, &data, Some(change.version)).await {
            Ok(stat) => SetReply::Done(stat.version),
            Err(ZooKeeperError::BadVersion) => SetReply::BadVersion,
            Err(ZooKeeperError::NoNode) => SetReply::NoNode,
            // A refusal for another reason is resolved by reading too: the read finds what was
            // there, and the update tries again or gives up.
            Err(_) => SetReply::Unknown,
        }
    }

    /// Deletes a ledger's node. A ledger that does not exist is deleted already.
    ///
    /// A ledger that is not closed has to be recovered before, so that a writer that still lives
    /// cannot go on writing to bookies that forget it.
    ///
    /// # Errors
    /// [`ClusterError`] if ZooKeeper fails; the call can be repeated.
    pub async fn delete(&self, ledger: LedgerId) -> Result<(), ClusterError> {
        let path = self.path(ledger)?;
        match self.zookeeper.delete(&path, None).await {
            Ok(()) | Err(ZooKeeperError::NoNode) => return Ok(()),
            Err(ZooKeeperError::Lost) => {}
            Err(error) => return Err(ClusterError::zookeeper(&path, error)),
        }
        let found = read_behind_sync(&self.zookeeper, &path).await;
        match found.map_err(|error| ClusterError::zookeeper(&path, error))? {
            None => Ok(()),
            Some(_) => Err(ClusterError::zookeeper(&path, ZooKeeperError::Lost)),
        }
    }
}

fn decoded(
    ledger: LedgerId,
    path: &str,
    reply: Result<(Vec<u8>, Stat), ZooKeeperError>,
) -> Result<Versioned, ClusterError> {
    let (data, stat) = match reply {
        Ok(found) => found,
        Err(ZooKeeperError::NoNode) => return Err(ClusterError::NoLedger { ledger }),
        Err(error) => return Err(ClusterError::zookeeper(path, error)),
    };
    let metadata = LedgerMetadata::decode(&data);
    let metadata = metadata.map_err(|error| ClusterError::Metadata { ledger, error })?;
    Ok(Versioned {
        metadata,
        version: stat.version,
    })
}
