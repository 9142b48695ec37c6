//! DistributedLogService: its requests, its replies and their structs, as strict thrift-binary
//! messages without a frame.
//!
//! Views borrow the bytes that they were decoded from, or the values to encode; nothing is copied
//! or allocated. Emitted bytes are those that DistributedLog's own client and proxy emit; parsing
//! takes fields in any order and skips unknown ones.

mod method;
mod reply;
mod request;
mod structs;

pub use method::Method;
pub use reply::{ExceptionKind, Reply};
pub use request::{Request, RequestError};
pub use structs::{
    Binaries, BulkWriteResponse, ClientInfo, HeartbeatOptions, Ownerships, ResponseHeader,
    ServerInfo, ServerStatus, Strings, WriteContext, WriteResponse, WriteResponses,
};

pub use super::thrift::{MessageHeader, MessageKind, SequenceId};
