//! The durable state, as readers see it: the streams and the volumes.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::frame::{Body, Frame};
use super::stream::{Extent, FrameLocation, FrameLocations, NewEntry, Stream, StreamMeta};
use crate::StreamName;

/// The streams and the volumes. The committer changes it after each sync; recovery rebuilds it with
/// the same [`apply`](Self::apply).
///
/// Invariant: `VolumeState::extents` is the number of extents of all streams in that volume.
#[derive(Debug, Default)]
pub(super) struct StoreState {
    names: HashMap<StreamName, u64>,
    streams: HashMap<u64, Stream>,
    volumes: BTreeMap<u64, VolumeState>,
    pub(super) next_stream: u64,
    pub(super) next_epoch: u64,
    /// The newest snapshot on disk has the state as of the beginning of this volume.
    pub(super) snapshot_base: u64,
    /// Latest time of the frames and volumes that recovery read: milliseconds since 1970.
    pub(super) last_unix_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct VolumeState {
    /// Number of streams' extents in the volume.
    extents: usize,
    /// True if its index is on disk.
    indexed: bool,
}

/// The metadata as of the beginning of a volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) base: u64,
    pub(super) next_stream: u64,
    pub(super) next_epoch: u64,
    pub(super) streams: Vec<StreamMeta>,
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
            ..Self::default()
        };
        for meta in snapshot.streams {
            state.names.insert(meta.name.clone(), meta.id);
            state.streams.insert(meta.id, Stream::new(meta));
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
        Snapshot {
            base,
            next_stream: self.next_stream,
            next_epoch: self.next_epoch,
            streams,
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &StreamName> {
        self.names.keys()
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
        if stream.add(new)? {
            self.volumes.entry(new.volume).or_default().extents += 1;
        }
        // The committer holds the write lock for the whole batch, so woken readers see all of it.
        stream.changed.notify_waiters();
        Ok(())
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
                let stream = self
                    .streams
                    .remove(stream)
                    .ok_or("a stream is deleted that does not exist")?;
                self.names.remove(&stream.meta.name);
                for extent in &stream.extents {
                    release(&mut self.volumes, extent.volume);
                }
                stream.changed.notify_waiters();
            }
            Change::Truncate { stream, before } => {
                let volumes = &mut self.volumes;
                let stream = self
                    .streams
                    .get_mut(stream)
                    .ok_or("a stream is truncated that does not exist")?;
                stream.truncate(*before, &mut |volume| release(volumes, volume));
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
        }
        Ok(())
    }

    /// Ends all leases and completes all open log segments, as the end of a process does.
    pub(super) fn end_leases(&mut self) {
        for stream in self.streams.values_mut() {
            stream.meta.complete_open_segment();
            stream.meta.owner = None;
        }
    }

    pub(super) fn add_volume(&mut self, number: u64) {
        self.volumes.entry(number).or_default();
    }

    /// Returns the volume's extents that are not in an index on disk, sorted.
    pub(super) fn unindexed(&self, volume: u64) -> Vec<IndexedExtent> {
        let mut found = Vec::new();
        for stream in self.streams.values() {
            // Extents are in the order of their volumes, and only the last few have no index, so
            // the search from the back is short.
            for extent in stream
                .extents
                .iter()
                .rev()
                .take_while(|extent| extent.volume >= volume)
            {
                if let FrameLocations::Memory(locations) = &extent.locations
                    && extent.volume == volume
                {
                    let (lssn, first_entry, locations) =
                        (extent.lssn, extent.first_entry, locations.clone());
                    found.push(IndexedExtent {
                        stream: stream.meta.id,
                        lssn,
                        first_entry,
                        locations,
                    });
                }
            }
        }
        found.sort_unstable_by_key(|extent| (extent.stream, extent.lssn, extent.first_entry));
        found
    }

    /// Records that the volume's index is on disk, with the locations of each extent (stream, log
    /// segment) at this offset. Frees the memory of the locations.
    pub(super) fn set_indexed(
        &mut self,
        volume: u64,
        extents: impl Iterator<Item = (u64, u64, u64)>,
    ) {
        for (stream, lssn, at) in extents {
            let Some(stream) = self.streams.get_mut(&stream) else {
                continue;
            };
            let found = stream
                .extents
                .iter_mut()
                .rev()
                .find(|extent| (extent.volume, extent.lssn) == (volume, lssn));
            if let Some(extent) = found {
                extent.locations = FrameLocations::Index(at);
            }
        }
        self.volumes.entry(volume).or_default().indexed = true;
    }

    /// Adds an extent of a sealed volume's index during recovery. Call in the order of the volumes.
    pub(super) fn load_extent(&mut self, stream: u64, extent: Extent) {
        // The index still contains deleted streams and truncated entries.
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        let kept = stream.meta.segments.iter().any(|segment| {
            segment.lssn == extent.lssn
                && segment.first_entry < extent.end_entry()
                && extent.first_entry < segment.next_entry
        });
        if kept {
            self.volumes.entry(extent.volume).or_default().extents += 1;
            stream.extents.push_back(extent);
        }
    }

    /// Records that the volume's index is on disk.
    pub(super) fn mark_indexed(&mut self, volume: u64) {
        self.volumes.entry(volume).or_default().indexed = true;
    }

    /// Returns true if the volume's index is on disk.
    pub(super) fn is_indexed(&self, volume: u64) -> bool {
        self.volumes
            .get(&volume)
            .is_some_and(|volume| volume.indexed)
    }

    /// Removes and returns the volumes that hold nothing readable and that recovery would not need:
    /// those before the snapshot, with an index, without extents.
    pub(super) fn take_dead_volumes(&mut self) -> Vec<u64> {
        let base = self.snapshot_base;
        let dead = |(number, volume): (&u64, &VolumeState)| {
            (*number < base && volume.indexed && volume.extents == 0).then_some(*number)
        };
        let dead: Vec<u64> = self.volumes.iter().filter_map(dead).collect();
        for number in &dead {
            self.volumes.remove(number);
        }
        dead
    }

    /// Records that the frames from offset `from` of a volume on were copied to another one, where
    /// they begin at offset `to`.
    pub(super) fn relocate(&mut self, volume: u64, from: u32, to_volume: u64, to: u32) {
        for stream in self.streams.values_mut() {
            let (begun, ended) = stream.relocate(volume, from, to_volume, to);
            self.volumes.entry(to_volume).or_default().extents += begun;
            self.volumes.entry(volume).or_default().extents -= ended;
        }
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values()
    }
}

/// Counts one extent less in a volume.
fn release(volumes: &mut BTreeMap<u64, VolumeState>, volume: u64) {
    if let Some(volume) = volumes.get_mut(&volume) {
        volume.extents = volume
            .extents
            .checked_sub(1)
            .expect("counted when the extent began");
    }
}
