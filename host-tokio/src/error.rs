use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use distributedlog::client::{routing, session};
use distributedlog::names::NameError;
use distributedlog::stream_name::StreamNameError;
use distributedlog::{Cause, Escaped, Failure, WriteState, writer};

use crate::net::ConnectError;
#[cfg(feature = "tls")]
use crate::net::TlsError;

/// Failure of an operation of a [`ProxyClient`](crate::ProxyClient), with what is known of its
/// records. Its `Debug` is its text, as that of [`BuildError`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestError {
    /// Cause, what is known of the write, and advice for the next attempt.
    pub failure: Failure,
    /// The operation's name in DistributedLogService.
    pub operation: &'static str,
    /// The stream, empty for operations that concern none.
    pub stream: Box<str>,
    /// Proxy that replied or was tried last, if there was one.
    pub host: Option<SocketAddr>,
    /// Message of the proxy, or description of the local error; may be empty.
    pub message: Box<str>,
}

impl RequestError {
    /// The end of an attempt because the client that its writer shares was closed.
    pub(crate) fn client_closed(failure: Failure) -> Self {
        Self {
            failure,
            operation: "writeWithContext",
            stream: "".into(),
            host: None,
            message: "the client that the writer shares was closed".into(),
        }
    }

    /// Returns what is known of the write: written, not written, or unknown.
    #[must_use]
    pub const fn known(&self) -> WriteState {
        self.failure.known
    }

    /// Returns the cause.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.failure.cause
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        if !self.stream.is_empty() {
            write!(f, " on {:?}", self.stream)?;
        }
        if let Some(host) = self.host {
            write!(f, " at {host}")?;
        }
        write!(f, ": {}", self.failure)?;
        if !self.message.is_empty() {
            write!(f, ": {}", Escaped(&self.message))?;
        }
        Ok(())
    }
}

distributedlog::debug_is_display!(RequestError);

impl core::error::Error for RequestError {}

/// Error of building a client. Its `Debug` is its text, so that a `main` which returns it shows
/// what to do.
#[non_exhaustive]
pub enum BuildError {
    /// A setting of how proxies are chosen is outside its bounds.
    Routing(routing::SettingsError),
    /// A setting of the connections is outside its bounds.
    Session(session::SettingsError),
    /// A setting of the multi stream writer is outside its bounds.
    Writer(writer::SettingsError),
    /// The maximum number of operations in flight is zero, or above the client's limit.
    MaxInFlight {
        /// Value of the setting.
        value: usize,
        /// The most it can be.
        max: usize,
    },
    /// A stream's name is not valid.
    StreamName {
        /// As it was given.
        name: String,
        /// Error in the name.
        error: StreamNameError,
    },
    /// The name of the proxies cannot be understood.
    Name {
        /// As it was given.
        name: String,
        /// Error in the name, and its offset.
        error: NameError,
    },
    /// The name is valid, but of a kind that this client cannot resolve.
    UnsupportedName {
        /// As it was given.
        name: String,
        /// The kind that is not supported, and the one to use instead.
        reason: String,
    },
    /// The TLS settings cannot be used.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// A setting of the way to the proxies was given for a writer that shares a client, which has
    /// its own.
    SharedClient {
        /// Name of the setting.
        setting: &'static str,
    },
    /// No proxy replied to the first handshake in time.
    NoProxy {
        /// The name that was resolved.
        name: String,
        /// Time that the client waited.
        waited: Duration,
        /// Every host that was tried, and the reason of its failure. Empty for a name that leads to
        /// no host.
        hosts: Vec<HostFailure>,
    },
}

/// A host that could not be used, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct HostFailure {
    /// Its name as configured, or its address as text.
    pub host: String,
    /// Its address, when its name led to one.
    pub address: Option<SocketAddr>,
    /// Reason of its failure.
    pub reason: HostFailureReason,
}

/// Reason why a host could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostFailureReason {
    /// No connection was made.
    Connect(ConnectError),
    /// A connection was made, but the handshake failed.
    Handshake(Box<str>),
    /// The host did not reply in time.
    NoAnswer,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routing(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Writer(error) => error.fmt(f),
            Self::MaxInFlight { value, max } => {
                write!(f, "max_in_flight is {value}; it must be 1 to {max}")
            }
            Self::StreamName { name, error } => write!(f, "stream {name:?}: {error}"),
            Self::Name { name, error } => write!(f, "name {name:?}: {error}"),
            Self::UnsupportedName { name, reason } => {
                write!(f, "name {name:?} is not supported: {reason}")
            }
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "{error}"),
            Self::SharedClient { setting } => write!(
                f,
                "{setting} was set for a writer that shares a client: leave it out, or set it \
                 where the client is built"
            ),
            Self::NoProxy {
                name,
                waited,
                hosts,
            } if hosts.is_empty() => {
                write!(
                    f,
                    "no write proxy within {waited:?}: the name {name:?} leads to no host"
                )
            }
            Self::NoProxy {
                name,
                waited,
                hosts,
            } => {
                write!(f, "no write proxy of {name:?} answered within {waited:?}")?;
                let mut separator = ": ";
                for host in hosts {
                    write!(f, "{separator}{host}")?;
                    separator = "; ";
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for HostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.address {
            Some(address) if self.host != address.to_string() => write!(f, " ({address})")?,
            Some(_) | None => {}
        }
        write!(f, ": {}", self.reason)
    }
}

impl fmt::Display for HostFailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "{error}"),
            Self::Handshake(reason) => write!(f, "handshake failed: {reason}"),
            Self::NoAnswer => f.write_str("no answer"),
        }
    }
}

distributedlog::debug_is_display!(BuildError);

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::Routing(error) => Some(error),
            Self::Session(error) => Some(error),
            Self::Writer(error) => Some(error),
            Self::StreamName { error, .. } => Some(error),
            Self::Name { error, .. } => Some(error),
            Self::MaxInFlight { .. }
            | Self::UnsupportedName { .. }
            | Self::SharedClient { .. }
            | Self::NoProxy { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_the_error_of_a_request_shows_its_text() {
        let error = RequestError {
            failure: Failure::of_status(distributedlog::StatusCode::StreamUnavailable),
            operation: "write",
            stream: "orders-1".into(),
            host: Some(SocketAddr::from(([10, 0, 0, 1], 8000))),
            message: "it is being deleted".into(),
        };
        assert_eq!(
            format!("{error:?}"),
            "write on \"orders-1\" at 10.0.0.1:8000: the proxy answered STREAM_UNAVAILABLE (515) \
             (unknown whether written): it is being deleted"
        );
    }

    #[test]
    fn a_main_that_returns_an_error_of_building_shows_its_text() {
        let hosts = vec![
            HostFailure {
                host: "proxy-1.example:8000".to_owned(),
                address: Some(SocketAddr::from(([10, 0, 0, 1], 8000))),
                reason: HostFailureReason::Connect(ConnectError::TimedOut(Duration::from_secs(1))),
            },
            HostFailure {
                host: "proxy-2.example:8000".to_owned(),
                address: None,
                reason: HostFailureReason::NoAnswer,
            },
        ];
        let error = BuildError::NoProxy {
            name: "inet!proxy-1.example:8000,proxy-2.example:8000".to_owned(),
            waited: Duration::from_secs(5),
            hosts,
        };
        // Rust prints `Error: {error:?}`.
        assert_eq!(
            format!("{error:?}"),
            "no write proxy of \"inet!proxy-1.example:8000,proxy-2.example:8000\" answered within \
             5s: proxy-1.example:8000 (10.0.0.1:8000): cannot connect: no answer within 1s; \
             proxy-2.example:8000: no answer"
        );
    }
}
