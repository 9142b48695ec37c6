//! DistributedLog's multi stream writer and write proxy client on tokio.

mod client;
mod clock;
mod driver;
mod net;
mod transport;
mod writer;

pub use client::{
    BuildError, BulkReply, HandshakeReply, HostFailure, HostFailureReason, HostReply, Owner, ProxyClient, ProxyClientBuilder, RequestError,
};
pub use clock::TokioClock;
pub use distributedlog::client::session::Protocol;
pub use net::{ConnectError, Identity, Tls, TlsError};
pub use transport::ProxyTransport;
pub use writer::{MultiStreamWriter, MultiStreamWriterBuilder, SharedState};
