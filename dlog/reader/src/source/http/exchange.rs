use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;
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

    /// Waits for the next piece of a response's body. `None` at its end.
    pub(super) async fn piece(
        &mut self,
        servers: &Servers,
        server: &Server,
        body: &mut Incoming,
    ) -> Result<Option<Bytes>, String> {
        let mut body = Pin::new(body);
        let piece = poll_fn(|context| {
            loop {
                break match core::task::ready!(body.as_mut().poll_frame(context)) {
                    // Trailers say nothing here.
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => Poll::Ready(Ok(Some(data))),
                        Err(_) => continue,
                    },
                    Some(Err(error)) => Poll::Ready(Err(error)),
                    None => Poll::Ready(Ok(None)),
                };
            }
        });
        beside(&mut self.connection, servers.silence, piece)
            .await
            .ok_or_else(|| format!("{server} was silent for {:?}", servers.silence))?
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
        while let Some(piece) = self.piece(servers, server, &mut body).await? {
            if whole.len() + piece.len() > limit {
                return Err(format!(
                    "{server} answered with more than {limit} bytes: is it a write proxy?"
                ));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
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
        if let Some(open) = connection
            && open.as_mut().poll(context).is_ready()
        {
            // Its error reaches the request or the body too.
            *connection = None;
        }
        waiting.as_mut().poll(context)
    });
    timeout(limit, both).await.ok()
}
