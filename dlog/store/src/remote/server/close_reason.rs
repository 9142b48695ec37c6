//! The reasons for which the server closes a connection.

use core::fmt;
use core::time::Duration;

use crate::frames::FrameReadError;
use crate::peer_protocol::PeerProtocol;

/// Reason why this side closed a connection.
#[derive(Debug)]
pub(super) enum CloseReason {
    /// The peer's frames cannot be read.
    Read(FrameReadError),
    /// The peer sent a frame that the protocol does not allow.
    Protocol(String),
    /// No complete frame arrived for this time.
    Silent(Duration),
    /// The peer speaks another protocol.
    Foreign(PeerProtocol),
    /// The client's hello was refused.
    Refused(String),
    /// The client resumed its session on another connection.
    Superseded,
    /// The TLS handshake failed.
    Tls(std::io::Error),
    /// Writing to the peer failed.
    Unwritable(std::io::Error),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Protocol(what) | Self::Refused(what) => f.write_str(what),
            Self::Silent(time) => {
                write!(f, "no complete frame arrived for {} ms", time.as_millis())
            }
            Self::Foreign(protocol) => write!(
                f,
                "the peer speaks {protocol}, and this is the port of a store, for proxies, readers \
                 and the tool"
            ),
            Self::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            Self::Superseded => f.write_str("its client resumed the session on another connection"),
            Self::Unwritable(error) => write!(f, "writing to it failed: {error}"),
        }
    }
}
