// Only this crate and, by the feature `internals`, its tests see what is public here.
#![allow(missing_docs, unreachable_pub)]

use core::fmt;
use std::io;

use bytes::{Bytes, BytesMut};
use distributedlog::wire::FrameTooLarge;
use distributedlog::wire::mux::{Contexts, Delegations, Frame, Message, Status, Tag, frame_len};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::protocol::{Answer, Request, encode};
use crate::StoreError;

/// The first read of a connection takes up to this many bytes: thousands of idle connections cost
/// little.
const FIRST_CHUNK: usize = 4 << 10;
/// Busy connections are read in chunks of up to this many bytes.
const LARGEST_CHUNK: usize = 256 << 10;
/// A frame's length field.
const LENGTH_BYTES: usize = 4;

/// Reads whole frames from one connection.
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    chunk: usize,
    limit: usize,
}

/// Why there is no next frame.
#[derive(Debug)]
pub enum FrameFault {
    /// The frame is larger than allowed. None of it beyond what had arrived was buffered.
    TooLarge(FrameTooLarge),
    /// The stream ended inside of a frame, after this many of its bytes.
    Torn(usize),
    /// The stream failed.
    Io(io::Error),
}

impl fmt::Display for FrameFault {
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
        }
    }

    /// From now on frames may have `limit` bytes.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// What arrived and was not taken as a frame yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// The next frame, or `None` when the stream ended between frames.
    ///
    /// Cancel safety: nothing is lost when the future is dropped; what arrived stays in the buffer.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameFault> {
        loop {
            if let Some(length) =
                frame_len(&self.buffer, self.limit).map_err(FrameFault::TooLarge)?
                && length <= self.buffer.len()
            {
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
            self.buffer.reserve(self.chunk);
            let room = self.buffer.capacity() - self.buffer.len();
            let count = self
                .io
                .read_buf(&mut self.buffer)
                .await
                .map_err(FrameFault::Io)?;
            if count == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameFault::Torn(self.buffer.len()))
                };
            }
            if count == room {
                self.chunk = (self.chunk * 2).min(LARGEST_CHUNK);
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

/// Appends a frame whose payload is the encoding of `body`; the frame's length.
fn push_with(out: &mut Vec<u8>, tag: Tag, message: Message<'_>, body: &impl Serialize) -> usize {
    let start = out.len();
    push(out, tag, message);
    encode(body, out);
    let length = out.len() - start;
    let field = u32::try_from(length - LENGTH_BYTES).expect("bodies are bounded far below 4 GiB");
    out[start..start + LENGTH_BYTES].copy_from_slice(&field.to_be_bytes());
    length
}

/// Appends the frame of a request; the frame's length.
pub fn push_request(out: &mut Vec<u8>, tag: Tag, request: &Request<'_>) -> usize {
    let message = Message::Tdispatch {
        contexts: Contexts::default(),
        destination: "",
        delegations: Delegations::default(),
        payload: &[],
    };
    push_with(out, tag, message, request)
}

/// Appends the frame of an answer, or that the answer would be longer than `limit`.
pub fn push_answer(out: &mut Vec<u8>, tag: Tag, answer: &Answer<'_>, limit: usize) {
    let message = Message::Rdispatch {
        status: Status::Ok,
        contexts: Contexts::default(),
        payload: &[],
    };
    let start = out.len();
    let size = push_with(out, tag, message, answer);
    if size > limit {
        out.truncate(start);
        push_with(
            out,
            tag,
            message,
            &Answer::Err(StoreError::TooLarge { size, limit }),
        );
    }
}

/// Appends the frame that says that a request was not started, or failed to be one.
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
