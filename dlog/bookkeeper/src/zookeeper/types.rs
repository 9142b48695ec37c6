use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// State of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Number of changes of the data.
    pub version: i32,
    /// Number of children created and deleted.
    pub children_version: i32,
    /// Transaction that created the node: equal only for the same node in the same life.
    pub created_zxid: i64,
    /// Transaction that changed the data last.
    pub modified_zxid: i64,
    /// Time of creation in milliseconds since 1970, by the ensemble's clock.
    pub created_unix_ms: i64,
    /// Session that owns the node; 0 unless it is ephemeral.
    pub ephemeral_owner: i64,
    /// Number of children.
    pub children: i32,
}

/// Life and name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CreateMode {
    /// The node stays until it is deleted.
    Persistent,
    /// As [`Persistent`](Self::Persistent); the server adds a number to the name.
    PersistentSequential,
    /// The node is deleted when the session ends.
    Ephemeral,
    /// As [`Ephemeral`](Self::Ephemeral); the server adds a number to the name.
    EphemeralSequential,
}

impl CreateMode {
    /// Returns true if the server adds a number to the name.
    #[must_use]
    pub const fn is_sequential(self) -> bool {
        matches!(self, Self::PersistentSequential | Self::EphemeralSequential)
    }

    /// Returns true if the node ends with its session.
    #[must_use]
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }
}

/// Rights on a node that is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everyone may do everything.
    #[default]
    Anyone,
    /// The session's user may do everything, and everyone may read. Needs a session with a login.
    Creator,
}

/// An operation of a [`multi`](super::ZooKeeper::multi).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Requires that a node has a version.
    Check {
        /// The node.
        path: String,
        /// Its version.
        version: i32,
    },
    /// Creates a node.
    Create {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Its life and name.
        mode: CreateMode,
        /// Rights on it.
        access: Access,
    },
    /// Replaces a node's data.
    Set {
        /// The node.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// Version that it must have, or `None` for any.
        version: Option<i32>,
    },
    /// Deletes a node without children.
    Delete {
        /// The node.
        path: String,
        /// Version that it must have, or `None` for any.
        version: Option<i32>,
    },
}

impl Op {
    /// Returns the operation's path.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Check { path, .. }
            | Self::Create { path, .. }
            | Self::Set { path, .. }
            | Self::Delete { path, .. } => path,
        }
    }
}

/// Reply to an operation that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpReply {
    /// Reply to [`Op::Check`].
    Checked,
    /// Reply to [`Op::Create`]: the node's path, with its number in sequential modes.
    Created(String),
    /// Reply to [`Op::Set`].
    Set(Stat),
    /// Reply to [`Op::Delete`].
    Deleted,
}

/// Event that ends a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// The node was created.
    Created,
    /// The node was deleted.
    Deleted,
    /// The node's data was replaced.
    DataChanged,
    /// A child was created or deleted.
    ChildrenChanged,
    /// The session has ended, and the watch with it.
    SessionEnded,
}

/// A watch: a future that is ready once, with what happened. It lives through losses of the
/// connection. Dropping it ends the watch.
pub struct NodeWatch(Pin<Box<dyn Future<Output = NodeEvent> + Send>>);

impl NodeWatch {
    /// Wraps a future of an implementation.
    #[must_use]
    pub fn new(event: impl Future<Output = NodeEvent> + Send + 'static) -> Self {
        Self(Box::pin(event))
    }
}

impl Future for NodeWatch {
    type Output = NodeEvent;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NodeEvent> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for NodeWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeWatch").finish_non_exhaustive()
    }
}

/// Reason why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The ensemble ended it, or nothing was heard from the ensemble for so long that it must have.
    Expired,
    /// The ensemble refused the login.
    AuthFailed,
    /// This client closed it.
    Closed,
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the session with ZooKeeper expired",
            Self::AuthFailed => "ZooKeeper refused the login",
            Self::Closed => "the session with ZooKeeper was closed",
        })
    }
}
