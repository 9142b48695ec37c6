use core::fmt;

use crate::namespace::retention::LogStateError;
use crate::namespace::{BindingError, NameError, NamespaceError};
use crate::zookeeper::ZooKeeperError;

/// Error of reading or changing a namespace's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogError {
    /// ZooKeeper failed.
    ZooKeeper {
        /// The node.
        path: String,
        /// Why.
        error: ZooKeeperError,
    },
    /// The name is not one of a log.
    Name(NameError),
    /// The root's data is not a binding.
    Binding {
        /// The root.
        path: String,
        /// Why.
        error: BindingError,
    },
    /// The root has another binding.
    AlreadyBound {
        /// The root.
        path: String,
    },
    /// The log, or the namespace, does not exist.
    NotFound {
        /// The node that is missing.
        path: String,
    },
    /// A node's data is not what DistributedLog writes there.
    Data {
        /// The node.
        path: String,
    },
    /// A log segment does not decode.
    Segment {
        /// The node.
        path: String,
        /// Why.
        error: NamespaceError,
    },
    /// The log's nodes contradict each other.
    State(LogStateError),
    /// Another writer changed the log: this one has lost it.
    Conflict {
        /// The node that shows it.
        path: String,
    },
    /// The log's nodes changed with every try to read them.
    Unsteady {
        /// The node.
        path: String,
    },
}

impl LogError {
    pub(super) fn zookeeper(path: &str, error: ZooKeeperError) -> Self {
        let path = path.to_owned();
        if error == ZooKeeperError::NoNode {
            Self::NotFound { path }
        } else {
            Self::ZooKeeper { path, error }
        }
    }

    /// Returns true if ZooKeeper was away: the same call may succeed later in the same session.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::ZooKeeper { error, .. } => error.is_temporary(),
            Self::Unsteady { .. } => true,
            Self::Name(_)
            | Self::Binding { .. }
            | Self::AlreadyBound { .. }
            | Self::NotFound { .. }
            | Self::Data { .. }
            | Self::Segment { .. }
            | Self::State(_)
            | Self::Conflict { .. } => false,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZooKeeper { path, error } => write!(f, "{path}: {error}"),
            Self::Name(error) => error.fmt(f),
            Self::Binding { path, error } => write!(f, "{path}: {error}"),
            Self::AlreadyBound { path } => write!(f, "{path} is bound to another cluster"),
            Self::NotFound { path } => write!(f, "{path} does not exist"),
            Self::Data { path } => write!(f, "{path} has data that DistributedLog never writes"),
            Self::Segment { path, error } => write!(f, "{path}: {error}"),
            Self::State(error) => error.fmt(f),
            Self::Conflict { path } => write!(f, "another writer changed the log at {path}"),
            Self::Unsteady { path } => write!(f, "{path} changed with every read"),
        }
    }
}

impl core::error::Error for LogError {}

impl From<NameError> for LogError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<LogStateError> for LogError {
    fn from(error: LogStateError) -> Self {
        Self::State(error)
    }
}
