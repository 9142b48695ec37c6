use core::fmt;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use distributedlog::wire::{FrameTooLarge, mux};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::budget::{GrowingRoom, MoreRoom};

/// Minimum room for one read.
const MIN_READ_BYTES: usize = 16 << 10;

/// Maximum room for one read. Frames are slices of it until their payloads are on disk.
const MAX_READ_BYTES: usize = 256 << 10;

/// Limit of an incomplete frame that is moved to memory of its own size when the connection rests,
/// so that ten thousand clients that stopped in the middle of a frame hold little.
const SMALL_REMAINDER_BYTES: usize = 1 << 10;

/// Bytes of an unfinished frame that every connection may hold without room for them: most frames
/// are smaller, and need none.
const FREE_BYTES: usize = 16 << 10;

/// Longest frame that is dropped, in multiples of the frame limit. A length above that is taken for
/// an error in the stream.
const MAX_SKIP_FRAMES: u64 = 4;

/// The received bytes of a connection that are not handled yet, split into frames without copying.
///
/// The invariant: the memory set aside is at most twice what has come, or one read; of a frame that
/// has begun, what is beyond 16 KiB is in `room`, if there is one.
pub struct FrameReader {
    buffer: BytesMut,
    room: Option<GrowingRoom>,
    /// Wait for more room.
    wait: Option<Pin<Box<dyn Future<Output = MoreRoom> + Send>>>,
    max_frame_bytes: usize,
    /// Bytes that are still to be dropped of a frame that was refused.
    skip: u64,
    /// Room for the next read.
    read_bytes: usize,
    /// Bytes of the connection before those in `buffer`.
    consumed: u64,
    /// Number of frames that have ended.
    frames: u64,
}

/// Result of looking for a frame.
#[derive(Debug)]
pub enum NextFrame {
    /// A whole frame, its length field included.
    Frame(Bytes),
    /// The beginning of a frame, or nothing.
    Incomplete,
    /// The beginning of a frame that exceeds the limit. Its tag, for a refusal, ends with its
    /// eighth byte, which may not have come yet.
    TooLarge(FrameTooLarge),
}

impl FrameReader {
    /// Splits into frames of at most this many bytes, their length field included. What has come of
    /// a frame counts in `room`. `None`: it is not counted.
    #[must_use]
    pub fn new(max_frame_bytes: usize, room: Option<GrowingRoom>) -> Self {
        Self {
            buffer: BytesMut::new(),
            room,
            wait: None,
            max_frame_bytes,
            skip: 0,
            read_bytes: MIN_READ_BYTES,
            consumed: 0,
            frames: 0,
        }
    }

    /// Sets the maximum size of the next frames in bytes.
    pub const fn set_limit(&mut self, max_frame_bytes: usize) {
        self.max_frame_bytes = max_frame_bytes;
    }

    /// Returns the received bytes that are not handled.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Returns the offset of [`bytes`](Self::bytes) in the connection.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.consumed
    }

    /// Returns the number of the frame that has begun and not ended, or `None`.
    #[must_use]
    pub fn begun(&self) -> Option<u64> {
        (self.skip > 0 || !self.buffer.is_empty()).then_some(self.frames)
    }

    /// Returns true if there is no whole frame, and too little of one that is too large to refuse
    /// it by its tag, so that more must be read.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        match mux::frame_len(&self.buffer, self.max_frame_bytes) {
            Ok(Some(length)) => self.buffer.len() < length,
            Ok(None) => true,
            Err(_) => self.buffer.len() < 8,
        }
    }

    /// Takes the next frame. The frames of both protocols begin with the same length field.
    pub fn next_frame(&mut self) -> NextFrame {
        if self.skip > 0 {
            let now = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            self.consume(now);
            self.skip -= now as u64;
            self.frames += u64::from(self.skip == 0);
        }
        match mux::frame_len(&self.buffer, self.max_frame_bytes) {
            Ok(Some(length)) if self.buffer.len() >= length => {
                self.consumed += length as u64;
                self.frames += 1;
                self.clear_room();
                NextFrame::Frame(self.buffer.split_to(length).freeze())
            }
            Ok(_) => NextFrame::Incomplete,
            Err(error) => NextFrame::TooLarge(error),
        }
    }

    /// Drops a frame of this length: the bytes that have come now and the rest when it comes.
    /// Returns false if the frame is too long for that.
    pub const fn skip(&mut self, length: u64) -> bool {
        self.skip = length;
        length <= self.max_frame_bytes as u64 * MAX_SKIP_FRAMES
    }

    fn clear_room(&mut self) {
        if let Some(room) = &mut self.room {
            room.clear();
        }
    }

    fn consume(&mut self, count: usize) {
        self.buffer.advance(count);
        self.consumed += count as u64;
    }

    /// Takes room for the next read, if a frame has begun; waits for it while there is none.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(grown) = self.room.as_mut().filter(|_| !self.buffer.is_empty()) else {
            return Poll::Ready(());
        };
        loop {
            if let Some(wait) = &mut self.wait {
                let more = ready!(wait.as_mut().poll(cx));
                self.wait = None;
                grown.add(more);
            }
            // Growing at most doubles the buffer.
            let capacity = (2 * self.buffer.len()).max(self.buffer.capacity());
            let Some(more) = grown.try_grow_to(capacity.saturating_sub(FREE_BYTES)) else {
                return Poll::Ready(());
            };
            // What came is kept in as much memory as it takes.
            self.read_bytes = MIN_READ_BYTES;
            if self.buffer.capacity() > 2 * self.buffer.len().max(FREE_BYTES) {
                self.buffer = BytesMut::from(&self.buffer[..]);
            }
            self.wait = Some(Box::pin(grown.wait(more)));
        }
    }

    /// Reads once, when there is room. Returns the number of bytes, which is 0 at the stream's end.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx));
        let room = self.buffer.capacity() - self.buffer.len();
        if room < MIN_READ_BYTES / 4 {
            // A frame's length is only announced, so the room for it is at most the size of what
            // has come.
            let missing = match mux::frame_len(&self.buffer, self.max_frame_bytes) {
                Ok(Some(length)) => length.saturating_sub(self.buffer.len()),
                Ok(None) | Err(_) => 0,
            };
            self.buffer
                .reserve(missing.min(self.buffer.len()).max(self.read_bytes));
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let poll = pin!(stream.read_buf(&mut self.buffer)).poll(cx);
        if let Poll::Ready(Ok(count)) = poll {
            // A read that fills its room could have read more.
            if count >= room.min(self.read_bytes) {
                self.read_bytes = (self.read_bytes * 2).min(MAX_READ_BYTES);
            }
        }
        poll
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        self.consumed += self.buffer.len() as u64;
        self.buffer = BytesMut::new();
        self.skip = 0;
        self.wait = None;
        self.clear_room();
    }

    /// Frees memory while the connection is idle.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.clear_room();
        } else if self.buffer.len() <= SMALL_REMAINDER_BYTES
            && self.buffer.capacity() > 2 * SMALL_REMAINDER_BYTES
        {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("buffered", &self.buffer.len())
            .field("offset", &self.consumed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::budget::ByteBudget;

    fn filled(bytes: &[u8]) -> FrameReader {
        let room = GrowingRoom::new(ByteBudget::new(1 << 20), Arc::new(Semaphore::new(1)));
        let mut input = FrameReader::new(100, Some(room));
        input.buffer.extend_from_slice(bytes);
        input
    }

    #[test]
    fn frames_are_cut_where_they_end() {
        let mut input = filled(&[0, 0, 0, 1, 7, 0, 0, 0, 2, 8, 9, 0, 0]);
        assert!(!input.wants_more());
        let NextFrame::Frame(first) = input.next_frame() else {
            panic!("no frame")
        };
        assert_eq!(first, &[0, 0, 0, 1, 7][..]);
        let NextFrame::Frame(second) = input.next_frame() else {
            panic!("no frame")
        };
        assert_eq!(second, &[0, 0, 0, 2, 8, 9][..]);
        assert!(
            matches!(input.next_frame(), NextFrame::Incomplete)
                && input.wants_more()
                && input.begun().is_some()
        );
        assert_eq!(input.offset(), 11);
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_by_its_first_eight_bytes_and_dropped_as_it_comes() {
        let mut input = filled(&[0, 0, 0, 200, 2, 0, 0]);
        assert!(input.wants_more(), "a byte of the tag is missing");
        input.buffer.extend_from_slice(&[5]);
        assert!(!input.wants_more());
        let NextFrame::TooLarge(error) = input.next_frame() else {
            panic!("taken")
        };
        assert_eq!((error.length, error.limit), (204, 100));
        assert!(input.skip(error.length));
        assert!(matches!(input.next_frame(), NextFrame::Incomplete));
        input.buffer.extend_from_slice(&[0; 190]);
        assert!(matches!(input.next_frame(), NextFrame::Incomplete) && input.begun().is_some());
        assert!(input.bytes().is_empty(), "what is dropped is not kept");
        input
            .buffer
            .extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7]);
        let NextFrame::Frame(next) = input.next_frame() else {
            panic!("the frame after it is lost")
        };
        assert_eq!(next, &[0, 0, 0, 1, 7][..]);
    }

    #[test]
    fn an_absurd_length_is_not_believed() {
        let mut input = filled(&[0xff, 0xff, 0xff, 0xff, 2, 0, 0, 5]);
        let NextFrame::TooLarge(error) = input.next_frame() else {
            panic!("taken")
        };
        assert!(!input.skip(error.length));
    }

    #[test]
    fn a_beginning_that_waits_holds_little_memory() {
        let mut input = filled(&[0, 0, 0, 90, 1]);
        input.buffer.reserve(1 << 20);
        input.rest();
        assert!(input.buffer.capacity() <= SMALL_REMAINDER_BYTES && input.bytes().len() == 5);
        input.clear();
        input.rest();
        assert_eq!(input.buffer.capacity(), 0);
    }
}
