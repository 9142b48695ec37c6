//! DistributedLog's multi stream writer and write proxy client on tokio.

mod client;
mod clock;
mod net;
mod writer;

pub use client::{
    BuildError, BulkReply, HandshakeReply, HostFailure, HostFailureReason, HostReply, Owner, Protocol, ProxyClient, ProxyClientBuilder,
    RequestError,
};
pub use clock::TokioClock;
pub use net::{ConnectError, Identity, Tls, TlsError};
pub use writer::{MultiStreamWriter, MultiStreamWriterBuilder, SharedState};
