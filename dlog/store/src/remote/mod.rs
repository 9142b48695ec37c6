//! A store served to other processes: what `dlog local` serves, and what proxies, readers and the
//! tool use.
//!
//! [`serve`] puts any [`LogStore`](super::LogStore) behind a listener; [`RemoteStore`] is that
//! store in another process, a `LogStore` itself. Between them run mux frames with the operations
//! as their bodies, many in flight on one connection.
//!
//! Who is alive is decided here. Each client has a session; the leases that it acquired belong to
//! its session. When the connection is lost, the session and its leases live on for a time of
//! grace, in which the client may come back; then the server releases them, and whoever asks next
//! becomes the streams' owner.
//!
//! Neither side proves who it is, and nothing is encrypted: whoever reaches the port can read,
//! write and delete. It is for loopback, or for a network that nobody else is on.

mod client;
mod frames;
mod outbox;
mod protocol;
mod server;
mod settings;

pub use client::RemoteStore;
pub use server::{Server, serve, serve_on};
pub use settings::{ClientSettings, ServerSettings};

/// The protocol's frames and bodies, for this crate's tests and fuzz targets alone.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use super::frames::*;
    pub use super::protocol::*;
    pub use super::server::connection_over;
}
