use core::time::Duration;

use distributedlog::client::{routing, session};
use distributedlog::names::{Addresses, Name};

use crate::net::{ConnectSettings, Names, Resolver};
#[cfg(feature = "zookeeper")]
use crate::net::{ServerSet, ServerSetName, ZooKeeperLogin};

/// Checked settings of a [`Driver`](super::Driver) and its parts.
pub(crate) struct DriverSettings {
    pub(crate) hosts: Hosts,
    pub(crate) routing: routing::Settings,
    pub(crate) session: session::Settings,
    pub(crate) connect: ConnectSettings,
    /// Expression for the streams whose ownerships proxies list in handshakes.
    pub(crate) stream_name_regex: Box<str>,
}

/// Source of the proxies' addresses.
#[derive(Clone, Debug)]
pub(crate) enum Hosts {
    /// At these names; looked up again after each interval, or only once.
    Named {
        hosts: Vec<(String, u16)>,
        every: Option<Duration>,
    },
    /// The members of a set in ZooKeeper.
    #[cfg(feature = "zookeeper")]
    ServerSet(ServerSetName),
    /// Nowhere, and this will not change.
    None,
    /// No address, and no end of waiting for one.
    Never,
}

impl Hosts {
    /// Returns the source that a name means, or the reason why it is not supported.
    pub(crate) fn of_name(name: &Name<'_>, every: Duration) -> Result<Self, String> {
        let list = |addresses: &Addresses<'_>| {
            addresses
                .iter()
                .map(|at| (at.host.to_owned(), at.port))
                .collect()
        };
        match name {
            Name::Inet(addresses) => Ok(Self::Named {
                hosts: list(addresses),
                every: Some(every),
            }),
            Name::FixedInet(addresses) => Ok(Self::Named {
                hosts: list(addresses),
                every: None,
            }),
            Name::Nil => Ok(Self::Never),
            Name::Neg | Name::Fail(_) => Ok(Self::None),
            Name::Zk {
                hosts,
                path,
                endpoint,
            } => serverset(hosts, path, *endpoint, every),
            Name::ServerSet { hosts, path } => serverset(hosts, path, None, every),
        }
    }

    /// The same, as this user of ZooKeeper.
    #[cfg(feature = "zookeeper")]
    pub(crate) fn with_login(mut self, login: Option<ZooKeeperLogin>) -> Self {
        if let Self::ServerSet(set) = &mut self {
            set.login = login;
        }
        self
    }

    pub(super) fn names(&self) -> Option<Names> {
        match self {
            Self::Named { hosts, every } => {
                Some(Names::Hosts(Resolver::new(hosts.iter().cloned(), *every)))
            }
            #[cfg(feature = "zookeeper")]
            Self::ServerSet(name) => Some(Names::ServerSet(ServerSet::new(name.clone()))),
            Self::None | Self::Never => None,
        }
    }
}

#[cfg(feature = "zookeeper")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn serverset(
    ensemble: &Addresses<'_>,
    path: &str,
    endpoint: Option<&str>,
    every: Duration,
) -> Result<Hosts, String> {
    let (ensemble, path) = (ensemble.as_str().to_owned(), path.to_owned());
    Ok(Hosts::ServerSet(ServerSetName {
        ensemble,
        path,
        endpoint: endpoint.map(str::to_owned),
        login: None,
        every,
    }))
}

#[cfg(not(feature = "zookeeper"))]
fn serverset(_: &Addresses<'_>, _: &str, _: Option<&str>, _: Duration) -> Result<Hosts, String> {
    Err(
        "this program was built without ZooKeeper (feature `zookeeper` of distributedlog-tokio); \
         name proxies with inet!host:port"
            .to_owned(),
    )
}
