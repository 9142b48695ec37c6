use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use distributedlog::client::routing::{self, MAX_NAME_BYTES};
use distributedlog::client::session::{self, Protocol};
use distributedlog::settings::SettingsError;

/// Bytes of a request's frame besides the record set and the stream's name: mux and thrift headers,
/// the client id, and the proxies that were tried before.
pub(crate) const FRAME_BYTES: usize = 256;

/// Smallest part of [`Buffers::sets`]: a set of one short record.
const MIN_SET_BYTES: usize = 64;

/// A write proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A host name and a port. The network stack resolves the name.
    Name(&'a str, u16),
    /// An address.
    Address(SocketAddr),
}

/// Configuration of a [`ProxyClient`](crate::ProxyClient). Change the fields after
/// [`new`](Self::new).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config<'a> {
    /// Name by which the device identifies itself to proxies. Not empty, up to 64 bytes.
    pub client_id: &'a str,
    /// Proxies to connect to: at most `HOSTS`. Proxies that these redirect to need a slot of
    /// `HOSTS` each.
    pub proxies: &'a [Endpoint<'a>],
    /// Names of the writer's streams, in the writer's order.
    pub streams: &'a [&'a str],
    /// Settings of the choice of proxies, and of their timeouts. Default: a connection may take 2
    /// s; otherwise those of [`routing::Settings`].
    pub routing: routing::SettingsBuilder,
    /// Settings of each connection. Protocol, client id and the longest frame are set by the
    /// client.
    pub session: session::SettingsBuilder,
    /// Maximum time of a lookup. Default: 5 s.
    pub resolve_timeout: Duration,
    /// Delay of the second lookup when the first failed, or when its address cannot be reached. It
    /// doubles with each further one. Default: 500 ms.
    pub resolve_backoff: Duration,
    /// Maximum of that delay. Default: 30 s.
    pub resolve_backoff_max: Duration,
    /// Calls `flush` after each write to a connection. Default: `true`, which the contract of
    /// `embedded_io_async::Write` asks for. Set it to `false` for a stack that sends written bytes
    /// by itself and whose `flush` waits until the peer has acknowledged them, as embassy-net's
    /// does: otherwise two sets are never on their way at once.
    pub flush: bool,
    /// Seed of jitter and trace ids. Devices should have different ones. Default: 0.
    pub seed: u64,
}

impl<'a> Config<'a> {
    /// Creates a configuration with the defaults.
    #[must_use]
    pub const fn new(
        client_id: &'a str,
        proxies: &'a [Endpoint<'a>],
        streams: &'a [&'a str],
    ) -> Self {
        Self {
            client_id,
            proxies,
            streams,
            routing: routing::Settings::builder().connect_timeout(Duration::from_secs(2)),
            session: session::Settings::builder(),
            resolve_timeout: Duration::from_secs(5),
            resolve_backoff: Duration::from_millis(500),
            resolve_backoff_max: Duration::from_secs(30),
            flush: true,
            seed: 0,
        }
    }

    /// Checks all that does not depend on settings.
    pub(crate) fn check<const HOSTS: usize, const REQUESTS: usize>(
        &self,
        buffers: &Buffers<'_>,
    ) -> Result<(), BuildError> {
        if self.proxies.is_empty() || self.proxies.len() > HOSTS {
            return Err(BuildError::Proxies {
                count: self.proxies.len(),
                max: HOSTS,
            });
        }
        let is_too_long = |proxy: &Endpoint<'_>| match proxy {
            Endpoint::Name(name, _) => name.len() > MAX_NAME_BYTES,
            Endpoint::Address(_) => false,
        };
        if self.proxies.iter().any(is_too_long) {
            return Err(BuildError::NameTooLong);
        }
        let name_bytes = self.streams.iter().map(|name| name.len()).max();
        let name_bytes = name_bytes.ok_or(BuildError::NoStreams)?;
        let set_bytes = buffers.sets.len() / REQUESTS;
        let least = [
            (
                BufferName::Sets,
                buffers.sets.len(),
                REQUESTS * MIN_SET_BYTES,
            ),
            (
                BufferName::Incoming,
                buffers.incoming.len(),
                HOSTS * session::Settings::MIN_FRAME_BYTES,
            ),
            (
                BufferName::Outgoing,
                buffers.outgoing.len(),
                HOSTS * (set_bytes + name_bytes + FRAME_BYTES),
            ),
        ];
        match least.into_iter().find(|(_, bytes, min)| bytes < min) {
            Some((buffer, bytes, min)) => Err(BuildError::BufferTooSmall { buffer, bytes, min }),
            None => Ok(()),
        }
    }

    /// Builds the settings of a connection whose longest frame has this length.
    pub(crate) fn session_settings(
        &self,
        max_frame_bytes: usize,
    ) -> Result<session::Settings, SettingsError> {
        self.session
            .clone()
            .protocol(Protocol::ThriftMux)
            .client_id(self.client_id)
            .max_frame_bytes(max_frame_bytes)
            .build()
    }
}

/// Memory of a [`ProxyClient`](crate::ProxyClient).
#[derive(Debug)]
pub struct Buffers<'a> {
    /// Record sets whose requests are outstanding: `REQUESTS` × the longest set of the writer.
    pub sets: &'a mut [u8],
    /// Received bytes: `HOSTS` × the longest frame that is accepted. 1 KiB for each host has room
    /// for every reply of `dlog proxy`; the least is 256 bytes.
    pub incoming: &'a mut [u8],
    /// Bytes to send: `HOSTS` × (the longest set + the longest stream name + 256).
    pub outgoing: &'a mut [u8],
}

/// One of [`Buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferName {
    /// [`Buffers::sets`].
    Sets,
    /// [`Buffers::incoming`].
    Incoming,
    /// [`Buffers::outgoing`].
    Outgoing,
}

/// Error of [`ProxyClient::new`](crate::ProxyClient::new).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no proxy, or more of them than `HOSTS`.
    Proxies {
        /// Number of proxies.
        count: usize,
        /// `HOSTS`.
        max: usize,
    },
    /// There is no stream.
    NoStreams,
    /// A proxy's name is longer than [`MAX_NAME_BYTES`].
    NameTooLong,
    /// A buffer is too small.
    BufferTooSmall {
        /// The buffer.
        buffer: BufferName,
        /// Its length.
        bytes: usize,
        /// Minimum length.
        min: usize,
    },
    /// A setting is outside its range.
    Settings(SettingsError),
}

impl From<SettingsError> for BuildError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxies { count, max } => write!(f, "{count} proxies: 1 to {max} are valid"),
            Self::NoStreams => f.write_str("there are no streams"),
            Self::NameTooLong => {
                write!(f, "a proxy's name is longer than {MAX_NAME_BYTES} bytes")
            }
            Self::BufferTooSmall { buffer, bytes, min } => {
                let name = match buffer {
                    BufferName::Sets => "sets",
                    BufferName::Incoming => "incoming",
                    BufferName::Outgoing => "outgoing",
                };
                write!(f, "buffer {name} has {bytes} bytes, and needs {min}")
            }
            Self::Settings(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BuildError {}
