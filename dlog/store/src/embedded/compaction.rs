//! Compaction: copies the readable entries of a volume of which more than half is not needed to the
//! end of the journal, so that the volume can be removed.
//!
//! A copy is a frame of the journal like any other: the committer writes it with the appends of its
//! batch, and the entry moves in the readers' view once the batch is durable. Positions stay the
//! same. A crash at any point leaves an entry in its old volume, or in both: of two, the one in the
//! later volume counts. A volume is removed only when no entry is in it any more, so every removal
//! is preceded by a sync of all copies.
//!
//! Bounded: one request to the committer at a time, of at most [`CHUNK_BYTES`] or one entry; the
//! rate by [`compaction_rate`](super::EmbeddedSettings::compaction_rate).

use core::sync::atomic::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{read_exact, store_error};
use super::extent::{Extent, FrameLocation, FrameLocations};
use super::frame::{self, EntryKey};
use super::index::{self, Index, IndexRow};
use super::reader::span;
use super::request::{CommitRequest, EntryCopy};
use super::shared::Shared;
use super::volume::{FileKind, corrupt};
use super::volumes::VolumeState;
use crate::StoreError;

/// Maximum bytes of frames in one request to the committer, apart from a larger entry: what it adds
/// to the latency of the appends of the same batch.
const CHUNK_BYTES: usize = 256 << 10;
/// Number of locations that are read from an index at once.
const MAX_LOCATIONS: u64 = 512;
/// Pause after a copy that failed, in milliseconds: the disk may be full or broken.
const RETRY_MS: u64 = 1000;

/// Compaction of one volume after the other.
#[derive(Default)]
pub(super) struct Compaction {
    victim: Option<Victim>,
    /// True while a request is with the committer.
    is_copying: bool,
    /// Bytes copied beyond what the rate has allowed so far.
    debt: u64,
    /// Time up to which the rate has been counted, in milliseconds since 1970.
    counted_ms: u64,
    /// No copy is begun before this time.
    paused_until_ms: u64,
    /// Volumes with an entry that cannot be read: they stay as they are. Bounded by the number of
    /// volumes.
    damaged: BTreeSet<u64>,
}

/// The volume that is being compacted.
struct Victim {
    volume: u64,
    rows: Vec<IndexRow>,
    /// The rows before this one have no readable entry in the volume any more.
    next: usize,
}

/// Next event of compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// No volume needs compaction, or the committer is at work.
    Job,
    /// The rate, or a pause after a failure: milliseconds from now.
    Pause(u64),
    /// There is more to do at once.
    Now,
}

impl Compaction {
    /// Returns true if no volume is being compacted.
    pub(super) const fn is_idle(&self) -> bool {
        self.victim.is_none() && !self.is_copying
    }

    /// The committer has finished a request.
    pub(super) fn copied(&mut self, result: &Result<u64, StoreError>, now_ms: u64) {
        self.is_copying = false;
        match result {
            Ok(bytes) => self.debt += bytes,
            Err(error) => {
                tracing::warn!("compaction pauses: {error}");
                self.paused_until_ms = now_ms + RETRY_MS;
            }
        }
    }

    /// Does the next piece of work, if there is any and the rate allows it.
    pub(super) fn step(&mut self, shared: &Arc<Shared>) -> NextStep {
        if self.is_copying || shared.settings.compaction_rate == 0 {
            return NextStep::Job;
        }
        let now = (shared.unix_ms)();
        if let Some(pause) = self.pause(shared, now) {
            return if self.victim.is_some() || needs_compaction(shared) {
                NextStep::Pause(pause)
            } else {
                NextStep::Job
            };
        }
        match self.copy_some(shared) {
            Ok(next) => next,
            Err(error) => {
                let is_healed = |volume| {
                    matches!(error, StoreError::Corrupt { .. }) && shared.heal_index(volume)
                };
                if let Some(victim) = self.victim.take_if(|victim| !is_healed(victim.volume)) {
                    tracing::warn!("volume {} is not compacted: {error}", victim.volume);
                    self.damaged.insert(victim.volume);
                }
                NextStep::Now
            }
        }
    }

    /// Returns the milliseconds until the rate allows another copy, or `None` if it does now.
    fn pause(&mut self, shared: &Shared, now: u64) -> Option<u64> {
        let rate = shared.settings.compaction_rate;
        // A clock that went back, or far ahead, counts as no time, or as a second.
        let elapsed = now.saturating_sub(self.counted_ms).min(1000);
        self.counted_ms = now;
        self.debt = self
            .debt
            .saturating_sub(rate.saturating_mul(elapsed) / 1000);
        self.paused_until_ms = self.paused_until_ms.min(now + RETRY_MS);
        if self.paused_until_ms > now {
            return Some(self.paused_until_ms - now);
        }
        // While the disk is full nothing else can be written, and this makes room.
        if shared.is_full.load(Ordering::Relaxed) {
            self.debt = 0;
        }
        // A burst of a tenth of a second, so that small entries do not wait for the clock's next
        // millisecond.
        let excess = self.debt.saturating_sub(rate / 10);
        (excess > 0).then(|| (excess.saturating_mul(1000) / rate).clamp(1, RETRY_MS))
    }

    /// Sends the next entries to the committer.
    fn copy_some(&mut self, shared: &Arc<Shared>) -> Result<NextStep, StoreError> {
        let mut victim = match self.victim.take() {
            Some(victim) => victim,
            None => match self.choose(shared)? {
                Some(victim) => victim,
                None => return Ok(NextStep::Job),
            },
        };
        let volume = victim.volume;
        let copies = victim.read_some(shared);
        self.victim = Some(victim);
        let copies = copies?;
        if copies.is_empty() {
            tracing::debug!("all entries of volume {volume} are copied");
            self.victim = None;
            let state = shared.state();
            if state
                .volumes
                .get(volume)
                .is_some_and(VolumeState::is_mostly_dead)
            {
                // Its index lacks some of its entries. Without this it would be chosen again.
                self.damaged.insert(volume);
            }
            return Ok(NextStep::Now);
        }
        self.is_copying = shared.submit(CommitRequest::Copy(copies)).is_ok();
        Ok(NextStep::Job)
    }

    /// Chooses the volume of which the smallest part is needed, or returns `None` if half of each
    /// is needed.
    fn choose(&mut self, shared: &Shared) -> Result<Option<Victim>, StoreError> {
        let estimated: Vec<u64> = {
            let state = shared.state();
            let found = state.compactible().filter(|(_, volume)| volume.estimated);
            found.map(|(number, _)| number).collect()
        };
        for volume in estimated {
            if let Err(error) = measure(shared, volume) {
                tracing::warn!("volume {volume} cannot be measured: {error}");
            }
        }
        let chosen = {
            let state = shared.state();
            state
                .compactible()
                .filter(|(number, volume)| {
                    volume.is_mostly_dead() && !self.damaged.contains(number)
                })
                // In millionths of the size, which keeps the order exact enough.
                .min_by_key(|(_, volume)| volume.live_bytes * 1_000_000 / volume.disk_bytes.max(1))
                .map(|(number, _)| number)
        };
        let Some(volume) = chosen else {
            return Ok(None);
        };
        let read = read_index(shared, volume);
        let rows = match read {
            Ok(index) => index.rows,
            Err(error) => {
                self.damaged.insert(volume);
                return Err(error);
            }
        };
        Ok(Some(Victim {
            volume,
            rows,
            next: 0,
        }))
    }
}

/// Returns true if a volume is mostly dead.
fn needs_compaction(shared: &Shared) -> bool {
    let state = shared.state();
    let mut candidates = state.compactible();
    candidates.any(|(_, volume)| volume.estimated || volume.is_mostly_dead())
}

fn read_index(shared: &Shared, volume: u64) -> Result<Index, StoreError> {
    let file = shared.open_file(FileKind::Index, volume)?;
    index::read(&*file, &shared.path(FileKind::Index, volume), volume)
}

/// Replaces the estimated sizes of the volume's extents by exact ones.
fn measure(shared: &Shared, volume: u64) -> Result<(), StoreError> {
    let file = shared.open_file(FileKind::Index, volume)?;
    let path = shared.path(FileKind::Index, volume);
    // Unmarked first: what is split meanwhile marks it again.
    shared.state_mut().volumes.get_mut(volume).estimated = false;
    for row in read_index(shared, volume)?.rows {
        let mut from = row.first_entry;
        while let Some(extent) = next_extent(shared, volume, &row, from) {
            let (first, end, at) = extent;
            let bytes = index::frame_bytes(&*file, &path, at, end - first)?;
            let of = (row.stream, row.lssn, volume);
            let mut state = shared.state_mut();
            if let Some((extents, volumes)) = state.extents_mut(row.stream) {
                extents.update(of, volumes, &mut |extent: &mut Extent| {
                    if (extent.first_entry, extent.end_entry()) == (first, end) {
                        extent.bytes = bytes;
                    }
                });
            }
            from = end;
        }
    }
    Ok(())
}

/// Returns first entry, end and offset in the index of the first extent of the row from this entry
/// on that is still in the volume.
fn next_extent(shared: &Shared, volume: u64, row: &IndexRow, from: u64) -> Option<(u64, u64, u64)> {
    let state = shared.state();
    let extents = state.stream(row.stream)?.extents.from(row.lssn, from);
    let mut here = extents.take_while(|extent| {
        extent.lssn == row.lssn && extent.first_entry < row.first_entry + row.entries
    });
    let found = here.find(|extent| extent.volume == volume)?;
    match found.locations {
        FrameLocations::Index(at) => Some((found.first_entry, found.end_entry(), at)),
        FrameLocations::Memory(_) => None,
    }
}

impl Victim {
    /// Reads the next entries that are still in the volume, up to the size of a chunk. Empty: there
    /// are none.
    fn read_some(&mut self, shared: &Shared) -> Result<Vec<EntryCopy>, StoreError> {
        let limit = CHUNK_BYTES.min(shared.settings.max_batch_bytes() / 4);
        let index = shared.open_file(FileKind::Index, self.volume)?;
        let path = shared.path(FileKind::Index, self.volume);
        let mut chunk = Chunk {
            volume: self.volume,
            copies: Vec::new(),
            room: limit.max(1),
        };
        let (mut at_row, mut from) = (self.next, None);
        while let Some(row) = self.rows.get(at_row)
            && chunk.room > 0
        {
            let start = from.unwrap_or(row.first_entry);
            let Some((first, end, at)) = next_extent(shared, self.volume, row, start) else {
                // A row of which this call read something has entries until they are copied.
                self.next += usize::from(from.is_none() && self.next == at_row);
                (at_row, from) = (at_row + 1, None);
                continue;
            };
            let count = usize::try_from((end - first).min(MAX_LOCATIONS)).expect("at most 512");
            let locations = index::read_locations(&*index, &path, at, 0, count)?;
            let key = EntryKey {
                stream: row.stream,
                lssn: row.lssn,
                entry: first,
            };
            from = Some(chunk.read(shared, key, &locations)?);
        }
        Ok(chunk.copies)
    }
}

/// Entries for one request to the committer.
struct Chunk {
    volume: u64,
    copies: Vec<EntryCopy>,
    /// Bytes that may be added, at least one entry.
    room: usize,
}

impl Chunk {
    /// Reads and checks the entries from `key` on at these locations, while there is room. Returns
    /// the number of the entry after the last one read.
    fn read(
        &mut self,
        shared: &Shared,
        mut key: EntryKey,
        locations: &[FrameLocation],
    ) -> Result<u64, StoreError> {
        let file = shared.open_file(FileKind::Volume, self.volume)?;
        let path = shared.path(FileKind::Volume, self.volume);
        let mut rest = locations;
        while self.room > 0 && !rest.is_empty() {
            let (count, from, to) = span(rest, self.room);
            let mut bytes = vec![0; usize::try_from(to - from).expect("at most a volume")];
            read_exact(&*file, &mut bytes, from).map_err(|error| store_error(&path, &error))?;
            let bytes = Bytes::from(bytes);
            for location in &rest[..count] {
                let offset = u64::from(location.offset);
                let at = usize::try_from(offset - from).expect("within the span");
                let frame = bytes.slice(at..at + location.length as usize);
                check_frame(&frame, key).map_err(|why| corrupt(&path, offset, why))?;
                self.room = self.room.saturating_sub(frame.len());
                let volume = self.volume;
                self.copies.push(EntryCopy { key, volume, frame });
                key.entry += 1;
            }
            rest = &rest[count..];
        }
        Ok(key.entry)
    }
}

/// Checks that a frame is that of an entry, before it replaces the original.
pub(super) fn check_frame(frame: &[u8], key: EntryKey) -> Result<(), &'static str> {
    match frame::parse(frame) {
        Ok((_, length, parsed)) if length == frame.len() && parsed.body.key() == Some(key) => {
            Ok(())
        }
        Ok(_) => Err("another entry is here than the index says"),
        Err(frame::FrameError::Damaged(why) | frame::FrameError::Unreadable(why)) => Err(why),
    }
}
