//! The write proxy client's handles.

mod answer;
mod builder;
mod command;
mod error;
mod handle;

pub use answer::{BulkReply, HandshakeReply, HostReply, Owner};
pub use builder::{Protocol, ProxyClientBuilder};
pub use error::{BuildError, HostFailure, HostFailureReason, RequestError};
pub use handle::ProxyClient;
