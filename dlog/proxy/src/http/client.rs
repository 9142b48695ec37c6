use core::convert::Infallible;
use core::future::{pending, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::Version;
use axum::http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Limit of the bytes that are read ahead while a request is in flight: the beginning of the
/// client's next request. A client that sends one has not gone, and is not watched further.
const AHEAD_BYTES: usize = 1 << 10;

/// Reason why a client will send nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientEnd {
    /// It closed its sending side. It may still wait for its responses, or have closed the
    /// connection: TCP does not tell the two apart before something is sent to it.
    Closed,
    /// The connection is broken: the client receives nothing either.
    Broken,
}

/// A socket that hyper and the requests in flight share. While a request is in flight hyper does
/// not read, so that a client may close its sending side and wait for the response; the request
/// itself reads then, and so learns that the client is going.
///
/// The invariant: bytes leave in the order in which they came; those in `ahead` came before any
/// that the socket still has.
pub(super) struct SharedSocket<S>(Arc<Mutex<WatchedSocket<S>>>);

struct WatchedSocket<S> {
    socket: S,
    /// Bytes that a request in flight read ahead for hyper.
    ahead: Vec<u8>,
    end: Option<ClientEnd>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> SharedSocket<S> {
    /// Returns the socket, and the value by which its requests watch it.
    pub(super) fn new(socket: S) -> (Self, ClientWatch) {
        let shared = Arc::new(Mutex::new(WatchedSocket {
            socket,
            ahead: Vec::new(),
            end: None,
        }));
        let watch = ClientWatch {
            socket: Some(shared.clone()),
        };
        (Self(shared), watch)
    }

    fn lock(&self) -> MutexGuard<'_, WatchedSocket<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the client of a request in flight.
#[derive(Clone)]
pub(super) struct ClientWatch {
    /// `None` over HTTP/2.
    socket: Option<Arc<dyn PollEnd>>,
}

impl ClientWatch {
    /// Waits until the client closes its sending side or the connection breaks. The whole request
    /// must have been read. Over HTTP/2 it waits for ever: hyper drops the requests of a client
    /// that goes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait. Nothing that the client sends is lost.
    pub(super) async fn ended(&self) -> ClientEnd {
        match &self.socket {
            Some(socket) => poll_fn(|cx| socket.poll_end(cx)).await,
            None => pending().await,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientWatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let of_connection = parts.extensions.get::<Self>();
        let watched = of_connection.filter(|_| parts.version != Version::HTTP_2);
        Ok(watched.cloned().unwrap_or(Self { socket: None }))
    }
}

trait PollEnd: Send + Sync {
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<ClientEnd>;
}

impl<S: AsyncRead + Unpin + Send> PollEnd for Mutex<WatchedSocket<S>> {
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<ClientEnd> {
        let mut watched = self.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = watched.end {
            return Poll::Ready(end);
        }
        if !watched.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut space = [0; AHEAD_BYTES];
        let mut came = ReadBuf::new(&mut space);
        let end = match ready!(Pin::new(&mut watched.socket).poll_read(cx, &mut came)) {
            Ok(()) if !came.filled().is_empty() => {
                watched.ahead.extend_from_slice(came.filled());
                return Poll::Pending;
            }
            Ok(()) => ClientEnd::Closed,
            // TLS, without its farewell.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => ClientEnd::Closed,
            Err(_) => ClientEnd::Broken,
        };
        watched.end = Some(end);
        Poll::Ready(end)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for SharedSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut watched = self.lock();
        if !watched.ahead.is_empty() {
            let count = watched.ahead.len().min(buf.remaining());
            buf.put_slice(&watched.ahead[..count]);
            watched.ahead.drain(..count);
            return Poll::Ready(Ok(()));
        }
        match watched.end {
            None => Pin::new(&mut watched.socket).poll_read(cx, buf),
            Some(ClientEnd::Closed) => Poll::Ready(Ok(())),
            Some(ClientEnd::Broken) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for SharedSocket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().socket).poll_shutdown(cx)
    }
}
