use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode as Http;
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use distributedlog::wire::service::{Request, WriteContext};
use distributedlog::{Dlsn, StatusCode};
use serde::Serialize;

use super::HttpState;
use super::client::ClientWatch;
use super::details::{self, DetailsQuery};
use super::position::{self, ShortDlsn};
use super::problem::{OwnerBody, Problem};
use super::query::{FromQuery, Parameters, QueryPairs};
use super::route::StreamPath;
use crate::machine::{Reply, StreamReply, Terms, filter};
use distributedlog_store::{SegmentInfo, StreamInfo, StreamName};

/// Number of names in a page. Default: 1,000.
const PAGE: usize = 1_000;
/// Maximum number of names in a page.
const MAX_PAGE: usize = 10_000;
/// Number of names that are compared with a filter at once.
const SCAN: usize = 8_192;

#[derive(Debug)]
pub(super) struct ListQuery {
    prefix: String,
    filter: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    details: Option<DetailsQuery>,
}

impl FromQuery for ListQuery {
    const NAMES: &'static [&'static str] = &[
        "prefix", "filter", "after", "limit", "details", "sort", "order", "search",
    ];

    fn from_query(query: &QueryPairs) -> Result<Self, Problem> {
        let limit = query.parse("limit", format_args!("a number from 1 to {MAX_PAGE}"));
        Ok(Self {
            prefix: query.text("prefix").unwrap_or_default(),
            filter: query.text("filter"),
            after: query.text("after"),
            limit: limit.map_err(Problem::of_a_read)?,
            details: DetailsQuery::parse(query).map_err(Problem::of_a_read)?,
        })
    }
}

#[derive(Debug, Serialize)]
struct StreamListBody {
    streams: Vec<StreamName>,
    /// The `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<StreamName>,
}

#[derive(Debug, Serialize)]
struct CreatedBody<'a> {
    stream: &'a str,
    /// True if it was created by this request.
    created: bool,
}

#[derive(Debug, Serialize)]
struct StreamBody<'a> {
    stream: &'a StreamName,
    created_ms: u64,
    first: Option<ShortDlsn>,
    last: Option<ShortDlsn>,
    truncated_before: Option<ShortDlsn>,
    owner: Option<OwnerBody>,
    segments: Vec<SegmentBody>,
}

#[derive(Debug, Serialize)]
struct SegmentBody {
    log_segment: i64,
    completed: bool,
    entries: u64,
    records: u64,
    payload_bytes: u64,
    first_ms: u64,
    last_ms: u64,
}

#[derive(Debug)]
pub(super) struct TruncateQuery {
    before: String,
}

impl FromQuery for TruncateQuery {
    const NAMES: &'static [&'static str] = &["before"];

    fn from_query(query: &QueryPairs) -> Result<Self, Problem> {
        let example = "?before=1,0,0, the position of the first record that is kept";
        Ok(Self {
            before: query.required("before", example)?,
        })
    }
}

/// Lists streams by name, page by page.
pub(super) async fn list(
    State(state): State<Arc<HttpState>>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Response, Problem> {
    if let Some(details) = query.details {
        let listed = details::list(&state, details, query.prefix, query.after, query.limit);
        return listed.await.map_err(Problem::of_a_read);
    }
    let limit = query.limit.unwrap_or(PAGE);
    if limit == 0 || limit > MAX_PAGE {
        return Err(Problem::bad_request(format!(
            "limit: {limit} is not between 1 and {MAX_PAGE}"
        ))
        .of_a_read());
    }
    let matching = query.filter.as_deref().map(filter).transpose();
    let matching = matching.map_err(|why| {
        Problem::bad_request(format!("filter: cannot be used: {why}")).of_a_read()
    })?;
    // A text that is no name is compared, but no page of the store can begin there.
    let name = |text: &str| {
        StreamName::new(text)
            .ok()
            .filter(|name| name.as_str() == text)
    };
    let mut after = query.after.as_deref().and_then(name);
    // One more than the page tells whether there is another. A filter may match few of the names.
    let at_once = if matching.is_some() { SCAN } else { limit + 1 };
    let mut streams: Vec<StreamName> = Vec::new();
    let mut more = true;
    let from = query.after.as_deref();
    // Bounded: each round is a page of the store further on.
    while more && streams.len() <= limit {
        let page = state
            .service
            .store()
            .list_page(after.as_ref(), &query.prefix, at_once)
            .await
            .map_err(|error| Problem::of_listing(&error))?;
        more = page.more && !page.names.is_empty();
        after = page.names.last().cloned();
        let wanted = page.names.into_iter().filter(|name| {
            from.is_none_or(|from| name.as_str() > from)
                && matching
                    .as_ref()
                    .is_none_or(|regex| regex.is_match(name.as_str()))
        });
        streams.extend(wanted.take(limit + 1 - streams.len()));
    }
    let next = (streams.len() > limit).then(|| streams[limit - 1].clone());
    streams.truncate(limit);
    Ok(Json(StreamListBody { streams, next }).into_response())
}

/// Creates a stream, or does nothing if it exists.
pub(super) async fn create(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
    client: ClientWatch,
) -> Result<Response, Problem> {
    let request = Request::Create {
        stream: &stream,
        context: WriteContext::default(),
    };
    let created = carry_out(&state, &request, &client).await? == StatusCode::Success;
    let status = if created { Http::CREATED } else { Http::OK };
    Ok((
        status,
        Json(CreatedBody {
            stream: &stream,
            created,
        }),
    )
        .into_response())
}

/// Deletes a stream and its records.
pub(super) async fn delete(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
    client: ClientWatch,
) -> Result<Response, Problem> {
    carry_out(
        &state,
        &Request::Delete {
            stream: &stream,
            context: WriteContext::default(),
        },
        &client,
    )
    .await?;
    Ok(Http::NO_CONTENT.into_response())
}

/// Discards the records before a position.
pub(super) async fn truncate(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
    Parameters(query): Parameters<TruncateQuery>,
    client: ClientWatch,
) -> Result<Response, Problem> {
    let before = match position::parse_time(&query.before) {
        Some(unix_ms) => at(&state, &stream, unix_ms).await?,
        None => {
            let position = position::parse("before (a DLSN or a time)", &query.before)?;
            if position.created_unix_ms.is_some() {
                // The machine truncates any stream of this name, and one that was created since
                // has other records at this position.
                let found = find(&state, &stream).await.map_err(Problem::not_written)?;
                position::check(position, &found)?;
            }
            position.dlsn
        }
    };
    let dlsn = before.to_text();
    carry_out(
        &state,
        &Request::Truncate {
            stream: &stream,
            dlsn: dlsn.as_str(),
            context: WriteContext::default(),
        },
        &client,
    )
    .await?;
    Ok(Http::NO_CONTENT.into_response())
}

/// Returns the segments, positions and owner of a stream.
pub(super) async fn describe(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
) -> Result<Response, Problem> {
    let StreamInfo {
        name,
        created_unix_ms,
        segments,
        first,
        last,
        truncated_before,
        owner,
    } = find(&state, &stream).await.map_err(Problem::of_a_read)?;
    let described = StreamBody {
        stream: &name,
        created_ms: created_unix_ms,
        first: first.map(ShortDlsn),
        last: last.map(ShortDlsn),
        truncated_before: truncated_before.map(ShortDlsn),
        owner: owner.map(OwnerBody::from),
        segments: segments.into_iter().map(SegmentBody::from).collect(),
    };
    Ok(Json(described).into_response())
}

/// Asks the store for the position of a time.
async fn at(state: &HttpState, stream: &str, unix_ms: u64) -> Result<Dlsn, Problem> {
    let name = parse_name(stream)?;
    let found = state.service.store().position_at(&name, unix_ms).await;
    found.map_err(|error| Problem::of_store(&name, &error).not_written())
}

/// Parses a stream's name in a path.
pub(super) fn parse_name(stream: &str) -> Result<StreamName, Problem> {
    StreamName::new(stream)
        .map_err(|error| Problem::of_code(StatusCode::InvalidStreamName, error.to_string()))
}

/// Asks the store for a stream.
async fn find(state: &HttpState, stream: &str) -> Result<StreamInfo, Problem> {
    let name = parse_name(stream)?;
    let found = state.service.store().describe(&name).await;
    found.map_err(|error| Problem::of_store(&name, &error))
}

/// A change is started whenever its turn comes, and creates nothing by the way.
const CHANGE: Terms = Terms {
    deadline: None,
    may_create: false,
};

/// Passes a change of a stream to the machine. Returns the code of its success, which for `create`
/// may be that the stream exists.
async fn carry_out(
    state: &HttpState,
    request: &Request<'_>,
    client: &ClientWatch,
) -> Result<StatusCode, Problem> {
    let reply = match state.check(request, &Bytes::new()) {
        Ok(action) => state.ask(request, action, CHANGE, client).await,
        Err(reply) => reply,
    };
    let may_exist = matches!(request, Request::Create { .. });
    if let Reply::Stream(StreamReply { code, .. }) = reply
        && (code == StatusCode::Success || (may_exist && code == StatusCode::LogExists))
    {
        if matches!(request, Request::Create { .. } | Request::Delete { .. }) {
            state.catalogue.expire();
        }
        return Ok(code);
    }
    Err(Problem::of_reply(&reply))
}

impl From<SegmentInfo> for SegmentBody {
    fn from(info: SegmentInfo) -> Self {
        Self {
            log_segment: info.log_segment_sequence_no,
            completed: info.completed,
            entries: info.entries,
            records: info.records,
            payload_bytes: info.payload_bytes,
            first_ms: info.first_unix_ms,
            last_ms: info.last_unix_ms,
        }
    }
}
