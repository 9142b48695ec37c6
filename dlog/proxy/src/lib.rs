//! DistributedLog's write proxy: takes records from clients, owns the streams that they write to,
//! and appends to a [`LogStore`](distributedlog_store::LogStore).
//!
//! Clients connect by thriftmux or framed thrift, as the original's do, or by HTTP. Streams are
//! owned by one proxy at a time; a client that asks another one is redirected. Requests are bounded
//! by connection, by stream and in all, and every bad input is refused with a reason.
//!
//! # Example
//!
//! A proxy over a store in a folder of this machine, which is drained on Ctrl-C:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use distributedlog_proxy::{Proxy, Settings};
//! use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let store = Arc::new(EmbeddedStore::open(EmbeddedSettings::new("/var/lib/dlog"))?);
//!     let settings = Settings::builder()
//!         .shard(1)
//!         .http_listen(Some(([127, 0, 0, 1], 8002).into()))
//!         .build()?;
//!     let proxy = Proxy::start(settings, store).await?;
//!     println!("clients connect to inet!{}", proxy.local_addr());
//!
//!     tokio::signal::ctrl_c().await?;
//!     let report = proxy.drain().await;
//!     println!("{} streams released", report.streams_released);
//!     Ok(())
//! }
//! ```
//!
//! # What it is not
//!
//! The crate does not write to streams itself: `distributedlog-tokio` is the client. It does not
//! replicate: the store decides how durable an acknowledged record is. The command `dlog proxy` is
//! this crate with flags, signals and announcements.
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `page` | yes | the console at `/` of the HTTP port, the demonstration at `/demo` (242 KiB) |

mod access;
mod admin;
mod bounds;
mod connection;
mod error;
mod faults;
mod http;
mod listener;
mod machine;
mod mailbox;
mod metrics;
mod recent;
mod running;
mod service;
mod settings;
mod stats;
mod supervise;
#[cfg(test)]
mod tests;
mod wall_clock;

pub use access::{AuditLog, Authorization, AuthorizationError, HttpTokens, HttpTokensError};
pub use admin::AdminPeers;
pub use distributedlog_store::tls::{ClientAuthorities, ServerCertificate, TlsError};
pub use error::ProxyError;
pub use faults::FaultInjector;
pub use http::{CorsOrigin, CorsOriginError, HttpToken, HttpTokenError, StoreStatsPort};
pub use running::{DrainReport, Proxy, ProxyLoad, RunningProxy};
pub use settings::{MAX_RECORD_BYTES, Settings, SettingsBuilder, SettingsError};
pub use wall_clock::{SystemClock, WallClock};
