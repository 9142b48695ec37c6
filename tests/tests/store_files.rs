//! The commands for the files of a store, run as a user runs them.

use core::time::Duration;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use distributedlog_store::{
    Acquired, Dlsn, Entry, EntryRecord, LogStore, Owner, ReadLimit, StreamName,
};
use distributedlog_tests::process::{Ended, From, Starting};
use distributedlog_tests::stack::Local;
use rustix::process::Signal;

async fn dlog(arguments: &[&str]) -> Ended {
    Starting::dlog(arguments).start().until_exit().await
}

/// Runs a command that fails with this status and says `says`.
async fn refused(arguments: &[&str], code: i32, says: &str) {
    let _ = dlog(arguments).await.with_code(code).complaining(says);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn stream() -> StreamName {
    StreamName::new("orders").expect("a name")
}

/// Appends entries, each of which says its number, in batches of their own.
async fn append(store: &dyn LogStore, numbers: core::ops::Range<usize>) {
    let owner = Owner {
        shard: 1,
        address: "127.0.0.1:8000".to_owned(),
    };
    let Ok(Acquired::Granted(lease)) = store.acquire(&stream(), &owner).await else {
        panic!("nobody else owns it")
    };
    for i in numbers {
        let record = EntryRecord {
            payload: format!("the record {i} of this stream").into(),
            slots: 1,
            is_record_set: false,
        };
        let (done, appended) = tokio::sync::oneshot::channel();
        let entry = Entry {
            records: vec![record],
        };
        store.append(&lease, entry, Box::new(|result| _ = done.send(result)));
        appended.await.expect("answered").expect("written");
    }
}

async fn count(local: &Local) -> usize {
    let limit = ReadLimit {
        max_bytes: 1 << 20,
        wait: Duration::ZERO,
        created_unix_ms: None,
    };
    let read = local
        .connect()
        .await
        .read(&stream(), Dlsn::INITIAL, limit)
        .await;
    read.expect("it is there").entries.len()
}

async fn stop(local: Local) {
    local.process.signal(Signal::INT);
    let _ = local.process.until_exit().await.with_code(0);
}

/// Flips a bit of the record with this text in one of the volumes.
fn damage(folder: &Path, record: &str) {
    for file in std::fs::read_dir(folder).expect("the store's folder") {
        let path: PathBuf = file.expect("a file").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes
            .windows(record.len())
            .position(|part| part == record.as_bytes());
        if path.extension().is_some_and(|it| it == "volume")
            && let Some(at) = found
        {
            let file = std::fs::OpenOptions::new().write(true).open(&path);
            let flipped = [bytes[at] ^ 1];
            file.expect("writable")
                .write_at(&flipped, at as u64)
                .expect("written");
            return;
        }
    }
    panic!("no volume has it");
}

#[tokio::test]
async fn a_store_is_backed_up_while_it_is_used_checked_repaired_and_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    let (store, backup, restored) = (place("store"), place("backup"), place("restored"));
    let local = Local::start(&store, 0).await;
    let client = local.connect().await;
    client.create(&stream()).await.expect("created");
    append(&*client, 0..50).await;
    refused(&["store", "check", text(&store)], 1, "process").await;
    let done = dlog(&["store", "backup", text(&store), text(&backup)]).await;
    let said = done.with_code(0).text(From::Stdout);
    assert!(said.contains("1 stream, 1 volume"), "{said}");
    append(&*client, 50..80).await;
    client.close().await.expect("closed");
    stop(local).await;

    let intact = dlog(&["store", "check", text(&store)]).await.with_code(0);
    let said = intact.text(From::Stdout);
    assert!(said.contains("everything is intact"), "{said}");
    damage(&store, "the record 33 of");
    let found = dlog(&["store", "check", text(&store)]).await.with_code(1);
    let said = found.text(From::Stdout);
    assert!(
        said.contains("lost: 1 entry of stream orders from 1,33,0 on"),
        "{said}"
    );
    let _ = found.complaining("dlog store repair");
    let json = dlog(&["store", "check", text(&store), "--format", "json"]).await;
    let json = json.with_code(1).text(From::Stdout);
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(
        (&json["intact"], &json["lost_entries"]),
        (&false.into(), &1.into())
    );

    refused(&["store", "repair", text(&store)], 2, "--force").await;
    let repaired = dlog(&["store", "repair", text(&store), "-f"])
        .await
        .with_code(0);
    let said = repaired.text(From::Stdout);
    assert!(said.contains("the store is repaired"), "{said}");
    let kept = std::fs::read_dir(&store).expect("the folder");
    let kept = kept.flatten().find(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        name.starts_with("damaged-")
    });
    let kept = kept.expect("damaged files are kept").path();
    assert_eq!(std::fs::read_dir(kept).expect("a folder").count(), 1);
    let _ = dlog(&["store", "check", text(&store)]).await.with_code(0);
    let local = Local::start(&store, 0).await;
    assert_eq!(count(&local).await, 79);
    stop(local).await;

    let done = dlog(&["store", "restore", text(&backup), text(&restored)]).await;
    let _ = done.with_code(0);
    let again = ["store", "restore", text(&backup), text(&restored)];
    refused(&again, 1, "has a store already").await;
    let local = Local::start(&restored, 0).await;
    assert_eq!(count(&local).await, 50);
    stop(local).await;
}

#[tokio::test]
async fn folders_without_a_store_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    for command in ["check", "repair"] {
        refused(&["store", command, text(&nowhere)], 1, "there is no folder").await;
    }
    let target = folder.path().join("backup");
    let here = text(folder.path());
    refused(
        &["store", "backup", here, text(&target)],
        1,
        "it has no store",
    )
    .await;
    refused(&["store", "check", here], 1, "it has no store").await;
    assert!(!nowhere.exists() && !target.exists());
}
