//! TCP relays that stand between clients and a server.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use distributedlog_tests::ports::ReservedPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a relay does with bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Bytes pass.
    Pass,
    /// Bytes wait, as in a partition that TCP outlives: they arrive when the mode is
    /// [`Pass`](Self::Pass) again.
    Hold,
    /// Bytes are read and lost. A connection that has lost some is closed when the mode changes.
    Swallow,
    /// Connections are closed, and new ones are closed as soon as they are accepted.
    Cut,
}

/// A relay to one server. Dropping it closes its connections.
#[derive(Debug)]
pub struct Relay {
    port: ReservedPort,
    requests: watch::Sender<Mode>,
    replies: watch::Sender<Mode>,
    allowance: Arc<Allowance>,
    accepted: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

/// Requests that pass before the relay holds the others.
#[derive(Debug)]
struct Allowance {
    left: AtomicU64,
    requests: watch::Sender<Mode>,
}

impl Allowance {
    /// Takes one request that is about to pass. Returns false if it does not.
    fn take(&self) -> bool {
        let take = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(1));
        match self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            Ok(0) => {
                self.requests.send_replace(Mode::Hold);
                false
            }
            Ok(_) | Err(_) => true,
        }
    }
}

impl Relay {
    /// Starts a relay to this server, in mode [`Mode::Pass`].
    ///
    /// # Panics
    /// No port is free.
    pub async fn start(server: SocketAddr) -> Self {
        let port = ReservedPort::new();
        let listener = TcpListener::bind(("127.0.0.1", port.number()))
            .await
            .expect("a reserved port is free");
        let (requests, replies) = (
            watch::Sender::new(Mode::Pass),
            watch::Sender::new(Mode::Pass),
        );
        let accepted = Arc::new(AtomicU64::new(0));
        let allowance = Arc::new(Allowance {
            left: AtomicU64::new(u64::MAX),
            requests: requests.clone(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(
            listener,
            server,
            Arc::clone(&allowance),
            replies.clone(),
            Arc::clone(&accepted),
        ));
        Self {
            port,
            requests,
            replies,
            allowance,
            accepted,
            _accepting: accepting,
        }
    }

    /// Returns the address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number()))
    }

    /// Sets the mode of both directions.
    pub fn set(&self, mode: Mode) {
        self.set_requests(mode);
        self.set_replies(mode);
    }

    /// Sets the mode of the bytes that clients send.
    pub fn set_requests(&self, mode: Mode) {
        self.requests.send_replace(mode);
    }

    /// Sets the mode of the bytes that the server sends.
    pub fn set_replies(&self, mode: Mode) {
        self.replies.send_replace(mode);
    }

    /// Lets this many requests pass from now on, each what a client has sent at once, and holds the
    /// others.
    pub fn hold_requests_after(&self, count: usize) {
        self.allowance.left.store(count as u64, Ordering::Relaxed);
    }

    /// Waits until the relay holds a request.
    pub async fn holding(&self) {
        let mut mode = self.requests.subscribe();
        mode.wait_for(|mode| *mode == Mode::Hold)
            .await
            .expect("the relay has the sender");
    }

    /// Returns the number of connections that clients have made so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    allowance: Arc<Allowance>,
    replies: watch::Sender<Mode>,
    accepted: Arc<AtomicU64>,
) {
    // Dropped with the relay: its connections end with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        while connections.try_join_next().is_some() {}
        let (allowance, replies) = (Arc::clone(&allowance), replies.subscribe());
        connections.spawn(connection(client, server, allowance, replies));
    }
}

/// Relays one connection until an end of it closes or it is cut.
async fn connection(
    client: TcpStream,
    server: SocketAddr,
    allowance: Arc<Allowance>,
    replies: watch::Receiver<Mode>,
) {
    let requests = allowance.requests.subscribe();
    if *requests.borrow() == Mode::Cut || *replies.borrow() == Mode::Cut {
        return;
    }
    // A server that is down: the client sees its connection closed.
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, requests, Some(&allowance)) => {}
        () = copy(from_server, to_client, replies, None) => {}
    }
}

/// Copies one direction. Returns when the connection is to be closed.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    allowance: Option<&Allowance>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut lost = false;
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Cut => return,
            Mode::Swallow => {}
            Mode::Pass | Mode::Hold if lost => return,
            Mode::Pass => {}
            Mode::Hold => {
                if mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
        }
        let count = tokio::select! {
            changed = mode.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            count = from.read(&mut buffer) => count,
        };
        let bytes = match count {
            Ok(count) if count > 0 => buffer.get(..count).unwrap_or_default(),
            Ok(_) | Err(_) => return,
        };
        // It may have changed while the bytes came: what is read after a change obeys it.
        match *mode.borrow() {
            Mode::Cut => return,
            Mode::Swallow => {
                lost = true;
                continue;
            }
            Mode::Pass | Mode::Hold if lost => return,
            Mode::Pass | Mode::Hold => {}
        }
        let is_exhausted = allowance.is_some_and(|it| !it.take());
        if is_exhausted || *mode.borrow() == Mode::Hold {
            // Bytes that are held are lost only if the mode becomes another than Pass.
            let passes = mode.wait_for(|mode| *mode != Mode::Hold).await;
            if !passes.is_ok_and(|mode| *mode == Mode::Pass) {
                return;
            }
        }
        let cut = async {
            mode.wait_for(|mode| *mode == Mode::Cut).await.ok();
        };
        tokio::select! {
            () = cut => return,
            written = to.write_all(bytes) => if written.is_err() {
                return;
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        (address, tasks)
    }

    async fn exchange(stream: &mut TcpStream, byte: u8) -> Option<u8> {
        stream.write_all(&[byte]).await.ok()?;
        stream.read_u8().await.ok()
    }

    #[tokio::test]
    async fn bytes_that_are_held_arrive_later_and_swallowed_ones_close_the_connection() {
        let (server, _tasks) = echo().await;
        let relay = Relay::start(server).await;
        let mut stream = TcpStream::connect(relay.address()).await.expect("a relay");
        assert_eq!(exchange(&mut stream, 1).await, Some(1));

        relay.set_requests(Mode::Hold);
        stream
            .write_all(&[2])
            .await
            .expect("the relay's system takes it");
        relay.set_requests(Mode::Pass);
        assert_eq!(stream.read_u8().await.ok(), Some(2));

        relay.set_replies(Mode::Swallow);
        stream.write_all(&[3]).await.expect("it is open");
        // On another connection, bytes of the request's direction still pass; nothing returns.
        relay.set_requests(Mode::Cut);
        assert_eq!(stream.read_u8().await.ok(), None);

        relay.set(Mode::Pass);
        let mut stream = TcpStream::connect(relay.address()).await.expect("a relay");
        assert_eq!(exchange(&mut stream, 4).await, Some(4));
        assert_eq!(relay.accepted(), 2);
    }

    #[tokio::test]
    async fn a_relay_holds_requests_behind_those_that_may_pass() {
        let (server, _tasks) = echo().await;
        let relay = Relay::start(server).await;
        let mut stream = TcpStream::connect(relay.address()).await.expect("a relay");
        assert_eq!(exchange(&mut stream, 1).await, Some(1));
        relay.hold_requests_after(1);
        assert_eq!(exchange(&mut stream, 2).await, Some(2));
        stream
            .write_all(&[3])
            .await
            .expect("the relay's system takes it");
        relay.holding().await;
        relay.hold_requests_after(2);
        relay.set_requests(Mode::Pass);
        assert_eq!(stream.read_u8().await.ok(), Some(3));
    }

    #[tokio::test]
    async fn a_cut_relay_closes_its_connections_and_new_ones() {
        let (server, _tasks) = echo().await;
        let relay = Relay::start(server).await;
        let mut stream = TcpStream::connect(relay.address()).await.expect("a relay");
        assert_eq!(exchange(&mut stream, 1).await, Some(1));
        relay.set(Mode::Cut);
        assert_eq!(stream.read_u8().await.ok(), None);
        let mut stream = TcpStream::connect(relay.address())
            .await
            .expect("it listens");
        assert_eq!(exchange(&mut stream, 2).await, None);
    }
}
