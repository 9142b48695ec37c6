use std::collections::{BTreeMap, BTreeSet};

use distributedlog_bookkeeper::zookeeper::{NodeEvent, Op, OpReply, Stat, ZooKeeperError};

use super::ModelNode;

/// The nodes. All operations are applied or none.
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    zxid: i64,
    pub(super) now_unix_ms: i64,
}

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    children: BTreeSet<String>,
    /// Children that were created: the number of the next sequential one.
    created_children: i32,
    stat: Stat,
}

/// An event of a watch, with its path.
pub(super) type Events = Vec<(String, NodeEvent)>;

type Undo = Vec<(String, Option<Node>)>;

impl Node {
    fn stat(&self) -> Stat {
        let children = i32::try_from(self.children.len()).unwrap_or(i32::MAX);
        Stat {
            // A deletion counts as well; each child that is gone was created once.
            children_version: self.created_children.wrapping_mul(2).wrapping_sub(children),
            children,
            ..self.stat
        }
    }
}

/// Returns the path of a node's parent.
fn parent_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Refuses paths that the server refuses.
fn check_path(path: &str) -> Result<(), ZooKeeperError> {
    let is_valid = path == "/"
        || (path.starts_with('/')
            && path[1..]
                .split('/')
                .all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0')));
    if is_valid {
        Ok(())
    } else {
        Err(ZooKeeperError::Refused(format!("invalid path {path:?}")))
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([("/".to_owned(), Node::default())]),
            zxid: 0,
            now_unix_ms: 1_700_000_000_000,
        }
    }

    pub(super) fn nodes(&self) -> BTreeMap<String, ModelNode> {
        let others = self.nodes.iter().filter(|(path, _)| *path != "/");
        let shown = others.map(|(path, node)| {
            let data = node.data.clone();
            let stat = node.stat();
            (path.clone(), ModelNode { data, stat })
        });
        shown.collect()
    }

    pub(super) fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), ZooKeeperError> {
        check_path(path)?;
        let node = self.nodes.get(path).ok_or(ZooKeeperError::NoNode)?;
        Ok((node.data.clone(), node.stat()))
    }

    pub(super) fn children(&self, path: &str) -> Result<(Vec<String>, Stat), ZooKeeperError> {
        check_path(path)?;
        let node = self.nodes.get(path).ok_or(ZooKeeperError::NoNode)?;
        Ok((node.children.iter().cloned().collect(), node.stat()))
    }

    /// Applies all operations, or returns the index of the one that is refused.
    pub(super) fn apply(
        &mut self,
        session: i64,
        ops: &[Op],
    ) -> Result<(Vec<OpReply>, Events), (usize, ZooKeeperError)> {
        self.zxid += 1;
        let (mut undo, mut events) = (Undo::new(), Events::new());
        let mut replies = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            match self.apply_one(session, op, &mut undo, &mut events) {
                Ok(reply) => replies.push(reply),
                Err(error) => {
                    self.roll_back(undo);
                    return Err((index, error));
                }
            }
        }
        Ok((replies, events))
    }

    /// Deletes what a session owns, in one transaction.
    pub(super) fn delete_ephemerals(&mut self, session: i64) -> Events {
        let owned = self
            .nodes
            .iter()
            .filter(|(_, node)| node.stat.ephemeral_owner == session)
            .map(|(path, _)| Op::Delete {
                path: path.clone(),
                version: None,
            });
        let owned: Vec<Op> = owned.collect();
        let applied = self.apply(session, &owned);
        applied
            .expect("ephemeral nodes exist and have no children")
            .1
    }

    fn roll_back(&mut self, undo: Undo) {
        for (path, before) in undo.into_iter().rev() {
            match before {
                Some(node) => self.nodes.insert(path, node),
                None => self.nodes.remove(&path),
            };
        }
    }

    fn apply_one(
        &mut self,
        session: i64,
        op: &Op,
        undo: &mut Undo,
        events: &mut Events,
    ) -> Result<OpReply, ZooKeeperError> {
        match op {
            Op::Check { path, version } => {
                check_path(path)?;
                let node = self.nodes.get(path).ok_or(ZooKeeperError::NoNode)?;
                if node.stat.version != *version {
                    return Err(ZooKeeperError::BadVersion);
                }
                Ok(OpReply::Checked)
            }
            Op::Set {
                path,
                data,
                version,
            } => {
                check_path(path)?;
                let zxid = self.zxid;
                let node = self.nodes.get_mut(path).ok_or(ZooKeeperError::NoNode)?;
                if version.is_some_and(|version| version != node.stat.version) {
                    return Err(ZooKeeperError::BadVersion);
                }
                undo.push((path.clone(), Some(node.clone())));
                node.data.clone_from(data);
                node.stat.version += 1;
                node.stat.modified_zxid = zxid;
                events.push((path.clone(), NodeEvent::DataChanged));
                Ok(OpReply::Set(node.stat()))
            }
            Op::Create { .. } => self.create(session, op, undo, events),
            Op::Delete { path, version } => self.delete(path, *version, undo, events),
        }
    }

    fn create(
        &mut self,
        session: i64,
        op: &Op,
        undo: &mut Undo,
        events: &mut Events,
    ) -> Result<OpReply, ZooKeeperError> {
        let Op::Create {
            path, data, mode, ..
        } = op
        else {
            unreachable!("`apply_one` calls it for a creation");
        };
        // A sequential name may be its number alone.
        let is_number_alone = mode.is_sequential() && path.ends_with('/');
        if !is_number_alone {
            check_path(path)?;
        }
        let parent_path = parent_of(path).to_owned();
        let parent = self
            .nodes
            .get_mut(&parent_path)
            .ok_or(ZooKeeperError::NoNode)?;
        if parent.stat.ephemeral_owner != 0 {
            return Err(ZooKeeperError::EphemeralParent);
        }
        let path = if mode.is_sequential() {
            format!("{path}{:010}", parent.created_children)
        } else {
            path.clone()
        };
        let (_, name) = path.rsplit_once('/').expect("`check_path` saw a slash");
        if path == "/" || parent.children.contains(name) {
            return Err(ZooKeeperError::NodeExists);
        }
        undo.push((parent_path.clone(), Some(parent.clone())));
        parent.children.insert(name.to_owned());
        parent.created_children = parent.created_children.wrapping_add(1);
        let node = Node {
            data: data.clone(),
            stat: Stat {
                created_zxid: self.zxid,
                modified_zxid: self.zxid,
                created_unix_ms: self.now_unix_ms,
                ephemeral_owner: if mode.is_ephemeral() { session } else { 0 },
                ..Stat::default()
            },
            ..Node::default()
        };
        undo.push((path.clone(), None));
        self.nodes.insert(path.clone(), node);
        events.push((path.clone(), NodeEvent::Created));
        events.push((parent_path, NodeEvent::ChildrenChanged));
        Ok(OpReply::Created(path))
    }

    fn delete(
        &mut self,
        path: &str,
        version: Option<i32>,
        undo: &mut Undo,
        events: &mut Events,
    ) -> Result<OpReply, ZooKeeperError> {
        check_path(path)?;
        let node = self.nodes.get(path).ok_or(ZooKeeperError::NoNode)?;
        if version.is_some_and(|version| version != node.stat.version) {
            return Err(ZooKeeperError::BadVersion);
        }
        if !node.children.is_empty() {
            return Err(ZooKeeperError::NotEmpty);
        }
        let parent_path = parent_of(path).to_owned();
        let (_, name) = path.rsplit_once('/').expect("`check_path` saw a slash");
        let parent = self
            .nodes
            .get_mut(&parent_path)
            .ok_or(ZooKeeperError::NoNode)?;
        undo.push((parent_path.clone(), Some(parent.clone())));
        parent.children.remove(name);
        undo.push((path.to_owned(), self.nodes.remove(path)));
        events.push((path.to_owned(), NodeEvent::Deleted));
        events.push((parent_path, NodeEvent::ChildrenChanged));
        Ok(OpReply::Deleted)
    }
}
