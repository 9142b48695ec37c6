//! Where connections come from: TCP, or whatever stands for it in a simulation or a test.
//!
//! Everything that listens takes a [`Listen`], and everything that connects takes a [`Dial`];
//! [`TcpListener`] and [`Tcp`] are what they are in a running system.

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::uri::HostPort;

/// How many connections may wait to be accepted; the system has a limit of its own, 4,096 on
/// today's Linux.
const BACKLOG: u32 = 4096;

/// A connection's bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection whose kind does not matter.
pub type BoxedStream = Box<dyn ByteStream>;

/// A [`Dial::dial`] that is under way.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<BoxedStream>> + Send + 'a>>;

/// Accepts connections.
pub trait Listen: Send + 'static {
    /// What it accepts.
    type Stream: ByteStream + 'static;

    /// The next connection, and who made it.
    ///
    /// # Errors
    /// A connection that ended while it waited, or a system that has no more room for connections:
    /// calling again makes sense.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

/// How long to wait when the system has no more file descriptors or memory for connections: closing
/// ones give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The next connection, however often accepting one fails: failures of single connections that
/// ended while they waited pass at once, others may last, so each is logged and followed by a
/// pause. `whose` says whose connections these are.
///
/// # Cancel safety
/// Dropping the future loses no connection.
pub async fn next_connection<L: Listen>(
    listener: &mut L,
    whose: &'static str,
) -> (L::Stream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, whose, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Makes connections.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Connects to a host. Takes as long as it takes: whoever calls sets the limit.
    ///
    /// # Errors
    /// Why there is no connection.
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    fn dial<'a>(&'a self, host: &'a HostPort) -> Dialing<'a>;
}

/// TCP, whose frames leave at once: answers are put together before they are written, and must not
/// wait for one another's acknowledgement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a HostPort) -> Dialing<'a> {
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
        // A connection that is gone already is found out by whoever reads it.
        stream.set_nodelay(true).ok();
        Ok((stream, peer))
    }
}

/// Listens. A socket of our own making, because the usual way lets only 128 connections wait to be
/// accepted: when thousands of clients come at once, as after a restart, each one beyond that would
/// try again only after a second.
///
/// # Errors
/// What the system says: the address is in use, not of this machine, or not allowed.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Connections of an earlier process that linger on the port are no reason not to start.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Lets this process open as many files and connections as its hard limit allows: the usual soft
/// limit of 1,024 is meant for programs that use `select`, which this one does not.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    ) {
        Ok(()) => tracing::debug!(
            from = limit.current,
            to = limit.maximum,
            "raised the limit of open files"
        ),
        Err(error) => tracing::warn!(
            "the limit of open files stays at {:?}: {error}",
            limit.current
        ),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;
    use tokio::time::Instant;

    use super::*;

    /// Fails so often before it accepts.
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
    async fn a_listener_that_fails_is_asked_again_after_a_pause_each_time() {
        let began = Instant::now();
        let (_, peer) = next_connection(&mut Failing(3), "a test's").await;
        assert_eq!((peer.port(), began.elapsed()), (9, 3 * ACCEPT_PAUSE));
    }
}
