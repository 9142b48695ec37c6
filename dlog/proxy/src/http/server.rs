use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::access::PeerCertificate;
use super::client::SharedSocket;
use super::guard::{HttpPort, HttpPortKind, PeerAddress};
use super::socket::{HttpSocket, SocketTimeouts};
use super::{HttpState, OperatorState, ServerPhase, operator, router, routes};
use crate::Settings;
use crate::access::Principal;
use crate::listener::{client_certificate, plain_refusal};
use crate::stats::RaisedGauge;
use crate::supervise::keep_running;
use distributedlog_store::descriptors::STATS_CONNECTIONS;
use distributedlog_store::log_limit::{Admitted, LogKind};
use distributedlog_store::net::{ByteStream, Listen, next_connection};
use distributedlog_store::peer_protocol::PeerProtocol;
use distributedlog_store::recorded::{FirstBytes, RecordedStream};

/// Limit of requests in flight on one HTTP/2 connection.
const MAX_STREAMS_PER_CONNECTION: u32 = 256;

/// Limit of the headers of one HTTP/2 request, in bytes.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Limit of what is buffered for sending on a connection, and on each stream of HTTP/2; also of the
/// headers of a request of HTTP/1.1. In bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Interval of pings to an HTTP/2 peer, which detect that it has gone.
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// The listeners of the ports that speak HTTP, each with its address.
#[derive(Debug)]
pub(crate) struct Listeners<L> {
    pub(crate) clients: Option<(L, SocketAddr)>,
    pub(crate) stats: Option<(L, SocketAddr)>,
}

/// The running ports that speak HTTP. Dropping it closes their connections and aborts their
/// requests, except for work that the store has begun.
#[derive(Debug)]
pub(crate) struct Server {
    state: Arc<HttpState>,
    accepting: JoinSet<()>,
    dispatcher: JoinHandle<()>,
    graceful: DrainedConnections,
}

/// Connections that draining waits for; taken when draining begins. The stats port has none: it
/// serves to the end.
type DrainedConnections = Arc<Mutex<Option<GracefulShutdown>>>;

impl Server {
    /// Serves until the value is dropped.
    pub(crate) fn start(
        listeners: Listeners<impl Listen>,
        settings: Arc<Settings>,
        operator: &OperatorState,
    ) -> Self {
        let state = Arc::new(HttpState::new(operator.service.clone(), settings));
        let dispatcher = tokio::spawn({
            let state = state.clone();
            async move { keep_running("HTTP replies", || state.dispatcher.run()).await }
        });
        let graceful: DrainedConnections = Arc::new(Mutex::new(Some(GracefulShutdown::new())));
        let mut accepting = JoinSet::new();
        let port = |kind, address: SocketAddr| HttpPort {
            state: state.clone(),
            kind,
            loopback: address.ip().is_loopback(),
        };
        if let Some((listener, address)) = listeners.clients {
            let port = port(HttpPortKind::Clients, address);
            let router = router(routes(&state, operator), port.clone());
            accepting.spawn(accept(listener, router, port, graceful.clone()));
        }
        if let Some((listener, address)) = listeners.stats {
            let port = port(HttpPortKind::Stats, address);
            let router = router(operator::routes(operator), port.clone());
            accepting.spawn(accept(
                listener,
                router,
                port,
                DrainedConnections::default(),
            ));
        }
        Self {
            state,
            accepting,
            dispatcher,
            graceful,
        }
    }

    /// Starts no further request, ends reads, and waits until the requests in flight are answered.
    /// Health and metrics are still served.
    pub(crate) async fn drain(&self) {
        self.state.phase.send_replace(ServerPhase::Draining);
        let graceful = self
            .graceful
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(graceful) = graceful {
            graceful.shutdown().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort_all();
        self.dispatcher.abort();
    }
}

/// Accepts connections until it is dropped, which also drops the connections.
async fn accept(
    mut listener: impl Listen,
    router: Router,
    port: HttpPort,
    graceful: DrainedConnections,
) {
    let state = &port.state;
    let log_limits = &state.service.log_limits;
    let mut connections = JoinSet::new();
    let max_connections = match port.kind {
        HttpPortKind::Clients => state.settings.http_max_connections,
        HttpPortKind::Stats => STATS_CONNECTIONS.min(state.settings.http_max_connections),
    };
    let room = Arc::new(Semaphore::new(max_connections));
    loop {
        let (stream, peer) = tokio::select! {
            accepted = next_connection(&mut listener, "HTTP clients", log_limits) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let descriptor = match port.kind {
            HttpPortKind::Clients => state.settings.descriptors.try_take().map(Some),
            HttpPortKind::Stats => Some(None),
        };
        let permit = room.clone().try_acquire_owned();
        let (Some(descriptor), Ok(permit)) = (descriptor, permit) else {
            state.service.stats.connections_refused.inc();
            if let Some(Admitted { left_out }) = log_limits.admit(LogKind::TooManyConnections) {
                tracing::warn!(
                    %peer,
                    max_connections,
                    open_files = state.settings.descriptors.connections(),
                    left_out,
                    "closing a new HTTP connection: the limit is reached"
                );
            }
            continue;
        };
        let watcher = graceful
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(GracefulShutdown::watcher);
        // A scrape of the stats port does not count itself.
        let counted = (port.kind == HttpPortKind::Clients).then(|| {
            state.service.stats.connections_accepted.inc();
            RaisedGauge::new(&state.service.stats.connections)
        });
        let (router, port) = (router.clone(), port.clone());
        connections.spawn(async move {
            serve(stream, peer, router, &port, watcher).await;
            drop((permit, descriptor, counted));
        });
    }
}

async fn serve(
    stream: impl ByteStream + 'static,
    peer: SocketAddr,
    router: Router,
    port: &HttpPort,
    watcher: Option<Watcher>,
) {
    let state = &port.state;
    let log_limits = &state.service.log_limits;
    let Some(tls) = port.tls() else {
        let stream = RecordedStream::new(stream);
        let first = stream.first_bytes();
        if serve_http(stream, peer, None, router, state, watcher)
            .await
            .is_err()
        {
            log_foreign(state, peer, &first);
        }
        return;
    };
    let accepting = tls.accept_http(stream, |protocol| {
        plain_refusal(protocol, "HTTP", "use https://")
    });
    match tokio::time::timeout(state.settings.handshake_timeout, accepting).await {
        Ok(Ok(stream)) => {
            let certificate = client_certificate(&stream, peer.ip());
            let _ = serve_http(stream, peer, certificate, router, state, watcher).await;
        }
        Ok(Err(error)) => {
            if let Some(Admitted { left_out }) = log_limits.admit(LogKind::TlsHandshake) {
                tracing::warn!(%peer, %error, left_out, "the TLS handshake failed");
            }
        }
        Err(_) => {
            state.service.stats.timeouts.inc();
            if let Some(Admitted { left_out }) = log_limits.admit(LogKind::Timeout) {
                let limit = state.settings.handshake_timeout;
                tracing::warn!(%peer, ?limit, left_out, "the TLS handshake took too long");
            }
        }
    }
}

/// Names the protocol of a peer that did not speak HTTP.
fn log_foreign(state: &HttpState, peer: SocketAddr, first: &FirstBytes) {
    let elsewhere = match first.protocol() {
        Some(PeerProtocol::Tls) => {
            "and this port is plain: use http://, or start the proxy with --tls-certificates"
                .to_owned()
        }
        Some(PeerProtocol::Mux | PeerProtocol::FramedThrift) => format!(
            "and this is the port for HTTP: thriftmux and framed thrift are at {}",
            state.service.address()
        ),
        Some(PeerProtocol::Http | PeerProtocol::Http2) | None => return,
    };
    let log_limits = &state.service.log_limits;
    if let Some(protocol) = first.protocol()
        && let Some(Admitted { left_out }) = log_limits.admit(LogKind::ProtocolViolation)
    {
        let what = format!("the client speaks {protocol}, {elsewhere}");
        tracing::warn!(
            %peer,
            what,
            left_out,
            "closing a connection: the client broke the protocol"
        );
    }
}

/// Serves a connection. The error says only that the peer broke it off or the protocol.
async fn serve_http(
    stream: impl ByteStream + 'static,
    peer: SocketAddr,
    certificate: Option<Principal>,
    router: Router,
    state: &HttpState,
    watcher: Option<Watcher>,
) -> Result<(), ()> {
    let settings = &state.settings;
    let timeouts = SocketTimeouts::of(settings);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .half_close(true)
        .max_buf_size(BUFFER_BYTES)
        .timer(TokioTimer::new())
        .header_read_timeout(settings.http_header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_send_buf_size(BUFFER_BYTES)
        .keep_alive_interval(H2_PING_INTERVAL)
        .keep_alive_timeout(settings.write_timeout);
    let (socket, client) = SharedSocket::new(HttpSocket::new(stream, timeouts));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        request.extensions_mut().insert(PeerAddress(peer));
        let certificate = PeerCertificate(certificate.clone());
        request.extensions_mut().insert(certificate);
        router.call(request)
    });
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    let ended = match watcher {
        Some(watcher) => watcher.watch(connection).await,
        None => connection.await,
    };
    ended.map_err(|error| {
        let error = innermost(&*error);
        tracing::debug!(%peer, error, "an HTTP connection ended");
    })
}

/// Returns the error at the root of a chain.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
