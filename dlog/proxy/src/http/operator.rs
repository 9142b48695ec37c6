use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode as Http};
use axum::response::{IntoResponse, Json, Response};
use distributedlog::StatusCode;
use serde::Serialize;

use super::problem::Problem;
use super::query::{FromQuery, Parameters, QueryPairs};
use super::route::{Route, StreamPath};
use crate::FaultInjector;
use crate::machine::{InjectedFault, MAX_QUOTE_CHARS, shorten};
use crate::metrics::MetricsFormat;
use crate::service::Service;

/// State of the operators' routes, on the stats port and on the HTTP port.
#[derive(Clone, Debug)]
pub(crate) struct OperatorState {
    pub(crate) service: Arc<Service>,
    /// The injector of faults, if the settings allow it.
    pub(crate) faults: Option<FaultInjector>,
}

/// Returns the routes of metrics, health and faults.
pub(super) fn routes(operator: &OperatorState) -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/metrics", metrics, operator),
        Route::new(Method::GET, "/healthz", async || "ok\n", operator),
        Route::new(Method::GET, "/readyz", ready, operator),
        // The original's stats port has these, and its operators' probes ask for them.
        Route::new(Method::GET, "/ping", async || "pong\n", operator),
        Route::new(Method::GET, "/healthcheck", async || "OK\n", operator),
        Route::new(Method::GET, "/threads", threads, operator),
        Route::new(Method::GET, "/faults", list_faults, operator),
        Route::new(Method::DELETE, "/faults/{stream}", clear_fault, operator),
        Route::new(Method::PUT, "/faults/{stream}/stall", stall, operator),
        Route::new(Method::PUT, "/faults/{stream}/fail/{code}", fail, operator),
    ]
}

/// Number of streams that a page of metrics has, unless the request says otherwise.
const DEFAULT_STREAMS: usize = 100;
/// Maximum number of streams that a page of metrics has: each has four series.
const MAX_STREAMS: usize = 1000;

/// Parameters of `/metrics`.
struct MetricsParameters {
    /// Prefix of the streams that have series of their own. `None`: no stream.
    streams: Option<String>,
    limit: usize,
}

impl FromQuery for MetricsParameters {
    const NAMES: &'static [&'static str] = &["streams", "limit"];

    fn from_query(query: &QueryPairs) -> Result<Self, Problem> {
        let right = format!("a number from 1 to {MAX_STREAMS}");
        let limit = query.parse("limit", &right)?.unwrap_or(DEFAULT_STREAMS);
        if limit == 0 || limit > MAX_STREAMS {
            return Err(Problem::bad_request(format!(
                "limit: {limit} is not {right}"
            )));
        }
        Ok(Self {
            streams: query.text("streams"),
            limit,
        })
    }
}

async fn metrics(
    State(OperatorState { service, .. }): State<OperatorState>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<MetricsParameters>,
) -> Response {
    let MetricsParameters { streams, limit } = parameters;
    let streams = streams.map(|prefix| service.streams_page(&prefix, limit));
    let machine_stats = service.machine_stats();
    let is_ready = machine_stats.accepting && service.health.verdict().await.is_healthy();
    let format = MetricsFormat::of(&headers);
    let stats = &service.stats;
    stats.page(format, &machine_stats, is_ready, streams.as_ref())
}

/// Returns the status and the first line of the answer to a probe.
pub(super) const fn readiness(is_ready: bool) -> (Http, &'static str) {
    if is_ready {
        (Http::OK, "ready")
    } else {
        (Http::SERVICE_UNAVAILABLE, "not ready")
    }
}

/// Ready is a proxy that becomes the owner of streams and whose store takes writes: a load balancer
/// sends it more clients.
async fn ready(State(OperatorState { service, .. }): State<OperatorState>) -> impl IntoResponse {
    let accepts = service.machine_stats().accepting;
    let verdict = service.health.verdict().await;
    let (status, first) = readiness(accepts && verdict.is_healthy());
    let streams = if accepts {
        "accepts streams"
    } else {
        "accepts no new streams"
    };
    (
        status,
        format!("{first}\nproxy: {streams}\nstore: {verdict}\n"),
    )
}

/// Describes the runtime's threads and tasks. The original lists the stacks of Java's threads; here
/// tasks wait without one.
async fn threads() -> String {
    let metrics = tokio::runtime::Handle::current().metrics();
    format!(
        "threads of the runtime: {}\ntasks: {}\ntasks that wait for a thread: {}\n\n\
         This proxy is no Java program: tasks that wait have no stack to list. What it does is in \
         /metrics; the stacks of its threads are shown by: gdb -p {} -batch -ex 'thread apply all \
         bt'\n",
        metrics.num_workers(),
        metrics.num_alive_tasks(),
        metrics.global_queue_depth(),
        std::process::id()
    )
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

impl OperatorState {
    fn faults(&self) -> Result<&FaultInjector, Problem> {
        let off = || {
            Problem::new(
                Http::NOT_FOUND,
                "NO_SUCH_ROUTE",
                "faults can be injected only into a proxy that runs with --faults",
            )
        };
        self.faults.as_ref().ok_or_else(off)
    }
}

async fn list_faults(State(operator): State<OperatorState>) -> Result<Response, Problem> {
    let mut faults: Vec<FaultBody> = operator
        .faults()?
        .list()
        .into_iter()
        .map(FaultBody::from)
        .collect();
    faults.sort_by(|one, other| one.stream.cmp(&other.stream));
    Ok(Json(Faults { faults }).into_response())
}

async fn stall(
    State(operator): State<OperatorState>,
    StreamPath(stream): StreamPath,
) -> Result<Http, Problem> {
    operator.faults()?.stall(&stream);
    Ok(Http::NO_CONTENT)
}

async fn fail(
    State(operator): State<OperatorState>,
    StreamPath(stream): StreamPath,
    Path(named): Path<Vec<(String, String)>>,
) -> Result<Http, Problem> {
    let faults = operator.faults()?;
    let code = named.get(1).map_or("", |(_, code)| code);
    let code = code.parse().map_err(|_| {
        let code = shorten(code, MAX_QUOTE_CHARS);
        Problem::bad_request(format!(
            "code: {code:?} is not the number of a status code, such as 517"
        ))
    })?;
    faults.fail(&stream, StatusCode::from_i32(code));
    Ok(Http::NO_CONTENT)
}

async fn clear_fault(
    State(operator): State<OperatorState>,
    StreamPath(stream): StreamPath,
) -> Result<Http, Problem> {
    operator.faults()?.clear(&stream);
    Ok(Http::NO_CONTENT)
}

impl From<(String, InjectedFault)> for FaultBody {
    fn from((stream, fault): (String, InjectedFault)) -> Self {
        match fault {
            InjectedFault::Stalled => Self {
                stream,
                kind: "stalled",
                code: None,
            },
            InjectedFault::Failing(code) => Self {
                stream,
                kind: "failing",
                code: Some(code.as_i32()),
            },
        }
    }
}
