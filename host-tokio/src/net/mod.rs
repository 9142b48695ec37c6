//! Sockets: names to addresses, connects, TLS, and the bytes of a connection.

mod buffer;
mod connect;
mod error;
mod names;
mod resolve;
mod resolved;
#[cfg(feature = "zookeeper")]
mod serverset;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use buffer::{ReceiveBuffer, Received, TransmitBuffer};
pub(crate) use connect::{ConnectSettings, connect};
pub use error::ConnectError;
#[cfg(feature = "tls")]
pub use error::TlsError;
pub(crate) use names::Names;
pub(crate) use resolve::{Lookup, Resolver, system_lookup};
pub(crate) use resolved::{NameEvent, ResolvedProxy};
#[cfg(feature = "zookeeper")]
pub use serverset::{AnnounceError, Announced, Announcement, ZooKeeperLogin};
#[cfg(feature = "zookeeper")]
pub(crate) use serverset::{ServerSet, ServerSetName};
pub(crate) use stream::NetStream;
#[cfg(feature = "tls")]
pub use tls::{ClientCertificate, Tls, TlsConnector};

/// Without TLS there is no connector.
#[cfg(not(feature = "tls"))]
type TlsConnector = core::convert::Infallible;
