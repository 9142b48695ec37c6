use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use distributedlog_tokio::{Tls, TlsConnector};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::CliError;
use super::super::target::ClientSecurity;

/// Maximum size of an answer: a page of 10,000 descriptions, or a stream with 100,000 log segments.
const MAX_BYTES: usize = 16 << 20;
/// Time until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of connections without a request that are kept.
const MAX_IDLE: usize = 64;

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Client of one proxy's HTTP port. Clones share its connections.
#[derive(Clone)]
pub(crate) struct HttpClient(Arc<Inner>);

struct Inner {
    url: String,
    base: Uri,
    token: Option<String>,
    /// `None` if the URL is not `https`.
    tls: Option<TlsConnector>,
    /// Bounded: [`MAX_IDLE`].
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// Answer to a request.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Reason why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskError {
    /// Nothing was sent: there is no connection.
    NotSent(String),
    /// The connection was lost, or the time has passed: the request may have been carried out.
    Unanswered(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) | Self::Unanswered(why) => f.write_str(why),
        }
    }
}

impl HttpClient {
    /// Creates a client. `tls` holds for `https` URLs; `None`: the machine's authorities.
    ///
    /// # Errors
    /// The URL is none, or the TLS settings cannot be used.
    pub(crate) fn new(
        url: &str,
        token: Option<String>,
        tls: Option<&Tls>,
    ) -> Result<Self, CliError> {
        let invalid = |why: &str| CliError::usage(format!("{url} is no address of a proxy: {why}"));
        let base: Uri = url.parse().map_err(|_| invalid("it is no URL"))?;
        let tls = match base.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let tls = tls.cloned().unwrap_or_else(Tls::native_roots).prepare();
                Some(tls.map_err(|error| CliError::usage(error.to_string()))?)
            }
            Some(_) | None => return Err(invalid("it begins neither with http:// nor https://")),
        };
        if base.host().is_none() {
            return Err(invalid("it has no host"));
        }
        Ok(Self(Arc::new(Inner {
            url: url.trim_end_matches('/').to_owned(),
            base,
            token,
            tls,
            idle: Mutex::default(),
        })))
    }

    /// Creates a client of a target's HTTP port.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn of(url: &str, security: &ClientSecurity) -> Result<Self, CliError> {
        Self::new(url, security.token().map(str::to_owned), security.tls())
    }

    /// Returns the URL.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// Makes a request, and waits for the whole answer.
    ///
    /// # Errors
    /// There is no answer within `limit`, or it is too long.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        limit: Duration,
    ) -> Result<HttpAnswer, AskError> {
        let request = |client: &Self| client.request(&method, path, headers, body.clone());
        let asking = async {
            // A kept connection may have been closed meanwhile. hyper gives a request back that it
            // has not sent.
            while let Some(mut sender) = self.kept() {
                if sender.ready().await.is_err() {
                    continue;
                }
                match sender.try_send_request(request(self)?).await {
                    Ok(response) => return self.answer(sender, response).await,
                    Err(mut error) => {
                        if error.take_message().is_none() {
                            return Err(AskError::Unanswered(chain(error.error())));
                        }
                    }
                }
            }
            let mut sender = timeout(CONNECT_TIMEOUT, self.connect())
                .await
                .unwrap_or_else(|_| Err(format!("no connection within {CONNECT_TIMEOUT:?}")))
                .map_err(AskError::NotSent)?;
            match sender.try_send_request(request(self)?).await {
                Ok(response) => self.answer(sender, response).await,
                Err(error) => Err(AskError::Unanswered(chain(error.error()))),
            }
        };
        timeout(limit, asking)
            .await
            .unwrap_or_else(|_| Err(AskError::Unanswered(format!("no answer within {limit:?}"))))
    }

    /// Makes a request on a connection of its own, whose response is read as it comes.
    ///
    /// # Errors
    /// There is no response.
    pub(super) async fn open(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<hyper::Response<Incoming>, AskError> {
        let opening = async {
            let mut sender = self.connect().await.map_err(AskError::NotSent)?;
            let accept = [("accept", accept.to_owned())];
            let request = self.request(&Method::GET, path, &accept, Bytes::new())?;
            let response = sender.send_request(request).await;
            response.map_err(|error| AskError::Unanswered(chain(&error)))
        };
        timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| {
            Err(AskError::NotSent(format!(
                "no answer within {CONNECT_TIMEOUT:?}"
            )))
        })
    }

    /// Returns the host, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        let host = self.0.base.host().unwrap_or_default();
        host.trim_matches(['[', ']'])
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        let default = if self.0.tls.is_some() { 443 } else { 80 };
        self.0.base.port_u16().unwrap_or(default)
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, AskError> {
        let base = &self.0.base;
        let authority = base.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", base.path().trim_end_matches('/')))
            .header("host", authority)
            .header("user-agent", concat!("dlog/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.0.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body));
        request.map_err(|error| AskError::NotSent(error.to_string()))
    }

    /// Reads the body, and keeps the connection for the next request.
    async fn answer(
        &self,
        sender: SendRequest<Full<Bytes>>,
        response: hyper::Response<Incoming>,
    ) -> Result<HttpAnswer, AskError> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await;
        let body = body.map_err(|error| AskError::Unanswered(error.to_string()))?;
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(sender);
        }
        Ok(HttpAnswer {
            status: parts.status,
            body: body.to_bytes(),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        self.idle().pop()
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let tls = &self.0.tls;
        let host = self.host();
        let socket = TcpStream::connect((host, self.port())).await;
        let socket = socket.map_err(|error| error.to_string())?;
        // Small requests must not wait for the acknowledgement of earlier ones.
        socket
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let socket: Box<dyn Socket> = match tls {
            Some(tls) => {
                let secured = tls.secure(host, socket).await;
                Box::new(secured.map_err(|error| error.to_string())?)
            }
            None => Box::new(socket),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|error| chain(&error))?;
        // It ends when the sender is dropped, or the proxy closes it.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("url", &self.0.url)
            .field("token", &self.0.token.is_some())
            .finish_non_exhaustive()
    }
}

/// Formats an error with its sources: hyper's own text has none of them.
pub(super) fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Escapes a text for a path or a query: all but the unreserved characters of RFC 3986.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused() {
        for (url, said) in [
            ("http://", "no URL"),
            ("ftp://h:1", "begins neither"),
            ("h:1", "begins neither"),
        ] {
            let error = HttpClient::new(url, None, None).expect_err(url).to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
        let client = HttpClient::new("http://h:1/logs/", Some("secret".to_owned()), None);
        let client = client.expect("a URL");
        assert_eq!(client.url(), "http://h:1/logs");
        assert!(!format!("{client:?}").contains("secret"));
    }

    #[test]
    fn names_of_streams_are_escaped_in_paths() {
        assert_eq!(escape("a/b ü~"), "a%2Fb%20%C3%BC~");
    }

    #[tokio::test]
    async fn a_port_where_nothing_listens_was_sent_nothing() {
        let port = distributedlog_testkit::ports::ReservedPort::new();
        let url = format!("http://127.0.0.1:{}", port.number());
        let client = HttpClient::new(&url, None, None).expect("a URL");
        let limit = Duration::from_secs(30);
        let answer = client.ask(Method::GET, "/healthz", &[], Bytes::new(), limit);
        assert!(matches!(answer.await, Err(AskError::NotSent(_))));
    }
}
