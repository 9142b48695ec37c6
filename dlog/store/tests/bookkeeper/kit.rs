use core::time::Duration;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use distributedlog::Dlsn;
use distributedlog_bookkeeper::namespace::Binding;
use distributedlog_bookkeeper::zookeeper::{Access, CreateMode, Op};
use distributedlog_store::bookkeeper::{BookKeeperSettings, BookKeeperStore, Ensembles};
use distributedlog_store::{
    Acquired, Entry, EntryRecord, Lease, LogStore, Owner, ReadLimit, StoreError, StoredEntry,
    StreamName,
};
use distributedlog_testkit::bookies::ModelCluster;
use distributedlog_testkit::zookeeper::ModelSession;
use tokio::sync::oneshot;

pub(crate) const NAMESPACE: &str = "/messaging/distributedlog";

/// A cluster with a namespace that is bound to it.
pub(crate) struct Kit {
    pub(crate) cluster: ModelCluster,
}

/// One process with its store.
pub(crate) struct Process {
    pub(crate) store: BookKeeperStore<ModelSession>,
    pub(crate) sessions: distributedlog_bookkeeper::driver::Sessions<ModelSession>,
    owner: Owner,
}

impl Kit {
    pub(crate) fn new(seed: u64, bookies: u16) -> Self {
        let cluster = ModelCluster::new(seed, bookies);
        let create = |path: &str, data: &[u8]| Op::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            mode: CreateMode::Persistent,
            access: Access::Anyone,
        };
        let binding = Binding::new("zk", "/ledgers").encode();
        cluster.ensemble.apply(&[
            create("/messaging", b""),
            create(NAMESPACE, binding.as_bytes()),
        ]);
        Self { cluster }
    }

    /// Starts a process, with a number of its own.
    pub(crate) async fn process(&self, number: u16) -> Process {
        self.process_with(number, BookKeeperSettings::default())
            .await
    }

    pub(crate) async fn process_with(&self, number: u16, settings: BookKeeperSettings) -> Process {
        let Ok(sessions) = self.cluster.sessions(Duration::from_secs(10)).await;
        let ensembles = Ensembles {
            sessions: sessions.clone(),
            ledger_sessions: sessions.clone(),
            servers: "zk",
        };
        let store = BookKeeperStore::open(
            settings,
            self.cluster.environment(),
            ensembles,
            NAMESPACE,
            Some(Arc::new(self.cluster.bookies.clone())),
        );
        Process {
            store: store.await.expect("the namespace is bound"),
            sessions,
            owner: Owner {
                shard: i32::from(number),
                address: format!("127.0.0.1:{}", 8000 + number),
            },
        }
    }
}

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().expect("a valid name")
}

pub(crate) fn record(payload: impl Into<Bytes>) -> EntryRecord {
    EntryRecord {
        payload: payload.into(),
        slots: 1,
        is_record_set: false,
    }
}

/// A record set of this many records.
pub(crate) fn record_set(records: u32) -> EntryRecord {
    let mut payload = BytesMut::new();
    payload.put_u32(0x1000);
    payload.put_u32(records);
    payload.put_u32(5 * records);
    payload.put_u32(5 * records);
    for number in 0..records {
        payload.put_u32(1);
        payload.put_u8(number as u8);
    }
    EntryRecord {
        payload: payload.freeze(),
        slots: records,
        is_record_set: true,
    }
}

impl Process {
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Creates a stream and acquires it.
    pub(crate) async fn own(&self, text: &str) -> Lease {
        match self.store.create(&name(text)).await {
            Ok(()) | Err(StoreError::StreamExists(_)) => {}
            Err(error) => panic!("{error}"),
        }
        self.acquire(text).await.expect("nobody owns it")
    }

    pub(crate) async fn acquire(&self, text: &str) -> Result<Lease, StoreError> {
        match self.store.acquire(&name(text), &self.owner).await? {
            Acquired::Granted(lease) => Ok(lease),
            Acquired::OwnedBy(other) => panic!("{text} is owned by {other:?}"),
        }
    }

    pub(crate) fn start(
        &self,
        lease: &Lease,
        records: Vec<EntryRecord>,
    ) -> oneshot::Receiver<Result<Dlsn, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result| _ = sender.send(result));
        self.store.append(lease, Entry { records }, done);
        receiver
    }

    pub(crate) async fn append(
        &self,
        lease: &Lease,
        payload: impl Into<Bytes>,
    ) -> Result<Dlsn, StoreError> {
        let outcome = self.start(lease, vec![record(payload)]).await;
        outcome.expect("an append has an outcome")
    }

    /// Everything that is there, from the beginning.
    pub(crate) async fn read(&self, text: &str) -> Vec<StoredEntry> {
        self.read_from(text, Dlsn::new(1, 0, 0)).await
    }

    pub(crate) async fn read_from(&self, text: &str, from: Dlsn) -> Vec<StoredEntry> {
        let mut entries = Vec::new();
        let mut next = from;
        loop {
            let limit = ReadLimit {
                max_bytes: 4096,
                wait: Duration::ZERO,
                created_unix_ms: None,
            };
            let batch = self.store.read(&name(text), next, limit).await;
            let batch = batch.expect("it is readable");
            if batch.entries.is_empty() {
                return entries;
            }
            next = batch.next;
            entries.extend(batch.entries);
        }
    }

    /// Payloads of everything that is there, with their positions.
    pub(crate) async fn payloads(&self, text: &str) -> Vec<(Dlsn, Bytes)> {
        let mut payloads = Vec::new();
        for entry in self.read(text).await {
            let mut slot = entry.dlsn.slot_id;
            for record in entry.records {
                if record.slots > 0 {
                    let at = Dlsn::new(
                        entry.dlsn.log_segment_sequence_no,
                        entry.dlsn.entry_id,
                        slot,
                    );
                    payloads.push((at, record.payload));
                }
                slot += i64::from(record.slots.max(1));
            }
        }
        payloads
    }
}
