// Public for this crate and, with the feature `internals`, for its tests.
#![allow(missing_docs, unreachable_pub)]

use core::fmt;
use std::io;

use bytes::{Bytes, BytesMut};
use distributedlog::wire::FrameTooLarge;
use distributedlog::wire::mux::{Contexts, Delegations, Frame, Message, Status, Tag, frame_len};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::protocol::{ReplyResult, Request, encode};
use crate::StoreError;
use crate::budget::GrowingRoom;

/// Size of a connection's first read in bytes: small, so that thousands of idle connections need
/// little memory.
const FIRST_CHUNK: usize = 4 << 10;
/// Maximum size of a read in bytes. The size doubles up to it while reads fill their buffer.
const LARGEST_CHUNK: usize = 256 << 10;
/// Bytes of an unfinished frame that every connection may have received without room for them: most
/// frames are smaller, and need none.
const FREE_BYTES: usize = 16 << 10;
/// Size of a frame's length field in bytes.
const LENGTH_BYTES: usize = 4;

/// Reads whole frames from one connection.
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    chunk: usize,
    limit: usize,
    /// Room for a frame that has begun and not ended.
    unfinished: Option<GrowingRoom>,
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

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `limit` bytes, their length field included.
    pub fn new(io: R, limit: usize) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            chunk: FIRST_CHUNK,
            limit,
            unfinished: None,
        }
    }

    /// Counts what has come of a frame, beyond its first 16 KiB, in this room, and reads no more of
    /// it while there is none.
    pub fn counted(self, room: GrowingRoom) -> Self {
        Self {
            unfinished: Some(room),
            ..self
        }
    }

    /// Sets the maximum size of the next frames in bytes.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns the bytes that have arrived and do not make a complete frame yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads the next frame. Returns `None` if the stream ended between frames.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: bytes that have arrived stay in the buffer.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameReadError> {
        loop {
            if let Some(length) =
                frame_len(&self.buffer, self.limit).map_err(FrameReadError::TooLarge)?
                && length <= self.buffer.len()
            {
                if let Some(unfinished) = &mut self.unfinished {
                    unfinished.clear();
                }
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
            if self.buffer.is_empty() && self.buffer.capacity() > 4 * self.chunk {
                // An idle connection keeps no large buffer.
                self.buffer = BytesMut::new();
            }
            if let Some(unfinished) = &mut self.unfinished
                && !self.buffer.is_empty()
            {
                let bytes = (self.buffer.len() + self.chunk).saturating_sub(FREE_BYTES);
                if let Some(more) = unfinished.try_grow_to(bytes) {
                    let more = unfinished.wait(more).await;
                    unfinished.add(more);
                }
            }
            self.buffer.reserve(self.chunk);
            let room = self.buffer.capacity() - self.buffer.len();
            let count = self
                .io
                .read_buf(&mut self.buffer)
                .await
                .map_err(FrameReadError::Io)?;
            if count == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameReadError::Torn(self.buffer.len()))
                };
            }
            // A read that fills its buffer probably leaves more waiting: fewer, larger reads.
            if count == room {
                self.chunk = (self.chunk * 2).min(LARGEST_CHUNK);
            } else if count < room / 4 {
                self.chunk = (self.chunk / 2).max(FIRST_CHUNK);
            }
        }
    }
}

/// Appends a frame to `out`.
pub fn push(out: &mut Vec<u8>, tag: Tag, message: Message<'_>) {
    let frame = Frame::new(tag, message);
    let start = out.len();
    out.resize(start + frame.encoded_len(), 0);
    frame
        .encode(&mut out[start..])
        .expect("the room is what the frame counted");
}

/// Appends a frame whose payload is the encoding of `body`. Returns the frame's length.
fn push_with(out: &mut Vec<u8>, tag: Tag, message: Message<'_>, body: &impl Serialize) -> usize {
    let start = out.len();
    push(out, tag, message);
    encode(body, out);
    let length = out.len() - start;
    let field = u32::try_from(length - LENGTH_BYTES).expect("bodies are bounded far below 4 GiB");
    out[start..start + LENGTH_BYTES].copy_from_slice(&field.to_be_bytes());
    length
}

/// Appends the frame of a request. Returns the frame's length.
pub fn push_request(out: &mut Vec<u8>, tag: Tag, request: &Request<'_>) -> usize {
    let message = Message::Tdispatch {
        contexts: Contexts::default(),
        destination: "",
        delegations: Delegations::default(),
        payload: &[],
    };
    push_with(out, tag, message, request)
}

/// Appends the frame of a reply, or of [`StoreError::TooLarge`] if the reply is longer than
/// `limit`.
pub fn push_reply(out: &mut Vec<u8>, tag: Tag, reply: &ReplyResult<'_>, limit: usize) {
    let message = Message::Rdispatch {
        status: Status::Ok,
        contexts: Contexts::default(),
        payload: &[],
    };
    let start = out.len();
    let size = push_with(out, tag, message, reply);
    if size > limit {
        out.truncate(start);
        push_with(
            out,
            tag,
            message,
            &ReplyResult::Err(StoreError::TooLarge { size, limit }),
        );
    }
}

/// Appends the frame of a request that was not started, or was invalid.
pub fn push_failure(out: &mut Vec<u8>, tag: Tag, status: Status, text: &str) {
    push(
        out,
        tag,
        Message::Rdispatch {
            status,
            contexts: Contexts::default(),
            payload: text.as_bytes(),
        },
    );
}
