//! Reads what is intact in a volume that is damaged.
//!
//! Each frame has a checksum of its own and names its entry, so damage costs the frames that it
//! touches and no others. Where the header of a batch is damaged, its frames are tried in their
//! order. Where a frame's length is, the next one is searched for; it must fit the number and the
//! checksum of checksums that the batch's header has, because a record's bytes may look like a
//! frame. The search for a batch goes on at the multiples of the sector size.

use std::path::Path;

use super::disk::{DiskFile, read_all, store_error};
use super::frame::{self, EntryKey, FRAME_HEADER, FrameError, u32_at};
use super::scan::{LocatedFrame, VolumeEnd};
use super::volume::{BATCH_HEADER, BatchHeader, VOLUME_HEADER, VolumeHeader};
use crate::StoreError;

/// A part of a volume, in the order of its offsets.
pub(super) enum Part<'a> {
    /// An intact frame.
    Frame(LocatedFrame<'a>),
    /// Bytes from this offset on are not what was written. If they are one frame, the entry that
    /// it names, which may be what is damaged.
    Damage(u64, &'static str, Option<EntryKey>),
}

/// Calls `visit` with each intact frame of a volume and each damaged place, in order. Returns the
/// offset behind the last batch of which something is intact.
///
/// In the journal's last volume, whose end is not known, bytes behind that batch are no damage: a
/// batch that was not acknowledged.
///
/// # Errors
///
/// The disk's.
pub(super) fn salvage(
    file: &dyn DiskFile,
    path: &Path,
    header: &VolumeHeader,
    until: VolumeEnd,
    visit: &mut dyn FnMut(Part<'_>),
) -> Result<u64, StoreError> {
    // At most a volume.
    let mut bytes = read_all(file).map_err(|error| store_error(path, &error))?;
    let known_end = match until {
        VolumeEnd::Known(end) => Some(end),
        VolumeEnd::Tail => None,
    };
    if let Some(end) = known_end {
        bytes.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    }
    let volume = SalvagedVolume {
        bytes: &bytes,
        nonce: header.nonce,
        sector: header.sector_bytes as usize,
    };
    let mut at = VOLUME_HEADER as usize;
    let mut sequence = 1;
    let mut end = VOLUME_HEADER;
    while let Some(next) = volume.next_batch(at, sequence) {
        if next.at > at {
            // Its header is damaged. Its frames may not be.
            visit(Part::Damage(
                at as u64,
                "the header of a batch is damaged",
                None,
            ));
            volume.frames(at + BATCH_HEADER, next.at, None, visit);
        }
        let limit = next.at + next.header.length as usize;
        let (from, to) = (next.at + BATCH_HEADER, limit.min(bytes.len()));
        let read = volume.frames(from, to, Some(&next.header), visit);
        if let Some((offset, why)) = read {
            visit(Part::Damage(offset as u64, why, None));
        }
        sequence = next.header.sequence + 1;
        at = limit.next_multiple_of(volume.sector).min(bytes.len());
        end = at as u64;
    }
    if let Some(known) = known_end
        && (at as u64) < known
    {
        visit(Part::Damage(
            at as u64,
            "the rest of the volume is damaged",
            None,
        ));
        volume.frames(at + BATCH_HEADER, bytes.len(), None, visit);
        end = known;
    }
    Ok(end)
}

struct SalvagedVolume<'a> {
    bytes: &'a [u8],
    nonce: u64,
    sector: usize,
}

struct FoundBatch {
    at: usize,
    header: BatchHeader,
}

impl<'a> SalvagedVolume<'a> {
    /// Returns the first batch at or after `at` with this sequence number or a later one.
    fn next_batch(&self, at: usize, sequence: u64) -> Option<FoundBatch> {
        (at..self.bytes.len()).step_by(self.sector).find_map(|at| {
            let header = BatchHeader::decode(&self.bytes[at..])?;
            let is_next = header.nonce == self.nonce && header.sequence >= sequence;
            (is_next && header.length as usize >= BATCH_HEADER).then_some(FoundBatch { at, header })
        })
    }

    /// Visits the intact frames from `at` to `limit`, up to a damaged one whose end is not known.
    /// Returns its offset and the kind of damage, if there is one. `header` is the batch's, if it
    /// is intact.
    fn frames(
        &self,
        mut at: usize,
        limit: usize,
        header: Option<&BatchHeader>,
        visit: &mut dyn FnMut(Part<'_>),
    ) -> Option<(usize, &'static str)> {
        let mut before = Checksums::default();
        while at < limit {
            match frame::parse(&self.bytes[at..limit]) {
                Ok((crc, length, frame)) => {
                    before.add(crc);
                    visit(Part::Frame(LocatedFrame {
                        offset: at as u64,
                        length: u32::try_from(length).expect("a part of a volume"),
                        frame,
                    }));
                    at += length;
                }
                Err(FrameError::Damaged(why) | FrameError::Unreadable(why)) => {
                    #[cfg(seeded_bugs)]
                    if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::SalvageStopsAtDamage) {
                        return Some((at, why));
                    }
                    let next = self.after_damaged(at, limit);
                    let Some(next) = next.or_else(|| self.search(at, limit, header?, before))
                    else {
                        return Some((at, why));
                    };
                    before.add(u32_at(&self.bytes[at..], 0));
                    let key = frame::claimed_key(&self.bytes[at..next]);
                    visit(Part::Damage(at as u64, why, key));
                    at = next;
                }
            }
        }
        None
    }

    /// Returns the end of a damaged frame, if its length leads to an intact one, or to the end.
    fn after_damaged(&self, at: usize, limit: usize) -> Option<usize> {
        let length = u32_at(self.bytes.get(at..at + FRAME_HEADER)?, 4) as usize;
        let next = at.checked_add(length)?;
        let is_plausible = length >= FRAME_HEADER
            && (next == limit || next < limit && frame::parse(&self.bytes[next..limit]).is_ok());
        is_plausible.then_some(next)
    }

    /// Searches for the frame after the damaged one at `at`. From it to the end of the batch all
    /// frames must be intact, and with those before and the checksum that the damaged one has, they
    /// must be the frames of the header.
    fn search(
        &self,
        at: usize,
        limit: usize,
        header: &BatchHeader,
        mut before: Checksums,
    ) -> Option<usize> {
        before.add(u32_at(self.bytes.get(at..at + FRAME_HEADER)?, 0));
        (at + FRAME_HEADER..=limit).find(|next| {
            let mut all = before;
            let mut from = *next;
            while from < limit {
                let Ok((crc, length, _)) = frame::parse(&self.bytes[from..limit]) else {
                    return false;
                };
                all.add(crc);
                from += length;
            }
            (all.frames, all.crc) == (header.frames, header.frames_crc)
        })
    }
}

/// Number of the frames of a batch, and the checksum of their checksums.
#[derive(Clone, Copy, Default)]
struct Checksums {
    frames: u32,
    crc: u32,
}

impl Checksums {
    fn add(&mut self, crc: u32) {
        self.frames += 1;
        self.crc = crc32c::crc32c_append(self.crc, &crc.to_le_bytes());
    }
}
