use core::fmt;
use core::net::SocketAddr;
use std::io;

/// Reason why a write proxy did not start.
#[non_exhaustive]
pub enum ProxyError {
    /// Another process listens on the address.
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// Purpose of the address: `clients`, `metrics and health` or `HTTP`.
        purpose: &'static str,
    },
    /// Listening on the address failed for another reason.
    Listen {
        /// The address.
        address: SocketAddr,
        /// Purpose of the address: `clients`, `metrics and health` or `HTTP`.
        purpose: &'static str,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl ProxyError {
    pub(super) fn listen(address: SocketAddr, purpose: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::AddressInUse { address, purpose }
        } else {
            Self::Listen {
                address,
                purpose,
                source,
            }
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse { address, purpose } => write!(
                f,
                "{address} (for {purpose}) is in use by another process: `ss -ltnp 'sport = :{}'` \
                 shows which; stop it or choose another port",
                address.port()
            ),
            Self::Listen {
                address,
                purpose,
                source,
            } => write!(f, "cannot listen on {address} (for {purpose}): {source}"),
        }
    }
}

distributedlog::debug_is_display!(ProxyError);

impl core::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::AddressInUse { .. } => None,
            Self::Listen { source, .. } => Some(source),
        }
    }
}
