use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll};
use std::io;

use super::Resolver;
#[cfg(feature = "zookeeper")]
use super::ServerSet;

/// A proxy that a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedProxy {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// The host name that it was found under; empty when that was the address itself.
    pub(crate) name: String,
    /// Its shard; -1 when the name does not say.
    pub(crate) shard: i32,
}

impl ResolvedProxy {
    /// A proxy of which only the host is known.
    pub(crate) fn without_shard(address: SocketAddr, host: &str) -> Self {
        Self::new(address, host, -1)
    }

    pub(crate) fn new(address: SocketAddr, host: &str, shard: i32) -> Self {
        let name = if host.parse::<IpAddr>().is_ok() {
            String::new()
        } else {
            host.to_owned()
        };
        Self {
            address,
            name,
            shard,
        }
    }
}

/// Where a name leads now.
#[derive(Debug)]
pub(crate) struct NameEvent {
    /// Every proxy; each address once.
    pub(crate) found: Vec<ResolvedProxy>,
    /// What leads nowhere, and why.
    pub(crate) failures: Vec<(String, io::Error)>,
}

/// Follows a name as time goes on.
pub(crate) enum Names {
    /// By the operating system's resolver.
    Hosts(Resolver),
    /// By ZooKeeper.
    #[cfg(feature = "zookeeper")]
    ServerSet(ServerSet),
}

impl Names {
    /// Where the name leads now, changed or not. Pending for ever once that will not change any
    /// more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<NameEvent> {
        match self {
            Self::Hosts(resolver) => resolver.poll(cx),
            #[cfg(feature = "zookeeper")]
            Self::ServerSet(members) => members.poll(cx),
        }
    }
}
