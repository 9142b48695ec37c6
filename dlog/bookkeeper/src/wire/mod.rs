//! Frames between a client and a bookie: protocol v3, protobuf messages behind a length of four
//! bytes.
//!
//! Decoding never panics, allocates nothing for payloads (they are slices of the frame), and a
//! frame's length is refused before its bytes are buffered. Fields that are not known are skipped.

mod error;
mod frame;
mod proto;
mod request;
mod response;
mod status;

pub use distributedlog::wire::FrameTooLarge;
pub use error::{DecodeError, DecodeErrorKind};
pub use frame::{MAX_FRAME_BYTES, frame_len};
pub use request::{Add, Auth, Header, Operation, Priority, Read, ReadMode, Request, WriteLac};
pub use response::{AddReply, BookieInfo, LacReply, ListReply, ReadReply, Reply, Response};
pub use status::Status;

pub(crate) use proto::{FieldValue, Fields, Sink};
