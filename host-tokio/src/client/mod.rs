//! The write proxy client's handles.

mod answer;
mod broadcast;
mod builder;
mod command;
mod error;
mod handle;
mod task;

pub use answer::{BulkReply, HandshakeReply, HostReply, Owner};
pub use builder::ProxyClientBuilder;
pub use error::{BuildError, HostFailure, HostFailureReason, RequestError};
pub use handle::ProxyClient;
