//! The addresses of namespaces: `distributedlog://host[:port][,host[:port]]/namespace`.

use core::fmt;
use core::str::FromStr;

/// The port of a store whose URI names none: the one that `dlog local` serves by default.
pub const DEFAULT_PORT: u16 = 7000;

/// The namespace of a store that was not told another one.
pub const DEFAULT_NAMESPACE: &str = "/messaging/distributedlog";

/// At most this many hosts in one URI.
pub const MAX_HOSTS: usize = 16;

/// At most this many bytes in one URI.
pub const MAX_URI_BYTES: usize = 2048;

/// What a URI's scheme says about the store behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// `distributedlog://`: whoever answers says what it is.
    Ask,
    /// `distributedlog-bk://`: ZooKeeper and BookKeeper, which are not supported yet.
    BookKeeper,
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an IP address, without the brackets of IPv6.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where a namespace is served. One that exists was checked: it has at least one host and a
/// namespace.
///
/// ```
/// let uri: distributedlog_store::uri::Uri = "distributedlog://127.0.0.1/messaging/distributedlog".parse()?;
/// assert_eq!(uri.hosts()[0].port, distributedlog_store::uri::DEFAULT_PORT);
/// assert_eq!(uri.to_string(), "distributedlog://127.0.0.1:7000/messaging/distributedlog");
/// # Ok::<(), distributedlog_store::uri::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    backend: Backend,
    hosts: Vec<HostPort>,
    namespace: String,
}

impl Uri {
    /// The URI of the store at `host`:`port`, which serves [`DEFAULT_NAMESPACE`].
    #[must_use]
    pub fn local(host: &str, port: u16) -> Self {
        Self {
            backend: Backend::Ask,
            hosts: vec![HostPort {
                host: host.to_owned(),
                port,
            }],
            namespace: DEFAULT_NAMESPACE.to_owned(),
        }
    }

    /// What the scheme says about the store.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// The hosts in the order in which they are tried. At least one, at most [`MAX_HOSTS`].
    #[must_use]
    pub fn hosts(&self) -> &[HostPort] {
        &self.hosts
    }

    /// The namespace: begins with `/`, has no empty part, and no `/` at its end.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.backend {
            Backend::Ask => "distributedlog://",
            Backend::BookKeeper => "distributedlog-bk://",
        })?;
        for (index, host) in self.hosts.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{host}")?;
        }
        f.write_str(&self.namespace)
    }
}

/// Why a text is no URI of a namespace: what is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriError {
    /// The text, cut when it is longer than [`MAX_URI_BYTES`].
    pub input: String,
    /// The byte of the text where the fault begins.
    pub at: usize,
    /// What is wrong there.
    pub fault: UriFault,
}

/// What is wrong with a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriFault {
    /// The text is longer than [`MAX_URI_BYTES`].
    TooLong,
    /// There is no `://`.
    NoScheme,
    /// The scheme is neither `distributedlog` nor `distributedlog-bk`.
    UnknownScheme(String),
    /// A host is empty.
    EmptyHost,
    /// There are more hosts than [`MAX_HOSTS`].
    TooManyHosts,
    /// A character that no host's name or address has.
    BadHost(char),
    /// `[` without `]`, or an address in brackets that is not IPv6.
    BadAddress,
    /// The port is not a number from 1 to 65535.
    BadPort(String),
    /// There is no namespace after the hosts.
    NoNamespace,
    /// A part of the namespace is empty, `.`, or `..`.
    BadPart,
    /// A character that no namespace has.
    BadNamespace(char),
}

impl fmt::Display for UriFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_URI_BYTES} bytes"),
            Self::NoScheme => f.write_str("\"distributedlog://\" is missing"),
            Self::UnknownScheme(scheme) => write!(
                f,
                "the scheme \"{scheme}\" is neither \"distributedlog\" nor \"distributedlog-bk\""
            ),
            Self::EmptyHost => f.write_str("a host is missing"),
            Self::TooManyHosts => write!(f, "there are more than {MAX_HOSTS} hosts"),
            Self::BadHost(found) => write!(f, "{found:?} cannot be in a host's name"),
            Self::BadAddress => f.write_str("an address in brackets must be IPv6, as [::1]"),
            Self::BadPort(port) => write!(f, "the port \"{port}\" is not a number from 1 to 65535"),
            Self::NoNamespace => f.write_str("the namespace is missing"),
            Self::BadPart => f.write_str("a part of the namespace is empty or relative"),
            Self::BadNamespace(found) => write!(f, "{found:?} cannot be in a namespace"),
        }
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, at, fault } = self;
        write!(
            f,
            "\"{input}\" is no URI of a namespace: at byte {at}, {fault}; one looks like \
             distributedlog://127.0.0.1:{DEFAULT_PORT}{DEFAULT_NAMESPACE}"
        )
    }
}

impl core::error::Error for UriError {}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(input: &str) -> Result<Self, UriError> {
        if input.len() > MAX_URI_BYTES {
            let start = cut(input, 64);
            return Err(UriError {
                input: format!("{start}…"),
                at: MAX_URI_BYTES,
                fault: UriFault::TooLong,
            });
        }
        parse(input).map_err(|(at, fault)| UriError {
            input: input.to_owned(),
            at,
            fault,
        })
    }
}

/// At most `at` bytes of `text`, cut between characters.
fn cut(text: &str, at: usize) -> &str {
    (0..=at.min(text.len()))
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or("")
}

type Fault = (usize, UriFault);

fn parse(input: &str) -> Result<Uri, Fault> {
    let (scheme, rest) = input.split_once("://").ok_or((0, UriFault::NoScheme))?;
    let backend = match scheme {
        "distributedlog" => Backend::Ask,
        "distributedlog-bk" => Backend::BookKeeper,
        other => return Err((0, UriFault::UnknownScheme(other.to_owned()))),
    };
    let hosts_at = input.len() - rest.len();
    let slash = rest.find('/').unwrap_or(rest.len());
    let (hosts, path) = rest.split_at(slash);
    let hosts = parse_hosts(hosts, hosts_at)?;
    let namespace = parse_namespace(path, hosts_at + slash)?;
    Ok(Uri {
        backend,
        hosts,
        namespace,
    })
}

/// The hosts of `text`, which begins at byte `at` of the URI. DistributedLog's own URIs part them
/// with `;` or `,`.
fn parse_hosts(text: &str, mut at: usize) -> Result<Vec<HostPort>, Fault> {
    let mut hosts = Vec::new();
    for one in text.split([',', ';']) {
        if hosts.len() == MAX_HOSTS {
            return Err((at, UriFault::TooManyHosts));
        }
        hosts.push(parse_host(one, at)?);
        at += one.len() + 1;
    }
    Ok(hosts)
}

fn parse_host(text: &str, at: usize) -> Result<HostPort, Fault> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed
            .split_once(']')
            .ok_or((at, UriFault::BadAddress))?;
        address
            .parse::<core::net::Ipv6Addr>()
            .map_err(|_| (at, UriFault::BadAddress))?;
        let port_at = at + address.len() + 2;
        let port = match after.strip_prefix(':') {
            Some(port) => parse_port(port, port_at + 1)?,
            None if after.is_empty() => DEFAULT_PORT,
            None => return Err((port_at, UriFault::BadPort(after.to_owned()))),
        };
        return Ok(HostPort {
            host: address.to_owned(),
            port,
        });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, parse_port(port, at + host.len() + 1)?),
        None => (text, DEFAULT_PORT),
    };
    if host.is_empty() {
        return Err((at, UriFault::EmptyHost));
    }
    match host
        .char_indices()
        .find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_'))
    {
        Some((offset, found)) => Err((at + offset, UriFault::BadHost(found))),
        None => Ok(HostPort {
            host: host.to_owned(),
            port,
        }),
    }
}

fn parse_port(text: &str, at: usize) -> Result<u16, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        Ok(_) | Err(_) => Err((at, UriFault::BadPort(text.to_owned()))),
    }
}

fn parse_namespace(path: &str, at: usize) -> Result<String, Fault> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    if trimmed.is_empty() {
        return Err((at, UriFault::NoNamespace));
    }
    let allowed =
        |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '<' | '>' | '"' | '\\' | '%');
    if let Some((offset, found)) = trimmed.char_indices().find(|(_, c)| !allowed(*c)) {
        return Err((at + offset, UriFault::BadNamespace(found)));
    }
    let mut part_at = at + 1;
    for part in trimmed[1..].split('/') {
        if matches!(part, "" | "." | "..") {
            return Err((part_at, UriFault::BadPart));
        }
        part_at += part.len() + 1;
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, UriFault) {
        let error = text.parse::<Uri>().expect_err(text);
        assert_eq!(error.input, text);
        (error.at, error.fault)
    }

    #[test]
    fn a_uri_is_read_and_written_back() {
        for (text, written) in [
            (
                "distributedlog://127.0.0.1:7000/messaging/distributedlog",
                None,
            ),
            (
                "distributedlog://a,b:1;c/x",
                Some("distributedlog://a:7000,b:1,c:7000/x"),
            ),
            (
                "distributedlog://[::1]/n/",
                Some("distributedlog://[::1]:7000/n"),
            ),
            ("distributedlog://[fe80::2]:9/n", None),
            (
                "distributedlog-bk://zk-1.example:2181/messaging/my_namespace",
                None,
            ),
        ] {
            let uri: Uri = text.parse().expect(text);
            assert_eq!(uri.to_string(), written.unwrap_or(text));
            assert_eq!(uri.to_string().parse::<Uri>().as_ref(), Ok(&uri));
        }
        assert_eq!(
            "distributedlog-bk://h/n"
                .parse::<Uri>()
                .map(|uri| uri.backend()),
            Ok(Backend::BookKeeper)
        );
        assert_eq!(
            Uri::local("127.0.0.1", 7000).to_string(),
            "distributedlog://127.0.0.1:7000/messaging/distributedlog"
        );
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        assert_eq!(fault(""), (0, UriFault::NoScheme));
        assert_eq!(fault("127.0.0.1:7000/x"), (0, UriFault::NoScheme));
        assert_eq!(
            fault("http://h/x"),
            (0, UriFault::UnknownScheme("http".into()))
        );
        assert_eq!(fault("distributedlog:///x"), (17, UriFault::EmptyHost));
        assert_eq!(fault("distributedlog://a,,b/x"), (19, UriFault::EmptyHost));
        assert_eq!(fault("distributedlog://:7000/x"), (17, UriFault::EmptyHost));
        assert_eq!(
            fault("distributedlog://a b/x"),
            (18, UriFault::BadHost(' '))
        );
        assert_eq!(
            fault("distributedlog://user@h/x"),
            (21, UriFault::BadHost('@'))
        );
        assert_eq!(fault("distributedlog://[::1/x"), (17, UriFault::BadAddress));
        assert_eq!(
            fault("distributedlog://[1.2.3.4]/x"),
            (17, UriFault::BadAddress)
        );
        assert_eq!(
            fault("distributedlog://[::1]x/x"),
            (22, UriFault::BadPort("x".into()))
        );
        for port in ["", "0", "65536", "+1", "-1", "7x", "99999999999999999999"] {
            assert_eq!(
                fault(&format!("distributedlog://h:{port}/x")),
                (19, UriFault::BadPort(port.into()))
            );
        }
        assert_eq!(fault("distributedlog://h"), (18, UriFault::NoNamespace));
        assert_eq!(fault("distributedlog://h/"), (18, UriFault::NoNamespace));
        assert_eq!(fault("distributedlog://h/a//b"), (21, UriFault::BadPart));
        assert_eq!(fault("distributedlog://h/a/../b"), (21, UriFault::BadPart));
        assert_eq!(
            fault("distributedlog://h/a?b"),
            (20, UriFault::BadNamespace('?'))
        );
        assert_eq!(
            fault(&format!("distributedlog://{}/x", "h,".repeat(16) + "h")),
            (17 + 32, UriFault::TooManyHosts)
        );
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_and_cut_in_the_message() {
        let error = "é"
            .repeat(MAX_URI_BYTES)
            .parse::<Uri>()
            .expect_err("too long");
        assert_eq!(error.fault, UriFault::TooLong);
        assert!(error.input.len() < 100);
    }

    #[test]
    fn the_message_says_what_would_be_right() {
        let message = "distributedlog://h:0/x"
            .parse::<Uri>()
            .expect_err("port 0")
            .to_string();
        assert_eq!(
            message,
            "\"distributedlog://h:0/x\" is no URI of a namespace: at byte 19, the port \"0\" is \
             not a number from 1 to 65535; one looks like \
             distributedlog://127.0.0.1:7000/messaging/distributedlog"
        );
    }
}
