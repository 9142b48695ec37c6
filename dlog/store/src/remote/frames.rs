//! The protocol's frames: mux, with bodies in postcard's encoding.
// Public for this crate and, with the feature `internals`, for its tests.
#![allow(missing_docs, unreachable_pub)]

use distributedlog::wire::mux::{Contexts, Delegations, Frame, Message, RequestKind, Status, Tag};
use serde::Serialize;

use super::protocol::{ReplyResult, Request, encode};
use crate::StoreError;
use crate::frames::append_frame;

/// Size of a frame's length field in bytes.
const LENGTH_BYTES: usize = 4;

/// Appends a frame to `out`.
pub fn push(out: &mut Vec<u8>, tag: Tag, message: Message<'_>) {
    append_frame(out, |room| Frame::new(tag, message).encode(room));
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
    let message = RequestKind::Tdispatch.reply(Status::Ok, &[]);
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
