use core::fmt;
use core::fmt::Write as _;
use core::time::Duration;

#[cfg(feature = "tls")]
use distributedlog_tokio::{Tls, TlsConnector};
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Uri};

use crate::reader::BuildError;

/// Without TLS there is no connector.
#[cfg(not(feature = "tls"))]
type TlsConnector = core::convert::Infallible;

/// Default time that a connection may take, its handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Default silence of a proxy after which the connection counts as lost, and its range. The proxy
/// sends a heartbeat twice in that time, and heartbeats come every 0.1 to 60 s.
const SILENCE: Duration = Duration::from_secs(10);
const MIN_SILENCE: Duration = Duration::from_millis(200);
const MAX_SILENCE: Duration = Duration::from_secs(120);

/// The HTTP port of one write proxy, or of several over the same store.
///
/// Each stream has a connection of its own, over which the proxy sends records as they come. A
/// connection that is lost or silent is made anew, at the next proxy if there are several, after a
/// pause that doubles from 0.1 s to 5 s; reading resumes where it was.
///
/// ```
/// # use distributedlog_reader::{BuildError, HttpSource, MultiStreamReader};
/// # fn reader(token: &str) -> Result<MultiStreamReader, BuildError> {
/// let source = HttpSource::new(["https://proxy-1.example:8002", "https://proxy-2.example:8002"])
///     .token(token);
/// MultiStreamReader::builder(source).streams(["orders-1", "orders-2"]).build()
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a source does nothing until a reader reads from it"]
pub struct HttpSource {
    urls: Vec<String>,
    token: Option<String>,
    headers: Vec<(String, String)>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    connect_timeout: Duration,
    silence: Duration,
}

impl HttpSource {
    /// Creates a source from the URLs of proxies, such as `http://127.0.0.1:8002`. A path is put in
    /// front of the paths of the interface.
    pub fn new<S: Into<String>>(urls: impl IntoIterator<Item = S>) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            token: None,
            headers: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
            connect_timeout: CONNECT_TIMEOUT,
            silence: SILENCE,
        }
    }

    /// Sets the token that the proxies require (`--http-token-file`). Without TLS it is readable on
    /// the network. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Adds a header to each request, for a gateway in front of the proxies. Default: none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the TLS settings of `https` URLs; they are those of the writer. Default:
    /// `Tls::native_roots` with the feature `native-roots`, otherwise none: they must be set.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the time that making a connection may take, its handshakes included. Default: 5 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the silence of a proxy after which its connection counts as lost: 0.2 s to 120 s. A
    /// proxy without new records sends a heartbeat twice in that time. Default: 10 s.
    pub const fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    pub(crate) fn prepare(self) -> Result<Servers, BuildError> {
        let urls: Result<Vec<Server>, BuildError> =
            self.urls.iter().map(|url| Server::parse(url)).collect();
        let urls = urls?;
        if urls.is_empty() {
            return Err(BuildError::Url {
                url: String::new(),
                reason: "at least one is needed".to_owned(),
            });
        }
        if !(MIN_SILENCE..=MAX_SILENCE).contains(&self.silence) {
            return Err(BuildError::Setting {
                setting: "silence",
                value: format!("{:?}", self.silence),
                expected: format!("within {MIN_SILENCE:?} to {MAX_SILENCE:?}"),
            });
        }
        let tls = urls
            .iter()
            .find(|server| server.secure)
            .map(|server| self.connector(server))
            .transpose()?;
        Ok(Servers {
            headers: headers(&self.headers, self.token.as_deref())?,
            urls,
            tls,
            connect_timeout: self.connect_timeout,
            silence: self.silence,
        })
    }

    /// Makes the TLS settings ready, which `server` needs.
    #[cfg(feature = "tls")]
    fn connector(&self, server: &Server) -> Result<TlsConnector, BuildError> {
        let Some(tls) = self.tls.clone().or_else(default_tls) else {
            return Err(BuildError::Url {
                url: server.to_string(),
                reason: "it needs TLS settings (HttpSource::tls): the feature native-roots of \
                         distributedlog-reader, whose authorities are the default, is off"
                    .to_owned(),
            });
        };
        tls.prepare().map_err(BuildError::Tls)
    }

    #[cfg(not(feature = "tls"))]
    fn connector(&self, server: &Server) -> Result<TlsConnector, BuildError> {
        Err(BuildError::Url {
            url: server.to_string(),
            reason: "https needs the feature tls of distributedlog-reader, which is off".to_owned(),
        })
    }
}

#[cfg(feature = "native-roots")]
const fn default_tls() -> Option<Tls> {
    Some(Tls::native_roots())
}

#[cfg(all(feature = "tls", not(feature = "native-roots")))]
const fn default_tls() -> Option<Tls> {
    None
}

impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("HttpSource");
        shown
            .field("urls", &self.urls)
            .field("token", &self.token.is_some());
        #[cfg(feature = "tls")]
        shown.field("tls", &self.tls);
        shown.finish_non_exhaustive()
    }
}

/// The headers of all requests. A name or value that is none is an error, which does not repeat a
/// value: it may be a secret.
fn headers(given: &[(String, String)], token: Option<&str>) -> Result<HeaderMap, BuildError> {
    let invalid = |name: &str| BuildError::Setting {
        setting: "header",
        value: name.to_owned(),
        expected: "a name and a value of HTTP".to_owned(),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(name))?;
        let value = HeaderValue::from_str(value).map_err(|_| invalid(name))?;
        headers.append(key, value);
    }
    if let Some(token) = token {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| invalid("token"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// Checked settings.
pub(crate) struct Servers {
    /// Not empty.
    pub(super) urls: Vec<Server>,
    pub(super) headers: HeaderMap,
    /// `None` only if no URL is `https`.
    pub(super) tls: Option<TlsConnector>,
    pub(super) connect_timeout: Duration,
    pub(super) silence: Duration,
}

/// Address of a proxy.
pub(super) struct Server {
    pub(super) secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port as the URL has them.
    pub(super) authority: HeaderValue,
    /// Path of the URL, without a slash at its end.
    base: String,
}

impl Server {
    fn parse(url: &str) -> Result<Self, BuildError> {
        let invalid = |reason: &str| BuildError::Url {
            // Without what may be a password.
            url: url.rsplit('@').next().unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri = url
            .parse()
            .map_err(|_| invalid("it is no URL such as http://127.0.0.1:8002"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(invalid("it begins neither with http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(invalid(
                "it has credentials or a query: use the source's token or header",
            ));
        }
        let host = authority.host();
        Ok(Self {
            secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| invalid("its host is none"))?,
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Returns the path of a stream, with `suffix` behind it.
    pub(super) fn path(&self, stream: &str, suffix: &str) -> String {
        format!("{}/v1/streams/{}{suffix}", self.base, escape(stream))
    }

    /// Adds the header that names the proxy.
    pub(super) fn name_host(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.authority.clone());
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        let authority = self.authority.to_str().unwrap_or(&self.host);
        write!(f, "{scheme}://{authority}{}", self.base)
    }
}

/// Escapes a text for a path or a query: all but the unreserved characters of RFC 3986.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("into memory");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_a_path() {
        let server = Server::parse("https://[::1]:8443/logs/").expect("a URL");
        assert_eq!(
            (server.host.as_str(), server.port, server.secure),
            ("::1", 8443, true)
        );
        assert_eq!(server.path("a/b ü", ""), "/logs/v1/streams/a%2Fb%20%C3%BC");
        assert_eq!(server.to_string(), "https://[::1]:8443/logs");
        let server = Server::parse("http://proxy.example").expect("a URL");
        assert_eq!((server.port, server.secure), (80, false));
        assert_eq!(server.path("s", "/records"), "/v1/streams/s/records");
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused_without_its_password() {
        for (url, said) in [
            ("", "no URL"),
            ("proxy:8002", "begins neither"),
            ("ftp://proxy:8002", "begins neither"),
            ("http://user:secret@proxy:8002", "credentials"),
            ("http://proxy:8002/?a=b", "query"),
        ] {
            let Err(error) = Server::parse(url) else {
                panic!("{url}")
            };
            let error = error.to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
    }

    #[cfg(not(feature = "native-roots"))]
    #[test]
    fn a_url_of_https_without_the_features_it_needs_is_refused_with_their_name() {
        let needed = if cfg!(feature = "tls") {
            "feature native-roots"
        } else {
            "feature tls"
        };
        let Err(error) = HttpSource::new(["https://proxy:8002"]).prepare() else {
            panic!("there is no TLS")
        };
        assert!(error.to_string().contains(needed), "{error}");
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_refused_and_not_shown() {
        let source = HttpSource::new(["http://proxy:8002"]).token("secret\n");
        assert!(!format!("{source:?}").contains("secret"));
        let Err(error) = source.prepare() else {
            panic!("a line break")
        };
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_source_without_a_url_and_one_that_is_never_silent_are_refused() {
        assert!(HttpSource::new([""; 0]).prepare().is_err());
        let source = HttpSource::new(["http://proxy:8002"]);
        assert!(source.clone().silence(Duration::ZERO).prepare().is_err());
        assert!(source.prepare().is_ok());
    }
}
