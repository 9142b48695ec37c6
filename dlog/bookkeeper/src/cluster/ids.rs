//! Ids of new ledgers, by the counters that Java's clients use.

use super::error::ClusterError;
use super::ledgers::Ledgers;
use crate::LedgerId;
use crate::metadata::Layout;
use crate::zookeeper::{CreateMode, ZooKeeper, ZooKeeperError, create_with_parents};

/// Maximum tries for one number. Only lost replies and full counters take more than one.
const MAX_TRIES: u32 = 8;

/// Maximum tries to delete a counter's node. One that stays ends with the session.
const MAX_DELETES: u32 = 3;

/// Prefix of a counter's nodes.
const NODE: &str = "ID-";

/// Prefix of the nodes for the upper half of long ids.
const HIGH: &str = "HOB-";

impl<Z: ZooKeeper> Ledgers<Z> {
    /// Generates an id that no other client gets.
    pub(super) async fn generate_id(&self) -> Result<LedgerId, ClusterError> {
        let root = self.root();
        match self.layout() {
            Layout::Flat => self.short_id(root).await?.ok_or_else(full),
            Layout::LegacyHierarchical => self.short_id(&self.idgen()).await?.ok_or_else(full),
            Layout::Hierarchical | Layout::LongHierarchical => {
                let long = format!("{root}/idgen-long");
                let is_long = self.zookeeper().exists(&long).await;
                let is_long = is_long.map_err(|error| ClusterError::zookeeper(&long, error))?;
                if is_long.is_none()
                    && let Some(id) = self.short_id(&self.idgen()).await?
                {
                    return Ok(id);
                }
                self.long_id(&long).await
            }
        }
    }

    fn idgen(&self) -> String {
        format!("{}/idgen", self.root())
    }

    /// Returns an id below 2^31-1, or `None` if the counter is beyond.
    async fn short_id(&self, folder: &str) -> Result<Option<LedgerId>, ClusterError> {
        let number = self.next_number(folder).await?;
        Ok((0..LedgerId::from(i32::MAX))
            .contains(&number)
            .then_some(number))
    }

    /// Returns an id of two halves of 32 bits, each from a counter.
    async fn long_id(&self, folder: &str) -> Result<LedgerId, ClusterError> {
        let names = match self.zookeeper().children(folder).await {
            Ok((names, _)) => names,
            Err(ZooKeeperError::NoNode) => Vec::new(),
            Err(error) => return Err(ClusterError::zookeeper(folder, error)),
        };
        let highs = names.iter().filter_map(|name| name.strip_prefix(HIGH));
        let highest: Option<i32> = highs.filter_map(|digits| digits.parse().ok()).max();
        let mut high = highest.unwrap_or(1);
        for _ in 0..MAX_TRIES {
            let node = format!("{folder}/{HIGH}{high:010}");
            if highest != Some(high) {
                let access = self.access();
                let created = create_with_parents(
                    self.zookeeper(),
                    &node,
                    b"",
                    CreateMode::Persistent,
                    access,
                )
                .await;
                match created {
                    // After a lost reply the counter below it shows if the node is there.
                    Ok(_) | Err(ZooKeeperError::NodeExists | ZooKeeperError::Lost) => {}
                    Err(error) => return Err(ClusterError::zookeeper(&node, error)),
                }
            }
            let number = self.next_number(&node).await?;
            if (0..LedgerId::from(i32::MAX)).contains(&number) {
                return Ok(LedgerId::from(high) << 32 | number);
            }
            high = high.checked_add(1).ok_or_else(full)?;
        }
        Err(full())
    }

    /// Takes the next number of a folder's counter: that of a sequential node, which is deleted.
    async fn next_number(&self, folder: &str) -> Result<LedgerId, ClusterError> {
        let prefix = format!("{folder}/{NODE}");
        for _ in 0..MAX_TRIES {
            let created = create_with_parents(
                self.zookeeper(),
                &prefix,
                b"",
                CreateMode::EphemeralSequential,
                self.access(),
            )
            .await;
            let path = match created {
                Ok(path) => path,
                // A number that is lost is one that no ledger has; its node ends with the session.
                Err(ZooKeeperError::Lost) => continue,
                Err(error) => return Err(ClusterError::zookeeper(&prefix, error)),
            };
            self.forget(&path).await;
            return path
                .strip_prefix(&prefix)
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| {
                    let error = ZooKeeperError::Refused("a node without a number".to_owned());
                    ClusterError::zookeeper(&path, error)
                });
        }
        Err(ClusterError::zookeeper(&prefix, ZooKeeperError::Lost))
    }

    /// Deletes a counter's node. Its number counts without it.
    async fn forget(&self, path: &str) {
        for _ in 0..MAX_DELETES {
            match self.zookeeper().delete(path, None).await {
                Err(error) if error.is_temporary() => {}
                Ok(()) | Err(_) => return,
            }
        }
    }
}

const fn full() -> ClusterError {
    ClusterError::NoFreeId { tries: 0 }
}
