//! The write proxy client's handles.

mod broadcast;
mod builder;
mod command;
mod handle;
mod outcome;
mod reply;
mod task;

pub use builder::ProxyClientBuilder;
pub use handle::ProxyClient;
pub(crate) use outcome::error_of;
pub use reply::{BulkReply, HandshakeReply, HostReply, Owner};

impl ProxyClient {
    /// Returns a builder with the default settings.
    pub fn builder() -> ProxyClientBuilder {
        ProxyClientBuilder::new()
    }
}
