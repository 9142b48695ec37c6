use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode as Http};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use distributedlog_store::descriptors::STATS_CONNECTIONS;
use distributedlog_store::log_limit::LogLimits;
use distributedlog_store::metrics::{Registry, register_gauge};
use distributedlog_store::net::{ByteStream, Listen, next_connection};
use distributedlog_store::remote::Server;
use distributedlog_store::{LogStore, StoreHealth};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::cors::{authority, names_this_machine};
use super::operator::readiness;
use super::problem::Problem;
use super::socket::{HttpSocket, SocketTimeouts};
use crate::metrics::{Metrics, MetricsFormat};
use crate::supervise::keep_running;

/// Time for the head of a request, and for a peer to take what is sent to it.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// The stats port of a store that is served by itself, without a proxy: health, readiness and
/// metrics.
/// Dropping it closes the port.
#[derive(Debug)]
pub struct StoreStatsPort {
    asking: JoinHandle<()>,
    accepting: JoinHandle<()>,
}

/// What the routes and the guard need.
#[derive(Clone, Debug)]
struct Port {
    health: Arc<StoreHealth>,
    metrics: Arc<Metrics>,
    ready: Gauge,
    /// True if only programs on this machine reach it.
    is_loopback: bool,
}

impl StoreStatsPort {
    /// Serves the health of the store, and its metrics and those of its server, at a listener that
    /// is bound to the address.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        listener: impl Listen,
        address: SocketAddr,
        store: Arc<dyn LogStore>,
        server: &Server,
    ) -> Self {
        let metrics = Metrics::new();
        let mut registry = Registry::default();
        store.register_metrics(&mut registry);
        server.register_metrics(&mut registry);
        let help = "1 while the store takes writes, as /readyz says";
        let ready = register_gauge(&mut registry, "dlog_store_ready", help);
        metrics.add(registry);
        let health = Arc::new(StoreHealth::new());
        let port = Port {
            health: health.clone(),
            metrics: Arc::new(metrics),
            ready,
            is_loopback: address.ip().is_loopback(),
        };
        let asking = tokio::spawn(async move {
            keep_running("the store's health", || health.clone().watch(store.clone())).await
        });
        let router = router(port);
        let accepting = tokio::spawn(accept(listener, router));
        Self { asking, accepting }
    }
}

impl Drop for StoreStatsPort {
    fn drop(&mut self) {
        self.asking.abort();
        self.accepting.abort();
    }
}

fn router(port: Port) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || {
            let paths = "there is nothing at this path: ask for /healthz, /readyz or /metrics";
            Problem::new(Http::NOT_FOUND, "NO_SUCH_ROUTE", paths.to_owned())
        })
        .layer(middleware::from_fn_with_state(port.clone(), guard))
        .with_state(port)
}

async fn ready(State(port): State<Port>) -> impl IntoResponse {
    let verdict = port.health.verdict().await;
    let (status, first) = readiness(verdict.is_healthy());
    (status, format!("{first}\nstore: {verdict}\n"))
}

async fn metrics(State(port): State<Port>, headers: HeaderMap) -> Response {
    port.ready
        .set(port.health.verdict().await.is_healthy().into());
    port.metrics.page(MetricsFormat::of(&headers), &[])
}

/// Refuses what is not a read, and names of other hosts, as the proxy's ports do: what a page in a
/// browser reaches under a name of its own is no secret to it (DNS rebinding).
async fn guard(State(port): State<Port>, request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let only = "this port only answers GET and HEAD".to_owned();
        return Problem::new(Http::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", only).into_response();
    }
    match authority(&request) {
        Err(problem) => problem.into_response(),
        Ok(Some(host)) if port.is_loopback && !names_this_machine(host.host()) => {
            let detail = "this port listens on loopback only: use its address or localhost";
            Problem::new(Http::FORBIDDEN, "HOST_REFUSED", detail.to_owned()).into_response()
        }
        Ok(_) => next.run(request).await,
    }
}

/// Accepts connections until it is dropped, which also drops the connections.
async fn accept(mut listener: impl Listen, router: Router) {
    let mut connections = JoinSet::new();
    let room = Arc::new(Semaphore::new(STATS_CONNECTIONS));
    let limits = LogLimits::default();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = next_connection(&mut listener, "probes", &limits) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tracing::debug!(%peer, "closing a connection to the stats port: there are too many");
            continue;
        };
        let router = router.clone();
        connections.spawn(async move {
            if let Err(error) = serve(stream, router).await {
                tracing::debug!(%peer, %error, "a connection to the stats port ended");
            }
            drop(permit);
        });
    }
}

async fn serve(stream: impl ByteStream + 'static, router: Router) -> Result<(), hyper::Error> {
    let timeouts = SocketTimeouts {
        opening: PEER_TIMEOUT,
        writing: PEER_TIMEOUT,
        min_taken: 1,
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(PEER_TIMEOUT);
    let socket = TokioIo::new(HttpSocket::new(stream, timeouts));
    builder
        .serve_connection(socket, TowerToHyperService::new(router))
        .await
}
