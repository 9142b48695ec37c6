//! Listening and connecting: TCP, or a substitute for it in a simulation or a test.
//!
//! Servers take a [`Listen`], which [`TcpListener`] implements; clients take a [`Dial`], which
//! [`Tcp`] implements.

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::log_limit::{Admitted, LogKind, LogLimits};
use crate::uri::HostPort;

/// Number of connections that may wait to be accepted. The system has its own limit, 4,096 on
/// current Linux.
const BACKLOG: u32 = 4096;

/// A connection: a stream of bytes in each direction.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection of any type.
pub type BoxedStream = Box<dyn ByteStream>;

/// Future of [`Dial::dial`].
pub type DialFuture<'a> = Pin<Box<dyn Future<Output = io::Result<BoxedStream>> + Send + 'a>>;

/// Accepts connections.
pub trait Listen: Send + 'static {
    /// Type of the accepted connections.
    type Stream: ByteStream + 'static;

    /// Accepts a connection. Returns it and the peer's address.
    ///
    /// # Errors
    /// The connection ended while it waited, or the system has no more file descriptors or memory.
    /// Call again.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

/// Pause after a failure, such as a lack of file descriptors or memory, which closing connections
/// free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts a connection. Logs a failure, pauses for 50 ms and tries again without limit, because a
/// failure concerns a single connection or passes when others are closed. `clients` names the
/// connections in the log, which `log_limits` bounds.
///
/// # Cancel safety
/// Dropping the future loses no connection.
pub async fn next_connection<L: Listen>(
    listener: &mut L,
    clients: &'static str,
    log_limits: &LogLimits,
) -> (L::Stream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                if let Some(Admitted { left_out }) = log_limits.admit(LogKind::NotAccepted) {
                    tracing::warn!(%error, clients, left_out, "cannot accept a connection");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Makes connections.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Connects to a host. Has no timeout of its own: the caller sets one.
    ///
    /// # Errors
    /// The connection could not be made.
    ///
    /// # Cancel safety
    /// Dropping the future aborts the connection.
    fn dial<'a>(&'a self, host: &'a HostPort) -> DialFuture<'a>;
}

/// TCP with `TCP_NODELAY`: replies are combined before they are written, and must not wait for the
/// acknowledgement of earlier ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a HostPort) -> DialFuture<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((host.host.as_str(), host.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxedStream)
        })
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        // If the connection has ended already, reading it reports that.
        stream.set_nodelay(true).ok();
        Ok((stream, peer))
    }
}

/// Listens on a TCP address with a backlog of 4,096 connections. The standard library's is 128: if
/// thousands of clients connect at once, as after a restart, each one beyond it would try again
/// only after a second.
///
/// # Errors
/// The address is in use, does not belong to this machine, or is not permitted.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Lets the server start while connections of an earlier process linger on the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;
    use tokio::time::Instant;

    use super::*;

    /// Fails this many times before it accepts.
    struct Failing(u32);

    impl Listen for Failing {
        type Stream = DuplexStream;

        async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Err(io::Error::other("too many open files"))
                }
                None => Ok((
                    tokio::io::duplex(1).0,
                    SocketAddr::from(([127, 0, 0, 1], 9)),
                )),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn accepting_is_tried_again_after_a_pause_for_each_failure() {
        let began = Instant::now();
        let (_, peer) = next_connection(&mut Failing(3), "a test's", &LogLimits::default()).await;
        assert_eq!((peer.port(), began.elapsed()), (9, 3 * ACCEPT_PAUSE));
    }
}
