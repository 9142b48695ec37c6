#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod actions;
mod client;
mod config;
mod connection;
mod link;
mod names;
mod state;
mod transport;

pub use client::ProxyClient;
pub use config::{BufferName, Buffers, BuildError, Config, Endpoint};
pub use names::{NoDns, NoDnsError};
pub use transport::ProxyTransport;
