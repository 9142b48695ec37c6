//! Frames between a socket's bytes and the protocols above them: one [`FrameReader`] and one
//! [`FrameWriter`] for the store's port, its clients and the write proxy.
//!
//! Mux and framed thrift begin each frame with the same length field; what follows it is no concern
//! of this module.

mod reader;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{FrameReader, NextFrame};
pub use stream::{FrameReadError, FrameStream};
pub use writer::{FrameWriter, OutputLimits, WriteRate, append_frame};
