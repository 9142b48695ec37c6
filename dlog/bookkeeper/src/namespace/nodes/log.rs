use super::error::LogError;
use crate::LedgerId;
use crate::namespace::retention::{self, StoredSegment};
use crate::namespace::{LogPaths, LogSegment, plan};
use crate::zookeeper::{
    Access, MultiError, NodeWatch, Op, Stat, ZooKeeper, ZooKeeperError, join_all, list_behind_sync,
};

/// Maximum tries of a read or change that other clients' changes get in the way of.
const MAX_TRIES: u32 = 5;

/// Maximum requests in flight at the same time for one log.
const MAX_IN_FLIGHT: usize = 64;

/// Maximum segments that are deleted together with all other nodes of a log, in one request: their
/// paths are small beside ZooKeeper's limit of 1 MiB.
const MAX_AT_ONCE: usize = 256;

/// A log's nodes. The log may not exist.
#[derive(Clone, Debug)]
pub struct LogNodes<Z> {
    pub(super) zookeeper: Z,
    namespace: String,
    pub(super) paths: LogPaths,
    pub(super) access: Access,
}

/// A log's segments at one moment.
#[derive(Debug)]
pub struct LogSegments {
    /// The segments, sorted.
    pub segments: Vec<StoredSegment>,
    /// Ends when a segment is started, completed, truncated or deleted.
    pub watch: NodeWatch,
}

impl<Z: ZooKeeper> LogNodes<Z> {
    pub(super) const fn new(
        zookeeper: Z,
        namespace: String,
        paths: LogPaths,
        access: Access,
    ) -> Self {
        Self {
            zookeeper,
            namespace,
            paths,
            access,
        }
    }

    /// Returns the log's paths.
    #[must_use]
    pub const fn paths(&self) -> &LogPaths {
        &self.paths
    }

    /// Creates the nodes of the log that do not exist, all or none. A log that exists is left.
    ///
    /// # Errors
    /// [`LogError`] if the namespace does not exist or ZooKeeper fails; the call can be repeated.
    pub async fn create(&self) -> Result<(), LogError> {
        let wanted = plan::log_nodes(&self.namespace, &self.paths);
        for _ in 0..MAX_TRIES {
            // A read that other clients' creations overtake is repeated.
            self.sync().await?;
            let stats = join_all(wanted.iter().map(|(path, _)| self.zookeeper.exists(path)));
            let mut missing = Vec::new();
            for ((path, _), stat) in wanted.iter().zip(stats.await) {
                if stat
                    .map_err(|error| LogError::zookeeper(path, error))?
                    .is_none()
                {
                    missing.push(path.as_str());
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            let ops = plan::create_log(&self.namespace, &self.paths, self.access, |path| {
                !missing.contains(&path)
            });
            match self.zookeeper.multi(&ops).await {
                Ok(_) => return Ok(()),
                Err(MultiError::Operation {
                    error: ZooKeeperError::NodeExists,
                    ..
                })
                | Err(MultiError::Request(ZooKeeperError::Lost)) => {}
                Err(MultiError::Operation { index, error }) => {
                    return Err(LogError::zookeeper(ops[index].path(), error));
                }
                Err(MultiError::Request(error)) => {
                    return Err(LogError::zookeeper(self.paths.root(), error));
                }
            }
        }
        Err(self.unsteady())
    }

    /// Returns true if the log exists, after a sync.
    ///
    /// # Errors
    /// [`LogError`] if ZooKeeper fails.
    pub async fn exists(&self) -> Result<bool, LogError> {
        self.sync().await?;
        let path = self.paths.segments();
        let stat = self.zookeeper.exists(&path).await;
        let stat = stat.map_err(|error| LogError::zookeeper(&path, error))?;
        Ok(stat.is_some())
    }

    /// Returns the state of the log's node. Its creation is the log's: a log that was deleted and
    /// created again has another.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist or ZooKeeper fails.
    pub async fn life(&self) -> Result<Stat, LogError> {
        let path = self.paths.root();
        let stat = self.zookeeper.exists(path).await;
        let stat = stat.map_err(|error| LogError::zookeeper(path, error))?;
        stat.ok_or_else(|| LogError::NotFound {
            path: path.to_owned(),
        })
    }

    /// Reads the log's segments and watches them.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist, a segment does not decode, or ZooKeeper fails.
    pub async fn segments(&self) -> Result<LogSegments, LogError> {
        let folder = self.paths.segments();
        'listed: for _ in 0..MAX_TRIES {
            let reply = self.zookeeper.children_and_watch(&folder).await;
            let (names, _, watch) = reply.map_err(|error| LogError::zookeeper(&folder, error))?;
            let mut segments = Vec::with_capacity(names.len());
            for names in names.chunks(MAX_IN_FLIGHT) {
                let reads = names.iter().map(|name| self.segment(name));
                for segment in join_all(reads).await {
                    match segment {
                        Ok(segment) => segments.push(segment),
                        // It was completed, truncated or deleted meanwhile.
                        Err(LogError::NotFound { .. }) => continue 'listed,
                        Err(error) => return Err(error),
                    }
                }
            }
            retention::sort(&mut segments);
            return Ok(LogSegments { segments, watch });
        }
        Err(self.unsteady())
    }

    async fn segment(&self, name: &str) -> Result<StoredSegment, LogError> {
        let path = self.paths.segment(name);
        let reply = self.zookeeper.get(&path).await;
        let (data, stat) = reply.map_err(|error| LogError::zookeeper(&path, error))?;
        match LogSegment::decode(&data) {
            Ok(segment) => Ok(StoredSegment {
                node_name: name.to_owned(),
                version: stat.version,
                segment,
            }),
            Err(error) => Err(LogError::Segment { path, error }),
        }
    }

    /// Returns the ledgers that the log names: those of its segments, and one that was created for
    /// the next. A client that deletes the log reads them first and deletes them last.
    ///
    /// # Errors
    /// [`LogError`] if the log does not exist, a segment does not decode, or ZooKeeper fails.
    pub async fn ledgers(&self) -> Result<Vec<LedgerId>, LogError> {
        let segments = self.segments().await?.segments;
        let mut ledgers: Vec<LedgerId> = segments.iter().map(|it| it.segment.ledger).collect();
        let allocated = match self.number(&self.paths.allocation()).await {
            Ok((allocated, _)) => allocated,
            // Another client's deletion ended halfway.
            Err(LogError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(ledger) = allocated
            && !ledgers.contains(&ledger)
        {
            ledgers.push(ledger);
        }
        Ok(ledgers)
    }

    /// Deletes a segment's node. Its ledger stays. A node that is not there is deleted already.
    ///
    /// # Errors
    /// [`LogError`] if ZooKeeper fails; the call can be repeated.
    pub async fn delete_segment(&self, node_name: &str) -> Result<(), LogError> {
        let path = self.paths.segment(node_name);
        let deleted = self.delete_node(&path).await;
        deleted.map_err(|error| LogError::zookeeper(&path, error))
    }

    /// Deletes the log's nodes. Ledgers, folders above and logs below the log's own name stay. A
    /// log that does not exist is deleted already.
    ///
    /// # Errors
    /// [`LogError`] if ZooKeeper fails; the call can be repeated.
    pub async fn delete(&self) -> Result<(), LogError> {
        for _ in 0..MAX_TRIES {
            if self.delete_below(self.paths.root()).await? {
                // Another log may lie below the name.
                match self.delete_node(self.paths.name()).await {
                    Ok(()) | Err(ZooKeeperError::NotEmpty) => return Ok(()),
                    Err(error) => return Err(LogError::zookeeper(self.paths.name(), error)),
                }
            }
        }
        Err(self.unsteady())
    }

    /// Deletes a node and all below it. Returns false if it is to be tried again: other clients put
    /// something there meanwhile, or deleted it too, or the reply was lost.
    ///
    /// All is deleted at once: a deletion that ends halfway leaves the log as it was. Of more than
    /// [`MAX_AT_ONCE`] segments it leaves a log that can be deleted.
    async fn delete_below(&self, root: &str) -> Result<bool, LogError> {
        let failed = |error| LogError::zookeeper(root, error);
        // Parents before their children.
        let mut nodes = vec![root.to_owned()];
        let mut next = 0;
        // Bounded: a log's nodes are three levels deep, and listed once.
        while let Some(node) = nodes.get(next) {
            let names = list_behind_sync(&self.zookeeper, node).await;
            let names = match names.map_err(failed)? {
                Some(names) => names,
                None if next == 0 => return Ok(true),
                None => Vec::new(),
            };
            let below: Vec<String> = names.iter().map(|name| format!("{node}/{name}")).collect();
            nodes.extend(below);
            next += 1;
        }
        nodes.reverse();
        let folder = format!("{}/", self.paths.segments());
        let is_segment = |it: &String| it.starts_with(&folder);
        if nodes.iter().filter(|it| is_segment(it)).count() > MAX_AT_ONCE {
            let (segments, rest) = nodes.into_iter().partition(is_segment);
            let segments: Vec<String> = segments;
            for node in segments {
                match self.delete_node(&node).await {
                    Ok(()) => {}
                    Err(ZooKeeperError::NotEmpty) => return Ok(false),
                    Err(error) => return Err(failed(error)),
                }
            }
            nodes = rest;
        }
        let deletions = nodes.into_iter().map(|path| Op::Delete {
            path,
            version: None,
        });
        let deletions: Vec<Op> = deletions.collect();
        match self.zookeeper.multi(&deletions).await {
            Ok(_) => Ok(true),
            Err(MultiError::Operation {
                error: ZooKeeperError::NotEmpty | ZooKeeperError::NoNode,
                ..
            })
            | Err(MultiError::Request(ZooKeeperError::Lost)) => Ok(false),
            Err(MultiError::Operation { error, .. } | MultiError::Request(error)) => {
                Err(failed(error))
            }
        }
    }

    /// Deletes a node that may be deleted already.
    async fn delete_node(&self, path: &str) -> Result<(), ZooKeeperError> {
        for _ in 0..MAX_TRIES {
            match self.zookeeper.delete(path, None).await {
                Ok(()) | Err(ZooKeeperError::NoNode) => return Ok(()),
                // Once more: it is deleted then, or deleted already.
                Err(ZooKeeperError::Lost) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ZooKeeperError::Lost)
    }

    /// Reads a node whose data is a number, or empty, and its version.
    pub(super) async fn number(&self, path: &str) -> Result<(Option<i64>, i32), LogError> {
        let reply = self.zookeeper.get(path).await;
        let (data, stat) = reply.map_err(|error| LogError::zookeeper(path, error))?;
        if data.is_empty() {
            return Ok((None, stat.version));
        }
        let number = core::str::from_utf8(&data).ok();
        let number = number.and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| LogError::Data {
            path: path.to_owned(),
        })?;
        Ok((Some(number), stat.version))
    }

    async fn sync(&self) -> Result<(), LogError> {
        let synced = self.zookeeper.sync(&self.namespace).await;
        synced.map_err(|error| LogError::zookeeper(&self.namespace, error))
    }

    fn unsteady(&self) -> LogError {
        LogError::Unsteady {
            path: self.paths.root().to_owned(),
        }
    }
}
