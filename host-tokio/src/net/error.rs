use core::fmt;
use core::time::Duration;
use std::io;

/// Error of connecting to a proxy.
#[non_exhaustive]
pub enum ConnectError {
    /// The host's name leads to no address.
    NoAddress(io::Error),
    /// The operating system could not connect: refused, unreachable, out of descriptors. The peer
    /// saw nothing of ours.
    Tcp(io::Error),
    /// There was neither a reply nor a refusal within the connect timeout, TLS handshake included.
    TimedOut(Duration),
    /// The peer replied, but not with a TLS session that the settings accept.
    #[cfg(feature = "tls")]
    Tls(TlsError),
}

/// Reason why one side refused a TLS session.
#[cfg(feature = "tls")]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate is not issued by an authority that the settings trust. Add its root with
    /// [`Tls::add_root`](crate::Tls::add_root).
    UnknownAuthority,
    /// The certificate is for other names than the expected one. Set the right one with
    /// [`Tls::server_name`](crate::Tls::server_name).
    WrongName {
        /// The expected name.
        expected: String,
    },
    /// The certificate is not valid at this time: it has expired, or its time has not come.
    NotValidNow,
    /// The text is neither a DNS name nor an IP address, so no certificate can be for it.
    InvalidServerName(String),
    /// The peer does not speak TLS, or violates the protocol.
    Protocol(String),
    /// The connection ended during the handshake.
    Io(io::Error),
    /// The certificates or keys in the settings cannot be used.
    Settings(String),
}

#[cfg(feature = "tls")]
impl TlsError {
    /// Converts an error of tokio-rustls, which is an I/O error around one of rustls.
    pub(crate) fn of_io(error: io::Error, server_name: &str) -> Self {
        let Some(inner) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        else {
            return Self::Io(error);
        };
        if let rustls::Error::InvalidMessage(_) = inner {
            return Self::Protocol(format!(
                "the peer does not speak TLS: it may be a port without TLS ({inner})"
            ));
        }
        let rustls::Error::InvalidCertificate(reason) = inner else {
            return Self::Protocol(inner.to_string());
        };
        use rustls::CertificateError as C;
        if matches!(reason, C::UnknownIssuer) {
            Self::UnknownAuthority
        } else if matches!(
            reason,
            C::NotValidForName | C::NotValidForNameContext { .. }
        ) {
            Self::WrongName {
                expected: server_name.to_owned(),
            }
        } else if matches!(
            reason,
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. }
        ) {
            Self::NotValidNow
        } else {
            Self::Protocol(inner.to_string())
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress(error) => write!(f, "the host's name leads to no address: {error}"),
            Self::Tcp(error) => write!(f, "cannot connect: {error}"),
            Self::TimedOut(after) => write!(f, "cannot connect: no answer within {after:?}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "no TLS session: {error}"),
        }
    }
}

distributedlog::debug_is_display!(ConnectError);

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NoAddress(error) | Self::Tcp(error) => Some(error),
            Self::TimedOut(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
        }
    }
}

#[cfg(feature = "tls")]
impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAuthority => {
                f.write_str("the proxy's certificate is not issued by a trusted authority")
            }
            Self::WrongName { expected } => {
                write!(f, "the proxy's certificate is not for {expected:?}")
            }
            Self::NotValidNow => f.write_str("the proxy's certificate is not valid at this time"),
            Self::InvalidServerName(name) => {
                write!(f, "{name:?} is neither a DNS name nor an IP address")
            }
            Self::Protocol(reason) => f.write_str(reason),
            Self::Io(error) => write!(
                f,
                "the peer ended the handshake: it may not speak TLS ({error})"
            ),
            Self::Settings(reason) => write!(f, "the TLS settings cannot be used: {reason}"),
        }
    }
}

#[cfg(feature = "tls")]
distributedlog::debug_is_display!(TlsError);

#[cfg(feature = "tls")]
impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::UnknownAuthority
            | Self::WrongName { .. }
            | Self::NotValidNow
            | Self::InvalidServerName(_)
            | Self::Protocol(_)
            | Self::Settings(_) => None,
        }
    }
}
