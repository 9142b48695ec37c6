use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use distributedlog::client::{routing, session};
use distributedlog::names::NameError;
use distributedlog::stream_name::StreamNameError;
use distributedlog::{Cause, Failure, WriteState, writer};

use crate::{ConnectError, TlsError};

/// Why an operation of a [`ProxyClient`](crate::ProxyClient) failed, and what is known of its
/// records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestError {
    /// What happened, whether the records may be in the stream all the same, and what to do next.
    pub failure: Failure,
    /// The operation's name in DistributedLogService.
    pub operation: &'static str,
    /// The stream, empty for operations that concern none.
    pub stream: Box<str>,
    /// The proxy that answered or was tried last, if there was one.
    pub host: Option<SocketAddr>,
    /// What the proxy said, or what the local fault was; may be empty.
    pub message: Box<str>,
}

impl RequestError {
    /// Whether the records are in the stream, as far as anybody knows.
    #[must_use]
    pub const fn known(&self) -> WriteState {
        self.failure.known
    }

    /// What happened.
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
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl core::error::Error for RequestError {}

/// Why a client could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting of how proxies are chosen is outside its bounds.
    Routing(routing::SettingsError),
    /// A setting of the connections is outside its bounds.
    Session(session::SettingsError),
    /// A setting of the multi stream writer is outside its bounds.
    Writer(writer::SettingsError),
    /// How many operations may be under way is zero, or more than a client has room for.
    MaxInFlight {
        /// What it was set to.
        value: usize,
        /// The most it can be.
        max: usize,
    },
    /// A stream's name is not a legal one.
    StreamName {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        error: StreamNameError,
    },
    /// The name of the proxies cannot be understood.
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it, and where.
        error: NameError,
    },
    /// The name is a legal one of a kind that this client cannot resolve.
    UnsupportedName {
        /// As it was given.
        name: String,
        /// What is not supported, and what to use instead.
        reason: String,
    },
    /// The TLS settings cannot be used.
    Tls(TlsError),
    /// No proxy answered the first handshake within the time that was given.
    NoProxy {
        /// The name that was resolved.
        name: String,
        /// How long the client waited.
        waited: Duration,
        /// Every host that was tried, and why it did not do. Empty for a name that leads to no
        /// host.
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
    /// Why it could not be used.
    pub reason: HostFailureReason,
}

/// Why a host could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostFailureReason {
    /// No connection was made.
    Connect(ConnectError),
    /// A connection was made, but the handshake failed.
    Handshake(Box<str>),
    /// Nothing was heard within the time to wait.
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
            Self::Tls(error) => write!(f, "{error}"),
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

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            Self::Routing(error) => Some(error),
            Self::Session(error) => Some(error),
            Self::Writer(error) => Some(error),
            Self::StreamName { error, .. } => Some(error),
            Self::Name { error, .. } => Some(error),
            Self::MaxInFlight { .. } | Self::UnsupportedName { .. } | Self::NoProxy { .. } => None,
        }
    }
}
