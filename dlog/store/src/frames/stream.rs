use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::io;

use bytes::Bytes;
use distributedlog::wire::FrameTooLarge;
use tokio::io::AsyncRead;

use super::{FrameReader, NextFrame};
use crate::budget::GrowingRoom;

/// Reads whole frames from one connection.
#[derive(Debug)]
pub struct FrameStream<R> {
    io: R,
    frames: FrameReader,
}

/// Error of reading a frame.
#[derive(Debug)]
pub enum FrameReadError {
    /// The frame is larger than the limit. None of it was buffered beyond the bytes that had
    /// arrived.
    TooLarge(FrameTooLarge),
    /// The stream ended inside a frame, after this many of its bytes.
    Torn(usize),
    /// The stream failed.
    Io(io::Error),
}

impl fmt::Display for FrameReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(error) => write!(f, "{error}"),
            Self::Torn(arrived) => write!(f, "the connection ended {arrived} bytes into a frame"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl<R: AsyncRead + Unpin> FrameStream<R> {
    /// Reads frames of at most `limit` bytes, their length field included. What has come of a frame
    /// is counted in `room`, if there is one.
    pub fn new(io: R, limit: usize, room: Option<GrowingRoom>) -> Self {
        Self {
            io,
            frames: FrameReader::new(limit, room),
        }
    }

    /// Sets the maximum size of the next frames in bytes.
    pub const fn set_limit(&mut self, limit: usize) {
        self.frames.set_limit(limit);
    }

    /// Returns the bytes that have arrived and do not make a complete frame yet.
    pub fn unread(&self) -> &[u8] {
        self.frames.bytes()
    }

    /// Reads the next frame. Returns `None` if the stream ended between frames.
    ///
    /// # Errors
    ///
    /// The frame is larger than the limit, of which its length field is enough, or the stream ended
    /// inside it or failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: bytes that have arrived stay in the buffer.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameReadError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FrameReadError>> {
        loop {
            match self.frames.next_frame() {
                NextFrame::Frame(frame) => return Poll::Ready(Ok(Some(frame))),
                NextFrame::TooLarge(error) => {
                    return Poll::Ready(Err(FrameReadError::TooLarge(error)));
                }
                NextFrame::Incomplete => {}
            }
            let filled = self.frames.poll_fill(&mut self.io, cx);
            if filled.is_pending() {
                self.frames.rest();
            }
            match ready!(filled) {
                Ok(0) => {
                    let arrived = self.frames.bytes().len();
                    let torn = || Err(FrameReadError::Torn(arrived));
                    return Poll::Ready(if arrived == 0 { Ok(None) } else { torn() });
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(FrameReadError::Io(error))),
            }
        }
    }
}
