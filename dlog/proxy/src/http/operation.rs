use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode as Http, header};
use axum::response::{IntoResponse, Json, Response};
use distributedlog::StatusCode;
use serde::Serialize;
use tokio::net::TcpListener;

use super::problem::Problem;
use super::route::{self, Route, StreamPath};
use crate::FaultSwitch;
use crate::machine::Fault;
use crate::service::Service;

/// What operators ask: on the stats port and on the HTTP port.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) service: Arc<Service>,
    /// The switch that makes streams misbehave, where it is allowed.
    pub(crate) faults: Option<FaultSwitch>,
}

/// Serves metrics, health and faults until it is dropped.
pub(crate) async fn serve(listener: TcpListener, operation: Operation) {
    let app = route::router(routes(&operation));
    if let Err(error) = axum::serve(listener, app as Router).await {
        tracing::error!(%error, "metrics and health are not served any more");
    }
}

pub(super) fn routes(operation: &Operation) -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/metrics", metrics, operation),
        Route::new(Method::GET, "/healthz", async || "ok\n", operation),
        Route::new(Method::GET, "/readyz", ready, operation),
        Route::new(Method::GET, "/faults", list_faults, operation),
        Route::new(Method::DELETE, "/faults/{stream}", clear_fault, operation),
        Route::new(Method::PUT, "/faults/{stream}/stall", stall, operation),
        Route::new(Method::PUT, "/faults/{stream}/fail/{code}", fail, operation),
    ]
}

async fn metrics(State(Operation { service, .. }): State<Operation>) -> impl IntoResponse {
    let text = service.stats.encode(&service.figures());
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}

/// Ready is who becomes the owner of streams: what a load balancer wants to know before it sends
/// more clients here.
async fn ready(State(Operation { service, .. }): State<Operation>) -> impl IntoResponse {
    if service.figures().accepting {
        (Http::OK, "ready\n")
    } else {
        (Http::SERVICE_UNAVAILABLE, "accepts no new streams\n")
    }
}

#[derive(Debug, Serialize)]
struct Faults {
    faults: Vec<FaultBody>,
}

#[derive(Debug, Serialize)]
struct FaultBody {
    stream: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
}

impl Operation {
    fn faults(&self) -> Result<&FaultSwitch, Problem> {
        let off = || {
            Problem::new(
                Http::NOT_FOUND,
                "NO_SUCH_ROUTE",
                "streams misbehave on purpose only where the proxy runs with --faults",
            )
        };
        self.faults.as_ref().ok_or_else(off)
    }
}

async fn list_faults(State(operation): State<Operation>) -> Result<Response, Problem> {
    let mut faults: Vec<FaultBody> = operation
        .faults()?
        .list()
        .into_iter()
        .map(FaultBody::from)
        .collect();
    faults.sort_by(|one, other| one.stream.cmp(&other.stream));
    Ok(Json(Faults { faults }).into_response())
}

async fn stall(
    State(operation): State<Operation>,
    StreamPath(stream): StreamPath,
) -> Result<Http, Problem> {
    operation.faults()?.stall(&stream);
    Ok(Http::NO_CONTENT)
}

async fn fail(
    State(operation): State<Operation>,
    Path((stream, code)): Path<(String, String)>,
) -> Result<Http, Problem> {
    let faults = operation.faults()?;
    let code = code
        .parse()
        .map_err(|_| Problem::bad_request("code: it is not the number of a status code"))?;
    faults.fail(&stream, StatusCode::from_i32(code));
    Ok(Http::NO_CONTENT)
}

async fn clear_fault(
    State(operation): State<Operation>,
    StreamPath(stream): StreamPath,
) -> Result<Http, Problem> {
    operation.faults()?.clear(&stream);
    Ok(Http::NO_CONTENT)
}

impl From<(String, Fault)> for FaultBody {
    fn from((stream, fault): (String, Fault)) -> Self {
        match fault {
            Fault::Stalled => Self {
                stream,
                kind: "stalled",
                code: None,
            },
            Fault::Failing(code) => Self {
                stream,
                kind: "failing",
                code: Some(code.as_i32()),
            },
        }
    }
}
