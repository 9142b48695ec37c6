//! Settings of the server and of its clients.

use core::time::Duration;
use std::sync::Arc;

use crate::Entropy;
use crate::net::{Dial, Tcp};
use crate::uri::DEFAULT_NAMESPACE;

/// Settings of a [`Server`](super::Server). The defaults suit `dlog local`.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Namespace that the store serves. A client of another namespace is refused, with this one in
    /// the message. Default: `/messaging/distributedlog`.
    pub namespace: String,
    /// Time for which the server keeps the session and leases of a lost connection, in which the
    /// client can resume it. Default: 4 s.
    pub session_grace: Duration,
    /// Maximum time from accepting a connection to its first frame. Default: 5 s.
    pub hello_timeout: Duration,
    /// Maximum time without a complete frame; after it the connection is closed. Clients are asked
    /// to ping four times in this time. Default: 10 s.
    pub idle_timeout: Duration,
    /// Maximum number of open connections. A further one is refused with that reason. Default:
    /// 16,384.
    pub max_connections: usize,
    /// Maximum size of a frame in bytes. A larger one closes the connection before it is buffered.
    /// Default: 4 MiB.
    pub max_frame_bytes: usize,
    /// Maximum size in bytes of one connection's requests in progress, each rounded up to the next
    /// KiB. At the limit its socket is not read. Default: 64 MiB. At least `max_frame_bytes`.
    pub max_append_bytes: usize,
    /// Maximum size in bytes of the entries that one read returns, unless its first entry alone is
    /// larger. Default: 1 MiB.
    pub max_read_bytes: usize,
    /// Maximum time that a read waits for an entry. A client that waits longer sends it again.
    /// Default: 60 s.
    pub max_read_wait: Duration,
    /// Source of the sessions' secrets. Default: the system's entropy.
    pub entropy: Entropy,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            session_grace: Duration::from_secs(4),
            hello_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            max_connections: 16_384,
            max_frame_bytes: 4 << 20,
            max_append_bytes: 64 << 20,
            max_read_bytes: 1 << 20,
            max_read_wait: Duration::from_secs(60),
            entropy: Entropy::default(),
        }
    }
}

/// Settings of a [`RemoteStore`](super::RemoteStore).
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Program and process id of this client, for the server's log. At most 256 bytes are sent.
    pub description: String,
    /// Timeout for connecting to a host, and again for its reply to the handshake. Default: 5 s.
    pub connect_timeout: Duration,
    /// Maximum time that an operation other than an append waits for a new connection after the old
    /// one was lost. Default: 5 s.
    ///
    /// Within it, operations that can be repeated are sent again; creating and deleting a stream is
    /// not, because it is unknown whether the first one was carried out.
    pub retry_timeout: Duration,
    /// First pause before reconnecting. It doubles up to `backoff_max`. Default: 20 ms.
    pub backoff_min: Duration,
    /// Longest pause before reconnecting. Default: 1 s.
    pub backoff_max: Duration,
    /// Maximum size of a frame in bytes. Default: 16 MiB.
    pub max_frame_bytes: usize,
    /// Maximum size of appends in flight in bytes; a further append fails with
    /// [`StoreError::Overloaded`](crate::StoreError::Overloaded). Default: 64 MiB.
    pub max_append_bytes: usize,
    /// Transport that makes the connections. Default: [`Tcp`].
    pub dial: Arc<dyn Dial>,
    /// Source of the pauses' jitter. Default: the system's entropy.
    pub entropy: Entropy,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            description: format!(
                "dlog {} (process {})",
                env!("CARGO_PKG_VERSION"),
                std::process::id()
            ),
            connect_timeout: Duration::from_secs(5),
            retry_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            max_frame_bytes: 16 << 20,
            max_append_bytes: 64 << 20,
            dial: Arc::new(Tcp),
            entropy: Entropy::default(),
        }
    }
}
