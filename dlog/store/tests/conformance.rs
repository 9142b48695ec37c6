//! The testkit's conformance suite, run by every `LogStore` of the workspace.

use std::sync::Arc;

use distributedlog_store::LogStore;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::remote::{ClientSettings, RemoteStore, Server, ServerSettings, serve};
use distributedlog_store::uri::Uri;
use distributedlog_testkit::log_store_conformance;
use distributedlog_testkit::store::conformance::after_reopening;
use distributedlog_testkit::store::{MemoryStore, SimDisk};
use tempfile::TempDir;
use tokio::net::TcpListener;

fn on_the_real_disk() -> (Arc<dyn LogStore>, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    (open_folder(&folder), folder)
}

fn open_folder(folder: &TempDir) -> Arc<dyn LogStore> {
    let settings = EmbeddedSettings {
        volume_bytes: 1 << 20,
        ..EmbeddedSettings::new(folder.path())
    };
    Arc::new(EmbeddedStore::open(settings).expect("the folder is not in use"))
}

/// Opens the store on a simulated disk, with a clock that does not advance: times of creation
/// differ without its help.
fn on_disk(disk: &SimDisk) -> Arc<dyn LogStore> {
    let settings = EmbeddedSettings {
        volume_bytes: 1 << 20,
        ..EmbeddedSettings::new("/store")
    };
    let store = EmbeddedStore::open_on(settings, Arc::new(disk.clone()), Arc::new(|| 1_000));
    Arc::new(store.expect("the disk works"))
}

async fn served(store: Arc<dyn LogStore>) -> (Arc<dyn LogStore>, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = serve(listener, store, ServerSettings::default()).expect("a local address");
    let uri = Uri::local("127.0.0.1", server.local_addr().port());
    let client = RemoteStore::connect(&uri, ClientSettings::default()).await;
    (Arc::new(client.expect("the server listens")), server)
}

mod memory {
    use super::*;

    async fn open() -> Arc<dyn LogStore> {
        MemoryStore::new()
    }

    log_store_conformance!(open);
}

mod embedded_on_the_real_disk {
    use super::*;

    async fn open() -> (Arc<dyn LogStore>, TempDir) {
        on_the_real_disk()
    }

    log_store_conformance!(open);

    #[tokio::test]
    async fn what_must_hold_after_reopening() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        after_reopening(async || open_folder(&folder)).await;
    }
}

mod embedded_on_the_sim_disk {
    use super::*;

    async fn open() -> Arc<dyn LogStore> {
        on_disk(&SimDisk::new(1))
    }

    log_store_conformance!(open);

    #[tokio::test]
    async fn what_must_hold_after_reopening() {
        let disk = SimDisk::new(1);
        after_reopening(async || on_disk(&disk)).await;
    }
}

mod remote_over_memory {
    use super::*;

    async fn open() -> (Arc<dyn LogStore>, Server) {
        served(MemoryStore::new()).await
    }

    log_store_conformance!(open);
}

mod remote_over_embedded {
    use super::*;

    async fn open() -> (Arc<dyn LogStore>, (Server, TempDir)) {
        let (store, folder) = on_the_real_disk();
        let (client, server) = served(store).await;
        (client, (server, folder))
    }

    log_store_conformance!(open);
}
