//! The write proxy, the embedded store, readers and the command line of DistributedLog's multi
//! stream writer.

pub mod cli;
mod dlsn_text;
mod entropy;
pub mod net;
pub mod proxy;
pub mod reader;
pub mod store;
pub mod uri;
mod utc;

pub use entropy::Entropy;
