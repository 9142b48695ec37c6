use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::access::Principal;
use super::connection::{Connection, ConnectionEnd};
use super::mailbox::{Mailbox, Order};
use super::service::Service;
use super::stats::RaisedGauge;
use super::supervise::MailboxGuard;
use super::{ServerCertificate, Settings};
use distributedlog_store::log_limit::{Admitted, LOG_INTERVAL, LogKind};
use distributedlog_store::net::{ByteStream, Listen, next_connection};
use distributedlog_store::peer_protocol::{PeerProtocol, http_refusal};
use distributedlog_store::tls::AcceptedStream;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    inner: Mutex<ConnectionTable>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    open: BTreeMap<u64, Arc<Mailbox>>,
    last_id: u64,
    draining: bool,
    finished: usize,
    cut: usize,
}

/// Entry of a connection in the table; dropping it removes the connection.
#[derive(Debug)]
struct ConnectionGuard {
    connections: Arc<Connections>,
    id: u64,
    end: ConnectionEnd,
}

impl Connections {
    fn register(self: &Arc<Self>, limit: usize) -> Option<(ConnectionGuard, Arc<Mailbox>)> {
        let mut inner = self.lock();
        if inner.open.len() >= limit || inner.draining {
            return None;
        }
        inner.last_id += 1;
        let id = inner.last_id;
        let mailbox = Arc::new(Mailbox::default());
        inner.open.insert(id, mailbox.clone());
        Some((
            ConnectionGuard {
                connections: self.clone(),
                id,
                end: ConnectionEnd::Cut,
            },
            mailbox,
        ))
    }

    /// Asks all connections to finish, and refuses further ones.
    pub(super) fn drain(&self) {
        let mut inner = self.lock();
        inner.draining = true;
        inner
            .open
            .values()
            .for_each(|mailbox| mailbox.order(Order::Drain));
    }

    /// Lets connections start no further requests.
    pub(super) fn drain_now(&self) {
        self.lock()
            .open
            .values()
            .for_each(|mailbox| mailbox.order(Order::DrainNow));
    }

    /// Closes all connections.
    pub(super) fn cut(&self) {
        let mut inner = self.lock();
        inner.draining = true;
        inner
            .open
            .values()
            .for_each(|mailbox| mailbox.order(Order::Cut));
    }

    /// Completes when there are none.
    pub(super) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().open.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Returns how many connections ended with every request answered and how many did not, counted
    /// since draining began.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.finished, inner.cut)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ConnectionTable> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut inner = self.connections.lock();
        inner.open.remove(&self.id);
        if inner.draining {
            match self.end {
                ConnectionEnd::Finished | ConnectionEnd::Violation(_) | ConnectionEnd::Lost(_) => {
                    inner.finished += 1
                }
                ConnectionEnd::TimedOut(_) | ConnectionEnd::Cut => inner.cut += 1,
            }
        }
        drop(inner);
        self.connections.ended.notify_waiters();
    }
}

/// Accepts connections until it is dropped.
pub(super) async fn accept(
    mut listener: impl Listen,
    service: Arc<Service>,
    connections: Arc<Connections>,
    settings: Arc<Settings>,
) {
    let log_limits = &service.log_limits;
    let mut reports = tokio::time::interval(LOG_INTERVAL);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = next_connection(&mut listener, "the clients", log_limits) => accepted,
            _ = reports.tick() => {
                log_limits.report();
                continue;
            }
        };
        let descriptor = settings.descriptors.try_take();
        let registered = connections.register(settings.max_connections);
        let (Some(descriptor), Some((registered, mailbox))) = (descriptor, registered) else {
            service.stats.connections_refused.inc();
            if let Some(Admitted { left_out }) = log_limits.admit(LogKind::TooManyConnections) {
                tracing::warn!(
                    %peer,
                    max_connections = settings.max_connections,
                    open_files = settings.descriptors.connections(),
                    left_out,
                    "closing a new connection: the limit is reached"
                );
            }
            continue;
        };
        service.stats.connections_accepted.inc();
        let (service, settings) = (service.clone(), settings.clone());
        tokio::spawn(async move {
            let _open = RaisedGauge::new(&service.stats.connections);
            let _mail = MailboxGuard {
                service: service.clone(),
                mailbox: mailbox.clone(),
            };
            serve(stream, peer, mailbox, &service, &settings, registered).await;
            drop(descriptor);
        });
    }
}

async fn serve<S: ByteStream>(
    stream: S,
    peer: SocketAddr,
    mailbox: Arc<Mailbox>,
    service: &Arc<Service>,
    settings: &Settings,
    mut registered: ConnectionGuard,
) {
    registered.end = match &settings.tls {
        None => {
            let principal = Principal::of_address(peer.ip());
            Connection::new(
                stream,
                (peer, principal),
                mailbox,
                service.clone(),
                settings,
            )
            .run()
            .await
        }
        // On the heap: a future's size is that of its largest branch, which every plain connection
        // would pay for.
        Some(tls) => Box::pin(serve_tls(stream, peer, mailbox, service, settings, tls)).await,
    };
    tracing::debug!(%peer, end = %registered.end, "a connection ended");
}

async fn serve_tls<S: ByteStream>(
    stream: S,
    peer: SocketAddr,
    mailbox: Arc<Mailbox>,
    service: &Arc<Service>,
    settings: &Settings,
    tls: &ServerCertificate,
) -> ConnectionEnd {
    let accepting = tls.accept(stream, |protocol| {
        plain_refusal(
            protocol,
            "thriftmux and framed thrift",
            &service.http_hint(),
        )
    });
    match tokio::time::timeout(settings.handshake_timeout, accepting).await {
        Ok(Ok(stream)) => {
            let principal = client_certificate(&stream, peer.ip());
            let principal = principal.unwrap_or_else(|| Principal::of_address(peer.ip()));
            Connection::new(
                stream,
                (peer, principal),
                mailbox,
                service.clone(),
                settings,
            )
            .run()
            .await
        }
        Ok(Err(error)) => {
            if let Some(Admitted { left_out }) = service.log_limits.admit(LogKind::TlsHandshake) {
                tracing::warn!(%peer, %error, left_out, "the TLS handshake failed");
            }
            ConnectionEnd::Lost(error.kind())
        }
        Err(_) => {
            service.stats.timeouts.inc();
            if let Some(Admitted { left_out }) = service.log_limits.admit(LogKind::Timeout) {
                let limit = settings.handshake_timeout;
                tracing::warn!(%peer, ?limit, left_out, "the TLS handshake took too long");
            }
            ConnectionEnd::Lost(io::ErrorKind::TimedOut)
        }
    }
}

/// Returns the client that presented a certificate in its TLS handshake, which verified it.
pub(super) fn client_certificate<S>(stream: &AcceptedStream<S>, peer: IpAddr) -> Option<Principal> {
    let presented = stream.get_ref().1.peer_certificates()?;
    presented
        .first()
        .map(|own| Principal::of_certificate(own, peer))
}

/// Returns the response to a client that speaks HTTP without TLS on the port for `purpose`, which
/// requires TLS. `http` says where HTTP is.
pub(super) fn plain_refusal(protocol: PeerProtocol, purpose: &str, http: &str) -> Option<Vec<u8>> {
    matches!(protocol, PeerProtocol::Http | PeerProtocol::Http2).then(|| {
        http_refusal(&format!(
            "this port is for {purpose}, and requires TLS: {http}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use distributedlog_store::Owner;
    use distributedlog_testkit::store::MemoryStore;

    /// Ten thousand idle connections are cheap only while each task is small: TLS, and what is
    /// rare, must not be a part of it.
    #[tokio::test]
    async fn a_plain_connection_takes_less_than_two_kibibytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let stream = TcpStream::connect(address).await.expect("it listens");
        let settings = Settings::builder().build().expect("the defaults");
        let owner = Owner {
            shard: 1,
            address: address.to_string(),
        };
        let service = Arc::new(Service::new(owner, &settings, MemoryStore::new()));
        let (registered, mailbox) = Arc::new(Connections::default())
            .register(1)
            .expect("room for one");
        let serving = serve(stream, address, mailbox, &service, &settings, registered);
        assert!(
            size_of_val(&serving) < 2048,
            "{} bytes",
            size_of_val(&serving)
        );
    }
}
