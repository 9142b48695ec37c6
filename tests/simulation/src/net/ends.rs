use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io;

use distributedlog_store::net::{BoxedStream, Dial, DialFuture, Listen};
use distributedlog_store::uri::HostPort;

use super::wire::{ConnectState, Connection};
use super::{HostId, ListenerState, Network, SimStream};

/// Listener of a process. Dropping it refuses further connections.
#[derive(Debug)]
pub(crate) struct SimListener {
    network: Network,
    address: SocketAddr,
}

/// Dialer of a process.
#[derive(Clone, Debug)]
pub(crate) struct SimDial {
    pub(crate) network: Network,
    pub(crate) host: HostId,
}

/// Connection that is being established. Dropping it gives up.
#[derive(Debug)]
pub(crate) struct Connecting(Option<SimStream>);

impl Network {
    /// Starts to listen on a port of a host.
    pub(crate) fn listen(&self, host: HostId, port: u16) -> SimListener {
        let address = host.address(port);
        self.inner().listeners.insert(
            address,
            ListenerState {
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

    /// Starts to connect to an address.
    pub(crate) fn dial(&self, host: HostId, address: SocketAddr) -> Connecting {
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
        Connecting(Some(SimStream {
            network: self.clone(),
            id,
            end: 0,
        }))
    }
}

impl Connecting {
    /// Returns the connection once it is established, without registering a waker.
    pub(crate) fn try_finish(&mut self) -> Poll<io::Result<SimStream>> {
        self.poll(None)
    }

    fn poll(&mut self, context: Option<&Context<'_>>) -> Poll<io::Result<SimStream>> {
        let Some(stream) = &self.0 else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let connect_state = {
            let mut inner = stream.network.inner();
            let Some(connection) = inner.connections.get_mut(&stream.id) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            connection.connect_waker = context.map(|context| context.waker().clone());
            connection.connect_state
        };
        match connect_state {
            ConnectState::Done => self
                .0
                .take()
                .map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream))),
            ConnectState::Failed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            ConnectState::Requested { .. }
            | ConnectState::Accepted { .. }
            | ConnectState::Refused { .. } => Poll::Pending,
        }
    }
}

impl Dial for SimDial {
    fn dial<'a>(&'a self, host: &'a HostPort) -> DialFuture<'a> {
        Box::pin(async move {
            let address = host.to_string().parse().map_err(io::Error::other)?;
            let mut connecting = self.network.dial(self.host, address);
            let stream = poll_fn(|context| connecting.poll(Some(context))).await?;
            Ok(Box::new(stream) as BoxedStream)
        })
    }
}

impl Listen for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        poll_fn(|context| {
            let mut inner = self.network.inner();
            let Some(listener) = inner.listeners.get_mut(&self.address) else {
                return Poll::Pending;
            };
            match listener.queue.pop_front() {
                Some((id, peer)) => Poll::Ready(Ok((
                    SimStream {
                        network: self.network.clone(),
                        id,
                        end: 1,
                    },
                    peer,
                ))),
                None => {
                    listener.waker = Some(context.waker().clone());
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
        let Some(listener) = inner.listeners.remove(&self.address) else {
            return;
        };
        for (id, _) in listener.queue {
            inner.close(id, 1);
        }
    }
}
