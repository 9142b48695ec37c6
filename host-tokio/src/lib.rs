//! DistributedLog's multi stream writer and write proxy client on tokio.
//!
//! [`MultiStreamWriter`] writes each record to the stream, of several, that replies first: records
//! are batched into sets, a set without a reply in time goes to another stream too, and every write
//! completes with a position or with an error that says what is known of its record.
//! [`ProxyClient`] does single operations on single streams: write, create, truncate, release, …
//!
//! ```no_run
//! use core::time::Duration;
//! use distributedlog_tokio::MultiStreamWriter;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let writer = MultiStreamWriter::builder(["clicks-1", "clicks-2", "clicks-3"])
//!         .proxies("inet!proxy-1.example:8000,proxy-2.example:8000")
//!         .client_id("click-service")
//!         .speculative_timeouts(Duration::from_millis(50), Duration::from_millis(200))
//!         .build()
//!         .await?;
//!
//!     // One handle per task that writes; all of them share batches, connections and bounds.
//!     let mut tasks = tokio::task::JoinSet::new();
//!     for user in 0..8 {
//!         let writer = writer.clone();
//!         tasks.spawn(async move {
//!             match writer.write(format!("user {user} clicked").as_bytes()).await {
//!                 Ok(written) => {
//!                     let stream = writer.stream_name(written.stream);
//!                     println!("{} in {stream}", written.dlsn);
//!                 }
//!                 Err(error) if error.may_be_written() => eprintln!("perhaps written: {error}"),
//!                 Err(error) => eprintln!("not written: {error}"),
//!             }
//!         });
//!     }
//!     tasks.join_all().await;
//!     writer.close().await;
//!     Ok(())
//! }
//! ```
//!
//! # How it works
//!
//! The state machines of [`distributedlog`], which do no I/O, decide what is written where and
//! when. This crate adds sockets, TLS, names and time. A writer, its connections and their timers
//! are polled as one future, in one task: a record set is encoded straight behind the bytes that
//! its connection has to send, and all of them leave with one system call. Each proxy has one
//! connection with many requests in flight. Many writers of one process can
//! [share a client](MultiStreamWriterBuilder::shared_client), and its connections.
//!
//! - Names are Finagle's: `inet!host:port,host:port`, `fixedinet!…`, `nil!`, `neg!`, `fail!`; with
//!   the feature `zookeeper` also `zk!host:port!/path` and `serverset!host:port!/path`, the members
//!   of a set in ZooKeeper as they come and go.
//! - [`Protocol::ThriftMux`] by default; framed thrift, upgraded or plain, for proxies without
//!   `-mx`.
//! - `Tls` by rustls: the machine's authorities or your own, another server name, client
//!   certificates, cryptography of your choice.
//! - Bounded: operations, records and bytes in flight, frames received, hosts known. Writers wait
//!   when a bound is reached.
//!
//! # Features
//!
//! On by default, and each can be left out with `default-features = false`:
//!
//! - `tls`: `Tls`, connections by rustls. It brings no cryptography: rustls takes the process's
//!   default provider, or that of a `ClientConfig` of yours.
//! - `ring`: ring is the cryptography of a process without a default provider. Implies `tls`.
//! - `native-roots`: `Tls::native_roots`, the authorities that the machine's owner trusts. Implies
//!   `tls`.
//! - `lz4`: record sets can be compressed.
//! - `serde`: core's settings, positions and counters can be serialized.
//!
//! Off by default:
//!
//! - `metrics`: counters, gauges and times for the `metrics` facade.
//! - `sink`: `MultiStreamWriter::sink`, for `StreamExt::forward`.
//! - `tower`: the writer as a `tower::Service`.
//! - `zookeeper`: names `zk!` and `serverset!`; `Announcement`.
//!
//! # What it is not
//!
//! No reader: that is `distributedlog-reader`, which shares `Tls`. No runtime: it needs a
//! tokio runtime with I/O and time enabled; on other runtimes, use [`distributedlog`] with an
//! adapter of your own.

mod attempt_trace;
mod client;
mod clock;
mod driver;
mod error;
mod net;
mod transport;
mod writer;

pub use client::{BulkReply, HandshakeReply, HostReply, Owner, ProxyClient, ProxyClientBuilder};
pub use clock::TokioClock;
pub use distributedlog::client::routing::Counters as ClientCounters;
pub use distributedlog::client::session::Protocol;
pub use error::{BuildError, HostFailure, HostFailureReason, RequestError};
pub use net::ConnectError;
#[cfg(feature = "zookeeper")]
pub use net::{AnnounceError, Announced, Announcement, ZooKeeperLogin};
#[cfg(feature = "tls")]
pub use net::{ClientCertificate, Tls, TlsConnector, TlsError};
/// The version of rustls whose types [`Tls`] takes.
#[cfg(feature = "tls")]
pub use rustls;
pub use transport::ProxyTransport;
#[cfg(feature = "sink")]
pub use writer::RecordSink;
pub use writer::{
    Acknowledgement, Close, Closed, Drained, Flush, KeyedWriter, MapAttempts, MultiStreamWriter,
    MultiStreamWriterBuilder, Permit, Reserve, StreamChangeError, Submit, WithAttempts, Write,
};

/// The README's example is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
