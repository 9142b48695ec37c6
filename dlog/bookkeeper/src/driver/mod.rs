//! The driver on tokio: what connects the state machines to real servers.

pub mod zookeeper;
