//! The connection to the proxy: opening, use, loss and reconnection.

use core::net::{SocketAddr, SocketAddrV4};

use distributedlog::client::HostId;
use distributedlog::{Cause, Clock};
use embassy_futures::select::{Either, Either3, select, select3};
use embassy_net::Stack;
use embassy_net::tcp::{TcpReader, TcpSocket, TcpWriter};
use embassy_time::{Duration, Timer, with_timeout};

use super::{INCOMING_BYTES, Proxy};
use crate::time::DeviceClock;

/// Buffer of the network stack for each direction, in bytes.
const SOCKET_BYTES: usize = 2048;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Room for several control frames, which are short.
const CONTROL_BYTES: usize = 128;

/// Keeps a connection to the proxy while the routing machine wants one.
#[embassy_executor::task]
pub async fn keep_connected(proxy: &'static Proxy, stack: Stack<'static>) -> ! {
    let (mut receive, mut transmit) = ([0; SOCKET_BYTES], [0; SOCKET_BYTES]);
    loop {
        let (host, address) = proxy.wanted_host().await;
        let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
        socket.set_nagle_enabled(false);
        let cause = match with_timeout(CONNECT_TIMEOUT, socket.connect(address)).await {
            Ok(Ok(())) => {
                proxy.with(|state| state.connected(DeviceClock.now()));
                let (reader, writer) = socket.split();
                // Reading and writing run concurrently; neither is dropped before the connection is
                // given up.
                match select3(
                    proxy.read(host, reader),
                    proxy.write(writer),
                    proxy.until_unwanted(host),
                )
                .await
                {
                    Either3::First(cause) | Either3::Second(cause) | Either3::Third(cause) => cause,
                }
            }
            Ok(Err(_)) | Err(_) => Cause::Unreachable,
        };
        socket.abort();
        // Try to inform the peer; a lost link must not delay this.
        with_timeout(Duration::from_millis(100), socket.flush())
            .await
            .ok();
        proxy.with(|state| state.lost(DeviceClock.now(), host, cause));
    }
}

/// Handles the timeouts of the machines.
#[embassy_executor::task]
pub async fn keep_time(proxy: &'static Proxy) -> ! {
    loop {
        let next = {
            let state = proxy.state.borrow();
            let session = state
                .session
                .as_ref()
                .and_then(|session| session.poll_timeout());
            state.client.poll_timeout().into_iter().chain(session).min()
        };
        let at = next.map_or(embassy_time::Instant::MAX, |at| {
            embassy_time::Instant::from_micros(at.as_micros())
        });
        match select(Timer::at(at), proxy.timeouts.wait()).await {
            Either::First(()) => proxy.with(|state| {
                let now = DeviceClock.now();
                state.client.handle_timeout(now);
                if state
                    .session
                    .as_mut()
                    .is_some_and(|session| session.handle_timeout(now).is_err())
                {
                    // The task of the connection sees it, and fails the outstanding requests.
                    state.unresponsive = true;
                }
            }),
            Either::Second(()) => {}
        }
    }
}

impl Proxy {
    /// Waits until there is a host to connect to.
    async fn wanted_host(&self) -> (HostId, SocketAddrV4) {
        loop {
            {
                let state = self.state.borrow();
                let view = state.host.and_then(|host| state.client.host(host));
                if let Some((host, SocketAddr::V4(address))) =
                    view.and_then(|view| Some((view.id, view.address?)))
                {
                    return (host, address);
                }
            }
            self.wanted.wait().await;
        }
    }

    /// Waits until the connection is to be given up.
    async fn until_unwanted(&self, host: HostId) -> Cause {
        loop {
            {
                let mut state = self.state.borrow_mut();
                if state.host != Some(host) {
                    return Cause::Closed;
                }
                if core::mem::take(&mut state.unresponsive) {
                    return Cause::ConnectionLost;
                }
            }
            self.wanted.wait().await;
        }
    }

    /// Reads until the connection ends.
    async fn read(&self, host: HostId, mut reader: TcpReader<'_>) -> Cause {
        let mut bytes = [0; INCOMING_BYTES];
        let mut len = 0;
        loop {
            // The session refuses frames that would not fit, so there is always room.
            match reader.read(&mut bytes[len..]).await {
                Ok(0) | Err(_) => return Cause::ConnectionLost,
                Ok(count) => len += count,
            }
            match self.with(|state| state.received(DeviceClock.now(), host, &bytes[..len])) {
                Ok(count) => {
                    bytes.copy_within(count..len, 0);
                    len -= count;
                }
                Err(cause) => return cause,
            }
        }
    }

    /// Sends pending bytes until the connection ends.
    async fn write(&self, mut writer: TcpWriter<'_>) -> Cause {
        loop {
            let mut chunk = heapless::Vec::<u8, 512>::new();
            {
                let mut state = self.state.borrow_mut();
                state.encode_control();
                let count = state.outgoing.len().min(chunk.capacity());
                chunk
                    .extend_from_slice(&state.outgoing[..count])
                    .expect("the chunk has room for them");
            }
            if chunk.is_empty() {
                self.outgoing.wait().await;
                continue;
            }
            // Bytes that the socket does not accept stay in the queue.
            match writer.write(&chunk).await {
                Ok(0) | Err(_) => return Cause::ConnectionLost,
                Ok(count) => self
                    .state
                    .borrow_mut()
                    .transmitted(DeviceClock.now(), count),
            }
        }
    }
}

impl super::State {
    /// Appends the session's own frames to the bytes to send.
    fn encode_control(&mut self) {
        let mut bytes = [0; CONTROL_BYTES];
        let room = CONTROL_BYTES.min(self.outgoing.capacity() - self.outgoing.len());
        if let Some(session) = &mut self.session {
            let count = session.poll_transmit(&mut bytes[..room]);
            self.outgoing
                .extend_from_slice(&bytes[..count])
                .expect("room was left");
        }
    }

    /// Removes bytes from the front that the socket accepted.
    fn transmitted(&mut self, now: distributedlog::Instant, count: usize) {
        let rest = self.outgoing.len() - count;
        self.outgoing.copy_within(count.., 0);
        self.outgoing.truncate(rest);
        if let Some(session) = &mut self.session {
            session.handle_transmitted(now, count);
        }
    }
}
