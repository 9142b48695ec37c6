//! Compile-time features of a session: chosen by type, so that a linker leaves out the rest.

/// Set of protocols and replies that are compiled into a session.
///
/// Hosts do not choose: [`Session::new`](super::Session::new) makes a session with
/// [`AllSessionFeatures`], whose [`Settings`](super::Settings) select the protocol at run time.
/// Where flash is scarce, choose other features
/// ([`Session::with_features`](super::Session::with_features)): [`MuxWrites`], or a type of your
/// own.
pub trait SessionFeatures {
    /// Framed thrift beside mux.
    const FRAMED: bool = true;
    /// Replies to all methods. Without it, only replies to `write` and `writeWithContext` are
    /// decoded; a reply to another method fails its request as one that cannot be read.
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
