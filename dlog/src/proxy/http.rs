use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use tokio::net::TcpListener;

use super::FaultSwitch;
use super::service::Service;

/// Serves metrics and health until it is dropped.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>, faults: Option<FaultSwitch>) {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(service)
        .merge(faults.map_or_else(Router::new, fault_routes));
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "metrics and health are not served any more");
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let (streams, usage, accepting) = service.figures();
    let text = service.stats.encode(streams, usage, accepting);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

/// Ready is who becomes the owner of streams: what a load balancer wants to know before it sends more clients here.
async fn ready(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let (.., accepting) = service.figures();
    if accepting { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "accepts no new streams\n") }
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
