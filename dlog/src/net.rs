//! Sockets that many connect to: listening, and as many open files as the system allows.

use core::net::SocketAddr;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted; the system has a limit of its own, 4,096 on today's Linux.
const BACKLOG: u32 = 4096;

/// Listens. A socket of our own making, because the usual way lets only 128 connections wait to be accepted: when thousands of clients come
/// at once, as after a restart, each one beyond that would try again only after a second.
///
/// # Errors
/// What the system says: the address is in use, not of this machine, or not allowed.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of an earlier process that linger on the port are no reason not to start.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Lets this process open as many files and connections as its hard limit allows: the usual soft limit of 1,024 is meant for programs that
/// use `select`, which this one does not.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => tracing::debug!(from = limit.current, to = limit.maximum, "raised the limit of open files"),
        Err(error) => tracing::warn!("the limit of open files stays at {:?}: {error}", limit.current),
    }
}
