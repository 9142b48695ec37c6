//! Reads entries: finds their locations, reads adjacent ones at once, checks every frame, and waits
//! for new ones.

use core::future::poll_fn;
use core::time::Duration;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use tokio::runtime::Handle;

use super::disk::{Access, read_exact, store_error};
use super::extent::{FrameLocation, FrameLocations};
use super::frame::{self, Body, EntryKey, Frame};
use super::index;
use super::shared::Shared;
use super::stream::{Stream, lssn_and_entry, position};
use super::volume::{FileKind, corrupt};
use crate::{EntryRecord, ReadBatch, ReadLimit, StoreError, StoredEntry, StreamName};

/// Entries within this many bytes are read at once, with the bytes between them.
const MAX_SPAN: u64 = 1 << 20;
/// Up to this many bytes between two entries are read and thrown away to save a second read.
const MAX_GAP: u64 = 4 << 10;
/// Number of locations that are read from an index at once: at first, and doubled up to the
/// maximum, because only a read of many small entries needs so many.
const FIRST_PLACES: u64 = 256;
const MAX_PLACES: u64 = 4096;

/// Serves [`LogStore::read`](crate::LogStore::read).
pub(super) async fn read(
    shared: Arc<Shared>,
    stream: StreamName,
    from: Dlsn,
    limit: ReadLimit,
) -> Result<ReadBatch, StoreError> {
    let deadline =
        tokio::time::Instant::now().checked_add(limit.wait.min(Duration::from_secs(86_400 * 365)));
    let (id, changed) = find(&shared, &stream, limit.created_unix_ms)?;
    let mut cursor = from;
    loop {
        // Registered before looking, so that an entry that becomes durable in between wakes the
        // reader.
        let mut wake = pin!(changed.notified());
        wake.as_mut().enable();
        let batch = read_available(&shared, &stream, id, cursor, limit.max_bytes).await?;
        if !batch.entries.is_empty() || limit.wait.is_zero() {
            return Ok(batch);
        }
        cursor = batch.next;
        let woken = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, wake).await.is_ok(),
            None => {
                wake.await;
                true
            }
        };
        if !woken {
            return Ok(batch);
        }
    }
}

/// Finds the stream. Returns its id and the signal of its changes.
fn find(
    shared: &Shared,
    name: &StreamName,
    created_unix_ms: Option<u64>,
) -> Result<(u64, Arc<tokio::sync::Notify>), StoreError> {
    if *shared.closed.borrow() {
        return Err(StoreError::Closed);
    }
    let state = shared.state();
    #[cfg(seeded_bugs)]
    let created_unix_ms = created_unix_ms.filter(|_| {
        !distributedlog::seeded_bugs::is_on(distributedlog::seeded_bugs::Bug::AnotherLifeIsRead)
    });
    let meant = |stream: &&Stream| {
        created_unix_ms.is_none_or(|created| created == stream.meta.created_unix_ms)
    };
    let stream = state
        .named(name)
        .filter(meant)
        .ok_or_else(|| StoreError::StreamNotFound(name.clone()))?;
    Ok((stream.meta.id, stream.changed.clone()))
}

/// Reads the available entries, on a blocking thread unless they are in the volume that is being
/// written.
async fn read_available(
    shared: &Arc<Shared>,
    name: &StreamName,
    id: u64,
    from: Dlsn,
    max_bytes: usize,
) -> Result<ReadBatch, StoreError> {
    let mut reading = ReadProgress::new(name, id, from, max_bytes);
    // Known locations are those of volumes without an index: they were written a moment ago and are
    // in the system's page cache, so reading does not block.
    while let Some(part) = reading.next_part(shared)? {
        if shared.stepped
            || matches!(part.locations, PartLocations::Known(_))
            || Handle::try_current().is_err()
        {
            reading.take(shared, &part)?;
        } else {
            let shared = shared.clone();
            let mut there = reading;
            let task = tokio::task::spawn_blocking(move || {
                let result = there.take_all(&shared, part);
                (there, result)
            });
            let (back, result) = task.await.map_err(|_| StoreError::Closed)?;
            result?;
            reading = back;
        }
        // A long read must not keep the executor's other tasks from running.
        yield_once().await;
    }
    Ok(reading.finish())
}

/// Returns control to the executor once. Works on any executor: simulations do not use tokio's.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return core::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        core::task::Poll::Pending
    })
    .await;
}

/// Progress of a read.
struct ReadProgress {
    name: StreamName,
    id: u64,
    created_unix_ms: u64,
    /// Records before it are left out.
    start: Dlsn,
    /// The next entry to look at.
    cursor: Dlsn,
    entries: Vec<StoredEntry>,
    /// Bytes that may still be read.
    left: usize,
    full: bool,
    /// Maximum number of entries in the next part.
    places: u64,
    /// Number of times in a row that a volume was removed during the read.
    missed: u32,
}

/// Consecutive entries in one volume.
struct ReadPart {
    volume: u64,
    first: EntryKey,
    locations: PartLocations,
}

enum PartLocations {
    /// Of a volume without an index on disk.
    Known(Vec<FrameLocation>),
    /// In the volume's index: `count` locations, from the one that is `skip` behind offset `at`.
    Index { at: u64, skip: u64, count: u64 },
}

impl ReadProgress {
    fn new(name: &StreamName, id: u64, from: Dlsn, max_bytes: usize) -> Self {
        Self {
            name: name.clone(),
            id,
            created_unix_ms: 0,
            start: from,
            cursor: from,
            entries: Vec::new(),
            left: max_bytes,
            full: false,
            places: FIRST_PLACES,
            missed: 0,
        }
    }

    /// Returns the next entries to read, or `None` if there are no more or enough were read.
    fn next_part(&mut self, shared: &Shared) -> Result<Option<ReadPart>, StoreError> {
        if *shared.closed.borrow() {
            return Err(StoreError::Closed);
        }
        if self.full {
            return Ok(None);
        }
        let state = shared.state();
        let stream = state
            .stream(self.id)
            .ok_or_else(|| StoreError::StreamNotFound(self.name.clone()))?;
        self.created_unix_ms = stream.meta.created_unix_ms;
        if let Some(before) = stream.meta.truncated_before {
            self.start = self.start.max(before);
            self.cursor = self.cursor.max(before);
        }
        let wanted = lssn_and_entry(self.cursor);
        let Some(extent) = stream.extents.from(wanted.0, wanted.1).next() else {
            return Ok(None);
        };
        let entry = if extent.lssn == wanted.0 {
            wanted.1.max(extent.first_entry)
        } else {
            extent.first_entry
        };
        let (skip, count) = (
            entry - extent.first_entry,
            (extent.end_entry() - entry).min(self.places),
        );
        self.places = (2 * self.places).min(MAX_PLACES);
        let locations = match &extent.locations {
            FrameLocations::Memory(locations) => {
                let skip = usize::try_from(skip).expect("an index into a vector");
                let count = usize::try_from(count).expect("at most 4,096");
                PartLocations::Known(locations[skip..skip + count].to_vec())
            }
            FrameLocations::Index(at) => PartLocations::Index {
                at: *at,
                skip,
                count,
            },
        };
        Ok(Some(ReadPart {
            volume: extent.volume,
            first: EntryKey {
                stream: self.id,
                lssn: extent.lssn,
                entry,
            },
            locations,
        }))
    }

    /// Reads this part and those after it, up to the byte limit: a change of threads for each would
    /// take longer than reading it.
    fn take_all(&mut self, shared: &Shared, part: ReadPart) -> Result<(), StoreError> {
        let mut next = Some(part);
        while let Some(part) = next {
            self.take(shared, &part)?;
            next = self.next_part(shared)?;
        }
        Ok(())
    }

    /// Reads the part's entries, up to the byte limit.
    fn take(&mut self, shared: &Shared, part: &ReadPart) -> Result<(), StoreError> {
        let cursor = self.cursor;
        let taken = self.try_take(shared, part);
        // The volume may have been removed because its entries were copied to another one,
        // truncated or deleted in the meantime: then the next look finds other entries or none.
        // Bounded: at most 3 times in a row.
        let path = shared.path(FileKind::Volume, part.volume);
        if self.cursor > cursor {
            self.missed = 0;
        }
        // The index may be damaged rather than the volume. Once more in any case: another reader
        // may have had it made again since this one looked.
        if matches!(taken, Err(StoreError::Corrupt { .. }))
            && matches!(part.locations, PartLocations::Index { .. })
            && (shared.heal_index(part.volume) || self.missed == 0)
        {
            self.missed += 1;
            return Ok(());
        }
        if taken.is_err() && shared.disk.open(&path, Access::Read).is_err() && self.missed < 3 {
            self.missed += 1;
            return Ok(());
        }
        taken
    }

    fn try_take(&mut self, shared: &Shared, part: &ReadPart) -> Result<(), StoreError> {
        let read;
        let locations = match &part.locations {
            PartLocations::Known(locations) => locations,
            PartLocations::Index { at, skip, count } => {
                let file = shared.open_file(FileKind::Index, part.volume)?;
                let count = usize::try_from(*count).expect("at most 4,096");
                read = index::read_locations(
                    &*file,
                    &shared.path(FileKind::Index, part.volume),
                    *at,
                    *skip,
                    count,
                )?;
                &read
            }
        };
        let file = shared.open_file(FileKind::Volume, part.volume)?;
        let path = shared.path(FileKind::Volume, part.volume);
        let size = file.size().map_err(|error| store_error(&path, &error))?;
        let mut key = part.first;
        let mut rest = &locations[..];
        while !self.full && !rest.is_empty() {
            if !self.entries.is_empty() && rest[0].length as usize > self.left {
                self.full = true;
                break;
            }
            let (count, from, to) = span(rest, self.left);
            if to > size {
                return Err(corrupt(
                    &path,
                    from,
                    &format!("the volume has {size} bytes and should have an entry up to {to}"),
                ));
            }
            let mut bytes = vec![0; usize::try_from(to - from).expect("at most a volume")];
            read_exact(&*file, &mut bytes, from).map_err(|error| store_error(&path, &error))?;
            let bytes = Bytes::from(bytes);
            for location in &rest[..count] {
                let offset = u64::from(location.offset);
                let at = usize::try_from(offset - from).expect("within the span");
                let bytes = bytes.slice(at..at + location.length as usize);
                match self.push(key, &bytes) {
                    // The entries before the damage are returned; the next read reports it.
                    Err(_) if !self.entries.is_empty() => self.full = true,
                    pushed => pushed.map_err(|why| corrupt(&path, offset, why))?,
                }
                key.entry += 1;
                if self.full {
                    break;
                }
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    fn push(&mut self, key: EntryKey, bytes: &Bytes) -> Result<(), &'static str> {
        let (records, unix_ms) = match frame::parse(bytes) {
            Ok((
                _,
                length,
                Frame {
                    unix_ms,
                    body:
                        Body::Entry {
                            key: found,
                            records,
                        }
                        | Body::Copy {
                            key: found,
                            records,
                        },
                },
            )) if found == key && length == bytes.len() => (records, unix_ms),
            Ok(_) => return Err("another entry is here than the index says"),
            Err(frame::FrameError::Damaged(why) | frame::FrameError::Unreadable(why)) => {
                return Err(why);
            }
        };
        if !self.entries.is_empty() && bytes.len() > self.left {
            self.full = true;
            return Ok(());
        }
        self.cursor = position(key.lssn, key.entry + 1, 0);
        let (dlsn, records) = wanted(
            position(key.lssn, key.entry, 0),
            records.to_vec(bytes),
            self.start,
        );
        if !records.is_empty() {
            self.left = self.left.saturating_sub(bytes.len());
            self.full = self.left == 0;
            self.entries.push(StoredEntry {
                dlsn,
                written_unix_ms: unix_ms,
                records,
            });
        }
        Ok(())
    }

    fn finish(self) -> ReadBatch {
        ReadBatch {
            entries: self.entries,
            next: self.cursor,
            start: self.start,
            created_unix_ms: self.created_unix_ms,
        }
    }
}

/// Returns the number of locations to read at once, at least one, and the start and end of the
/// bytes to read.
pub(super) fn span(locations: &[FrameLocation], wanted: usize) -> (usize, u64, u64) {
    let end = |location: &FrameLocation| u64::from(location.offset) + u64::from(location.length);
    let (from, mut to) = (u64::from(locations[0].offset), end(&locations[0]));
    let limit = from + (wanted as u64).min(MAX_SPAN);
    let mut count = 1;
    while let Some(next) = locations.get(count)
        && u64::from(next.offset) >= to
        && u64::from(next.offset) - to <= MAX_GAP
        && end(next) <= limit
    {
        to = end(next);
        count += 1;
    }
    (count, from, to)
}

/// Removes the complete records before `start`. Returns the position of the first remaining record,
/// and the records.
fn wanted(entry: Dlsn, mut records: Vec<EntryRecord>, start: Dlsn) -> (Dlsn, Vec<EntryRecord>) {
    let mut first = entry;
    let unwanted = records
        .iter()
        .take_while(|record| {
            let next = first.slot(record.slots);
            // A control record takes no slot, so it lies before `start` only if its own position
            // does.
            let before = first < start && next <= start;
            if before {
                first = next;
            }
            before
        })
        .count();
    records.drain(..unwanted);
    (first, records)
}
