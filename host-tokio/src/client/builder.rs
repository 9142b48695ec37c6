use core::time::Duration;

use super::error::BuildError;
use super::handle::ProxyClient;
use crate::Tls;

/// How requests are put on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Mux frames around thrift: many requests in flight on one connection. What proxies started with `-mx` speak.
    #[default]
    ThriftMux,
    /// Framed thrift, with Finagle's upgrade when the proxy knows it: one request at a time on a connection.
    FramedThrift,
}

/// Settings of a [`ProxyClient`]; [`build`](Self::build) checks them and connects. Each method's default stands behind "Default".
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProxyClientBuilder {
    pub(crate) name: String,
    pub(crate) client_id: String,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<Tls>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) ready_timeout: Duration,
    pub(crate) resolve_interval: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) max_frame_bytes: usize,
}

impl ProxyClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            name: String::new(),
            client_id: "distributedlog".to_owned(),
            protocol: Protocol::ThriftMux,
            tls: None,
            request_timeout: None,
            attempt_timeout: None,
            connect_timeout: None,
            ready_timeout: Duration::from_secs(5),
            resolve_interval: Duration::from_secs(10),
            max_in_flight: 4_096,
            max_frame_bytes: 16 * 1024 * 1024,
        }
    }

    /// Where the proxies are, as a Finagle name: `inet!host:port,host:port` (looked up again and again), `fixedinet!host:port` (looked up
    /// once), `nil!`, `neg!`, `fail!`. No default: it must be given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What the proxies are told about who calls. Default: `distributedlog`.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = id.into();
        self
    }

    /// How requests are put on a connection. Default: [`Protocol::ThriftMux`].
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Encrypts the connections. Default: they are not.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long an operation may take altogether, redirects and retries included. Default: no limit but that of its attempts.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// How long one proxy may take to answer. Default: 1 s.
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// How long making a connection may take, TLS included. Default: 1 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How long [`build`](Self::build) waits for the first proxy to shake hands; zero: not at all, the client then connects in the background.
    /// Default: 5 s.
    pub const fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// How often the hosts of an `inet!` name are looked up again. Default: 10 s.
    pub const fn resolve_interval(mut self, interval: Duration) -> Self {
        self.resolve_interval = interval;
        self
    }

    /// How many operations may be under way at a time; others wait. Default: 4,096.
    pub const fn max_in_flight(mut self, operations: usize) -> Self {
        self.max_in_flight = operations;
        self
    }

    /// The largest frame that a proxy may send; a larger one ends the connection before it is buffered. Default: 16 MiB.
    pub const fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Checks the settings, starts the task that drives the client on the current runtime, and waits until a proxy has shaken hands.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; [`BuildError::NoProxy`] names each host and why it did not do.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime with I/O and time enabled.
    pub async fn build(self) -> Result<ProxyClient, BuildError> {
        todo!("the driver")
    }
}
