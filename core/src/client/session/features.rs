//! What a session contains: chosen by type, so that a linker leaves out the rest.

/// Which protocols and answers are compiled into a session at all.
///
/// On a host there is nothing to choose: [`Session::new`](super::Session::new) makes a session with
/// [`AllSessionFeatures`], and its [`Settings`](super::Settings) say what is spoken. Where flash counts,
/// give it another scope ([`Session::with_features`](super::Session::with_features)): [`MuxWrites`], or a
/// type of your own.
pub trait SessionFeatures {
    /// Framed thrift beside mux.
    const FRAMED: bool = true;
    /// The answers of all methods. Without: of `write` and `writeWithContext` only; the answer of
    /// another one fails its request as one that cannot be read.
    const ALL_REPLIES: bool = true;
}

/// All of it: what a host takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllSessionFeatures;

impl SessionFeatures for AllSessionFeatures {}

/// Writes over mux, and nothing else: all that a device needs that knows its proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MuxWrites;

impl SessionFeatures for MuxWrites {
    const FRAMED: bool = false;
    const ALL_REPLIES: bool = false;
}
