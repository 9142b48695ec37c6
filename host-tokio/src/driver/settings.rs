use core::time::Duration;

use distributedlog::client::{routing, session};
use distributedlog::names::Name;

use crate::net::{ConnectSettings, Resolver};

/// How a [`Driver`](super::Driver) behaves: settings of its parts, each checked.
pub(crate) struct DriverSettings {
    pub(crate) hosts: Hosts,
    pub(crate) routing: routing::Settings,
    pub(crate) session: session::Settings,
    pub(crate) connect: ConnectSettings,
    /// Which streams' ownerships proxies are asked for.
    pub(crate) stream_name_regex: Box<str>,
}

/// Where proxies are looked for.
#[derive(Clone, Debug)]
pub(crate) enum Hosts {
    /// At these names; looked up again after each interval, or only once.
    Named { hosts: Vec<(String, u16)>, every: Option<Duration> },
    /// Nowhere, and this will not change.
    None,
    /// Nobody will ever say.
    Never,
}

impl Hosts {
    /// What a name means; the text says why it means nothing here.
    pub(crate) fn of_name(name: &Name<'_>, every: Duration) -> Result<Self, String> {
        let list = |addresses: &distributedlog::names::Addresses<'_>| addresses.iter().map(|at| (at.host.to_owned(), at.port)).collect();
        match name {
            Name::Inet(addresses) => Ok(Self::Named { hosts: list(addresses), every: Some(every) }),
            Name::FixedInet(addresses) => Ok(Self::Named { hosts: list(addresses), every: None }),
            Name::Nil => Ok(Self::Never),
            Name::Neg | Name::Fail(_) => Ok(Self::None),
            Name::Zk { .. } | Name::ServerSet { .. } => {
                Err("proxies are not looked up in ZooKeeper yet; name them with inet!host:port,host:port".to_owned())
            }
        }
    }

    pub(super) fn resolver(&self) -> Option<Resolver> {
        match self {
            Self::Named { hosts, every } => Some(Resolver::new(hosts.iter().cloned(), *every)),
            Self::None | Self::Never => None,
        }
    }
}
