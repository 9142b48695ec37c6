use core::fmt;

/// Error of a request to ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZooKeeperError {
    /// The node, or the parent of a node to create, does not exist.
    NoNode,
    /// The node exists.
    NodeExists,
    /// The node has another version.
    BadVersion,
    /// The node has children.
    NotEmpty,
    /// The parent is an ephemeral node.
    EphemeralParent,
    /// The session has no right to it.
    NoAuth,
    /// The server refused the request for another reason; nothing was changed.
    Refused(String),
    /// No server could be reached in time; the request was not sent.
    Unavailable,
    /// The reply did not arrive; the request may have been applied, or may still be.
    Lost,
    /// The session has ended; the request may have been applied.
    SessionEnded,
}

impl ZooKeeperError {
    /// Returns true if a change with this error may have been made: only a read tells.
    #[must_use]
    pub const fn may_have_been_applied(&self) -> bool {
        match self {
            Self::Lost | Self::SessionEnded => true,
            Self::NoNode
            | Self::NodeExists
            | Self::BadVersion
            | Self::NotEmpty
            | Self::EphemeralParent
            | Self::NoAuth
            | Self::Refused(_)
            | Self::Unavailable => false,
        }
    }

    /// Returns true if the same request may succeed later in the same session: ZooKeeper was away.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Lost | Self::Unavailable)
    }
}

impl fmt::Display for ZooKeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNode => "the ZooKeeper node does not exist",
            Self::NodeExists => "the ZooKeeper node exists already",
            Self::BadVersion => "the ZooKeeper node was changed by another client",
            Self::NotEmpty => "the ZooKeeper node has children",
            Self::EphemeralParent => "the parent is an ephemeral ZooKeeper node",
            Self::NoAuth => "ZooKeeper denies access to the node",
            Self::Refused(reason) => return write!(f, "ZooKeeper refused the request: {reason}"),
            Self::Unavailable => "no ZooKeeper server can be reached",
            Self::Lost => "ZooKeeper's reply did not arrive: the change may have been made",
            Self::SessionEnded => "the session with ZooKeeper has ended",
        })
    }
}

impl core::error::Error for ZooKeeperError {}

/// Error of a [`multi`](super::ZooKeeper::multi).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiError {
    /// The server refused one operation, so that none was applied.
    Operation {
        /// Index of the operation.
        index: usize,
        /// Why it was refused.
        error: ZooKeeperError,
    },
    /// The request failed as a whole.
    Request(ZooKeeperError),
}

impl MultiError {
    /// Returns true if the operations may have been applied, all of them.
    #[must_use]
    pub const fn may_have_been_applied(&self) -> bool {
        match self {
            Self::Operation { .. } => false,
            Self::Request(error) => error.may_have_been_applied(),
        }
    }

    /// Returns the error without the operation's index.
    #[must_use]
    pub fn into_error(self) -> ZooKeeperError {
        match self {
            Self::Operation { error, .. } | Self::Request(error) => error,
        }
    }
}

impl fmt::Display for MultiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation { index, error } => write!(f, "operation {index}: {error}"),
            Self::Request(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MultiError {}
