//! The batch that the committer puts together: its bytes, its effects and its replies.

use distributedlog::Dlsn;
use tokio::sync::oneshot;

use super::change::Change;
use super::frame;
use super::request::Changed;
use super::stream::NewEntry;
use super::tail_batch::Carried;
use super::volume::{BATCH_HEADER, BatchHeader, VolumeHeader};
use crate::{AppendDone, StoreError};

/// What is written and synced together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) frames: u32,
    pub(super) frames_crc: u32,
    pub(super) effects: Vec<Effect>,
    pub(super) answers: Vec<Answer>,
}

pub(super) enum Effect {
    Entry(u64, NewEntry),
    Change(Change, u64),
}

pub(super) enum Answer {
    Append(AppendDone, Result<Dlsn, StoreError>),
    Change(
        oneshot::Sender<Result<Changed, StoreError>>,
        Result<Changed, StoreError>,
    ),
}

impl Batch {
    pub(super) fn begin_frame(&mut self) -> usize {
        if self.bytes.is_empty() {
            self.bytes.resize(BATCH_HEADER, 0);
        }
        self.bytes.len()
    }

    pub(super) fn end_frame(&mut self, at: usize, crc: u32) -> u32 {
        self.frames += 1;
        self.frames_crc = crc32c::crc32c_append(self.frames_crc, &crc.to_le_bytes());
        u32::try_from(self.bytes.len() - at).expect("the size limit is below 4 GiB")
    }

    pub(super) fn finish(&mut self, nonce: u64, sequence: u64) {
        let length = u32::try_from(self.bytes.len()).expect("batches are smaller than volumes");
        let header = BatchHeader {
            nonce,
            sequence,
            length,
            frames: self.frames,
            frames_crc: self.frames_crc,
        };
        self.bytes[..BATCH_HEADER].copy_from_slice(&header.encode());
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.effects.clear();
        self.frames = 0;
        self.frames_crc = 0;
    }
}

impl Answer {
    pub(super) fn send(self, failed: Option<&StoreError>) {
        match (self, failed) {
            (Self::Append(done, Ok(_)), Some(error)) => done(Err(error.clone())),
            (Self::Append(done, result), _) => done(result),
            // Whoever dropped the future does not want to know.
            (Self::Change(answer, Ok(_)), Some(error)) => drop(answer.send(Err(error.clone()))),
            (Self::Change(answer, result), _) => drop(answer.send(result)),
        }
    }
}

/// What a volume begins with: its header, and the batch that it takes over with the note that the
/// process before is gone. Returns the sequence number of the next batch, too.
pub(super) fn first_bytes(
    header: &VolumeHeader,
    carried: Option<&Carried>,
    unix_ms: u64,
) -> (Vec<u8>, u64) {
    let mut bytes = header.encode();
    let Some(carried) = carried else {
        return (bytes, 1);
    };
    let mut batch = Batch {
        frames: carried.count,
        frames_crc: carried.frames_crc,
        ..Batch::default()
    };
    batch.begin_frame();
    batch.bytes.extend_from_slice(&carried.frames);
    let at = batch.begin_frame();
    let crc = frame::put_change(&mut batch.bytes, unix_ms, &Change::End);
    batch.end_frame(at, crc);
    batch.finish(header.nonce, 1);
    bytes.extend_from_slice(&batch.bytes);
    bytes.resize(
        bytes.len().next_multiple_of(header.sector_bytes as usize),
        0,
    );
    (bytes, 2)
}
