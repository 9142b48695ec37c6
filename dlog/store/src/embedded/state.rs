//! The durable state, as readers see it: the streams and the volumes.

use core::ops::Bound;
use std::collections::BTreeMap;

use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::extent::{Extent, Extents, FrameLocation, FrameLocations};
use super::frame::{Body, EntryKey, Frame};
use super::index::IndexRow;
use super::stream::{NewEntry, Stream, StreamMeta};
use super::volumes::{VolumeState, Volumes};
use crate::hash::KeyedMap;
use crate::{NamesPage, Retention, StreamName, SummaryPage};

/// The streams and the volumes. The committer changes it after each sync; recovery rebuilds it with
/// the same [`apply`](Self::apply).
#[derive(Debug, Default)]
pub(super) struct StoreState {
    /// Sorted, so that a page of names is found without looking at the others.
    names: BTreeMap<StreamName, u64>,
    streams: KeyedMap<u64, Stream>,
    pub(super) volumes: Volumes,
    pub(super) next_stream: u64,
    pub(super) next_epoch: u64,
    /// The newest snapshot on disk has the state as of the beginning of this volume.
    pub(super) snapshot_base: u64,
    /// Retention of the namespace that was set at run time.
    pub(super) retention: Option<Retention>,
    /// True if the journal's last volume is this process's: everything that recovery found is
    /// durable. Until then the last batch may not be, and no file may be removed because of it.
    pub(super) is_settled: bool,
    /// End of the last batch in the journal's last volume.
    pub(super) newest_end: u64,
    /// Latest time of the frames and volumes that recovery read: milliseconds since 1970.
    pub(super) last_unix_ms: u64,
}

/// The metadata as of the beginning of a volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) base: u64,
    pub(super) next_stream: u64,
    pub(super) next_epoch: u64,
    pub(super) streams: Vec<StreamMeta>,
    /// Behind the rest in the file; snapshots of earlier versions end before it.
    #[serde(skip)]
    pub(super) retention: SnapshotRetention,
}

/// Retention of the namespace and of the streams that have one of their own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SnapshotRetention {
    pub(super) namespace: Option<Retention>,
    /// By id of the stream.
    pub(super) streams: Vec<(u64, Retention)>,
}

/// An extent as an index stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexedExtent {
    pub(super) stream: u64,
    pub(super) lssn: u64,
    pub(super) first_entry: u64,
    pub(super) locations: Vec<FrameLocation>,
}

impl StoreState {
    pub(super) fn new() -> Self {
        Self {
            next_stream: 1,
            next_epoch: 1,
            snapshot_base: 1,
            ..Self::default()
        }
    }

    pub(super) fn from_snapshot(snapshot: Snapshot) -> Self {
        let mut state = Self {
            next_stream: snapshot.next_stream,
            next_epoch: snapshot.next_epoch,
            snapshot_base: snapshot.base,
            retention: snapshot.retention.namespace,
            ..Self::default()
        };
        for meta in snapshot.streams {
            state.names.insert(meta.name.clone(), meta.id);
            state.streams.insert(meta.id, Stream::new(meta));
        }
        for (id, retention) in snapshot.retention.streams {
            if let Some(stream) = state.streams.get_mut(&id) {
                stream.meta.retention = Some(retention);
            }
        }
        state
    }

    pub(super) fn to_snapshot(&self, base: u64) -> Snapshot {
        let mut streams: Vec<_> = self
            .streams
            .values()
            .map(|stream| stream.meta.clone())
            .collect();
        streams.sort_unstable_by_key(|meta| meta.id);
        let own = |meta: &StreamMeta| Some((meta.id, meta.retention?));
        let retention = SnapshotRetention {
            namespace: self.retention,
            streams: streams.iter().filter_map(own).collect(),
        };
        Snapshot {
            retention,
            base,
            next_stream: self.next_stream,
            next_epoch: self.next_epoch,
            streams,
        }
    }

    /// Returns the number of streams.
    pub(super) fn stream_count(&self) -> u64 {
        self.streams.len() as u64
    }

    /// Returns the number of log segments that have records. Looks at every stream.
    pub(super) fn segment_count(&self) -> u64 {
        let counts = self
            .streams
            .values()
            .map(|stream| stream.meta.segments.len() as u64);
        counts.sum()
    }

    /// Returns the names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &StreamName> {
        self.names.keys()
    }

    /// Returns the first `limit` names after `after` that begin with `prefix`.
    pub(super) fn names_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> NamesPage {
        let from = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            Some(_) | None => Bound::Included(prefix),
        };
        let mut wanted = self
            .names
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(name, _)| name)
            .take_while(|name| name.as_str().starts_with(prefix));
        let names = wanted.by_ref().take(limit).cloned().collect();
        let more = wanted.next().is_some();
        NamesPage { names, more }
    }

    /// Returns the first `limit` streams after `after` in short. `retention` is that of the store's
    /// settings.
    pub(super) fn summaries(
        &self,
        after: Option<&StreamName>,
        limit: usize,
        retention: Retention,
    ) -> SummaryPage {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let retention = self.retention.unwrap_or(retention);
        let mut wanted = self.names.range::<StreamName, _>((from, Bound::Unbounded));
        let streams = wanted
            .by_ref()
            .take(limit)
            .filter_map(|(_, id)| Some(self.stream(*id)?.meta.summary(retention)));
        let streams = streams.collect();
        SummaryPage::new(streams, wanted.next().is_some())
    }

    pub(super) fn id_of(&self, name: &StreamName) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(super) fn stream(&self, id: u64) -> Option<&Stream> {
        self.streams.get(&id)
    }

    pub(super) fn named(&self, name: &StreamName) -> Option<&Stream> {
        self.stream(self.id_of(name)?)
    }

    /// Applies a frame that is in `volume` at `location`. `Err` contains the reason why it cannot
    /// follow the frames before it.
    pub(super) fn apply(
        &mut self,
        frame: &Frame<'_>,
        volume: u64,
        location: FrameLocation,
    ) -> Result<(), String> {
        self.last_unix_ms = self.last_unix_ms.max(frame.unix_ms);
        match &frame.body {
            Body::Change(change) => self.apply_change(change, frame.unix_ms),
            #[cfg(seeded_bugs)]
            Body::Copy { .. }
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ReplayIgnoresCopies) =>
            {
                Ok(())
            }
            Body::Copy { key, .. } => {
                self.apply_copy(*key, volume, location);
                Ok(())
            }
            Body::Entry { key, records } => {
                let (slots, payload_bytes) = records.totals();
                let (lssn, entry, unix_ms) = (key.lssn, key.entry, frame.unix_ms);
                self.apply_entry(
                    key.stream,
                    &NewEntry {
                        lssn,
                        entry,
                        unix_ms,
                        slots,
                        payload_bytes,
                        volume,
                        location,
                    },
                )
            }
        }
    }

    pub(super) fn apply_entry(&mut self, stream: u64, new: &NewEntry) -> Result<(), String> {
        let stream = self
            .streams
            .get_mut(&stream)
            .ok_or_else(|| format!("an entry of stream {stream}, which does not exist"))?;
        stream.add(new, &mut self.volumes)?;
        // The committer holds the write lock for the whole batch, so woken readers see all of it.
        stream.changed.notify_waiters();
        Ok(())
    }

    /// Makes an entry the next one of a stream although entries before it are lost.
    pub(super) fn skip_to(&mut self, stream: u64, lssn: u64, entry: u64, unix_ms: u64) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.meta.skip_to(lssn, entry, unix_ms);
        }
    }

    /// Leaves a gap for an entry that is lost, if it is the next one of its stream.
    pub(super) fn skip_lost(&mut self, key: EntryKey, unix_ms: u64) {
        if let Some(stream) = self.streams.get_mut(&key.stream)
            && stream.meta.is_next(key.lssn, key.entry)
        {
            stream.meta.skip_to(key.lssn, key.entry + 1, unix_ms);
        }
    }

    /// Records that an entry was copied to `location`. Does nothing if it is not readable any more,
    /// for it may have been truncated or deleted since it was read.
    pub(super) fn apply_copy(&mut self, key: EntryKey, volume: u64, location: FrameLocation) {
        if let Some(stream) = self.streams.get_mut(&key.stream) {
            let copy = Extent::of_one(volume, key.lssn, key.entry, location);
            stream.place_copy(copy, &mut self.volumes);
        }
    }

    pub(super) fn apply_change(&mut self, change: &Change, unix_ms: u64) -> Result<(), String> {
        match change {
            Change::Create { stream, name } => {
                if self.names.insert(name.clone(), *stream).is_some() {
                    return Err(format!("stream {name} is created twice"));
                }
                self.streams.insert(
                    *stream,
                    Stream::new(StreamMeta::new(*stream, name.clone(), unix_ms)),
                );
                self.next_stream = self.next_stream.max(stream + 1);
            }
            Change::Delete { stream } => {
                let mut stream = self
                    .streams
                    .remove(stream)
                    .ok_or("a stream is deleted that does not exist")?;
                self.names.remove(&stream.meta.name);
                stream.extents.clear(&mut self.volumes);
                stream.changed.notify_waiters();
            }
            Change::Truncate { stream, before } => {
                let stream = self
                    .streams
                    .get_mut(stream)
                    .ok_or("a stream is truncated that does not exist")?;
                stream.truncate(*before, &mut self.volumes);
                stream.changed.notify_waiters();
            }
            Change::Acquire {
                stream,
                epoch,
                owner,
            } => {
                let stream = self
                    .streams
                    .get_mut(stream)
                    .ok_or("a stream is acquired that does not exist")?;
                stream.meta.complete_open_segment();
                stream.meta.owner = Some(owner.clone());
                stream.meta.epoch = *epoch;
                self.next_epoch = self.next_epoch.max(epoch + 1);
            }
            Change::Release { stream } => {
                let stream = self
                    .streams
                    .get_mut(stream)
                    .ok_or("a stream is released that does not exist")?;
                stream.meta.complete_open_segment();
                stream.meta.owner = None;
            }
            Change::End => self.end_leases(),
            Change::Retain {
                stream: 0,
                retention,
            } => self.retention = *retention,
            Change::Retain { stream, retention } => {
                let stream = self
                    .streams
                    .get_mut(stream)
                    .ok_or("the retention of a stream is set that does not exist")?;
                stream.meta.retention = *retention;
            }
        }
        Ok(())
    }

    /// Returns the truncations that retention makes now, at most `limit`: name and id of the
    /// stream, the position before which it is truncated, and the number of log segments before it.
    /// `default` is the retention of streams and namespaces without one of their own.
    pub(super) fn expired(
        &self,
        default: Retention,
        unix_ms: u64,
        limit: usize,
    ) -> Vec<(StreamName, u64, Dlsn, u64)> {
        let namespace = self.retention.unwrap_or(default);
        let expired = |stream: &Stream| {
            let meta = &stream.meta;
            let retention = meta.retention.unwrap_or(namespace);
            if retention.is_none() {
                return None;
            }
            let (before, segments) = meta.expired(&retention, unix_ms)?;
            Some((meta.name.clone(), meta.id, before, segments))
        };
        self.streams
            .values()
            .filter_map(expired)
            .take(limit)
            .collect()
    }

    /// Ends all leases and completes all open log segments, as the end of a process does.
    pub(super) fn end_leases(&mut self) {
        for stream in self.streams.values_mut() {
            stream.meta.complete_open_segment();
            stream.meta.owner = None;
        }
    }

    /// Returns true if the volume has the entry, and no later one has a copy.
    pub(super) fn is_in_volume(&self, key: EntryKey, volume: u64) -> bool {
        self.streams
            .get(&key.stream)
            .and_then(|stream| stream.extents.get(key.lssn, key.entry))
            .is_some_and(|extent| extent.volume == volume)
    }

    pub(super) fn add_volume(&mut self, number: u64) {
        self.volumes.add(number);
    }

    /// Returns the volume's extents whose locations are in memory, sorted.
    pub(super) fn unindexed(&self, volume: u64) -> Vec<IndexedExtent> {
        let mut found = Vec::new();
        for (id, lssn) in self.volumes.in_memory(volume) {
            let Some(stream) = self.streams.get(&id) else {
                continue;
            };
            for extent in stream.extents.in_volume(lssn, volume) {
                #[cfg(seeded_bugs)]
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::IndexWithoutCopies)
                    && extent.end_entry()
                        < stream.extents.iter().last().map_or(0, Extent::end_entry)
                {
                    continue;
                }
                if let FrameLocations::Memory(locations) = &extent.locations {
                    found.push(IndexedExtent {
                        stream: id,
                        lssn,
                        first_entry: extent.first_entry,
                        locations: locations.clone(),
                    });
                }
            }
        }
        found
    }

    /// Records that the volume's index with these rows is on disk. Frees the memory of the
    /// locations.
    pub(super) fn set_indexed(&mut self, volume: u64, rows: &[IndexRow], disk_bytes: u64) {
        for row in rows {
            if let Some(stream) = self.streams.get_mut(&row.stream) {
                let of = (row.stream, row.lssn, volume);
                stream.extents.update(of, &mut self.volumes, &mut |extent| {
                    // Entries may have been truncated since the index was made.
                    if row.contains(extent.first_entry) {
                        extent.locations = FrameLocations::Index(row.at(extent.first_entry));
                    }
                });
            }
        }
        self.volumes.set_indexed(volume, disk_bytes);
    }

    /// Adds an extent of a sealed volume during recovery. Call in the order of the volumes: an
    /// entry that was copied is in two of them, and the later one counts.
    pub(super) fn load_extent(&mut self, stream: u64, extent: Extent) {
        // The index still contains deleted streams and truncated entries.
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        let (id, (volume, entries)) = (stream.meta.id, (extent.volume, extent.entries));
        let Some(extent) = stream.meta.readable_part(extent) else {
            return;
        };
        if extent.is_indexed() && extent.entries < entries {
            self.volumes.get_mut(volume).estimated = true;
        }
        stream.extents.place(id, extent, &mut self.volumes);
    }

    /// Removes and returns the volumes that hold nothing readable and that recovery would not need:
    /// those before the snapshot, with an index, without extents.
    pub(super) fn take_dead_volumes(&mut self) -> Vec<(u64, VolumeState)> {
        let is_settled = self.is_settled;
        #[cfg(seeded_bugs)]
        let is_settled = is_settled
            || crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::RemovesBeforeTailIsDurable);
        if !is_settled {
            return Vec::new();
        }
        self.volumes.take_dead(self.snapshot_base)
    }

    /// Returns true if beginning another volume would let space be freed: nothing may be removed
    /// before, or half of the present one is not needed. `least` is the size from which one counts.
    pub(super) fn could_free_by_rolling(&self, least: u64) -> bool {
        let newest = self.volumes.iter().last();
        let live_bytes = newest.map_or(0, |(_, volume)| volume.live_bytes);
        !self.is_settled || (self.newest_end >= least && self.newest_end >= 2 * live_bytes)
    }

    /// Returns the volumes that compaction may empty: those that recovery does not replay.
    pub(super) fn compactible(&self) -> impl Iterator<Item = (u64, &VolumeState)> {
        let base = if self.is_settled {
            self.snapshot_base
        } else {
            0
        };
        let sealed = self
            .volumes
            .iter()
            .take_while(move |(number, _)| *number < base);
        sealed.filter(|(_, volume)| volume.indexed)
    }

    /// Records that the frames from offset `from` of a volume on were copied to another one, where
    /// they begin at offset `to`.
    pub(super) fn relocate(&mut self, from: (u64, u32), to: (u64, u32)) {
        for (id, lssn) in self.volumes.in_memory(from.0) {
            if let Some(stream) = self.streams.get_mut(&id) {
                let volumes = &mut self.volumes;
                #[cfg(seeded_bugs)]
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::TailCopiesStay)
                    && stream
                        .extents
                        .iter()
                        .last()
                        .is_some_and(|last| (last.volume, last.lssn) != (from.0, lssn))
                {
                    continue;
                }
                stream.extents.relocate((id, lssn), from, to, volumes);
            }
        }
    }

    /// Returns a stream's extents for a change of their sizes, together with the volumes.
    pub(super) fn extents_mut(&mut self, stream: u64) -> Option<(&mut Extents, &mut Volumes)> {
        let stream = self.streams.get_mut(&stream)?;
        Some((&mut stream.extents, &mut self.volumes))
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values()
    }
}
