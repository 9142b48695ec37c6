use core::time::Duration;
use std::sync::Arc;

use crate::Entropy;
use crate::net::{Dial, Tcp};
use crate::uri::DEFAULT_NAMESPACE;

/// How a store is served. The default suits `dlog local`.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The namespace that the store holds; a client that asks for another one is refused, and told
    /// this one.
    pub namespace: String,
    /// How long the leases of a lost connection live on, for its client to come back. Default 4 s.
    pub session_grace: Duration,
    /// How long a new connection may take to say who it is. Default 5 s.
    pub hello_timeout: Duration,
    /// How long a connection may go without a whole frame. Clients are told to ping four times as
    /// often. Default 10 s.
    pub idle_timeout: Duration,
    /// How many connections may be open at once; the next one is told so and closed. Default
    /// 16,384.
    pub max_connections: usize,
    /// The largest frame that is read, in bytes; a larger one ends the connection before any of it
    /// is buffered. Default 4 MiB.
    pub max_frame_bytes: usize,
    /// How many requests of one connection may be unanswered; with more, its socket is not read.
    /// Default 16,384.
    pub max_requests: usize,
    /// How many bytes of one connection's appends may be unanswered; with more, its socket is not
    /// read. Default 64 MiB.
    pub max_append_bytes: usize,
    /// How many bytes of entries one read answers, unless its first entry alone is larger. Default
    /// 1 MiB.
    pub max_read_bytes: usize,
    /// The longest that one read is held; a client that wants to wait longer asks again. Default
    /// 60 s.
    pub max_read_wait: Duration,
    /// What the secrets of sessions are made of. Default: the system's.
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
            max_requests: 16_384,
            max_append_bytes: 64 << 20,
            max_read_bytes: 1 << 20,
            max_read_wait: Duration::from_secs(60),
            entropy: Entropy::default(),
        }
    }
}

/// How a served store is used.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Who this is, for the server's log: a program and its process id. At most 256 bytes are
    /// sent.
    pub description: String,
    /// How long to try to connect to one host, and to wait for what it answers to the hello.
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How long an operation other than an append waits for a lost connection to come back.
    /// Default 5 s.
    ///
    /// Reads, listings and descriptions that were under way are asked again; what changes the
    /// store is not.
    pub patience: Duration,
    /// The first pause before connecting again; it doubles up to `backoff_max`. Default 20 ms.
    pub backoff_min: Duration,
    /// The longest pause before connecting again. Default 1 s.
    pub backoff_max: Duration,
    /// The largest frame that is read, in bytes. Default 16 MiB.
    pub max_frame_bytes: usize,
    /// How many bytes of appends may be unanswered; the next append is refused as overloaded.
    /// Default 64 MiB.
    pub max_append_bytes: usize,
    /// What makes the connections. Default: TCP.
    pub dial: Arc<dyn Dial>,
    /// What the pauses' jitter is made of. Default: the system's.
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
            patience: Duration::from_secs(5),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            max_frame_bytes: 16 << 20,
            max_append_bytes: 64 << 20,
            dial: Arc::new(Tcp),
            entropy: Entropy::default(),
        }
    }
}
