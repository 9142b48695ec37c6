//! Sockets: names to addresses, connects, TLS, and the bytes of a connection.

mod buffer;
mod connect;
mod error;
mod resolve;
mod stream;
mod tls;

pub(crate) use buffer::{ReceiveBuffer, Received, TransmitBuffer};
pub(crate) use connect::{ConnectSettings, connect};
pub use error::{ConnectError, TlsError};
pub(crate) use resolve::{Lookup, Resolver, system_lookup};
pub(crate) use stream::NetStream;
pub use tls::{Identity, Tls};
