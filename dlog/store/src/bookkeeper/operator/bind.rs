//! Binds a namespace to a cluster.

use core::fmt;

use distributedlog_bookkeeper::cluster::Ledgers;
use distributedlog_bookkeeper::driver::zookeeper::Session;
use distributedlog_bookkeeper::namespace::nodes::{LogError, Namespace};
use distributedlog_bookkeeper::namespace::{Binding, BindingError};
use distributedlog_bookkeeper::zookeeper::{Access, ZooKeeper};

use super::super::connect::{begin, servers_of};
use super::super::settings::BookKeeperSettings;
use super::unreachable;
use crate::StoreError;
use crate::uri::Uri;

/// Cluster that a namespace is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindOptions {
    /// Root of the cluster's ledgers in ZooKeeper. Default: `/ledgers`.
    pub ledgers: String,
    /// ZooKeeper servers of the cluster. `None`: those of the namespace's URI.
    pub servers: Option<String>,
    /// As `servers`, for readers of Java. `None`: the same.
    pub servers_for_readers: Option<String>,
    /// ZooKeeper servers of the namespace, for writers of Java. `None`: those of the URI.
    pub namespace_servers: Option<String>,
    /// As `namespace_servers`, for readers of Java. `None`: the same.
    pub namespace_servers_for_readers: Option<String>,
    /// Number of a log's first segment. `None`: 1.
    pub first_sequence_number: Option<i64>,
    /// Replaces the binding to another cluster.
    pub replaces: bool,
    /// Creates a namespace that does not exist.
    pub creates: bool,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            ledgers: "/ledgers".to_owned(),
            servers: None,
            servers_for_readers: None,
            namespace_servers: None,
            namespace_servers_for_readers: None,
            first_sequence_number: None,
            replaces: false,
            creates: false,
        }
    }
}

/// Result of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The namespace was bound.
    Now,
    /// The namespace was bound so already.
    Already,
}

/// A binding that was not made. Nothing was changed, unless ZooKeeper failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindError {
    /// No cluster was formatted at this place.
    NoCluster {
        /// Servers of ZooKeeper and root of the ledgers.
        place: String,
        /// Reason.
        detail: String,
    },
    /// The namespace does not exist, and [`BindOptions::creates`] is not set.
    NoNamespace {
        /// Servers of ZooKeeper and path of the namespace.
        place: String,
    },
    /// The namespace has another binding, and [`BindOptions::replaces`] is not set.
    BoundElsewhere {
        /// Servers of ZooKeeper and path of the namespace.
        place: String,
        /// Binding that it has.
        binding: String,
    },
    /// ZooKeeper failed.
    Store(StoreError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCluster { place, detail } => {
                write!(f, "there is no BookKeeper cluster at {place}: {detail}")
            }
            Self::NoNamespace { place } => write!(f, "the namespace {place} does not exist"),
            Self::BoundElsewhere { place, binding } => {
                write!(f, "the namespace {place} has another binding: {binding}")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BindError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::NoCluster { .. } | Self::NoNamespace { .. } | Self::BoundElsewhere { .. } => None,
        }
    }
}

/// Binds the namespace of a URI to a cluster of BookKeeper.
///
/// # Errors
///
/// [`BindError`].
pub async fn bind(uri: &Uri, options: &BindOptions) -> Result<Bound, BindError> {
    let servers = servers_of(uri);
    let namespace = namespace(uri, &servers).await.map_err(BindError::Store)?;
    let of_ledgers = options.servers.as_deref().unwrap_or(&servers);
    let sessions = begin(of_ledgers, &BookKeeperSettings::default()).await;
    let sessions = sessions.map_err(BindError::Store)?;
    bind_over(&namespace, sessions.current(), &servers, options).await
}

/// Removes the binding of a namespace. Its streams and their ledgers stay.
///
/// # Errors
///
/// [`StoreError::Unreachable`] if ZooKeeper fails; [`StoreError::Refused`] if the namespace is not
/// bound.
pub async fn unbind(uri: &Uri) -> Result<(), StoreError> {
    let servers = servers_of(uri);
    let namespace = namespace(uri, &servers).await?;
    if let Err(error) = namespace.binding().await
        && is_unbound(&error)
    {
        return Err(refused(&servers, &error));
    }
    let unbound = namespace.unbind().await;
    unbound.map_err(|error| unreachable(&servers, &error))
}

/// Returns true if there is nothing to unbind. What is no binding is removed too.
const fn is_unbound(error: &LogError) -> bool {
    matches!(
        error,
        LogError::NotFound { .. }
            | LogError::Binding {
                error: BindingError::Unbound,
                ..
            }
    )
}

async fn namespace(uri: &Uri, servers: &str) -> Result<Namespace<Session>, StoreError> {
    let sessions = begin(servers, &BookKeeperSettings::default()).await?;
    Ok(Namespace::new(
        sessions.current(),
        uri.namespace(),
        Access::default(),
    ))
}

async fn bind_over<Z: ZooKeeper>(
    namespace: &Namespace<Z>,
    of_ledgers: Z,
    servers: &str,
    options: &BindOptions,
) -> Result<Bound, BindError> {
    let ledger_servers = options.servers.as_deref().unwrap_or(servers);
    let ledgers = Ledgers::open(of_ledgers, &options.ledgers, Access::default()).await;
    ledgers.map_err(|error| BindError::NoCluster {
        place: format!("{ledger_servers}{}", options.ledgers),
        detail: error.to_string(),
    })?;
    let binding = binding(servers, options);
    let place = || format!("{servers}{}", namespace.root());
    let found = namespace.binding().await;
    if found.as_ref() == Ok(&binding) {
        return Ok(Bound::Already);
    }
    if matches!(found, Err(LogError::NotFound { .. })) && !options.creates {
        return Err(BindError::NoNamespace { place: place() });
    }
    match namespace.bind(&binding, options.replaces).await {
        Ok(()) => Ok(Bound::Now),
        Err(LogError::AlreadyBound { .. }) => Err(BindError::BoundElsewhere {
            place: place(),
            binding: match found {
                Ok(found) => described(&found),
                Err(error) => error.to_string(),
            },
        }),
        Err(error) => Err(BindError::Store(unreachable(servers, &error))),
    }
}

fn binding(servers: &str, options: &BindOptions) -> Binding {
    let ledger_servers = options.servers.as_deref().unwrap_or(servers);
    let mut binding = Binding::new(ledger_servers, &options.ledgers);
    let chosen = |given: &Option<String>, or: &str| {
        let servers = given.as_deref().unwrap_or(or);
        Some(servers.replace(';', ","))
    };
    binding.bookkeeper_servers_for_readers = chosen(&options.servers_for_readers, ledger_servers);
    binding.servers = chosen(&options.namespace_servers, servers);
    let of_namespace = options.namespace_servers.as_deref().unwrap_or(servers);
    binding.servers_for_readers = chosen(&options.namespace_servers_for_readers, of_namespace);
    binding.first_sequence_number = options.first_sequence_number;
    binding
}

fn described(binding: &Binding) -> String {
    let (servers, ledgers) = (&binding.bookkeeper_servers, &binding.ledgers);
    let first = binding.first_sequence_number();
    format!("the ledgers at {servers}{ledgers}, first log segment {first}")
}

fn refused(servers: &str, error: &dyn fmt::Display) -> StoreError {
    StoreError::Refused {
        address: servers.to_owned(),
        detail: error.to_string(),
    }
}
