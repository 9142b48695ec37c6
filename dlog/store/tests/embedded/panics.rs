//! Bugs that end one of the store's threads: every caller is answered.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use super::{acquire, append, begin_append, entry, owner, small, stream};
use distributedlog_store::embedded::{Access, Disk, DiskFile, EmbeddedStore, LockAttempt};
use distributedlog_store::{LogStore, StoreError};
use distributedlog_testkit::store::SimDisk;

/// Generous limit for what happens at once.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A disk whose syncs wait at a gate. Syncs and removals panic once the bug is armed.
struct BuggyDisk {
    disk: SimDisk,
    bug: Arc<Bug>,
}

#[derive(Default)]
pub(super) struct Bug {
    pub(super) syncing: AtomicBool,
    removing: AtomicBool,
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Default)]
struct Gate {
    closed: bool,
    waiting: bool,
}

impl Bug {
    fn pass(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.waiting = true;
        self.changed.notify_all();
        let gate = self.changed.wait_while(gate, |gate| gate.closed).unwrap();
        drop(gate);
        assert!(!self.syncing.load(Ordering::SeqCst), "the bug of this test");
    }

    pub(super) fn close_gate(&self) {
        *self.gate.lock().unwrap() = Gate {
            closed: true,
            waiting: false,
        };
        self.changed.notify_all();
    }

    pub(super) fn until_closed(&self) {
        let gate = self.gate.lock().unwrap();
        let (gate, timeout) = self
            .changed
            .wait_timeout_while(gate, LIMIT, |gate| !gate.closed)
            .unwrap();
        drop(gate);
        assert!(!timeout.timed_out(), "the gate stays open");
    }

    pub(super) fn until_waiting(&self) {
        let gate = self.gate.lock().unwrap();
        let (gate, timeout) = self
            .changed
            .wait_timeout_while(gate, LIMIT, |gate| !gate.waiting)
            .unwrap();
        drop(gate);
        assert!(!timeout.timed_out(), "nothing is synced");
    }

    pub(super) fn open_gate(&self) {
        self.gate.lock().unwrap().closed = false;
        self.changed.notify_all();
    }
}

struct BuggyFile {
    file: Arc<dyn DiskFile>,
    bug: Arc<Bug>,
}

impl DiskFile for BuggyFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.bug.pass();
        self.file.sync_data()
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.file.allocate(size)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }
}

impl Disk for BuggyDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(BuggyFile {
            file: self.disk.create(path)?,
            bug: self.bug.clone(),
        }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, access)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // Only the maintenance thread removes files.
        assert!(
            !self.bug.removing.load(Ordering::SeqCst),
            "the bug of this test"
        );
        self.disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<LockAttempt> {
        self.disk.lock(path, holder)
    }

    fn lock_for_reading(&self, path: &Path) -> io::Result<LockAttempt> {
        self.disk.lock_for_reading(path)
    }
}

pub(super) fn open(bug: &Arc<Bug>) -> EmbeddedStore {
    let disk = BuggyDisk {
        disk: SimDisk::new(1),
        bug: bug.clone(),
    };
    EmbeddedStore::open_on(small(), Arc::new(disk), Arc::new(|| 1)).unwrap()
}

#[tokio::test]
async fn every_append_and_change_is_answered_when_a_bug_ends_the_committer() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let name = stream("s");
    store.create(&name).await.unwrap();
    let lease = acquire(&store, &name).await;
    append(&store, &lease, entry("durable")).await.unwrap();
    // One append is being synced, the others wait in the queue, and a change too.
    bug.close_gate();
    let in_batch = begin_append(&store, &lease, entry("in the batch"));
    bug.until_waiting();
    let waiting: Vec<_> = (0..3)
        .map(|_| begin_append(&store, &lease, entry("waiting")))
        .collect();
    let change = store.create(&stream("other"));
    bug.syncing.store(true, Ordering::SeqCst);
    bug.open_gate();
    let answered = async {
        // It may have been written; the others were not.
        assert!(matches!(in_batch.await, Ok(Err(StoreError::Io { .. }))));
        for waiting in waiting {
            assert_eq!(waiting.await, Ok(Err(StoreError::Closed)));
        }
        assert!(change.await.is_err());
        assert_eq!(
            append(&store, &lease, entry("late")).await,
            Err(StoreError::Closed)
        );
        assert_eq!(
            store.acquire(&name, &owner(2)).await,
            Err(StoreError::Closed)
        );
        store.close().await.unwrap();
    };
    tokio::time::timeout(LIMIT, answered)
        .await
        .expect("all are answered");
}

#[test]
fn a_store_whose_maintenance_a_bug_ended_can_be_dropped() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let (dropped, done) = std::sync::mpsc::channel();
    runtime.block_on(async {
        let name = stream("s");
        store.create(&name).await.unwrap();
        let lease = acquire(&store, &name).await;
        // Enough for several volumes, which are removed when the stream is deleted.
        for _ in 0..200 {
            append(&store, &lease, entry(&"x".repeat(1000)))
                .await
                .unwrap();
        }
        bug.removing.store(true, Ordering::SeqCst);
        let ended = async {
            let _ = store.delete(&name).await;
            while store.list().await != Err(StoreError::Closed) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, ended)
            .await
            .expect("the store ends");
    });
    std::thread::spawn(move || {
        drop(store);
        dropped.send(()).unwrap();
    });
    done.recv_timeout(LIMIT).expect("the committer ends too");
}
