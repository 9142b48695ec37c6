//! A store in memory which does what a test says: hold appends back, fail them, lose an owner.

use core::future;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Dlsn;
use tokio::sync::watch;

use distributedlog_store::{
    Acquired, AppendDone, Entry, Lease, LogStore, Owner, ReadBatch, ReadLimit, StoreError,
    StoreFuture, StoredEntry, StreamInfo, StreamName,
};

#[derive(Clone)]
pub(crate) struct MemoryStore {
    state: Arc<Mutex<State>>,
    /// Whether streams can be acquired; while not, who asks for one waits.
    acquiring: watch::Sender<bool>,
    /// How many appends were accepted.
    accepted: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    streams: BTreeMap<StreamName, Stream>,
    last_epoch: u64,
    /// Appends that are not answered yet, while they are held back.
    held: Option<Vec<(AppendDone, Result<Dlsn, StoreError>)>>,
    failures: VecDeque<StoreError>,
    closed: bool,
}

#[derive(Default)]
struct Stream {
    owner: Option<(Owner, u64)>,
    segments: i64,
    segment_is_open: bool,
    next_entry: i64,
    entries: Vec<StoredEntry>,
    truncated_before: Option<Dlsn>,
}

impl MemoryStore {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            acquiring: watch::Sender::new(true),
            accepted: watch::Sender::new(0),
        }
    }

    /// What was appended to a stream: positions and payloads.
    pub(super) fn records(&self, stream: &str) -> Vec<(Dlsn, Vec<u8>)> {
        let state = self.lock();
        let entries = state
            .streams
            .get(stream)
            .map_or(&[][..], |stream| &stream.entries);
        let mut records = Vec::new();
        for entry in entries {
            let mut dlsn = entry.dlsn;
            for record in &entry.records {
                records.push((dlsn, record.payload.to_vec()));
                dlsn = dlsn.slot(record.slots);
            }
        }
        records
    }

    /// How many slots each of them takes.
    pub(super) fn slots(&self, stream: &str) -> Vec<u32> {
        let state = self.lock();
        let entries = state
            .streams
            .get(stream)
            .map_or(&[][..], |stream| &stream.entries);
        entries
            .iter()
            .flat_map(|entry| &entry.records)
            .map(|record| record.slots)
            .collect()
    }

    /// Where a stream was truncated.
    pub(super) fn truncated_before(&self, stream: &str) -> Option<Dlsn> {
        self.lock().streams.get(stream)?.truncated_before
    }

    /// Answers no append until [`answer_held`](Self::answer_held).
    pub(super) fn hold_appends(&self) {
        self.lock().held.get_or_insert_default();
    }

    /// Answers the appends that were held back, the last ones first if asked to, and holds no more.
    pub(super) fn answer_held(&self, backwards: bool) {
        let mut held = self.lock().held.take().unwrap_or_default();
        if backwards {
            held.reverse();
        }
        for (done, result) in held {
            done(result);
        }
    }

    /// Completes when so many appends have come in all.
    pub(super) async fn accepted(&self, count: usize) {
        let mut accepted = self.accepted.subscribe();
        accepted
            .wait_for(|accepted| *accepted >= count)
            .await
            .expect("the sender is in self");
    }

    /// Lets the next append fail like this.
    pub(super) fn fail_next_append(&self, error: StoreError) {
        self.lock().failures.push_back(error);
    }

    /// Lets who asks for a stream wait, or no longer.
    pub(super) fn hold_acquires(&self, hold: bool) {
        self.acquiring.send_replace(!hold);
    }

    /// Makes a stream that another proxy owns.
    pub(super) fn own(&self, stream: &str, owner: &Owner) {
        let mut state = self.lock();
        state.last_epoch += 1;
        let epoch = state.last_epoch;
        state
            .streams
            .entry(StreamName::new(stream).expect("a legal name"))
            .or_default()
            .owner = Some((owner.clone(), epoch));
    }

    /// What the server of a remote store does when an owner's session ends: its leases are no more.
    pub(super) fn forget_owner(&self, owner: &Owner) {
        for stream in self.lock().streams.values_mut() {
            if stream.owner.as_ref().is_some_and(|(of, _)| of == owner) {
                stream.owner = None;
                stream.segment_is_open = false;
            }
        }
    }

    pub(super) fn owner_of(&self, stream: &str) -> Option<Owner> {
        self.lock()
            .streams
            .get(stream)?
            .owner
            .as_ref()
            .map(|(owner, _)| owner.clone())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_stream<R>(
        &self,
        name: &StreamName,
        work: impl FnOnce(&mut Stream) -> R,
    ) -> Result<R, StoreError> {
        self.lock()
            .streams
            .get_mut(name)
            .map(work)
            .ok_or_else(|| StoreError::StreamNotFound(name.clone()))
    }
}

impl State {
    fn append(&mut self, lease: &Lease, entry: Entry) -> Result<Dlsn, StoreError> {
        if let Some(failure) = self.failures.pop_front() {
            return Err(failure);
        }
        let stream = self
            .streams
            .get_mut(&lease.stream)
            .ok_or_else(|| StoreError::Fenced(lease.stream.clone()))?;
        if stream
            .owner
            .as_ref()
            .is_none_or(|(_, epoch)| *epoch != lease.epoch)
        {
            return Err(StoreError::Fenced(lease.stream.clone()));
        }
        if !stream.segment_is_open {
            stream.segments += 1;
            stream.segment_is_open = true;
            stream.next_entry = 0;
        }
        let dlsn = Dlsn::new(stream.segments, stream.next_entry, 0);
        stream.next_entry += 1;
        stream.entries.push(StoredEntry {
            dlsn,
            written_unix_ms: 0,
            records: entry.records,
        });
        Ok(dlsn)
    }
}

fn now<T: Send + 'static>(result: Result<T, StoreError>) -> StoreFuture<'static, T> {
    Box::pin(future::ready(result))
}

impl LogStore for MemoryStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        if state.streams.contains_key(stream) {
            return now(Err(StoreError::StreamExists(stream.clone())));
        }
        state.streams.insert(stream.clone(), Stream::default());
        now(Ok(()))
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let removed = self.lock().streams.remove(stream);
        now(removed
            .map(drop)
            .ok_or_else(|| StoreError::StreamNotFound(stream.clone())))
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        now(Ok(self.lock().streams.keys().cloned().collect()))
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        now(self.on_stream(stream, |found| StreamInfo {
            name: stream.clone(),
            created_unix_ms: 0,
            segments: Vec::new(),
            first: found.entries.first().map(|entry| entry.dlsn),
            last: found.entries.last().map(|entry| entry.dlsn),
            truncated_before: found.truncated_before,
            owner: found.owner.as_ref().map(|(owner, _)| owner.clone()),
        }))
    }

    fn acquire(&self, stream: &StreamName, owner: &Owner) -> StoreFuture<'_, Acquired> {
        let (stream, owner, mut acquiring) =
            (stream.clone(), owner.clone(), self.acquiring.subscribe());
        Box::pin(async move {
            acquiring
                .wait_for(|acquiring| *acquiring)
                .await
                .expect("the sender is in self");
            let mut state = self.lock();
            state.last_epoch += 1;
            let epoch = state.last_epoch;
            let found = state
                .streams
                .get_mut(&stream)
                .ok_or_else(|| StoreError::StreamNotFound(stream.clone()))?;
            match &found.owner {
                Some((other, _)) if *other != owner => Ok(Acquired::OwnedBy(other.clone())),
                Some(_) | None => {
                    found.owner = Some((owner, epoch));
                    found.segment_is_open = false;
                    Ok(Acquired::Granted(Lease { stream, epoch }))
                }
            }
        })
    }

    fn release(&self, lease: &Lease) -> StoreFuture<'_, ()> {
        let released = self.on_stream(&lease.stream, |stream| {
            if stream
                .owner
                .as_ref()
                .is_some_and(|(_, epoch)| *epoch == lease.epoch)
            {
                stream.owner = None;
                stream.segment_is_open = false;
            }
        });
        now(released)
    }

    fn append(&self, lease: &Lease, entry: Entry, done: AppendDone) {
        let mut state = self.lock();
        let result = state.append(lease, entry);
        self.accepted.send_modify(|accepted| *accepted += 1);
        match &mut state.held {
            Some(held) => held.push((done, result)),
            None => {
                drop(state);
                done(result);
            }
        }
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        now(self.on_stream(stream, |stream| stream.truncated_before = Some(before)))
    }

    fn read(&self, stream: &StreamName, from: Dlsn, _: ReadLimit) -> StoreFuture<'_, ReadBatch> {
        now(self.on_stream(stream, |stream| ReadBatch {
            entries: stream.entries.clone(),
            next: from,
            start: from,
            created_unix_ms: 0,
        }))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.lock().closed = true;
        now(Ok(()))
    }
}
