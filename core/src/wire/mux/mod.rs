//! Mux, Finagle's session protocol: many requests at once over one connection, each under a tag.
//!
//! [`frame_len`] returns a frame's length from its first four bytes; [`Frame::decode`] reads a
//! whole one, [`Frame::encode`] writes one. [`encode_request`] and [`encode_reply`] write a frame
//! and the thrift message in it in one pass, without a buffer in between.
//!
//! A session begins as the original's does: the client sends [`Message::BadRerr`] with tag 1 and
//! the text [`INIT_CHECK`]; a peer that knows [`Message::Tinit`] sends the same back, then both
//! exchange it. A server must also take clients that skip all that. [`Client`] is the client's side
//! of a session and, with the feature `std`, `Server` the server's, for every kind of payload.

mod calls;
mod client;
mod contexts;
mod dispatch;
mod frame;
#[cfg(feature = "std")]
mod requests;
#[cfg(feature = "std")]
mod server;

pub use calls::{Call, FinishedCall};
pub use client::{CallResult, Client, ClientEvent};
pub use contexts::{
    Context, Contexts, Deadline, Delegation, Delegations, InitHeader, InitHeaders, TraceId,
    TraceKey, TraceKeys,
};
pub use dispatch::{encode_reply, encode_request, encoded_reply_len, encoded_request_len};
pub use frame::{Frame, FrameType, Message, Status, Tag};
#[cfg(feature = "std")]
pub use server::{ReceivedRequest, RequestKind, Server, ServerError, ServerEvent};

use super::FrameTooLarge;

/// Text of the session's first frame, which tests if the peer knows `Tinit`.
pub const INIT_CHECK: &str = "tinit check";

/// The version of mux in `Tinit` and `Rinit`.
pub const VERSION: u16 = 1;

/// The length of the whole frame that begins with `bytes`, its four-byte length field included;
/// `None` while that field is incomplete.
///
/// # Errors
///
/// [`FrameTooLarge`] when the whole frame would be longer than `limit`: close the connection,
/// nothing can be read past it.
pub fn frame_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameTooLarge> {
    super::frame_len(bytes, limit)
}
