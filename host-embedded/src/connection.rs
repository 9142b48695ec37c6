//! Connections: opening, use and loss.

use core::convert::Infallible;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;

use distributedlog::client::routing::MAX_NAME_BYTES;
use distributedlog::{Cause, Clock, report};
use embassy_futures::select::{Either, Either3, select, select3};
use embedded_io_async::{Read, Write};
use embedded_nal_async::{Dns, TcpConnect};

use crate::ProxyClient;
use crate::link::LinkId;

impl<C: Clock, const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    ProxyClient<'_, C, HOSTS, STREAMS, REQUESTS>
{
    /// Keeps a connection to the host in this slot while the routing machine wants one.
    pub(crate) async fn keep_connected<T: TcpConnect, D: Dns>(
        &self,
        index: usize,
        tcp: &T,
        dns: &D,
        incoming: &mut [u8],
        outgoing: &mut [u8],
    ) -> Infallible {
        loop {
            let id = self.until_wanted(index).await;
            let opened = select(self.until_unwanted(index, id), self.open(id, tcp, dns)).await;
            let cause = match opened {
                Either::First(cause) => {
                    report!(warn, "no connection to host {} in time", index);
                    cause
                }
                Either::Second(None) => {
                    report!(warn, "no connection to host {}", index);
                    Cause::Unreachable
                }
                Either::Second(Some(mut connection)) => {
                    report!(info, "connected to host {}", index);
                    self.with(|state, now| state.connected(now, id));
                    let cause = self
                        .talk(index, id, &mut connection, incoming, outgoing)
                        .await;
                    report!(warn, "connection to host {} ended: {}", index, cause.name());
                    cause
                }
            };
            self.with(|state, now| state.lost(now, id, cause));
        }
    }

    /// Opens a connection. The routing machine limits its time.
    async fn open<'t, T: TcpConnect, D: Dns>(
        &self,
        id: LinkId,
        tcp: &'t T,
        dns: &D,
    ) -> Option<T::Connection<'t>> {
        let address = match self.known_address(id)? {
            Ok(address) => address,
            // A proxy redirected to this name.
            Err((name, port)) => {
                let address = SocketAddr::new(self.look_up(dns, &name).await?, port);
                let host = self.with(|state, now| {
                    let host = state.routing.handle_address(now, id.host, address);
                    if host != id.host {
                        // It is a host that is known already; this slot is free.
                        state.links[id.host.index()].disconnect();
                    }
                    host
                });
                if host != id.host {
                    return None;
                }
                address
            }
        };
        tcp.connect(address).await.ok()
    }

    /// Returns the host's address, or its name and port if that must be resolved first.
    fn known_address(
        &self,
        id: LinkId,
    ) -> Option<Result<SocketAddr, (heapless::String<MAX_NAME_BYTES>, u16)>> {
        let state = self.state.borrow();
        let view = state.routing.host(id.host)?;
        Some(match view.address {
            Some(address) => Ok(address),
            None => Err((heapless::String::try_from(view.name).ok()?, view.port)),
        })
    }

    /// Sends and receives until the connection ends.
    async fn talk(
        &self,
        index: usize,
        id: LinkId,
        connection: &mut (impl Read + Write),
        incoming: &mut [u8],
        outgoing: &mut [u8],
    ) -> Cause {
        let mut received = 0;
        loop {
            // What is to be sent goes first: there is at most one frame for each request and ping.
            let happened = select3(
                self.until_unwanted(index, id),
                self.until_encoded(id, outgoing),
                // The session refuses frames that would not fit, so there is always room.
                connection.read(&mut incoming[received..]),
            )
            .await;
            match happened {
                Either3::First(cause) => return cause,
                Either3::Second(count) => {
                    let send = self.send(id, connection, &outgoing[..count]);
                    match select(self.until_unwanted(index, id), send).await {
                        Either::First(cause) => return cause,
                        Either::Second(None) => return Cause::ConnectionLost,
                        Either::Second(Some(())) => {}
                    }
                }
                Either3::Third(Ok(0) | Err(_)) => return Cause::ConnectionLost,
                Either3::Third(Ok(count)) => {
                    received += count;
                    let bytes = &incoming[..received];
                    match self.with(|state, now| state.received(now, id, bytes)) {
                        Ok(count) => {
                            incoming.copy_within(count..received, 0);
                            received -= count;
                        }
                        Err(cause) => return cause,
                    }
                }
            }
        }
    }

    /// Sends these bytes. Returns `None` if the connection ended.
    async fn send(&self, id: LinkId, connection: &mut impl Write, bytes: &[u8]) -> Option<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match connection.write(&bytes[sent..]).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => {
                    sent += count;
                    let now = self.clock.now();
                    self.state.borrow_mut().transmitted(now, id, count);
                }
            }
        }
        if self.config.flush {
            connection.flush().await.ok()?;
        }
        Some(())
    }

    /// Waits until a connection to the host in this slot is wanted.
    async fn until_wanted(&self, index: usize) -> LinkId {
        poll_fn(|_| match self.state.borrow_mut().links[index].take() {
            Some(id) => Poll::Ready(id),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits until the connection is to be given up.
    async fn until_unwanted(&self, index: usize, id: LinkId) -> Cause {
        poll_fn(|_| match self.state.borrow().links[index].end_of(id) {
            Some(cause) => Poll::Ready(cause),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits until there is something to send, and returns the length of what was encoded.
    async fn until_encoded(&self, id: LinkId, out: &mut [u8]) -> usize {
        poll_fn(|_| {
            let control = self.state.borrow_mut().encode_control(id, out);
            match control {
                None => Poll::Pending,
                Some(0) => match self.with(|state, now| state.encode_request(now, id, out)) {
                    0 => Poll::Pending,
                    count => Poll::Ready(count),
                },
                Some(count) => Poll::Ready(count),
            }
        })
        .await
    }
}
