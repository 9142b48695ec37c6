//! Controls of a [`MemoryStore`]: holds, faults, views and waits.

use core::borrow::Borrow;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog_store::{EntryRecord, Owner, StoreError, StoreId, StreamName};

use super::{HeldAppend, HeldAppends, Inner, MemoryStore, PUT_UNIX_MS, Stream};

/// The order in which [`MemoryStore::release_results`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseOrder {
    /// The order of the calls.
    FirstToLast,
    /// The reverse order of the calls.
    LastToFirst,
}

/// Returns a record that is no record set.
#[must_use]
pub fn plain(payload: &'static str) -> EntryRecord {
    EntryRecord {
        payload: Bytes::from_static(payload.as_bytes()),
        slots: 1,
        is_record_set: false,
    }
}

/// Holds and faults.
impl MemoryStore {
    /// Gives the store an identity.
    pub fn identify(&self, id: StoreId) {
        self.update(|inner| inner.identity = Some(id));
    }

    /// Holds all appends from now on: they are neither written nor answered until
    /// [`release_appends`](Self::release_appends).
    pub fn hold_appends(&self) {
        self.hold(None);
    }

    /// Holds the appends to one stream from now on, as [`hold_appends`](Self::hold_appends) does
    /// those to all.
    pub fn hold_appends_of(&self, stream: &StreamName) {
        self.hold(Some(stream.clone()));
    }

    fn hold(&self, only: Option<StreamName>) {
        self.update(|inner| {
            let held = &mut inner.controls.held_appends;
            let appends = held.take().map_or_else(Vec::new, |held| held.appends);
            *held = Some(HeldAppends { only, appends });
        });
    }

    /// Writes and answers the held appends in the order of their calls, also when the store was
    /// closed since, and holds no more. Returns their number.
    pub fn release_appends(&self) -> usize {
        let held = self.update(|inner| inner.controls.held_appends.take());
        let held = held.map_or_else(Vec::new, |held| held.appends);
        let count = held.len();
        for HeldAppend { lease, entry, done } in held {
            let result = self.update(|inner| inner.append(&lease, entry));
            done(result);
        }
        count
    }

    /// Holds the results of all appends from now on: they are written, and not answered until
    /// [`release_results`](Self::release_results).
    pub fn hold_results(&self) {
        self.update(|inner| _ = inner.controls.held_results.get_or_insert_default());
    }

    /// Answers the appends whose results were held, and holds no more.
    pub fn release_results(&self, order: ReleaseOrder) {
        let held = self.update(|inner| inner.controls.held_results.take());
        let mut held = held.unwrap_or_default();
        if order == ReleaseOrder::LastToFirst {
            held.reverse();
        }
        for (done, result) in held {
            done(result);
        }
    }

    /// Makes acquires wait until [`release_acquires`](Self::release_acquires).
    pub fn hold_acquires(&self) {
        self.update(|inner| inner.controls.acquires_are_held = true);
    }

    /// Lets the acquires that wait, and later ones, go on.
    pub fn release_acquires(&self) {
        self.update(|inner| inner.controls.acquires_are_held = false);
    }

    /// Leaves every later read of the stream unanswered.
    pub fn stall_reads_of(&self, stream: &StreamName) {
        self.update(|inner| inner.controls.stalled_reads = Some(stream.clone()));
    }

    /// Fails the next append that is written with `error`. Several calls fail several appends, in
    /// order.
    pub fn fail_next_append(&self, error: StoreError) {
        self.update(|inner| inner.controls.append_failures.push_back(error));
    }

    /// Fails the next read with `error`; a read that waits looks again after a change, and counts.
    /// Several calls fail several reads, in order.
    pub fn fail_next_read(&self, error: StoreError) {
        self.update(|inner| inner.controls.read_failures.push_back(error));
    }

    /// Fails every operation except [`close`](distributedlog_store::LogStore::close) from now on
    /// with [`StoreError::Io`], as with a disk that is gone.
    pub fn fail_all(&self) {
        self.update(|inner| inner.controls.all_fail = true);
    }

    /// Refuses retention from now on, as a store on BookKeeper does.
    pub fn lack_retention(&self) {
        self.update(|inner| inner.controls.lacks_retention = true);
    }

    /// Goes on serving after [`close`](distributedlog_store::LogStore::close), as a store that
    /// several processes share does when one of them closes its connection.
    pub fn stay_open(&self) {
        self.update(|inner| inner.controls.stays_open = true);
    }

    /// Makes every read return `next` as the next position, instead of the right one.
    pub fn claim_next(&self, next: Dlsn) {
        self.update(|inner| inner.controls.claimed_next = Some(next));
    }
}

/// Changes of a stream that need no lease.
impl MemoryStore {
    /// Stores an entry at a position behind the others of a stream, which is created if it does
    /// not exist, and wakes its readers. The entry is written at [`PUT_UNIX_MS`].
    ///
    /// # Panics
    ///
    /// If the position is before the stream's end.
    pub fn put(&self, stream: &StreamName, dlsn: Dlsn, records: Vec<EntryRecord>) {
        self.update(|inner| {
            inner
                .stream_or_create(stream)
                .put(dlsn, records, PUT_UNIX_MS);
        });
    }

    /// Stores an entry with one plain record in log segment 1, as [`put`](Self::put) does.
    pub fn put_plain(&self, stream: &StreamName, entry_id: i64, payload: &'static str) {
        self.put(stream, Dlsn::new(1, entry_id, 0), vec![plain(payload)]);
    }

    /// Grants a stream, which is created if it does not exist, to `owner`. The lease before it is
    /// fenced.
    pub fn set_owner(&self, stream: &StreamName, owner: &Owner) {
        self.update(|inner| {
            inner.last_epoch += 1;
            let epoch = inner.last_epoch;
            inner
                .stream_or_create(stream)
                .set_owner(Some((owner.clone(), epoch)));
        });
    }

    /// Releases all leases of `owner`, as the server of a remote store does when a session ends.
    pub fn release_owner(&self, owner: &Owner) {
        self.update(|inner| {
            for stream in inner.streams.values_mut() {
                if stream.owner() == Some(owner) {
                    stream.set_owner(None);
                }
            }
        });
    }
}

impl Inner {
    fn stream_or_create(&mut self, name: &StreamName) -> &mut Stream {
        let unix_ms = self.unix_ms();
        self.streams
            .entry(name.clone())
            .or_insert_with(|| Stream::new(unix_ms))
    }
}

/// Views.
impl MemoryStore {
    /// Returns the positions and payloads of a stream's records that were not truncated; none if
    /// there is no such stream.
    #[must_use]
    pub fn records(&self, stream: &(impl Borrow<str> + ?Sized)) -> Vec<(Dlsn, Bytes)> {
        self.each_record(stream, |dlsn, record| (dlsn, record.payload.clone()))
    }

    /// Returns the number of slots of each of the [`records`](Self::records).
    #[must_use]
    pub fn slots(&self, stream: &(impl Borrow<str> + ?Sized)) -> Vec<u32> {
        self.each_record(stream, |_, record| record.slots)
    }

    fn each_record<T>(
        &self,
        stream: &(impl Borrow<str> + ?Sized),
        view: impl Fn(Dlsn, &EntryRecord) -> T,
    ) -> Vec<T> {
        let inner = self.lock();
        let stream = inner.streams.get(stream.borrow());
        let mut records = Vec::new();
        for entry in stream.map_or(&[][..], |stream| &stream.entries) {
            let mut dlsn = entry.dlsn;
            for record in &entry.records {
                records.push(view(dlsn, record));
                dlsn = dlsn.slot(record.slots);
            }
        }
        records
    }

    /// Returns the point before which a stream was truncated, if it was.
    #[must_use]
    pub fn truncated_before(&self, stream: &(impl Borrow<str> + ?Sized)) -> Option<Dlsn> {
        self.lock().streams.get(stream.borrow())?.truncated_before
    }

    /// Returns a stream's owner, if it has one.
    #[must_use]
    pub fn owner(&self, stream: &(impl Borrow<str> + ?Sized)) -> Option<Owner> {
        self.lock().streams.get(stream.borrow())?.owner().cloned()
    }

    /// Returns the number of held appends, or of appends whose results are held.
    #[must_use]
    pub fn held_appends(&self) -> usize {
        let inner = self.lock();
        let controls = &inner.controls;
        let appends = controls.held_appends.as_ref();
        appends.map_or(0, |held| held.appends.len())
            + controls.held_results.as_ref().map_or(0, Vec::len)
    }

    /// Returns the number of appends that were called since the store was created, refused ones
    /// included.
    #[must_use]
    pub fn appends(&self) -> usize {
        self.lock().appends
    }

    /// Returns the number of reads that were begun since the store was created.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.lock().reads
    }

    /// Returns whether the store was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

/// Waits.
impl MemoryStore {
    /// Waits until `is_met` holds for this store. Checks after every change.
    pub async fn until(&self, mut is_met: impl FnMut(&Self) -> bool) {
        let mut changes = self.changed.subscribe();
        while !is_met(self) {
            changes
                .changed()
                .await
                .expect("the sender is a field of the store");
        }
    }

    /// Waits until at least `count` appends were called since the store was created.
    pub async fn until_appends(&self, count: usize) {
        self.until(|store| store.appends() >= count).await;
    }

    /// Waits until exactly `count` reads wait for an append.
    pub async fn until_waiting_reads(&self, count: usize) {
        self.waiting_reads
            .subscribe()
            .wait_for(|waiting| *waiting == count)
            .await
            .expect("the sender is a field of the store");
    }
}
