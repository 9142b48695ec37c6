use core::time::Duration;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode as Http;
use distributedlog::StatusCode;
use distributedlog_store::{Retention, RetentionInfo, StoreError, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::guard::PeerAddress;
use super::problem::Problem;
use super::route::StreamPath;
use super::streams::parse_name;
use super::{HttpState, body};
use crate::MAX_RECORD_BYTES;

/// The last part of the routes' paths, by which the guard knows them.
pub(super) const LAST_PART: &str = "/retention";

/// Limits as they are set; one that is missing or null is none.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    #[serde(default)]
    age_ms: Option<u64>,
    #[serde(default)]
    bytes: Option<u64>,
}

/// Limits that apply, as `dlog tool retention --format json` prints them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RetentionBody {
    age_ms: Option<u64>,
    bytes: Option<u64>,
    /// True if they were set for the stream, or for the namespace at run time.
    own: bool,
}

impl From<RetentionInfo> for RetentionBody {
    fn from(info: RetentionInfo) -> Self {
        let age_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Self {
            age_ms: info.applied.age.map(age_ms),
            bytes: info.applied.bytes,
            own: info.own.is_some(),
        }
    }
}

/// Returns the retention that applies to a stream.
pub(super) async fn of_stream(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
) -> Result<Json<RetentionBody>, Problem> {
    let asked = asked(&state, Some(&parse_name(&stream)?)).await;
    asked.map_err(Problem::of_a_read)
}

/// Sets the retention of a stream.
pub(super) async fn set_of_stream(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
    peer: PeerAddress,
    body: Body,
) -> Result<Json<RetentionBody>, Problem> {
    let limits = limits(&state, peer, body).await?;
    set(&state, Some(&parse_name(&stream)?), Some(limits)).await
}

/// Removes the retention of a stream, which has its namespace's from then on.
pub(super) async fn remove_from_stream(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
) -> Result<Json<RetentionBody>, Problem> {
    set(&state, Some(&parse_name(&stream)?), None).await
}

/// Returns the retention of the namespace's streams that have none of their own.
pub(super) async fn of_namespace(
    State(state): State<Arc<HttpState>>,
) -> Result<Json<RetentionBody>, Problem> {
    asked(&state, None).await.map_err(Problem::of_a_read)
}

/// Sets the retention of the namespace.
pub(super) async fn set_of_namespace(
    State(state): State<Arc<HttpState>>,
    peer: PeerAddress,
    body: Body,
) -> Result<Json<RetentionBody>, Problem> {
    let limits = limits(&state, peer, body).await?;
    set(&state, None, Some(limits)).await
}

/// Removes the retention of the namespace, which has that of the store's settings from then on.
pub(super) async fn remove_from_namespace(
    State(state): State<Arc<HttpState>>,
) -> Result<Json<RetentionBody>, Problem> {
    set(&state, None, None).await
}

/// Reads the limits in a request's body.
async fn limits(state: &HttpState, peer: PeerAddress, body: Body) -> Result<Retention, Problem> {
    let body = body::read(state, peer.0.ip(), body, MAX_RECORD_BYTES).await?;
    // A map first: an array would be taken for the fields in their order.
    let parsed = serde_json::from_slice::<Map<String, Value>>(&body.bytes);
    let parsed = parsed.and_then(|map| serde_json::from_value(Value::Object(map)));
    let limits: LimitsBody = parsed.map_err(|error| {
        Problem::bad_request(format!(
            "the body is not a retention such as {{\"age_ms\": 604800000, \"bytes\": null}}: \
             {error}"
        ))
    })?;
    if limits.age_ms == Some(0) || limits.bytes == Some(0) {
        // Everything would be discarded at once: a truncation says that more clearly.
        let detail = "age_ms and bytes: a limit is at least 1, or null for none";
        return Err(Problem::bad_request(detail));
    }
    Ok(Retention {
        age: limits.age_ms.map(Duration::from_millis),
        bytes: limits.bytes,
    })
}

async fn set(
    state: &HttpState,
    stream: Option<&StreamName>,
    retention: Option<Retention>,
) -> Result<Json<RetentionBody>, Problem> {
    if state.settings.read_only {
        let detail = "this proxy is read only";
        return Err(Problem::of_code(StatusCode::RequestDenied, detail));
    }
    let store = state.service.store();
    let done = store.set_retention(stream, retention).await;
    done.map_err(|error| problem(stream, &error))?;
    asked(state, stream).await
}

async fn asked(
    state: &HttpState,
    stream: Option<&StreamName>,
) -> Result<Json<RetentionBody>, Problem> {
    let found = state.service.store().retention(stream).await;
    let found = found.map_err(|error| problem(stream, &error))?;
    Ok(Json(found.into()))
}

fn problem(stream: Option<&StreamName>, error: &StoreError) -> Problem {
    if matches!(error, StoreError::Unsupported { .. }) {
        let detail = format!("{error}: on BookKeeper it is a setting of the write proxies");
        return Problem::new(Http::NOT_IMPLEMENTED, "UNSUPPORTED", detail);
    }
    match stream {
        Some(stream) => Problem::of_store(stream, error),
        None => Problem::of_listing(error),
    }
}
