use super::error::LogError;
use super::log::LogNodes;
use crate::namespace::{
    Binding, BindingError, DEFAULT_PARTITION, LogPaths, check_name, is_reserved,
};
use crate::zookeeper::{
    Access, CreateMode, ZooKeeper, ZooKeeperError, create_with_parents, read_behind_sync,
};

/// Maximum tries of a change that other clients' changes get in the way of.
const MAX_TRIES: u32 = 5;

/// Maximum depth of folders that are searched for logs.
const MAX_DEPTH: usize = 16;

/// A namespace: a root node, below which logs lie.
#[derive(Clone, Debug)]
pub struct Namespace<Z> {
    zookeeper: Z,
    root: String,
    access: Access,
}

impl<Z: ZooKeeper> Namespace<Z> {
    /// Returns the namespace at a path. Nothing is read. `access` is of the nodes that will be
    /// created.
    #[must_use]
    pub fn new(zookeeper: Z, root: &str, access: Access) -> Self {
        Self {
            zookeeper,
            root: root.trim_end_matches('/').to_owned(),
            access,
        }
    }

    /// Returns the same namespace in another session.
    #[must_use]
    pub fn in_session(&self, zookeeper: Z) -> Self {
        Self {
            zookeeper,
            root: self.root.clone(),
            access: self.access,
        }
    }

    /// Returns the path, without a slash at the end.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns a log of a valid name. Nothing is read: the log may not exist.
    ///
    /// # Errors
    /// [`LogError::Name`].
    pub fn log(&self, name: &str) -> Result<LogNodes<Z>, LogError> {
        let paths = LogPaths::new(&self.root, name)?;
        let zookeeper = self.zookeeper.clone();
        Ok(LogNodes::new(
            zookeeper,
            self.root.clone(),
            paths,
            self.access,
        ))
    }

    /// Reads the binding.
    ///
    /// # Errors
    /// [`LogError`] if the root does not exist or has no binding.
    pub async fn binding(&self) -> Result<Binding, LogError> {
        let reply = self.zookeeper.get(&self.root).await;
        let (data, _) = reply.map_err(|error| LogError::zookeeper(&self.root, error))?;
        Binding::decode(&data).map_err(|error| self.no_binding(error))
    }

    /// Binds the namespace, and creates its root if it does not exist. With `replaces` another
    /// binding is replaced; the same one is left.
    ///
    /// # Errors
    /// [`LogError::AlreadyBound`] if there is another one; [`LogError`] if ZooKeeper fails.
    pub async fn bind(&self, binding: &Binding, replaces: bool) -> Result<(), LogError> {
        let failed = |error| LogError::zookeeper(&self.root, error);
        let data = binding.encode().into_bytes();
        for _ in 0..MAX_TRIES {
            let found = read_behind_sync(&self.zookeeper, &self.root).await;
            let changed = match found.map_err(failed)? {
                None => {
                    let mode = CreateMode::Persistent;
                    let (zookeeper, access) = (&self.zookeeper, self.access);
                    let created = create_with_parents(zookeeper, &self.root, &data, mode, access);
                    created.await.map(|_| ())
                }
                Some((stored, _)) if stored == data => return Ok(()),
                Some((stored, stat)) => {
                    let is_other =
                        !stored.is_empty() && Binding::decode(&stored).as_ref() != Ok(binding);
                    if is_other && !replaces {
                        let path = self.root.clone();
                        return Err(LogError::AlreadyBound { path });
                    }
                    let version = Some(stat.version);
                    let set = self.zookeeper.set(&self.root, &data, version).await;
                    set.map(|_| ())
                }
            };
            match changed {
                Ok(()) => return Ok(()),
                // Another client came in between, or the reply was lost: the next read shows it.
                Err(
                    ZooKeeperError::NodeExists | ZooKeeperError::BadVersion | ZooKeeperError::Lost,
                ) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let path = self.root.clone();
        Err(LogError::Unsteady { path })
    }

    /// Empties the root's data. Logs and ledgers stay.
    ///
    /// # Errors
    /// [`LogError`] if the root does not exist or ZooKeeper fails.
    pub async fn unbind(&self) -> Result<(), LogError> {
        // The same change twice is one.
        for _ in 0..MAX_TRIES {
            match self.zookeeper.set(&self.root, b"", None).await {
                Ok(_) => return Ok(()),
                Err(ZooKeeperError::Lost) => {}
                Err(error) => return Err(LogError::zookeeper(&self.root, error)),
            }
        }
        Err(LogError::zookeeper(&self.root, ZooKeeperError::Lost))
    }

    /// Lists what lies directly below the root, or below a folder: logs and folders of logs, as
    /// names from the root, sorted, at most `limit`. A folder alone is listed too, as by Java; see
    /// [`find_logs`](Self::find_logs).
    ///
    /// # Errors
    /// [`LogError`] if the folder does not exist or ZooKeeper fails.
    pub async fn list(&self, folder: Option<&str>, limit: usize) -> Result<Vec<String>, LogError> {
        let path = self.folder(folder)?;
        let (mut names, _) = self.children(&path, folder).await?;
        names.truncate(limit);
        Ok(names)
    }

    /// Finds the logs below the root, or below a folder, in folders of folders too: their names
    /// from the root, sorted within each folder, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`] if the folder does not exist or ZooKeeper fails.
    pub async fn find_logs(
        &self,
        folder: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, LogError> {
        let mut found = Vec::new();
        let first = self.folder(folder)?;
        let (names, _) = self.children(&first, folder).await?;
        let mut unread: Vec<(String, usize)> =
            names.into_iter().rev().map(|name| (name, 1)).collect();
        // Bounded: each node of the tree is read once, to a depth.
        while let Some((name, depth)) = unread.pop() {
            if found.len() == limit {
                break;
            }
            let path = format!("{}/{name}", self.root);
            let (below, is_log) = match self.children(&path, Some(&name)).await {
                Ok(children) => children,
                // Deleted meanwhile.
                Err(LogError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            if is_log {
                found.push(name);
            }
            if depth < MAX_DEPTH {
                unread.extend(below.into_iter().rev().map(|name| (name, depth + 1)));
            }
        }
        Ok(found)
    }

    fn folder(&self, folder: Option<&str>) -> Result<String, LogError> {
        match folder {
            None => Ok(self.root.clone()),
            Some(folder) => Ok(format!("{}/{}", self.root, check_name(folder)?)),
        }
    }

    /// Returns the names below a node that are not reserved, from the root and sorted, and true if
    /// the node is a log.
    async fn children(
        &self,
        path: &str,
        folder: Option<&str>,
    ) -> Result<(Vec<String>, bool), LogError> {
        let reply = self.zookeeper.children(path).await;
        let (names, _) = reply.map_err(|error| LogError::zookeeper(path, error))?;
        let is_log = names.iter().any(|name| name == DEFAULT_PARTITION);
        let names = names.into_iter().filter(|name| !is_reserved(name));
        let mut names: Vec<String> = match folder {
            None => names.collect(),
            Some(folder) => {
                let folder = folder.trim_start_matches('/');
                names.map(|name| format!("{folder}/{name}")).collect()
            }
        };
        names.sort_unstable();
        Ok((names, is_log))
    }

    fn no_binding(&self, error: BindingError) -> LogError {
        LogError::Binding {
            path: self.root.clone(),
            error,
        }
    }
}
