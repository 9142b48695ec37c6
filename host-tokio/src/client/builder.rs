use core::time::Duration;

use distributedlog::client::session::Protocol;
use distributedlog::client::{routing, session};
use distributedlog::names::Name;
use tokio::sync::mpsc;

use super::handle::ProxyClient;
use super::task::Task;
#[cfg(feature = "tls")]
use crate::Tls;
use crate::TokioClock;
use crate::driver::{Driver, DriverSettings, Hosts, MAX_IN_FLIGHT};
use crate::error::BuildError;
use crate::net::ConnectSettings;
#[cfg(feature = "zookeeper")]
use crate::net::ZooKeeperLogin;

/// Long enough for a proxy to be started again meanwhile.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a [`ProxyClient`]; [`build`](Self::build) checks them and connects. Each method's
/// default stands behind "Default".
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProxyClientBuilder {
    name: String,
    client_id: String,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    #[cfg(feature = "zookeeper")]
    zookeeper_login: Option<ZooKeeperLogin>,
    routing: routing::SettingsBuilder,
    session: session::SettingsBuilder,
    request_timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    connect_timeout: Duration,
    ready_timeout: Duration,
    drain_timeout: Duration,
    resolve_interval: Duration,
    stream_name_regex: String,
    max_in_flight: usize,
    max_bytes: usize,
}

impl ProxyClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            name: String::new(),
            client_id: "distributedlog".to_owned(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "zookeeper")]
            zookeeper_login: None,
            routing: routing::Settings::builder(),
            session: session::Settings::builder().protocol(Protocol::ThriftMux),
            request_timeout: None,
            attempt_timeout: None,
            connect_timeout: Duration::from_secs(1),
            ready_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(10),
            resolve_interval: Duration::from_secs(10),
            stream_name_regex: ".*".to_owned(),
            max_in_flight: 2_048,
            max_bytes: 64 * 1024 * 1024,
        }
    }

    /// Finagle name of the proxies: `inet!host:port,host:port` (resolved again at intervals),
    /// `fixedinet!host:port` (resolved once), `nil!`, `neg!`, `fail!`. No default: it is required.
    pub fn proxies(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Name by which the client identifies itself to the proxies. Default: `distributedlog`.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = id.into();
        self
    }

    /// Protocol of the connections. Default: [`Protocol::ThriftMux`], many requests at a time; with
    /// [`Protocol::Thrift`], each waits for the one before it.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.session = self.session.protocol(protocol);
        self
    }

    /// Encrypts the connections. Default: off.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Login to ZooKeeper, for the name of a serverset that not everyone may read. Default: none.
    #[cfg(feature = "zookeeper")]
    pub fn zookeeper_login(mut self, login: ZooKeeperLogin) -> Self {
        self.zookeeper_login = Some(login);
        self
    }

    /// Maximum time of an operation: waiting for a connection, redirects and retries included.
    /// Default: 10 s; under a [`MultiStreamWriter`](crate::MultiStreamWriter) none but that of the
    /// writer.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// Time that one proxy may take to answer. Default: 1 s; under a
    /// [`MultiStreamWriter`](crate::MultiStreamWriter), also one that shares the client, its
    /// request timeout, since it hedges.
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Time that making a connection may take, its handshakes included. Default: 1 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Times of pings to a silent proxy (mux only): after `idle` without requests in flight, after
    /// `silence` with some; `timeout` is the time that it may take to answer. Default: 5 s, 1 s, 4
    /// s.
    pub fn pings(mut self, idle: Option<Duration>, silence: Duration, timeout: Duration) -> Self {
        self.session = self
            .session
            .idle_ping_interval(idle)
            .silence_before_ping(silence)
            .ping_timeout(timeout);
        self
    }

    /// Settings of the choice of proxies and of what is sent again: redirects, backoff, blackouts.
    /// This builder's own methods for timeouts take precedence. Default: the core's defaults.
    pub const fn routing(mut self, settings: routing::SettingsBuilder) -> Self {
        self.routing = settings;
        self
    }

    /// Maximum time that [`build`](Self::build) waits for a proxy to shake hands; zero: it does not
    /// wait, and the client connects in the background. Default: 5 s.
    pub const fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// Maximum time that [`close`](ProxyClient::close) waits for operations in flight. Default: 10
    /// s.
    pub const fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Interval at which the hosts of an `inet!` name are resolved again. Default: 10 s.
    pub const fn resolve_interval(mut self, interval: Duration) -> Self {
        self.resolve_interval = interval;
        self
    }

    /// Regular expression of the streams whose owners proxies are asked for in handshakes, in the
    /// proxies' syntax. Default: `.*`.
    pub fn stream_name_regex(mut self, regex: impl Into<String>) -> Self {
        self.stream_name_regex = regex.into();
        self
    }

    /// Maximum number of operations in flight, 1 to 4,032; others wait. Default: 2,048.
    pub const fn max_in_flight(mut self, operations: usize) -> Self {
        self.max_in_flight = operations;
        self
    }

    /// Maximum bytes of records in flight; operations beyond wait. A single larger operation is let
    /// through alone. Default: 64 MiB.
    pub const fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Largest frame that a proxy may send; a larger one ends the connection before it is buffered.
    /// Default: 16 MiB.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.session = self.session.max_frame_bytes(bytes);
        self
    }

    /// Checks the settings, starts the task that drives the client on the current runtime, and
    /// waits until every proxy has shaken hands or failed to, at least one with success.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; [`BuildError::NoProxy`] has each host with the reason of its failure.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime with I/O and time enabled.
    pub async fn build(self) -> Result<ProxyClient, BuildError> {
        if !(1..=MAX_IN_FLIGHT).contains(&self.max_in_flight) {
            return Err(BuildError::MaxInFlight {
                value: self.max_in_flight,
                max: MAX_IN_FLIGHT,
            });
        }
        // The default holds for the operations of handles: writers that share the client have
        // request timeouts of their own.
        let default_timeout = match self.request_timeout {
            None => Some(DEFAULT_REQUEST_TIMEOUT),
            Some(_) => None,
        };
        // The same for the default time of an attempt: writers hedge.
        let attempt_policy = match self.attempt_timeout {
            None => routing::RetryPolicy::OneRoundUntilDeadline,
            Some(_) => routing::RetryPolicy::OneRound,
        };
        let (max_in_flight, max_bytes, drain_timeout) =
            (self.max_in_flight, self.max_bytes, self.drain_timeout);
        let clock = TokioClock::new();
        let driver = self.driver(clock, &[]).await?;
        let (commands, received) = mpsc::unbounded_channel();
        let client = ProxyClient::new(
            commands,
            &driver,
            clock,
            attempt_policy,
            max_in_flight,
            max_bytes,
        );
        tokio::spawn(Task::new(driver, received, default_timeout, drain_timeout).run());
        Ok(client)
    }

    /// A driver that has shaken hands. `streams` are those that it will be asked for, as far as
    /// known.
    pub(crate) async fn driver(
        self,
        clock: TokioClock,
        streams: &[routing::StreamKey],
    ) -> Result<Driver, BuildError> {
        let (name, ready_timeout) = (self.name.clone(), self.ready_timeout);
        let seed = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
        let mut driver = Driver::new(clock, self.settings()?, seed);
        driver.prepare(streams);
        driver.ready(&name, ready_timeout).await?;
        Ok(driver)
    }

    /// As the builder is, unless the attempt timeout was set: then that one stays.
    pub(crate) fn or_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout.get_or_insert(timeout);
        self
    }

    fn settings(self) -> Result<DriverSettings, BuildError> {
        let name = match Name::parse(&self.name) {
            Ok(name) => name,
            Err(error) => {
                return Err(BuildError::Name {
                    name: self.name,
                    error,
                });
            }
        };
        let hosts = match Hosts::of_name(&name, self.resolve_interval) {
            Ok(hosts) => hosts,
            Err(reason) => {
                return Err(BuildError::UnsupportedName {
                    name: self.name,
                    reason,
                });
            }
        };
        #[cfg(feature = "zookeeper")]
        let hosts = hosts.with_login(self.zookeeper_login);
        let mut routing = self.routing;
        if let Some(timeout) = self.attempt_timeout {
            routing = routing.attempt_timeout(timeout);
        }
        if self.request_timeout.is_some() {
            routing = routing.request_timeout(self.request_timeout);
        }
        let routing = routing
            .connect_timeout(self.connect_timeout)
            .build()
            .map_err(BuildError::Routing)?;
        let session = self
            .session
            .client_id(&self.client_id)
            .build()
            .map_err(BuildError::Session)?;
        #[cfg(not(feature = "tls"))]
        let tls = None;
        #[cfg(feature = "tls")]
        let tls = self
            .tls
            .as_ref()
            .map(Tls::prepare)
            .transpose()
            .map_err(BuildError::Tls)?;
        let connect = ConnectSettings {
            timeout: self.connect_timeout,
            tls,
        };
        Ok(DriverSettings {
            hosts,
            routing,
            session,
            connect,
            stream_name_regex: self.stream_name_regex.into(),
        })
    }
}
