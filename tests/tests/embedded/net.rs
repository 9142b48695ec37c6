//! A network stack with the traits of embedded-nal-async, over tokio's sockets.

use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use std::io;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_nal_async::{AddrType, Dns, TcpConnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// TCP.
pub(crate) struct Sockets;

/// A connection.
pub(crate) struct Socket(TcpStream);

/// An error of a socket.
#[derive(Debug)]
pub(crate) struct SocketError(io::Error);

impl core::fmt::Display for SocketError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for SocketError {}

impl embedded_io_async::Error for SocketError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::from(self.0.kind())
    }
}

impl TcpConnect for Sockets {
    type Error = SocketError;
    type Connection<'a> = Socket;

    async fn connect(&self, remote: SocketAddr) -> Result<Socket, SocketError> {
        let stream = TcpStream::connect(remote).await.map_err(SocketError)?;
        stream.set_nodelay(true).map_err(SocketError)?;
        Ok(Socket(stream))
    }
}

impl ErrorType for Socket {
    type Error = SocketError;
}

impl Read for Socket {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, SocketError> {
        self.0.read(buf).await.map_err(SocketError)
    }
}

impl Write for Socket {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, SocketError> {
        self.0.write(buf).await.map_err(SocketError)
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        self.0.flush().await.map_err(SocketError)
    }
}

/// A resolver of one name, which gives these results one after the other, the last one for ever.
pub(crate) struct Resolver {
    name: &'static str,
    results: RefCell<Vec<Option<IpAddr>>>,
    pub(crate) lookups: RefCell<usize>,
}

impl Resolver {
    pub(crate) fn new(name: &'static str, results: &[Option<IpAddr>]) -> Self {
        Self {
            name,
            results: RefCell::new(results.iter().rev().copied().collect()),
            lookups: RefCell::new(0),
        }
    }
}

impl Dns for Resolver {
    type Error = &'static str;

    async fn get_host_by_name(&self, host: &str, _: AddrType) -> Result<IpAddr, &'static str> {
        assert_eq!(host, self.name);
        *self.lookups.borrow_mut() += 1;
        let mut results = self.results.borrow_mut();
        let result = if results.len() > 1 {
            results.pop()
        } else {
            results.last().copied()
        };
        result.flatten().ok_or("no such host")
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, &'static str> {
        Err("only names are looked up")
    }
}
