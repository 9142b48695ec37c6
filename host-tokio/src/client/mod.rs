//! The write proxy client's handles.

mod attempts;
mod broadcast;
mod builder;
mod command;
mod handle;
mod outcome;
mod reply;
mod room;
mod task;
mod writer_link;

pub(crate) use attempts::FinishedAttempt;
pub use builder::ProxyClientBuilder;
pub use handle::ProxyClient;
pub use reply::{BulkReply, HandshakeReply, HostReply, Owner};
pub(crate) use writer_link::WriterLink;

impl ProxyClient {
    /// Returns a builder with the default settings.
    pub fn builder() -> ProxyClientBuilder {
        ProxyClientBuilder::new()
    }
}
