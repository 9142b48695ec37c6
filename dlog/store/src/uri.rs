//! URIs of namespaces: `distributedlog://host[:port][,host[:port]]/namespace`.

use core::fmt;
use core::str::FromStr;

/// Port of a store whose URI has none: the default of `dlog local`.
pub const DEFAULT_PORT: u16 = 7000;

/// Port of a server of ZooKeeper, where a URI that begins with `distributedlog-bk://` has none.
pub const ZOOKEEPER_PORT: u16 = 2181;

/// Default namespace of a store.
pub const DEFAULT_NAMESPACE: &str = "/messaging/distributedlog";

/// Maximum number of hosts in a URI.
pub const MAX_HOSTS: usize = 16;

/// Maximum length of a URI in bytes.
pub const MAX_URI_BYTES: usize = 2048;

/// Kind of store, as the URI's scheme states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// `distributedlog://`: the kind is detected when connecting.
    Detect,
    /// `distributedlog-bk://`: ZooKeeper and BookKeeper.
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

/// Address of a namespace. Always valid: it has at least one host and a namespace.
///
/// ```
/// use distributedlog_store::uri::{DEFAULT_PORT, Uri};
///
/// let uri: Uri = "distributedlog://127.0.0.1/messaging/distributedlog".parse()?;
/// assert_eq!(uri.hosts()[0].port, DEFAULT_PORT);
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
    /// Creates the URI of the store at `host`:`port` with [`DEFAULT_NAMESPACE`].
    #[must_use]
    pub fn local(host: &str, port: u16) -> Self {
        Self {
            backend: Backend::Detect,
            hosts: vec![HostPort {
                host: host.to_owned(),
                port,
            }],
            namespace: DEFAULT_NAMESPACE.to_owned(),
        }
    }

    /// Returns the kind of store that the scheme states.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Returns the hosts in the order in which they are tried. At least one, at most [`MAX_HOSTS`].
    #[must_use]
    pub fn hosts(&self) -> &[HostPort] {
        &self.hosts
    }

    /// Returns the namespace. It begins with `/`, has no empty part, and no `/` at its end.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.backend {
            Backend::Detect => "distributedlog://",
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

/// Error of a text that is not the URI of a namespace: what is wrong, and where. The message shows
/// a valid URI.
#[derive(Clone, PartialEq, Eq)]
pub struct UriError {
    /// The text, truncated if it is longer than [`MAX_URI_BYTES`].
    pub input: String,
    /// Offset in bytes of the part that is wrong.
    pub at: usize,
    /// Kind of the error.
    pub kind: UriErrorKind,
}

/// Kind of a [`UriError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriErrorKind {
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
    /// A host contains a character that is not allowed.
    BadHost(char),
    /// `[` without `]`, or an address in brackets that is not IPv6.
    BadAddress,
    /// The port is not a number from 1 to 65535.
    BadPort(String),
    /// There is no namespace after the hosts.
    NoNamespace,
    /// A part of the namespace is empty, `.`, or `..`.
    BadPart,
    /// The namespace contains a character that is not allowed.
    BadNamespace(char),
}

impl fmt::Display for UriErrorKind {
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
            Self::BadHost(found) => write!(f, "{found:?} is not allowed in a host's name"),
            Self::BadAddress => f.write_str("an address in brackets must be IPv6, as [::1]"),
            Self::BadPort(port) => write!(f, "the port \"{port}\" is not a number from 1 to 65535"),
            Self::NoNamespace => f.write_str("the namespace is missing"),
            Self::BadPart => f.write_str("a part of the namespace is empty or relative"),
            Self::BadNamespace(found) => write!(f, "{found:?} is not allowed in a namespace"),
        }
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, at, kind } = self;
        write!(
            f,
            "\"{input}\" is not the URI of a namespace: at byte {at}, {kind}; one looks like \
             distributedlog://127.0.0.1:{DEFAULT_PORT}{DEFAULT_NAMESPACE}"
        )
    }
}

distributedlog::debug_is_display!(UriError);

impl core::error::Error for UriError {}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(input: &str) -> Result<Self, UriError> {
        if input.len() > MAX_URI_BYTES {
            let start = cut(input, 64);
            return Err(UriError {
                input: format!("{start}…"),
                at: MAX_URI_BYTES,
                kind: UriErrorKind::TooLong,
            });
        }
        parse(input).map_err(|(at, kind)| UriError {
            input: input.to_owned(),
            at,
            kind,
        })
    }
}

/// Returns at most `at` bytes of `text`, truncated between characters.
fn cut(text: &str, at: usize) -> &str {
    (0..=at.min(text.len()))
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or("")
}

type ParseError = (usize, UriErrorKind);

fn parse(input: &str) -> Result<Uri, ParseError> {
    let (scheme, rest) = input.split_once("://").ok_or((0, UriErrorKind::NoScheme))?;
    let backend = match scheme {
        "distributedlog" => Backend::Detect,
        "distributedlog-bk" => Backend::BookKeeper,
        other => return Err((0, UriErrorKind::UnknownScheme(other.to_owned()))),
    };
    let hosts_at = input.len() - rest.len();
    let slash = rest.find('/').unwrap_or(rest.len());
    let (hosts, path) = rest.split_at(slash);
    let default_port = match backend {
        Backend::Detect => DEFAULT_PORT,
        Backend::BookKeeper => ZOOKEEPER_PORT,
    };
    let hosts = parse_hosts(hosts, hosts_at, default_port)?;
    let namespace = parse_namespace(path, hosts_at + slash)?;
    Ok(Uri {
        backend,
        hosts,
        namespace,
    })
}

/// Parses the hosts in `text`, which begins at byte `at` of the URI. DistributedLog's own URIs
/// separate them with `;` or `,`.
fn parse_hosts(text: &str, mut at: usize, default_port: u16) -> Result<Vec<HostPort>, ParseError> {
    let mut hosts = Vec::new();
    for one in text.split([',', ';']) {
        if hosts.len() == MAX_HOSTS {
            return Err((at, UriErrorKind::TooManyHosts));
        }
        hosts.push(parse_host(one, at, default_port)?);
        at += one.len() + 1;
    }
    Ok(hosts)
}

fn parse_host(text: &str, at: usize, default_port: u16) -> Result<HostPort, ParseError> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed
            .split_once(']')
            .ok_or((at, UriErrorKind::BadAddress))?;
        address
            .parse::<core::net::Ipv6Addr>()
            .map_err(|_| (at, UriErrorKind::BadAddress))?;
        let port_at = at + address.len() + 2;
        let port = match after.strip_prefix(':') {
            Some(port) => parse_port(port, port_at + 1)?,
            None if after.is_empty() => default_port,
            None => return Err((port_at, UriErrorKind::BadPort(after.to_owned()))),
        };
        return Ok(HostPort {
            host: address.to_owned(),
            port,
        });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, parse_port(port, at + host.len() + 1)?),
        None => (text, default_port),
    };
    if host.is_empty() {
        return Err((at, UriErrorKind::EmptyHost));
    }
    match host
        .char_indices()
        .find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_'))
    {
        Some((offset, found)) => Err((at + offset, UriErrorKind::BadHost(found))),
        None => Ok(HostPort {
            host: host.to_owned(),
            port,
        }),
    }
}

fn parse_port(text: &str, at: usize) -> Result<u16, ParseError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        Ok(_) | Err(_) => Err((at, UriErrorKind::BadPort(text.to_owned()))),
    }
}

fn parse_namespace(path: &str, at: usize) -> Result<String, ParseError> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    if trimmed.is_empty() {
        return Err((at, UriErrorKind::NoNamespace));
    }
    let allowed =
        |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '<' | '>' | '"' | '\\' | '%');
    if let Some((offset, found)) = trimmed.char_indices().find(|(_, c)| !allowed(*c)) {
        return Err((at + offset, UriErrorKind::BadNamespace(found)));
    }
    let mut part_at = at + 1;
    for part in trimmed[1..].split('/') {
        if matches!(part, "" | "." | "..") {
            return Err((part_at, UriErrorKind::BadPart));
        }
        part_at += part.len() + 1;
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> (usize, UriErrorKind) {
        let error = text.parse::<Uri>().expect_err(text);
        assert_eq!(error.input, text);
        (error.at, error.kind)
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
            (
                "distributedlog-bk://zk-1,zk-2:2182/n",
                Some("distributedlog-bk://zk-1:2181,zk-2:2182/n"),
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
        assert_eq!(kind(""), (0, UriErrorKind::NoScheme));
        assert_eq!(kind("127.0.0.1:7000/x"), (0, UriErrorKind::NoScheme));
        assert_eq!(
            kind("http://h/x"),
            (0, UriErrorKind::UnknownScheme("http".into()))
        );
        assert_eq!(kind("distributedlog:///x"), (17, UriErrorKind::EmptyHost));
        assert_eq!(
            kind("distributedlog://a,,b/x"),
            (19, UriErrorKind::EmptyHost)
        );
        assert_eq!(
            kind("distributedlog://:7000/x"),
            (17, UriErrorKind::EmptyHost)
        );
        assert_eq!(
            kind("distributedlog://a b/x"),
            (18, UriErrorKind::BadHost(' '))
        );
        assert_eq!(
            kind("distributedlog://user@h/x"),
            (21, UriErrorKind::BadHost('@'))
        );
        assert_eq!(
            kind("distributedlog://[::1/x"),
            (17, UriErrorKind::BadAddress)
        );
        assert_eq!(
            kind("distributedlog://[1.2.3.4]/x"),
            (17, UriErrorKind::BadAddress)
        );
        assert_eq!(
            kind("distributedlog://[::1]x/x"),
            (22, UriErrorKind::BadPort("x".into()))
        );
        for port in ["", "0", "65536", "+1", "-1", "7x", "99999999999999999999"] {
            assert_eq!(
                kind(&format!("distributedlog://h:{port}/x")),
                (19, UriErrorKind::BadPort(port.into()))
            );
        }
        assert_eq!(kind("distributedlog://h"), (18, UriErrorKind::NoNamespace));
        assert_eq!(kind("distributedlog://h/"), (18, UriErrorKind::NoNamespace));
        assert_eq!(kind("distributedlog://h/a//b"), (21, UriErrorKind::BadPart));
        assert_eq!(
            kind("distributedlog://h/a/../b"),
            (21, UriErrorKind::BadPart)
        );
        assert_eq!(
            kind("distributedlog://h/a?b"),
            (20, UriErrorKind::BadNamespace('?'))
        );
        assert_eq!(
            kind(&format!("distributedlog://{}/x", "h,".repeat(16) + "h")),
            (17 + 32, UriErrorKind::TooManyHosts)
        );
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_and_cut_in_the_message() {
        let error = "é"
            .repeat(MAX_URI_BYTES)
            .parse::<Uri>()
            .expect_err("too long");
        assert_eq!(error.kind, UriErrorKind::TooLong);
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
            "\"distributedlog://h:0/x\" is not the URI of a namespace: at byte 19, the port \"0\" \
             is not a number from 1 to 65535; one looks like \
             distributedlog://127.0.0.1:7000/messaging/distributedlog"
        );
    }
}
