use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::chain;
use super::settings::{Server, Servers};

/// Smallest read buffer that hyper accepts.
const MIN_BUFFER_BYTES: usize = 8192;

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection that is polled. `None` once it has ended.
type Polled = Option<Pin<Box<http1::Connection<TokioIo<Box<dyn Socket>>, String>>>>;

/// One connection to a proxy, on which a request is made at a time.
///
/// The connection is polled together with what waits for it, not in a task of its own: a reader
/// that is not polled reads nothing, and one that is dropped leaves nothing behind.
pub(super) struct Exchange {
    sender: SendRequest<String>,
    connection: Polled,
    /// Error behind what was taken of a body.
    lost: Option<hyper::Error>,
}

impl Exchange {
    /// Connects within the connect timeout. hyper reads at most `buffer_bytes` ahead.
    pub(super) async fn connect(
        servers: &Servers,
        server: &Server,
        buffer_bytes: usize,
    ) -> Result<Self, String> {
        let limit = servers.connect_timeout;
        let connecting = async {
            let socket = TcpStream::connect((server.host.as_str(), server.port))
                .await
                .map_err(|error| error.to_string())?;
            socket
                .set_nodelay(true)
                .map_err(|error| error.to_string())?;
            let socket: Box<dyn Socket> = match &servers.tls {
                #[cfg(not(feature = "tls"))]
                Some(none) => match *none {},
                #[cfg(feature = "tls")]
                Some(tls) if server.secure => Box::new(
                    tls.secure(&server.host, socket)
                        .await
                        .map_err(|error| error.to_string())?,
                ),
                #[cfg(feature = "tls")]
                Some(_) => Box::new(socket),
                None => Box::new(socket),
            };
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(buffer_bytes.max(MIN_BUFFER_BYTES))
                .handshake(TokioIo::new(socket))
                .await
                .map_err(|error| chain(&error))?;
            Ok(Self {
                sender,
                connection: Some(Box::pin(connection)),
                lost: None,
            })
        };
        timeout(limit, connecting)
            .await
            .unwrap_or_else(|_| Err(format!("no connection within {limit:?}")))
            .map_err(|error: String| format!("{server} cannot be reached: {error}"))
    }

    /// Makes a request, and waits for the head of its response.
    pub(super) async fn get(
        &mut self,
        servers: &Servers,
        server: &Server,
        path: &str,
        accept: &'static str,
    ) -> Result<Response<Incoming>, String> {
        let mut request = Request::get(path)
            .body(String::new())
            .map_err(|error| error.to_string())?;
        let headers = request.headers_mut();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("distributedlog-reader/", env!("CARGO_PKG_VERSION"))),
        );
        headers.extend(servers.headers.clone());
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        server.name_host(headers);
        let connection = &mut self.connection;
        let sender = &mut self.sender;
        let answer = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        beside(connection, servers.silence, answer)
            .await
            .ok_or_else(|| format!("{server} was silent for {:?}", servers.silence))?
            .map_err(|error| format!("the connection to {server} was lost: {}", chain(&error)))
    }

    /// Waits for the next piece of a response's body, and takes those that follow without waiting,
    /// as long as `take` returns true. Returns false if there was none: the body has ended.
    pub(super) async fn pieces(
        &mut self,
        servers: &Servers,
        server: &Server,
        body: &mut Incoming,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, String> {
        let Self {
            connection, lost, ..
        } = self;
        let mut body = Pin::new(body);
        let mut any = false;
        let pieces = poll_fn(|context| {
            if let Some(error) = lost.take() {
                return Poll::Ready(Err(error));
            }
            // Bounded: by `take`, and by what the socket has before it is pending.
            loop {
                // The connection hands out one piece at a time.
                poll_connection(connection, context);
                match body.as_mut().poll_frame(context) {
                    // Trailers say nothing here.
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Some(data) = frame.data_ref() {
                            any = true;
                            if !take(data) {
                                return Poll::Ready(Ok(true));
                            }
                        }
                    }
                    // What came before it is taken first.
                    Poll::Ready(Some(Err(error))) if any => {
                        *lost = Some(error);
                        return Poll::Ready(Ok(true));
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    // The end of a body comes again.
                    Poll::Ready(None) => return Poll::Ready(Ok(any)),
                    Poll::Pending if any => return Poll::Ready(Ok(true)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let limit = servers.silence;
        timeout(limit, pieces)
            .await
            .map_err(|_| format!("{server} was silent for {limit:?}"))?
            .map_err(|error| format!("the connection to {server} was lost: {}", chain(&error)))
    }

    /// Waits for the whole body of a response, but for no more than `limit` bytes.
    pub(super) async fn whole(
        &mut self,
        servers: &Servers,
        server: &Server,
        mut body: Incoming,
        limit: usize,
    ) -> Result<Vec<u8>, String> {
        let mut whole = Vec::new();
        let mut is_too_long = false;
        while !is_too_long
            && self
                .pieces(servers, server, &mut body, |piece| {
                    is_too_long = whole.len() + piece.len() > limit;
                    if !is_too_long {
                        whole.extend_from_slice(piece);
                    }
                    !is_too_long
                })
                .await?
        {}
        if is_too_long {
            return Err(format!(
                "{server} answered with more than {limit} bytes: is it a write proxy?"
            ));
        }
        Ok(whole)
    }
}

/// Polls a connection until it has ended.
fn poll_connection(connection: &mut Polled, context: &mut Context<'_>) {
    if let Some(open) = connection
        && open.as_mut().poll(context).is_ready()
    {
        // Its error reaches the request or the body too.
        *connection = None;
    }
}

/// Polls the connection, and then what waits for it. `None` if that takes longer than `limit`.
///
/// The connection is first: after a pause of the consumer, what the socket has received meanwhile
/// reaches the future before the time does.
async fn beside<F: Future>(
    connection: &mut Polled,
    limit: Duration,
    waiting: F,
) -> Option<F::Output> {
    let mut waiting = pin!(waiting);
    let both = poll_fn(|context: &mut Context<'_>| {
        poll_connection(connection, context);
        waiting.as_mut().poll(context)
    });
    timeout(limit, both).await.ok()
}
