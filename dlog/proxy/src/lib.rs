//! The write proxy: accepts thriftmux and framed thrift from clients, owns streams, and appends to
//! a [`LogStore`](distributedlog_store::LogStore).
//!
//! ```no_run
//! # async fn example(store: std::sync::Arc<dyn distributedlog_store::LogStore>) -> Result<(), Box<dyn std::error::Error>> {
//! use distributedlog_proxy::{Proxy, Settings};
//!
//! let settings = Settings::builder().shard(1).build()?;
//! let running = Proxy::start(settings, store).await?;
//! println!("clients go to inet!{}", running.local_addr());
//! tokio::signal::ctrl_c().await?;
//! running.drain().await;
//! # Ok(())
//! # }
//! ```

mod connection;
mod error;
mod faults;
mod http;
mod listener;
mod machine;
mod mailbox;
mod running;
mod service;
mod settings;
mod stats;
#[cfg(test)]
mod tests;
mod tls;
mod wall_clock;

pub use error::ProxyError;
pub use faults::FaultInjector;
pub use http::{CorsOrigin, CorsOriginError, HttpToken, HttpTokenError};
pub use running::{DrainReport, Proxy, ProxyLoad, RunningProxy};
pub use settings::{MAX_RECORD_BYTES, Settings, SettingsBuilder, SettingsError};
pub use tls::{ServerCertificate, TlsError};
pub use wall_clock::{SystemClock, WallClock};
