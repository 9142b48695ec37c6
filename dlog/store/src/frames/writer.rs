use core::time::Duration;

use distributedlog::wire::BufferTooSmall;
use distributedlog::wire::mux::Frame;

use crate::budget::{ByteBudget, Reservation};

/// Room for encoding a frame the first time. Longer frames are encoded a second time.
const TYPICAL_FRAME_BYTES: usize = 256;

/// Encoded frames of one connection that are not sent yet.
///
/// The invariant: of what waits here, all but the limit's free bytes is counted in the budget, as
/// far as that has room.
#[derive(Debug, Default)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    sent: usize,
    limits: OutputLimits,
    /// Budget of what waits in all connections. `None`: the caller bounds it.
    budget: Option<ByteBudget>,
    /// Room of frames that were counted as they came.
    counted: Option<Reservation>,
    /// Room of frames that was reserved before they were made.
    reserved: Vec<Reservation>,
    reserved_bytes: usize,
}

/// Limits of the output of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputLimits {
    /// Bytes that may wait without counting against the budget.
    pub free: usize,
    /// Bytes above which the output is full. It takes what is written to it nevertheless, so that
    /// its user takes no further request instead.
    pub full: usize,
    /// Memory that is kept for further frames when all are sent.
    pub kept: usize,
}

/// Rate at which a peer must take what waits for it.
#[derive(Clone, Copy, Debug)]
pub struct WriteRate {
    /// Time over which the rate is measured.
    pub window: Duration,
    /// Bytes per second.
    pub min: usize,
}

impl WriteRate {
    /// Returns the bytes that a peer must take in a window, if there are `waiting` for it: one at
    /// least.
    #[must_use]
    pub fn required(self, waiting: usize) -> usize {
        let millis = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        let bytes = (self.min as u64).saturating_mul(millis) / 1000;
        usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .clamp(1, waiting.max(1))
    }
}

impl FrameWriter {
    /// Returns an empty output with these limits, whose bytes count against the budget.
    #[must_use]
    pub const fn new(limits: OutputLimits, budget: Option<ByteBudget>) -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            limits,
            budget,
            counted: None,
            reserved: Vec::new(),
            reserved_bytes: 0,
        }
    }

    /// Returns the bytes that are not sent yet.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Returns true if there is nothing to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Returns true if so much waits that no further request should be taken: more than the limit,
    /// or more than is free while all connections hold as much as they may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full_with(self.unsent().len())
    }

    /// Returns [`is_full`](Self::is_full) of an output in which `waiting` bytes wait.
    #[must_use]
    pub fn is_full_with(&self, waiting: usize) -> bool {
        let is_spent = || self.budget.as_ref().is_some_and(ByteBudget::is_spent);
        waiting > self.limits.full || (waiting > self.limits.free && is_spent())
    }

    /// Appends a frame of mux.
    pub fn send(&mut self, frame: &Frame<'_>) {
        self.append(|room| frame.encode(room));
    }

    /// Appends what `encode` writes into the room that it is given. If the room is too small,
    /// `encode` is called again with the size that it needs.
    pub fn append(&mut self, encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>) {
        self.write(None, |out| append_frame(out, encode));
    }

    /// Appends what `write` appends to the bytes, in the room that was reserved for it, if it was.
    /// Returns the number of bytes.
    pub fn write(
        &mut self,
        reservation: Option<Reservation>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let before = self.bytes.len();
        write(&mut self.bytes);
        let added = self.bytes.len() - before;
        if let Some(mut reservation) = reservation {
            // What it was reserved for may have been larger than its frame.
            reservation.shrink_to(added);
            self.reserved_bytes += reservation.bytes();
            self.reserved.push(reservation);
        }
        self.count();
        added
    }

    /// Notes that `count` bytes were sent.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(self.limits.kept);
            self.sent = 0;
            self.reserved.clear();
            self.reserved_bytes = 0;
        }
        self.count();
    }

    /// Drops all bytes, and frees their memory.
    pub fn clear(&mut self) {
        *self = Self::new(self.limits, self.budget.take());
    }

    /// Frees the memory if there is nothing to send.
    pub fn rest(&mut self) {
        if self.is_empty() {
            self.clear();
        }
    }

    /// Counts what waits here against the budget.
    fn count(&mut self) {
        let Some(budget) = &self.budget else { return };
        let free = self.limits.free + self.reserved_bytes;
        let wanted = self.unsent().len().saturating_sub(free);
        match &mut self.counted {
            counted if wanted == 0 => *counted = None,
            Some(counted) if counted.bytes() >= wanted => counted.shrink_to(wanted),
            Some(counted) => {
                let more = budget.reserve_free(wanted - counted.bytes());
                counted.merge(more);
            }
            none => *none = Some(budget.reserve_free(wanted)),
        }
    }
}

/// Appends what `encode` writes into the room that it is given. If the room is too small, `encode`
/// is called again with the size that it needs.
///
/// # Panics
///
/// If `encode` is content with no room: a part of its frame is longer than its length field says.
pub fn append_frame(
    out: &mut Vec<u8>,
    encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>,
) {
    let start = out.len();
    let mut room = TYPICAL_FRAME_BYTES;
    loop {
        out.resize(start + room, 0);
        match encode(&mut out[start..]) {
            Ok(length) => return out.truncate(start + length),
            Err(BufferTooSmall { needed, .. }) => {
                assert!(
                    needed > room && needed < usize::MAX,
                    "a frame's texts are bounded"
                );
                room = needed;
            }
        }
    }
}
