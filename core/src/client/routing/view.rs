use core::net::SocketAddr;

use super::HostId;
use crate::named_counters::named_counters;
use crate::wire::service::ServerStatus;
use crate::{Cause, FailureDomain, Instant};

/// A host that names were resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress<'a> {
    /// The name it was resolved from; empty when the name was the address itself. At most
    /// [`MAX_NAME_BYTES`] bytes.
    pub name: &'a str,
    /// Its address.
    pub address: SocketAddr,
    /// Its shard id; negative when it has none, as everywhere but in server sets.
    pub shard: i32,
}

/// The longest host name.
pub const MAX_NAME_BYTES: usize = 96;

/// State of the connection to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// There is none, and none is wanted just now.
    Idle,
    /// It is being made.
    Connecting,
    /// The connection is ready for requests.
    Connected,
    /// It could not be made, or was lost: tried again then.
    Down {
        /// Time of the next attempt.
        until: Instant,
    },
}

/// State of a host, as a client knows it.
#[derive(Clone, Copy, Debug)]
pub struct HostView<'a> {
    /// Its id.
    pub id: HostId,
    /// As Java prints an `InetSocketAddress`: `localhost/127.0.0.1:8000`, `/127.0.0.1:8000`,
    /// `localhost:8000` when not resolved.
    pub text: &'a str,
    /// Its name; empty when it is known by its address.
    pub name: &'a str,
    /// Its address, if known.
    pub address: Option<SocketAddr>,
    /// Its port.
    pub port: u16,
    /// Its shard id; negative when it has none.
    pub shard: i32,
    /// `true` if name resolution returned it, which puts it on the ring. Otherwise a proxy named it
    /// as an owner.
    pub in_ring: bool,
    /// State of its connection.
    pub link: Link,
    /// Number of requests that it was sent and has not replied to, discarded ones included.
    pub in_flight: u32,
    /// Status in its last handshake; `None` before the first.
    pub status: Option<ServerStatus>,
    /// Failure domain of its streams' storage, as its last handshake said; `None` if it said none.
    pub failure_domain: Option<FailureDomain>,
    /// Cause of the failure of the last connection attempt or handshake; `None` if it succeeded,
    /// and before the first.
    pub last_failure: Option<Cause>,
}

named_counters! {
    /// Counters since a client was made.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[non_exhaustive]
    pub struct Counters {
        /// Requests taken.
        pub submitted: u64,
        /// Requests that succeeded.
        pub succeeded: u64,
        /// Requests that failed.
        pub failed: u64,
        /// Requests that their caller gave up.
        pub cancelled: u64,
        /// Frames sent for them.
        pub sent: u64,
        /// Replies that named another owner.
        pub redirects: u64,
        /// Requests routed again after a failed attempt.
        pub reroutes: u64,
        /// Attempts that timed out.
        pub timeouts: u64,
        /// Requests discarded on a connection.
        pub discarded: u64,
        /// Requests whose stream's owner was known.
        pub owner_hits: u64,
        /// Requests routed by the ring.
        pub owner_misses: u64,
        /// Owners evicted to make room for others.
        pub evictions: u64,
        /// Handshakes that succeeded.
        pub handshakes: u64,
        /// Connections made.
        pub connects: u64,
        /// Connections that could not be made.
        pub connect_failures: u64,
        /// Connections lost.
        pub disconnects: u64,
    }
}

impl Counters {
    pub(crate) const NONE: Self = Self {
        submitted: 0,
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        sent: 0,
        redirects: 0,
        reroutes: 0,
        timeouts: 0,
        discarded: 0,
        owner_hits: 0,
        owner_misses: 0,
        evictions: 0,
        handshakes: 0,
        connects: 0,
        connect_failures: 0,
        disconnects: 0,
    };
}
