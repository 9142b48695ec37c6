//! Reads a volume from its beginning and distinguishes a torn tail from damage.
//!
//! Batch k + 1 is begun only after batch k was synced. So when batch k cannot be read, a header of
//! a later batch further on proves that k was durable once and is damaged now. Without such a
//! header, k is what the last write left when power was lost, and was never acknowledged. If there
//! is a next volume, its header states where this one ends, and this inference is not needed.

use std::path::Path;

use super::disk::{DiskFile, store_error};
use super::extent::FrameLocation;
use super::frame::{self, Frame, FrameError};
use super::volume::{BATCH_HEADER, BatchHeader, VOLUME_HEADER, VolumeHeader, corrupt};
use crate::StoreError;

/// Size of one read.
const READ_BYTES: usize = 1 << 20;

/// End of a volume's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumeEnd {
    /// At this offset, which the next volume's header states.
    Known(u64),
    /// After the last complete batch: this is the journal's last volume.
    Tail,
}

/// Position and sequence number of the batch to be read next.
#[derive(Clone, Copy)]
struct ExpectedBatch {
    start: u64,
    sequence: u64,
}

/// A frame and its position in the volume.
pub(super) struct LocatedFrame<'a> {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) frame: Frame<'a>,
}

impl LocatedFrame<'_> {
    /// Returns the frame's location, or `None` beyond 4 GiB, where no volume has any.
    pub(super) fn location(&self) -> Option<FrameLocation> {
        let (offset, length) = (u32::try_from(self.offset).ok()?, self.length);
        Some(FrameLocation { offset, length })
    }
}

/// A batch whose header and frames have been checked.
pub(super) struct ScannedBatch<'a> {
    /// Offset of the batch in the volume.
    pub(super) start: u64,
    pub(super) header: BatchHeader,
    /// Bytes of its frames.
    pub(super) bytes: &'a [u8],
    pub(super) frames: Vec<LocatedFrame<'a>>,
}

/// Calls `visit` with every complete batch of the volume, in order. Returns the offset of their
/// end.
pub(super) fn scan(
    file: &dyn DiskFile,
    path: &Path,
    header: &VolumeHeader,
    until: VolumeEnd,
    visit: &mut dyn FnMut(ScannedBatch<'_>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let size = file.size().map_err(|error| store_error(path, &error))?;
    let limit = match until {
        VolumeEnd::Known(end) if end > size => {
            return Err(corrupt(
                path,
                size,
                &format!("the volume is truncated: it had {end} bytes"),
            ));
        }
        VolumeEnd::Known(end) => end,
        VolumeEnd::Tail => size,
    };
    let mut window = ReadWindow {
        file,
        path,
        limit,
        start: 0,
        bytes: Vec::new(),
    };
    let mut at = ExpectedBatch {
        start: VOLUME_HEADER,
        sequence: 1,
    };
    while at.start < limit {
        match window.batch(header, at) {
            Ok(batch) => {
                let length = u64::from(batch.header.length);
                visit(batch)?;
                at.start += length.next_multiple_of(u64::from(header.sector_bytes));
                at.sequence += 1;
            }
            Err(BatchFault::Store(error)) => return Err(error),
            Err(BatchFault::Unreadable(offset, why)) => return Err(corrupt(path, offset, why)),
            Err(BatchFault::Damaged(why)) => {
                if let VolumeEnd::Known(_) = until {
                    return Err(corrupt(path, at.start, why));
                }
                if let Some(later) = window.later_batch(header, at)? {
                    return Err(corrupt(
                        path,
                        at.start,
                        &format!("{why}, and an acknowledged batch follows at {later}"),
                    ));
                }
                return Ok(at.start);
            }
        }
    }
    Ok(at.start)
}

/// Error of a batch that cannot be read.
enum BatchFault {
    /// Reading the file failed.
    Store(StoreError),
    /// The frame at this offset is intact, but this version cannot read it.
    Unreadable(u64, &'static str),
    /// The bytes differ from what was written.
    Damaged(&'static str),
}

/// The part of the volume that is in memory.
struct ReadWindow<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl ReadWindow<'_> {
    /// Returns `length` bytes from `offset` on, or fewer if the limit comes first.
    fn slice(&mut self, offset: u64, length: usize) -> Result<&[u8], StoreError> {
        let length = usize::try_from(self.limit.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(length);
        if offset < self.start || offset + length as u64 > self.start + self.bytes.len() as u64 {
            let rest = usize::try_from(self.limit - offset).unwrap_or(usize::MAX);
            self.bytes.resize(length.max(READ_BYTES).min(rest), 0);
            let read = self
                .file
                .read_at(&mut self.bytes, offset)
                .map_err(|error| store_error(self.path, &error))?;
            self.bytes.truncate(read);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).expect("within the window");
        Ok(&self.bytes[from..self.bytes.len().min(from + length)])
    }

    /// Reads and checks the batch at `at`.
    fn batch(
        &mut self,
        volume: &VolumeHeader,
        at: ExpectedBatch,
    ) -> Result<ScannedBatch<'_>, BatchFault> {
        let head = self
            .slice(at.start, BATCH_HEADER)
            .map_err(BatchFault::Store)?;
        let header = BatchHeader::decode(head)
            .ok_or(BatchFault::Damaged("the header of a batch is damaged"))?;
        if header.nonce != volume.nonce || header.sequence != at.sequence {
            return Err(BatchFault::Damaged(
                "the header of a batch belongs to another batch",
            ));
        }
        let length = header.length as usize;
        if length < BATCH_HEADER || at.start + u64::from(header.length) > self.limit {
            return Err(BatchFault::Damaged("a batch is longer than its volume"));
        }
        let bytes = self.slice(at.start, length).map_err(BatchFault::Store)?;
        if bytes.len() < length {
            return Err(BatchFault::Damaged("a batch is truncated"));
        }
        let mut frames = Vec::new();
        let mut frames_crc = 0;
        let mut from = BATCH_HEADER;
        while from < length {
            let offset = at.start + from as u64;
            let (crc, size, frame) = frame::parse(&bytes[from..]).map_err(|error| match error {
                FrameError::Damaged(why) => BatchFault::Damaged(why),
                FrameError::Unreadable(why) => BatchFault::Unreadable(offset, why),
            })?;
            // A checksum of the checksums, because a frame that is intact by itself may be left
            // over from an earlier write to the same place.
            frames_crc = crc32c::crc32c_append(frames_crc, &crc.to_le_bytes());
            frames.push(LocatedFrame {
                offset,
                length: u32::try_from(size).expect("a part of a batch"),
                frame,
            });
            from += size;
        }
        if frames.len() != header.frames as usize || frames_crc != header.frames_crc {
            return Err(BatchFault::Damaged("a batch mixes entries of two writes"));
        }
        Ok(ScannedBatch {
            start: at.start,
            header,
            bytes: &bytes[BATCH_HEADER..],
            frames,
        })
    }

    /// Returns the offset of a batch that was written after the one at `at`, or `None`.
    fn later_batch(
        &mut self,
        volume: &VolumeHeader,
        at: ExpectedBatch,
    ) -> Result<Option<u64>, StoreError> {
        let sector = u64::from(volume.sector_bytes);
        // Begins at `at` itself: a later batch there is a misdirected write, not a torn one.
        // Batches start at multiples of the sector size, so no other offset needs a look.
        let mut offset = at.start;
        while offset < self.limit {
            let later = BatchHeader::decode(self.slice(offset, BATCH_HEADER)?);
            if later
                .is_some_and(|header| header.nonce == volume.nonce && header.sequence > at.sequence)
            {
                return Ok(Some(offset));
            }
            offset += sector;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::change::Change;
    use crate::embedded::frame::{Body, put_change, u32_at};
    use crate::embedded::{Disk, RealDisk};

    const HEADER: VolumeHeader = VolumeHeader {
        sector_bytes: 512,
        number: 1,
        nonce: 77,
        previous_end: 0,
        created_unix_ms: 0,
        id: None,
        reserved_bytes: 0,
    };

    /// A batch that deletes these streams.
    fn batch(sequence: u64, streams: &[u64]) -> Vec<u8> {
        let (mut bytes, mut frames_crc) = (vec![0; BATCH_HEADER], 0);
        for stream in streams {
            let crc = put_change(&mut bytes, 0, &Change::Delete { stream: *stream });
            frames_crc = crc32c::crc32c_append(frames_crc, &crc.to_le_bytes());
        }
        let (length, frames) = (
            u32::try_from(bytes.len()).unwrap(),
            u32::try_from(streams.len()).unwrap(),
        );
        let header = BatchHeader {
            nonce: HEADER.nonce,
            sequence,
            length,
            frames,
            frames_crc,
        };
        bytes[..BATCH_HEADER].copy_from_slice(&header.encode());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    /// The streams that the batches of a volume with these bytes delete, and where they end.
    fn scanned(batches: &[u8]) -> Result<(Vec<u64>, u64), StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("volume");
        let file = RealDisk.create(path).unwrap();
        file.write_at(&HEADER.encode(), 0).unwrap();
        file.write_at(batches, VOLUME_HEADER).unwrap();
        let mut deleted = Vec::new();
        let end = scan(&*file, path, &HEADER, VolumeEnd::Tail, &mut |batch| {
            for located in batch.frames {
                let Body::Change(Change::Delete { stream }) = located.frame.body else {
                    panic!("never written")
                };
                deleted.push(stream);
            }
            Ok(())
        })?;
        Ok((deleted, end))
    }

    #[test]
    fn a_batch_counts_as_a_whole_or_not_at_all() {
        let (first, second) = (batch(1, &[1, 2]), batch(2, &[3, 4]));
        let both = [&first[..], &second[..]].concat();
        assert_eq!(scanned(&both), Ok((vec![1, 2, 3, 4], VOLUME_HEADER + 1024)));
        for cut in 513..both.len() {
            let whole = both[cut..].iter().all(|byte| *byte == 0);
            let expected = if whole { vec![1, 2, 3, 4] } else { vec![1, 2] };
            assert_eq!(
                scanned(&both[..cut]).map(|(deleted, _)| deleted),
                Ok(expected),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn frames_of_two_writes_to_the_same_place_are_not_accepted_as_one_batch() {
        let (old, new) = (batch(1, &[1, 2]), batch(1, &[3, 4]));
        let middle = BATCH_HEADER + (u32_at(&old, 24) as usize - BATCH_HEADER) / 2;
        let mixed = [&new[..middle], &old[middle..]].concat();
        assert_eq!(scanned(&mixed), Ok((vec![], VOLUME_HEADER)));
    }

    #[test]
    fn blocks_of_another_volume_are_not_accepted_as_batches() {
        let mut other = batch(1, &[1]);
        let header = BatchHeader {
            nonce: HEADER.nonce + 1,
            ..BatchHeader::decode(&other).unwrap()
        };
        other[..BATCH_HEADER].copy_from_slice(&header.encode());
        assert_eq!(scanned(&other), Ok((vec![], VOLUME_HEADER)));
        let skipped = [batch(1, &[1]), batch(3, &[2])].concat();
        assert!(
            matches!(scanned(&skipped), Err(StoreError::Corrupt { .. })),
            "the batch before it was acknowledged"
        );
    }

    #[test]
    fn arbitrary_bytes_are_never_accepted_as_a_batch_and_never_panic() {
        let mut random = 1_u64;
        for round in 0..300 {
            let whole = batch(1, &[1, 2, 3]);
            let mut bytes = whole.clone();
            for _ in 0..=round % 5 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let at = usize::try_from(random >> 33).unwrap() % u32_at(&whole, 24) as usize;
                bytes[at] ^= u8::try_from(random >> 25 & 0xff).unwrap() | 1;
            }
            assert_eq!(
                scanned(&bytes),
                Ok((vec![], VOLUME_HEADER)),
                "round {round}"
            );
        }
    }
}
