//! Stores that earlier versions of this program wrote: in `data`, each made by the version itself
//! by the same calls. 40 entries of 300 bytes and three of 10, every seventh a record set of four;
//! a third stream was written and deleted, and the first ten entries of one truncated.

use std::path::Path;

use distributedlog::Dlsn;

use super::{ALL, acquire, append, entry, stream};
use distributedlog_store::LogStore;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};

/// Copies the store of a version into a folder of its own.
fn store_of(version: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/embedded/data")
        .join(format!("version-{version}"));
    for file in std::fs::read_dir(data).expect("the store of each version is here") {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

fn settings(folder: &Path) -> EmbeddedSettings {
    EmbeddedSettings {
        volume_bytes: 16 << 10,
        ..EmbeddedSettings::new(folder)
    }
}

async fn check(store: &EmbeddedStore, name: &str, from: u64, to: u64, added: u64) {
    let batch = store.read(&stream(name), Dlsn::INITIAL, ALL).await.unwrap();
    let payloads: Vec<_> = batch
        .entries
        .iter()
        .map(|entry| &entry.records[0])
        .collect();
    assert_eq!(payloads.len() as u64, to - from + added, "{name}");
    for (i, record) in (from..to).zip(payloads) {
        assert!(
            record
                .payload
                .starts_with(format!("{name} {i} ").as_bytes()),
            "{record:?}"
        );
        assert_eq!(
            (record.is_record_set, record.slots),
            if i % 7 == 3 { (true, 4) } else { (false, 1) }
        );
    }
}

#[tokio::test]
async fn stores_of_earlier_versions_are_read_written_and_get_an_identity() {
    for version in [1, 2] {
        let folder = store_of(version);
        let store = EmbeddedStore::open(settings(folder.path())).unwrap();
        assert_eq!(store.list().await.unwrap(), [stream("few"), stream("many")]);
        check(&store, "few", 0, 3, 0).await;
        check(&store, "many", 10, 40, 0).await;
        let id = store.identity();
        assert!(id.is_some());
        for _ in 0..30 {
            let lease = acquire(&store, &stream("few")).await;
            append(&store, &lease, entry(&"new ".repeat(200)))
                .await
                .unwrap();
        }
        store.close().await.unwrap();
        let store = EmbeddedStore::open(settings(folder.path())).unwrap();
        assert_eq!(store.identity(), id);
        check(&store, "few", 0, 3, 30).await;
        check(&store, "many", 10, 40, 0).await;
    }
}
