//! Making connections to bookies: TCP, TLS if it is asked for, and authentication.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::bookies::BookieSet;
use crate::metadata::{BookieAddress, BookieId};
#[cfg(feature = "tls")]
use crate::wire::Status;
use crate::wire::{Auth, Operation, Priority, Reply, Request, Response, frame_len};

/// Maximum bytes of a response before the connection is made: nothing long is expected.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Maximum steps of an authentication.
const MAX_STEPS: usize = 16;

/// Number of requests before the connection is made; all others count from 0.
const TXN_ID: u64 = u64::MAX >> 1;

/// Authentication of connections by one of the plugins that bookies have, for instance `sasl`.
pub trait Authentication: Send + Sync {
    /// Returns the plugin's name.
    fn plugin(&self) -> &str;

    /// Begins the authentication of one connection.
    fn begin(&self) -> Box<dyn AuthenticationSteps>;
}

/// Authentication of one connection.
pub trait AuthenticationSteps: Send {
    /// Returns the first message.
    ///
    /// # Errors
    /// A text for the user, for instance if credentials are missing.
    fn first(&mut self) -> Result<Bytes, String>;

    /// Takes the bookie's message and returns the next one, or `None` when the bookie has accepted.
    ///
    /// # Errors
    /// A text for the user, for instance if the bookie could not prove that it knows the secret.
    fn next(&mut self, message: &[u8]) -> Result<Option<Bytes>, String>;
}

/// A connection that is ready for requests.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Future of [`Connect`].
pub type ConnectFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Way to make connections to bookies.
pub trait Connect: Send + Sync {
    /// Connects to a bookie.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    fn connect<'a>(&'a self, bookie: &'a BookieId) -> ConnectFuture<'a>;
}

/// Connections by TCP, with or without TLS.
pub(super) struct Dial {
    /// Addresses of the bookies that are registered.
    pub(super) bookies: watch::Receiver<Arc<BookieSet>>,
    pub(super) timeout: Duration,
    pub(super) authentication: Option<Arc<dyn Authentication>>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<tokio_rustls::TlsConnector>,
}

impl Connect for Dial {
    fn connect<'a>(&'a self, bookie: &'a BookieId) -> ConnectFuture<'a> {
        Box::pin(async {
            let address = self.bookies.borrow().address(bookie).ok_or_else(|| {
                let text = "no registration names its address";
                io::Error::new(io::ErrorKind::NotFound, text)
            })?;
            let connected = timeout(self.timeout, self.connect_to(&address)).await;
            connected.unwrap_or_else(|_| {
                let text = format!("no connection within {:?}", self.timeout);
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            })
        })
    }
}

impl Dial {
    async fn connect_to(&self, address: &BookieAddress) -> io::Result<Box<dyn Stream>> {
        let mut tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
        // Small entries must not wait for the acknowledgement of the one before.
        tcp.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if let Some(connector) = &self.tls {
            start_tls(&mut tcp).await?;
            let name = rustls::pki_types::ServerName::try_from(address.host.clone())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let mut tls = connector.connect(name, tcp).await?;
            self.authenticate(&mut tls).await?;
            return Ok(Box::new(tls));
        }
        self.authenticate(&mut tcp).await?;
        Ok(Box::new(tcp))
    }

    async fn authenticate<S>(&self, stream: &mut S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(authentication) = &self.authentication else {
            return Ok(());
        };
        let mut steps = authentication.begin();
        let mut payload = steps.first().map_err(io::Error::other)?;
        for _ in 0..MAX_STEPS {
            let auth = Auth {
                plugin: authentication.plugin().to_owned(),
                payload,
            };
            let response = ask(stream, Operation::Auth(auth)).await?;
            let Some(Reply::Auth(reply)) = response.reply else {
                let status = response.status();
                return Err(refused(format!(
                    "the bookie refuses to authenticate: {status:?}"
                )));
            };
            if reply.plugin == "AuthDisabled" {
                return Ok(());
            }
            match steps.next(&reply.payload).map_err(refused)? {
                Some(next) => payload = next,
                None => return Ok(()),
            }
        }
        Err(refused("the authentication does not end".to_owned()))
    }
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Asks the bookie to begin TLS on this connection.
#[cfg(feature = "tls")]
async fn start_tls(tcp: &mut TcpStream) -> io::Result<()> {
    let response = ask(tcp, Operation::StartTls).await?;
    let status = response.status();
    if status == Status::Ok {
        Ok(())
    } else {
        Err(refused(format!("the bookie has no TLS: {status:?}")))
    }
}

/// Sends one request and waits for its response, which must be the next.
async fn ask<S>(stream: &mut S, operation: Operation) -> io::Result<Response>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = Request {
        txn_id: TXN_ID,
        priority: Priority::Normal,
        operation,
    };
    let mut frame = BytesMut::new();
    request.encode(&mut frame);
    stream.write_all(&frame).await?;
    stream.flush().await?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let whole = frame_len(&length, MAX_RESPONSE_BYTES).map_err(io::Error::other)?;
    // Exactly the response is read: what follows belongs to TLS.
    let mut response = BytesMut::zeroed(whole.unwrap_or(0));
    response[..4].copy_from_slice(&length);
    stream.read_exact(&mut response[4..]).await?;
    response.advance(4);
    let response = Response::decode(&response.freeze()).map_err(io::Error::other)?;
    if response.txn_id != TXN_ID {
        return Err(io::Error::other("a response without a request"));
    }
    Ok(response)
}
