use core::time::Duration;
use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode as Http, header};
use axum::response::{IntoResponse, Response};
use distributedlog::{Failure, StatusCode, WriteState};
use serde::Serialize;

use super::status::http_status;
use crate::machine::{self, NotStarted, Reply};
use distributedlog_store::{Owner, StoreError, StreamName};

/// Time for which a client should wait when the proxy is overloaded or not ready: the least that
/// the header can express.
const MIN_RETRY_AFTER_S: u64 = 1;

/// Reason why a request was not carried out (RFC 9457). The type is `about:blank`; `name`
/// identifies the problem.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    title: &'static str,
    status: u16,
    /// Name, for programs.
    name: &'static str,
    /// DistributedLog's status code, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    /// State of the records, or of the change that was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<&'static str>,
    detail: Cow<'static, str>,
    /// Owner of the stream, if it is another proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Box<OwnerBody>>,
    /// Time after which the client may try again; for its header.
    #[serde(skip)]
    retry_after_s: u64,
}

/// The problem of a response, which the guard counts.
#[derive(Clone, Debug)]
pub(super) struct NotedProblem {
    pub(super) name: &'static str,
    pub(super) detail: Cow<'static, str>,
}

/// A proxy as thrift clients address it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OwnerBody {
    shard: i32,
    address: String,
}

impl Problem {
    /// Returns a problem without a code of DistributedLog: nothing was started.
    pub(super) fn new(
        status: Http,
        name: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            name,
            code: None,
            known: Some(known_name(WriteState::NotWritten)),
            detail: detail.into(),
            owner: None,
            retry_after_s: MIN_RETRY_AFTER_S,
        }
    }

    /// Returns the problem of a malformed request.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Http::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// Returns the problem of one of DistributedLog's codes.
    pub(super) fn of_code(code: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: code.name(),
            code: Some(code.as_i32()),
            known: Some(known_name(Failure::of_status(code).known)),
            ..Self::new(http_status(code), "", detail)
        }
    }

    /// Converts the machine's reply, which is not a success.
    pub(super) fn of_reply(reply: &Reply) -> Self {
        match reply {
            Reply::Stream(response) => {
                let detail = response
                    .message
                    .clone()
                    .unwrap_or_else(|| default_detail(response).into());
                let owner = response
                    .location
                    .as_deref()
                    .and_then(OwnerBody::of_location)
                    .map(Box::new);
                Self {
                    owner,
                    ..Self::of_code(response.code, detail)
                }
            }
            Reply::NotStarted(NotStarted::DeadlinePassed) => Self::new(
                Http::GATEWAY_TIMEOUT,
                "NOT_STARTED",
                "not started: the request's deadline passed while it was queued",
            ),
            Reply::NotStarted(NotStarted::Discarded) => Self::new(
                Http::GATEWAY_TIMEOUT,
                "NOT_STARTED",
                "not started: the client closed its side of the connection before the work began",
            ),
            Reply::Exception { message, .. } => {
                Self::of_code(StatusCode::InternalServerError, message.clone())
            }
            Reply::ServerInfo { .. } | Reply::Bulk(_) | Reply::Void => {
                unreachable!("no route sends a request with such a reply")
            }
        }
    }

    /// Converts an error of the store to a read, or to a question that changes nothing.
    pub(super) fn of_store(stream: &StreamName, error: &StoreError) -> Self {
        Self::of_reply(&Reply::Stream(machine::of_setup(stream, error))).of_a_read()
    }

    /// Converts an error of the store to listing its streams.
    pub(super) fn of_listing(error: &StoreError) -> Self {
        let passes = matches!(
            error,
            StoreError::Unreachable { .. } | StoreError::Disconnected { .. } | StoreError::Closed
        );
        let code = if passes {
            StatusCode::ServiceUnavailable
        } else {
            StatusCode::MetadataException
        };
        Self::of_code(code, error.to_string()).of_a_read()
    }

    /// Sets the time after which the client may try again, in whole seconds as the header has it.
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        Self {
            retry_after_s: seconds.max(MIN_RETRY_AFTER_S),
            ..self
        }
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    /// Removes the state of the records, for a request that changes nothing.
    pub(super) fn of_a_read(self) -> Self {
        Self {
            known: None,
            ..self
        }
    }

    /// Sets the state of the records, or of the change, to not written: nothing was begun.
    pub(super) fn not_written(self) -> Self {
        Self {
            known: Some(known_name(WriteState::NotWritten)),
            ..self
        }
    }

    /// Sets the state of the records to rejected: no stream will take them.
    pub(super) fn rejected(self) -> Self {
        Self {
            known: Some(known_name(WriteState::Rejected)),
            ..self
        }
    }
}

/// Returns the detail where the machine's reply has none.
fn default_detail(response: &machine::StreamReply) -> &'static str {
    if response.code == StatusCode::Found {
        "another proxy owns this stream"
    } else {
        "the proxy gave no reason"
    }
}

const fn known_name(known: WriteState) -> &'static str {
    match known {
        WriteState::NotWritten => "not_written",
        WriteState::Rejected => "rejected",
        WriteState::Unknown => "unknown",
    }
}

impl OwnerBody {
    /// Parses `1;{shard};{host}:{port}`.
    fn of_location(location: &str) -> Option<Self> {
        let mut parts = location.splitn(3, ';').skip(1);
        let shard = parts.next()?.parse().ok()?;
        Some(Self {
            shard,
            address: parts.next()?.to_owned(),
        })
    }
}

impl From<Owner> for OwnerBody {
    fn from(owner: Owner) -> Self {
        Self {
            shard: owner.shard,
            address: owner.address,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = Http::from_u16(self.status).expect("it came from one");
        let body = serde_json::to_vec(&self).expect("texts and numbers");
        let mut response = Response::new(Body::from(body));
        response.extensions_mut().insert(NotedProblem {
            name: self.name,
            detail: self.detail,
        });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if matches!(status, Http::TOO_MANY_REQUESTS | Http::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, self.retry_after_s.into());
        }
        if status == Http::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
