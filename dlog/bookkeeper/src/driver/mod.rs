//! The driver on tokio: what connects the state machines to real servers.

mod bookies;
pub mod zookeeper;

pub use bookies::{BookieSet, follow_bookies};
