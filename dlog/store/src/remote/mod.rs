//! A store served to other processes. `dlog local` serves one; proxies, readers and the tools are
//! its clients.
//!
//! [`serve`] serves any [`LogStore`](super::LogStore) on a listener; [`RemoteStore`] is the client,
//! a `LogStore` itself. They exchange mux frames with the operations as their bodies, many in
//! flight on one connection.
//!
//! The server decides which owners are alive. Each client has a session, which holds the leases
//! that the client acquired. When the connection is lost, the server keeps the session and its
//! leases for a grace period, in which the client can resume it. Then it releases them, and the
//! next client that acquires the streams becomes their owner.
//!
//! A server with a [`StoreSecret`] serves clients that know it, and proves to them that it knows it
//! too; one with a certificate speaks TLS, and can ask its clients for certificates. Without either
//! every process that reaches the port can read, write and delete.

mod client;
mod endpoint;
mod frames;
mod protocol;
mod secret;
mod server;
mod settings;

pub use client::{RemoteStore, is_zookeeper};
pub use secret::{StoreSecret, StoreSecretError};
pub use server::{Server, serve, serve_on};
pub use settings::{ClientSettings, ServerSettings};

/// Frames and bodies of the protocol, for this crate's tests and fuzz targets only.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use super::frames::*;
    pub use super::protocol::*;
    pub use super::server::{PeersOfServer, connection_over};
}
