use core::fmt;
use core::net::SocketAddr;
use std::io;

/// Why a write proxy did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// Another process listens on the address.
    AddressInUse {
        /// The address, and whether it is for `clients` or `stats`.
        address: SocketAddr,
        /// What the address is for.
        purpose: &'static str,
    },
    /// The address cannot be listened on for another reason.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the address is for.
        purpose: &'static str,
        /// What the system said.
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
                 tells which; stop it or choose another port",
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

impl core::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::AddressInUse { .. } => None,
            Self::Listen { source, .. } => Some(source),
        }
    }
}
