use core::task::{Context, Poll};

use super::resolve::Resolver;
use super::resolved::NameEvent;
#[cfg(feature = "zookeeper")]
use super::serverset::ServerSet;

/// Resolves a name repeatedly.
pub(crate) enum Names {
    /// By the operating system's resolver.
    Hosts(Resolver),
    /// By ZooKeeper.
    #[cfg(feature = "zookeeper")]
    ServerSet(ServerSet),
}

impl Names {
    /// Returns the next result, changed or not. Pending for ever once the result cannot change any
    /// more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<NameEvent> {
        match self {
            Self::Hosts(resolver) => resolver.poll(cx),
            #[cfg(feature = "zookeeper")]
            Self::ServerSet(members) => members.poll(cx),
        }
    }

    /// Looks the name up again soon, because none of its addresses can be used. Poll it afterwards.
    pub(crate) fn look_up_soon(&mut self) {
        match self {
            Self::Hosts(resolver) => resolver.look_up_soon(),
            #[cfg(feature = "zookeeper")]
            Self::ServerSet(members) => members.look_up_soon(),
        }
    }
}
