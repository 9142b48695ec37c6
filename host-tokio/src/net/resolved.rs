use core::net::{IpAddr, SocketAddr};
use std::io;

/// A proxy that a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedProxy {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The host name that it was found under; empty when that was the address itself.
    pub(crate) name: String,
    /// Its shard; -1 if the name gives none.
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

/// Result of resolving a name.
#[derive(Debug)]
pub(crate) struct NameEvent {
    /// Every proxy; each address once.
    pub(crate) found: Vec<ResolvedProxy>,
    /// Hosts without an address, and the errors.
    pub(crate) failures: Vec<(String, io::Error)>,
}
