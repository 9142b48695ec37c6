//! The reasons for which the server closes a connection.

use core::fmt;
use core::time::Duration;

use crate::remote::frames::FrameFault;

/// Why a connection was closed from this side.
#[derive(Debug)]
pub(super) enum Closed {
    /// The peer's bytes cannot be read on.
    Fault(FrameFault),
    /// The peer's frames are not what the protocol has.
    Protocol(String),
    /// No whole frame came for so long.
    Silent(Duration),
    /// The client's hello was refused.
    Refused(String),
    /// The client came back on another connection.
    Superseded,
    /// The peer cannot be written to.
    Unwritable(std::io::Error),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Protocol(what) | Self::Refused(what) => f.write_str(what),
            Self::Silent(time) => write!(f, "no whole frame came for {} ms", time.as_millis()),
            Self::Superseded => f.write_str("its client came back on another connection"),
            Self::Unwritable(error) => write!(f, "it cannot be written to: {error}"),
        }
    }
}
