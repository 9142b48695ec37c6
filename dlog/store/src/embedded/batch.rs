//! The batch that the committer assembles: its bytes, its effects, and the callers to complete.

use std::sync::mpsc::Sender;

use distributedlog::Dlsn;
use tokio::sync::oneshot;

use super::change::Change;
use super::extent::FrameLocation;
use super::frame::{self, EntryKey};
use super::job::Job;
use super::request::{AppendCaller, ChangeOutcome};
use super::stream::NewEntry;
use super::tail_batch::TailBatch;
use super::volume::{BATCH_HEADER, BatchHeader, VolumeHeader};
use crate::StoreError;

/// Frames that are written and synced together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) frames: u32,
    pub(super) frames_crc: u32,
    pub(super) effects: Vec<Effect>,
    pub(super) completions: Vec<Completion>,
    /// True if the batch has more than appends, and may use the reserve of a full disk.
    pub(super) uses_reserve: bool,
}

/// A change of the store's state that the batch makes once it is durable.
pub(super) enum Effect {
    Entry(u64, NewEntry),
    Change(Change, u64),
    Copy(EntryKey, u64, FrameLocation),
    /// A truncation by retention, which discards so many log segments.
    Expired(u64),
}

/// A caller that waits for the batch, and its result if the batch becomes durable.
pub(super) enum Completion {
    Append(AppendCaller, Result<Dlsn, StoreError>),
    Change(
        oneshot::Sender<Result<ChangeOutcome, StoreError>>,
        Result<ChangeOutcome, StoreError>,
    ),
    /// Compaction, and the number of bytes copied.
    Copy(Sender<Job>, Result<u64, StoreError>),
}

impl Batch {
    /// Reserves the batch's header if this is the first frame. Returns the offset of the frame.
    pub(super) fn begin_frame(&mut self) -> usize {
        if self.bytes.is_empty() {
            self.bytes.resize(BATCH_HEADER, 0);
        }
        self.bytes.len()
    }

    /// Counts the frame that began at `at` and has this checksum. Returns its length.
    pub(super) fn end_frame(&mut self, at: usize, crc: u32) -> u32 {
        self.frames += 1;
        self.frames_crc = crc32c::crc32c_append(self.frames_crc, &crc.to_le_bytes());
        u32::try_from(self.bytes.len() - at).expect("the size limit is below 4 GiB")
    }

    /// Fills in the batch's header.
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

    /// Empties the batch and keeps its buffers.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.effects.clear();
        self.frames = 0;
        self.frames_crc = 0;
        self.uses_reserve = false;
    }
}

impl Completion {
    /// Completes the caller. `failed` is the batch's error, which replaces a success: nothing of a
    /// failed batch is durable.
    pub(super) fn send(self, failed: Option<&StoreError>) {
        match (self, failed) {
            (Self::Append(caller, Ok(_)), Some(error)) => caller.complete(Err(error.clone())),
            (Self::Append(caller, result), _) => caller.complete(result),
            // A closed channel is no error: the caller dropped its future.
            (Self::Change(reply, Ok(_)), Some(error)) => drop(reply.send(Err(error.clone()))),
            (Self::Change(reply, result), _) => drop(reply.send(result)),
            // The maintenance thread ended: the store is being closed.
            (Self::Copy(jobs, Ok(_)), Some(error)) => {
                drop(jobs.send(Job::Copied(Err(error.clone()))));
            }
            (Self::Copy(jobs, result), _) => drop(jobs.send(Job::Copied(result))),
        }
    }
}

/// Returns the first bytes of a volume (its header and, if there is one, the tail batch with an
/// `End` change added, because the previous process is gone) and the sequence number of its next
/// batch.
pub(super) fn volume_start(
    header: &VolumeHeader,
    tail_batch: Option<&TailBatch>,
    unix_ms: u64,
) -> (Vec<u8>, u64) {
    let mut bytes = header.encode();
    let Some(tail_batch) = tail_batch else {
        return (bytes, 1);
    };
    let mut batch = Batch {
        frames: tail_batch.count,
        frames_crc: tail_batch.frames_crc,
        ..Batch::default()
    };
    batch.begin_frame();
    batch.bytes.extend_from_slice(&tail_batch.frames);
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
