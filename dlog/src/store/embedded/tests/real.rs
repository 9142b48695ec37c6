//! The store on real files, with its threads.

use std::sync::{Arc, mpsc};

use distributedlog::Dlsn;

use super::{ALL, acquire, append, entry, stream};
use crate::store::embedded::{EmbeddedSettings, EmbeddedStore};
use crate::store::{LogStore, StoreError};

#[tokio::test]
async fn a_record_that_was_acknowledged_is_read_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let name = stream("basic-stream-3");
    for round in 0..3_i64 {
        let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
        if round == 0 {
            store.create(&name).await.unwrap();
            assert_eq!(store.create(&name).await, Err(StoreError::StreamExists(name.clone())));
        }
        let lease = acquire(&store, &name).await;
        for i in 0..5 {
            let dlsn = append(&store, &lease, entry(&format!("{round}.{i}"))).await.unwrap();
            assert_eq!(dlsn, Dlsn::new(round + 1, i, 0));
        }
        let read = store.read(&name, Dlsn::INITIAL, ALL).await.unwrap();
        let texts: Vec<_> = read.entries.iter().map(|entry| String::from_utf8(entry.records[0].payload.to_vec()).unwrap()).collect();
        let expected: Vec<_> = (0..=round).flat_map(|round| (0..5).map(move |i| format!("{round}.{i}"))).collect();
        assert_eq!(texts, expected);
        if round == 1 {
            store.close().await.unwrap();
            assert_eq!(append(&store, &lease, entry("late")).await, Err(StoreError::Closed));
        }
    }
}

#[test]
fn opening_twice_names_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
    let second = EmbeddedStore::open(EmbeddedSettings::new(folder.path()));
    let Err(StoreError::InUse { holder, .. }) = second else { panic!("opened twice") };
    assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    drop(store);
    EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap();
}

#[test]
fn many_threads_append_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(EmbeddedSettings::new(folder.path())).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let name = stream(&format!("stream-{i}"));
            runtime.block_on(store.create(&name)).unwrap();
            let lease = runtime.block_on(acquire(&store, &name));
            let (store, sender) = (store.clone(), sender.clone());
            std::thread::spawn(move || {
                for n in 0..500 {
                    let sender = sender.clone();
                    store.append(&lease, entry(&format!("{i} {n}")), Box::new(move |result| sender.send((i, n, result)).unwrap()));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(sender);
    for (_, n, result) in receiver.iter().take(2000) {
        assert_eq!(result.unwrap(), Dlsn::new(1, n, 0));
    }
}
