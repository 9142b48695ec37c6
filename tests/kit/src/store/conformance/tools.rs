//! Steps that the checks share.

use core::time::Duration;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog_store::{
    Acquired, Entry, EntryRecord, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreError,
    StreamName,
};
use tokio::sync::oneshot;

/// Maximum time that an answer may take before a check fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Wait of reads that an event must end: longer than [`TIMEOUT`].
const LONG_WAIT: Duration = Duration::from_secs(120);
/// Time given to a read to reach the store and to begin its wait.
const SETTLE: Duration = Duration::from_millis(50);

pub(super) fn name(text: &str) -> StreamName {
    text.parse().expect("the checks use valid names")
}

pub(super) fn owner(shard: i32) -> Owner {
    Owner {
        shard,
        address: format!("127.0.0.1:{}", 8000 + shard),
    }
}

pub(super) fn at(segment: i64, entry: i64, slot: i64) -> Dlsn {
    Dlsn::new(segment, entry, slot)
}

pub(super) fn record(payload: impl Into<Bytes>) -> EntryRecord {
    EntryRecord {
        payload: payload.into(),
        slots: 1,
        is_record_set: false,
    }
}

/// Makes a record that stores take for a record set: they do not look into payloads.
pub(super) fn record_set(payload: &'static str, slots: u32) -> EntryRecord {
    EntryRecord {
        payload: Bytes::from_static(payload.as_bytes()),
        slots,
        is_record_set: true,
    }
}

pub(super) fn control_record(payload: &'static str) -> EntryRecord {
    EntryRecord {
        slots: 0,
        ..record(payload)
    }
}

/// Fails the check if `future` does not complete in time.
pub(super) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future)
        .await
        .expect("the store answers in time")
}

/// Creates a stream.
pub(super) async fn create(store: &dyn LogStore, text: &str) -> StreamName {
    let stream = name(text);
    in_time(store.create(&stream))
        .await
        .expect("the stream is created");
    stream
}

/// Creates a stream and acquires it.
pub(super) async fn create_owned(store: &dyn LogStore, text: &str) -> (StreamName, Lease) {
    let stream = create(store, text).await;
    let lease = acquire(store, &stream, 1).await;
    (stream, lease)
}

pub(super) async fn acquire(store: &dyn LogStore, stream: &StreamName, shard: i32) -> Lease {
    let acquired = in_time(store.acquire(stream, &owner(shard))).await;
    match acquired.expect("the stream exists") {
        Acquired::Granted(lease) => {
            assert_eq!(lease.stream, *stream, "the lease is of another stream");
            lease
        }
        Acquired::OwnedBy(other) => panic!("{stream} is owned by {other:?}"),
    }
}

/// Starts an append. The channel is closed without a value if `done` is dropped uncalled.
pub(super) fn start_append(
    store: &dyn LogStore,
    lease: &Lease,
    records: Vec<EntryRecord>,
) -> oneshot::Receiver<Result<Dlsn, StoreError>> {
    let (sender, receiver) = oneshot::channel();
    let done = Box::new(move |result| _ = sender.send(result));
    store.append(lease, Entry { records }, done);
    receiver
}

pub(super) async fn append(
    store: &dyn LogStore,
    lease: &Lease,
    records: Vec<EntryRecord>,
) -> Result<Dlsn, StoreError> {
    in_time(start_append(store, lease, records))
        .await
        .expect("`done` is called")
}

/// Appends an entry of one record and returns its position.
pub(super) async fn append_one(
    store: &dyn LogStore,
    lease: &Lease,
    payload: impl Into<Bytes>,
) -> Dlsn {
    append(store, lease, vec![record(payload)])
        .await
        .expect("the entry is written")
}

/// A limit that no record of the checks reaches, without a wait.
pub(super) const AT_ONCE: ReadLimit = ReadLimit {
    max_bytes: 1 << 20,
    wait: Duration::ZERO,
    created_unix_ms: None,
};

/// [`AT_ONCE`] with a wait that only an event ends in time.
pub(super) const WAITING: ReadLimit = ReadLimit {
    wait: LONG_WAIT,
    ..AT_ONCE
};

pub(super) async fn read(store: &dyn LogStore, stream: &StreamName, from: Dlsn) -> ReadBatch {
    in_time(store.read(stream, from, AT_ONCE))
        .await
        .expect("the stream can be read")
}

/// Reads from `from` on until there is no more. Returns the entries' positions and payloads.
pub(super) async fn read_all(
    store: &dyn LogStore,
    stream: &StreamName,
    from: Dlsn,
) -> Vec<(Dlsn, Vec<Bytes>)> {
    let (mut from, mut all) = (from, Vec::new());
    loop {
        let batch = read(store, stream, from).await;
        if batch.entries.is_empty() {
            return all;
        }
        assert!(batch.next > from, "the next position is not behind {from}");
        from = batch.next;
        all.extend(batch.entries.into_iter().map(|entry| {
            let payloads = entry.records.into_iter().map(|record| record.payload);
            (entry.dlsn, payloads.collect())
        }));
    }
}

/// Reads from the beginning; returns the payloads of the first records of the entries.
pub(super) async fn first_payloads(store: &dyn LogStore, stream: &StreamName) -> Vec<Bytes> {
    let all = read_all(store, stream, Dlsn::INITIAL).await;
    all.into_iter()
        .map(|(_, mut payloads)| payloads.remove(0))
        .collect()
}

/// Polls `read` and `event` together; `event` begins when the read had time to begin its wait.
/// Returns the outcome of the read, which must come in time.
pub(super) async fn while_waiting<T>(
    read: impl Future<Output = T>,
    event: impl Future<Output = ()>,
) -> T {
    let later = async {
        tokio::time::sleep(SETTLE).await;
        event.await;
    };
    in_time(async { tokio::join!(read, later).0 }).await
}

pub(super) fn not_found(stream: &StreamName) -> StoreError {
    StoreError::StreamNotFound(stream.clone())
}

pub(super) fn fenced(stream: &StreamName) -> StoreError {
    StoreError::Fenced(stream.clone())
}
