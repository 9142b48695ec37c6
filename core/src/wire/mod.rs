//! Bytes on the wire and at rest: parsed without allocating or panicking, emitted into a caller's
//! buffer, byte for byte as DistributedLog's own client and proxy do.
//!
//! A request is a thrift message ([`service`]). It is sent in a [`mux`] dispatch or a [`framed`]
//! thrift frame, and its payload may be a [`record_set`]. [`sniff`] determines from a connection's
//! first bytes which of the two framings its client speaks.
//!
//! Decoding borrows: every view points into the bytes it was decoded from. Encoding goes through
//! `encoded_len` and `encode`: the second writes what the first counts, and refuses a buffer that
//! is too small, saying how large it must be.

pub mod crc;
pub mod framed;
pub mod mux;
pub mod record_set;
pub mod service;
pub mod thrift;

mod cursor;
mod error;
mod list;
mod sink;
mod sniff;

pub use error::{BufferTooSmall, DecodeError, DecodeErrorKind, FrameTooLarge};
pub use list::{Iter, List};
pub use sniff::{Protocol, sniff};

/// The length of the whole frame that begins with `bytes`, its four-byte length field included;
/// `None` while that field is incomplete.
fn frame_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameTooLarge> {
    let Some((field, _)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u64::from(u32::from_be_bytes(*field)) + 4;
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(Some(length)),
        Ok(_) | Err(_) => Err(FrameTooLarge { length, limit }),
    }
}
