use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use tokio::net::TcpListener;

use crate::proxy::FaultSwitch;
use crate::proxy::service::Service;

/// Serves metrics and health until it is dropped.
pub(in crate::proxy) async fn serve(listener: TcpListener, service: Arc<Service>, faults: Option<FaultSwitch>) {
    if let Err(error) = axum::serve(listener, router(service, faults)).await {
        tracing::error!(%error, "metrics and health are not served any more");
    }
}

/// Metrics, health and, where they are allowed, faults: on the stats port and on the HTTP port.
pub(super) fn router(service: Arc<Service>, faults: Option<FaultSwitch>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(service)
        .merge(faults.map_or_else(Router::new, fault_routes))
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let text = service.stats.encode(&service.figures());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

/// Ready is who becomes the owner of streams: what a load balancer wants to know before it sends more clients here.
async fn ready(State(service): State<Arc<Service>>) -> impl IntoResponse {
    if service.figures().accepting { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "accepts no new streams\n") }
}

/// The switch that makes streams misbehave: `PUT /faults/{stream}/stall`, `PUT /faults/{stream}/fail/{code}`, `DELETE /faults/{stream}`.
/// A `/` in a stream's name is written `%2F`.
fn fault_routes(faults: FaultSwitch) -> Router {
    Router::new()
        .route("/faults/{stream}/stall", put(async |State(faults): State<FaultSwitch>, Path(stream): Path<String>| faults.stall(&stream)))
        .route(
            "/faults/{stream}/fail/{code}",
            put(async |State(faults): State<FaultSwitch>, Path((stream, code)): Path<(String, i32)>| {
                faults.fail(&stream, distributedlog::StatusCode::from_i32(code));
            }),
        )
        .route(
            "/faults/{stream}",
            axum::routing::delete(async |State(faults): State<FaultSwitch>, Path(stream): Path<String>| faults.clear(&stream)),
        )
        .with_state(faults)
}
