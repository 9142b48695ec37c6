use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io;

use distributedlog_store::net::{BoxedStream, Dial, DialFuture, Listen};
use distributedlog_store::uri::HostPort;

use super::wire::{Connection, Opening};
use super::{HostId, Listening, Network, SimStream};

/// Accepts a process's connections. Dropping it refuses further ones.
#[derive(Debug)]
pub(crate) struct SimListener {
    network: Network,
    address: SocketAddr,
}

/// Makes a process's connections.
#[derive(Clone, Debug)]
pub(crate) struct SimDial {
    pub(crate) network: Network,
    pub(crate) host: HostId,
}

/// A connection that is being made. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Dialling(Option<SimStream>);

impl Network {
    /// Listens at a process's port.
    pub(crate) fn listen(&self, host: HostId, port: u16) -> SimListener {
        let address = host.address(port);
        self.inner().listeners.insert(
            address,
            Listening {
                host,
                queue: VecDeque::new(),
                waker: None,
            },
        );
        SimListener {
            network: self.clone(),
            address,
        }
    }

    /// Begins to connect.
    pub(crate) fn dial(&self, host: HostId, address: SocketAddr) -> Dialling {
        let inner = &mut *self.inner();
        inner.last_connection += 1;
        let id = inner.last_connection;
        let to = HostId::of(address).unwrap_or(HostId(u8::MAX));
        let due = inner.due(host, to);
        inner
            .connections
            .insert(id, Connection::new([host, to], due, address, inner.window));
        inner
            .trace
            .note(format_args!("net {id}: {host:?} dials {address}"));
        Dialling(Some(SimStream {
            network: self.clone(),
            id,
            end: 0,
        }))
    }
}

impl Dialling {
    /// The connection, once it is made.
    pub(crate) fn try_finish(&mut self) -> Poll<io::Result<SimStream>> {
        self.poll(None)
    }

    fn poll(&mut self, context: Option<&Context<'_>>) -> Poll<io::Result<SimStream>> {
        let Some(stream) = &self.0 else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let opening = {
            let mut inner = stream.network.inner();
            let Some(connection) = inner.connections.get_mut(&stream.id) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            connection.dialler = context.map(|context| context.waker().clone());
            connection.opening
        };
        match opening {
            Opening::Done => self
                .0
                .take()
                .map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream))),
            Opening::Failed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            Opening::Asked { .. } | Opening::Accepted { .. } | Opening::Refused { .. } => {
                Poll::Pending
            }
        }
    }
}

impl Dial for SimDial {
    fn dial<'a>(&'a self, host: &'a HostPort) -> DialFuture<'a> {
        Box::pin(async move {
            let address = host.to_string().parse().map_err(io::Error::other)?;
            let mut dialling = self.network.dial(self.host, address);
            let stream = poll_fn(|context| dialling.poll(Some(context))).await?;
            Ok(Box::new(stream) as BoxedStream)
        })
    }
}

impl Listen for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        poll_fn(|context| {
            let mut inner = self.network.inner();
            let Some(listening) = inner.listeners.get_mut(&self.address) else {
                return Poll::Pending;
            };
            match listening.queue.pop_front() {
                Some((id, peer)) => Poll::Ready(Ok((
                    SimStream {
                        network: self.network.clone(),
                        id,
                        end: 1,
                    },
                    peer,
                ))),
                None => {
                    listening.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut inner = self.network.inner();
        let Some(listening) = inner.listeners.remove(&self.address) else {
            return;
        };
        for (id, _) in listening.queue {
            inner.close(id, 1);
        }
    }
}
