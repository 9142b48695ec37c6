//! The store and the write proxy that the examples run over, in their own process.

use core::net::SocketAddr;
use std::sync::Arc;

use distributedlog_proxy::{Proxy, RunningProxy, Settings};
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::{LogStore, StreamName};
use tempfile::TempDir;

/// Error of an example: printed, and the program ends.
pub type Error = Box<dyn core::error::Error + Send + Sync>;

/// A store in a temporary folder and a write proxy over it, on a free port of this machine.
pub struct Local {
    /// The store, for readers.
    pub store: Arc<dyn LogStore>,
    proxy: RunningProxy,
    _folder: TempDir,
}

impl Local {
    /// Starts both and creates the streams.
    ///
    /// # Errors
    ///
    /// There is no temporary folder, or no free port.
    pub async fn start(streams: &[&str]) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let settings = EmbeddedSettings::new(folder.path());
        let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(settings)).await??;
        let store: Arc<dyn LogStore> = Arc::new(store);
        for stream in streams {
            store.create(&StreamName::new(stream)?).await?;
        }
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings::builder()
            .listen(any_port)
            .http_listen(Some(any_port))
            .build()?;
        let proxy = Proxy::start(settings, Arc::clone(&store)).await?;
        Ok(Self {
            store,
            proxy,
            _folder: folder,
        })
    }

    /// Returns the name under which clients find the proxy.
    #[must_use]
    pub fn name(&self) -> String {
        format!("inet!{}", self.proxy.local_addr())
    }

    /// Returns the URL of the proxy's HTTP port, for readers.
    ///
    /// # Panics
    ///
    /// Never: the port was asked for.
    #[must_use]
    pub fn url(&self) -> String {
        let address = self.proxy.http_addr().expect("the port was asked for");
        format!("http://{address}")
    }

    /// Finishes what is in flight and stops.
    ///
    /// # Errors
    ///
    /// The store does not close.
    pub async fn stop(self) -> Result<(), Error> {
        self.proxy.drain().await;
        self.store.close().await?;
        Ok(())
    }
}
