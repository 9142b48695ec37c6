//! The stack of the tutorial as processes: a store, a proxy.

use core::net::SocketAddr;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use distributedlog_store::LogStore;
use distributedlog_store::remote::{ClientSettings, RemoteStore};
use distributedlog_store::uri::Uri;

use crate::process::{Process, Starting};
use crate::stats;

/// The tutorial's streams.
pub const STREAMS: [&str; 5] = [
    "basic-stream-3",
    "basic-stream-4",
    "basic-stream-5",
    "basic-stream-6",
    "basic-stream-7",
];

/// A running `dlog local`.
pub struct Local {
    /// The process.
    pub process: Process,
    /// Address on which it listens.
    pub address: SocketAddr,
}

impl Local {
    /// Serves the folder on this port; 0 for a free one.
    pub async fn start(data: &Path, port: u16) -> Self {
        Self::start_with(data, port, &[""; 0]).await
    }

    /// As [`start`](Self::start), with a stats port, whose address comes with it.
    pub async fn start_with_stats(data: &Path, port: u16) -> (Self, SocketAddr) {
        let mut process = Self::command(data, port, &["--stats-port", "0"]).start();
        let stats = stats::address(&mut process).await;
        let address = process.until_listening().await;
        (Self { process, address }, stats)
    }

    /// As [`start`](Self::start), with further flags.
    pub async fn start_with(data: &Path, port: u16, flags: &[impl AsRef<OsStr>]) -> Self {
        let mut process = Self::command(data, port, flags).start();
        let address = process.until_listening().await;
        Self { process, address }
    }

    fn command(data: &Path, port: u16, flags: &[impl AsRef<OsStr>]) -> Starting {
        let port = port.to_string();
        let first = ["local".as_ref(), port.as_ref(), "--data".as_ref()];
        let flags = flags.iter().map(AsRef::as_ref);
        Starting::dlog(first.into_iter().chain([data.as_os_str()]).chain(flags))
    }

    /// Returns the URI of its namespace.
    #[must_use]
    pub fn uri(&self) -> Uri {
        Uri::local(&self.address.ip().to_string(), self.address.port())
    }

    /// Connects a client of the store.
    ///
    /// # Panics
    /// It cannot be reached.
    pub async fn connect(&self) -> Arc<dyn LogStore> {
        Arc::new(
            RemoteStore::connect(&self.uri(), ClientSettings::default())
                .await
                .expect("the store answers"),
        )
    }
}

/// Store of a proxy.
#[derive(Clone, Copy, Debug)]
pub enum StoreOf<'a> {
    /// In a folder of its own.
    In(&'a Path),
    /// In a store that another process serves.
    At(&'a Uri),
}

/// A running `dlog proxy`.
pub struct Proxy {
    /// The process.
    pub process: Process,
    /// Address on which it listens.
    pub address: SocketAddr,
}

impl Proxy {
    /// Starts a proxy on this port, 0 for a free one, with further flags.
    pub async fn start(keeps: StoreOf<'_>, port: u16, flags: &[&str]) -> Self {
        let mut process = Self::command(keeps, port, flags).start();
        let address = process.until_listening().await;
        Self { process, address }
    }

    /// As [`start`](Self::start), with a stats port, whose address comes with it.
    pub async fn start_with_stats(
        keeps: StoreOf<'_>,
        port: u16,
        flags: &[&str],
    ) -> (Self, SocketAddr) {
        let flags: Vec<&str> = flags.iter().copied().chain(["-sp", "0"]).collect();
        let mut proxy = Self::start(keeps, port, &flags).await;
        let stats = stats::address(&mut proxy.process).await;
        (proxy, stats)
    }

    /// Returns the command of [`start`](Self::start).
    #[must_use]
    pub fn command(keeps: StoreOf<'_>, port: u16, flags: &[&str]) -> Starting {
        let store = match keeps {
            StoreOf::In(folder) => [
                "--data".to_owned(),
                folder
                    .to_str()
                    .expect("temporary folders have plain names")
                    .to_owned(),
            ],
            StoreOf::At(uri) => ["-u".to_owned(), uri.to_string()],
        };
        let port = port.to_string();
        let first = ["proxy", "-p", &port, "--shard-id", "1", "-mx"].map(str::to_owned);
        Starting::dlog(
            first
                .into_iter()
                .chain(store)
                .chain(flags.iter().map(|flag| (*flag).to_owned())),
        )
    }

    /// Returns its Finagle name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("inet!{}", self.address)
    }
}
