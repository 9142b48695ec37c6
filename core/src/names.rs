//! Finagle's names of services, which say where a service is: parsed here, resolved elsewhere.

use core::fmt;

/// Location of a service, written as `inet!host:port[,host:port…]` or in one of the forms below.
///
/// A text without a kind, `host:port[,host:port…]`, is read as `inet!`, as in Finagle. An IPv6
/// address is in brackets: `inet![::1]:8000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// `inet!`: hosts that are resolved repeatedly.
    Inet(Addresses<'a>),
    /// `fixedinet!`: hosts that are resolved once.
    FixedInet(Addresses<'a>),
    /// `nil!`: never resolved.
    Nil,
    /// `neg!`: resolved to no host.
    Neg,
    /// `fail!text`: resolved to an error.
    Fail(&'a str),
    /// `zk!hosts!path[!endpoint]`: a serverset in ZooKeeper.
    Zk {
        /// ZooKeeper's servers.
        hosts: Addresses<'a>,
        /// The serverset's path.
        path: &'a str,
        /// Endpoint of its members; `None` for their main one.
        endpoint: Option<&'a str>,
    },
    /// `serverset!hosts!path`: another form of `zk!hosts!path`.
    ServerSet {
        /// ZooKeeper's servers.
        hosts: Addresses<'a>,
        /// The serverset's path.
        path: &'a str,
    },
}

/// A host, by name or address, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostPort<'a> {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: &'a str,
    /// The port, not 0.
    pub port: u16,
}

/// One or more hosts and ports, checked by the parser.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Addresses<'a> {
    text: &'a str,
}

impl<'a> Name<'a> {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] with the fault and its offset in `text`.
    ///
    /// ```
    /// use distributedlog::names::{HostPort, Name};
    ///
    /// let name = Name::parse("inet!127.0.0.1:8000,[::1]:8000").unwrap();
    /// let Name::Inet(hosts) = name else { unreachable!() };
    /// let v4 = HostPort { host: "127.0.0.1", port: 8000 };
    /// let v6 = HostPort { host: "::1", port: 8000 };
    /// assert!(hosts.iter().eq([v4, v6]));
    /// ```
    pub fn parse(text: &'a str) -> Result<Self, NameError> {
        if let Some(offset) = text.find("://") {
            let kind = NameErrorKind::Url;
            return Err(NameError { offset, kind });
        }
        let Some((kind, rest)) = text.split_once('!') else {
            return Ok(Self::Inet(Addresses::parse(text, 0)?));
        };
        let start = kind.len() + 1;
        match kind {
            "inet" => Ok(Self::Inet(Addresses::parse(rest, start)?)),
            "fixedinet" => Ok(Self::FixedInet(Addresses::parse(rest, start)?)),
            "nil" => Ok(Self::Nil),
            "neg" => Ok(Self::Neg),
            "fail" => Ok(Self::Fail(rest)),
            "zk" => {
                let (hosts, path) = split_path(rest, start)?;
                let (path, endpoint) = path
                    .split_once('!')
                    .map_or((path, None), |(path, endpoint)| (path, Some(endpoint)));
                check_path(
                    path,
                    start + (path.as_ptr() as usize - rest.as_ptr() as usize),
                )?;
                Ok(Self::Zk {
                    hosts,
                    path,
                    endpoint: endpoint.filter(|endpoint| !endpoint.is_empty()),
                })
            }
            "serverset" => {
                let (hosts, path) = split_path(rest, start)?;
                check_path(path, text.len() - path.len())?;
                Ok(Self::ServerSet { hosts, path })
            }
            _ => Err(NameError {
                offset: 0,
                kind: NameErrorKind::UnknownKind,
            }),
        }
    }
}

/// Parses `hosts!path`, which begins at offset `start` of the name.
fn split_path(rest: &str, start: usize) -> Result<(Addresses<'_>, &str), NameError> {
    let Some((hosts, path)) = rest.split_once('!') else {
        return Err(NameError {
            offset: start + rest.len(),
            kind: NameErrorKind::NoPath,
        });
    };
    Ok((Addresses::parse(hosts, start)?, path))
}

fn check_path(path: &str, offset: usize) -> Result<(), NameError> {
    if path.starts_with('/') {
        Ok(())
    } else {
        Err(NameError {
            offset,
            kind: NameErrorKind::NoPath,
        })
    }
}

impl<'a> Addresses<'a> {
    fn parse(text: &'a str, start: usize) -> Result<Self, NameError> {
        let mut offset = start;
        for part in text.split(',') {
            HostPort::parse(part, offset)?;
            offset += part.len() + 1;
        }
        Ok(Self { text })
    }

    /// Returns the hosts and ports in their order; at least one.
    pub fn iter(&self) -> impl Iterator<Item = HostPort<'a>> + Clone + use<'a> {
        self.text.split(',').map(|part| {
            HostPort::parse(part, 0).expect("every address was parsed when the name was parsed")
        })
    }

    /// Returns the addresses as they were written.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.text
    }
}

impl<'a> HostPort<'a> {
    /// Parses `host:port`, which begins at offset `start` of the name.
    fn parse(part: &'a str, start: usize) -> Result<Self, NameError> {
        let at = |offset: usize, kind| {
            Err(NameError {
                offset: start + offset,
                kind,
            })
        };
        if part.is_empty() {
            return at(0, NameErrorKind::NoAddress);
        }
        let (host, port, port_at) = match part.strip_prefix('[') {
            Some(bracketed) => {
                let Some((host, rest)) = bracketed.split_once(']') else {
                    return at(0, NameErrorKind::OpenBracket);
                };
                let Some(port) = rest.strip_prefix(':') else {
                    return at(host.len() + 2, NameErrorKind::NoPort);
                };
                if host.parse::<core::net::Ipv6Addr>().is_err() {
                    return at(1, NameErrorKind::NotIpv6);
                }
                (host, port, host.len() + 3)
            }
            None => {
                let Some((host, port)) = part.rsplit_once(':') else {
                    return at(part.len(), NameErrorKind::NoPort);
                };
                if host.contains(':') {
                    return at(0, NameErrorKind::BareIpv6);
                }
                (host, port, host.len() + 1)
            }
        };
        if host.is_empty() {
            return at(0, NameErrorKind::NoHost);
        }
        if let Some(offset) = host.find(|found: char| {
            found.is_whitespace() || found.is_control() || matches!(found, '!' | '/' | '[' | ']')
        }) {
            return at(
                part.len() - port.len() - 1 - host.len() + offset,
                NameErrorKind::BadHost,
            );
        }
        // `parse` alone would accept a sign.
        let digits = port.bytes().all(|digit| digit.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(port) if port != 0 && digits => Ok(Self { host, port }),
            Ok(_) | Err(_) => at(port_at, NameErrorKind::BadPort),
        }
    }
}

impl fmt::Debug for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(hosts) => write!(f, "inet!{hosts}"),
            Self::FixedInet(hosts) => write!(f, "fixedinet!{hosts}"),
            Self::Nil => f.write_str("nil!"),
            Self::Neg => f.write_str("neg!"),
            Self::Fail(text) => write!(f, "fail!{text}"),
            Self::Zk {
                hosts,
                path,
                endpoint: None,
            } => write!(f, "zk!{hosts}!{path}"),
            Self::Zk {
                hosts,
                path,
                endpoint: Some(endpoint),
            } => write!(f, "zk!{hosts}!{path}!{endpoint}"),
            Self::ServerSet { hosts, path } => write!(f, "serverset!{hosts}!{path}"),
        }
    }
}

/// Error of a text that is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError {
    /// Offset of the fault in the text, in bytes.
    pub offset: usize,
    /// Kind of the fault.
    pub kind: NameErrorKind,
}

/// Fault in the text of a [`NameError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameErrorKind {
    /// The text is a URL.
    Url,
    /// The text before the `!` is not a kind of name.
    UnknownKind,
    /// An address is missing.
    NoAddress,
    /// The host of an address is missing.
    NoHost,
    /// A host has a character that no host may have.
    BadHost,
    /// The port of an address is missing.
    NoPort,
    /// A port is not a number from 1 to 65535.
    BadPort,
    /// A bracket is not closed.
    OpenBracket,
    /// The text in brackets is not an IPv6 address.
    NotIpv6,
    /// An IPv6 address is not in brackets.
    BareIpv6,
    /// A path that begins with `/` is missing.
    NoPath,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        let what = match self.kind {
            NameErrorKind::UnknownKind => {
                return f.write_str(
                    "unknown kind of name: inet!, fixedinet!, nil!, neg!, fail!, zk! and \
                     serverset! exist",
                );
            }
            NameErrorKind::Url => {
                return f.write_str(
                    "a URL is no name of write proxies: write inet!host:port, with the port for \
                     thrift",
                );
            }
            NameErrorKind::NoAddress => "an address, host:port, is missing",
            NameErrorKind::NoHost => "the host in front of the port is missing",
            NameErrorKind::BadHost => "a character that no host has",
            NameErrorKind::NoPort => "a port, as in host:port, is missing",
            NameErrorKind::BadPort => "the port is not a number from 1 to 65535",
            NameErrorKind::OpenBracket => "the bracket is not closed",
            NameErrorKind::NotIpv6 => "the text in brackets is not an IPv6 address",
            NameErrorKind::BareIpv6 => "an IPv6 address needs brackets, as in [::1]:8000",
            NameErrorKind::NoPath => {
                "a path that begins with / is missing, as in zk!host:2181!/path"
            }
        };
        write!(f, "{what}, at offset {offset} of the name")
    }
}

impl core::error::Error for NameError {}
