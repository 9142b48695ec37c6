use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode as Http, header};
use axum::response::{IntoResponse, Response};
use distributedlog::{Failure, StatusCode, WriteState};
use serde::Serialize;

use super::status::http_status;
use crate::machine::{self, NotStarted, Reply};
use distributedlog_store::{Owner, StoreError, StreamName};

/// How long a client should stay away when the proxy has too much to do, or is not ready: the least
/// that the header can say.
const RETRY_AFTER_SECONDS: u16 = 1;

/// Why a request was not carried out (RFC 9457). Its type is `about:blank`; `name` says what it is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    title: &'static str,
    status: u16,
    /// For programs.
    name: &'static str,
    /// DistributedLog's status code, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    /// What is known of the records, or of whatever else the request was to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<&'static str>,
    detail: Cow<'static, str>,
    /// Who owns the stream, if another proxy does.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Box<OwnerBody>>,
}

/// A proxy as thrift clients know it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OwnerBody {
    shard: i32,
    address: String,
}

impl Problem {
    /// A problem that DistributedLog has no code for: nothing was started.
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
        }
    }

    /// The request is not one.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Http::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// A problem with one of DistributedLog's codes.
    pub(super) fn of_code(code: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: code.name(),
            code: Some(code.as_i32()),
            known: Some(known_name(Failure::of_status(code).known)),
            ..Self::new(http_status(code), "", detail)
        }
    }

    /// What the machine answered, which is no success.
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
                "not started: the request's time was over before its turn came",
            ),
            Reply::NotStarted(NotStarted::Discarded) => Self::new(
                Http::GATEWAY_TIMEOUT,
                "NOT_STARTED",
                "not started: the client went away",
            ),
            Reply::Exception { message, .. } => {
                Self::of_code(StatusCode::InternalServerError, message.clone())
            }
            Reply::ServerInfo { .. } | Reply::Bulk(_) | Reply::Void => {
                unreachable!("HTTP asks the machine nothing that is answered like this")
            }
        }
    }

    /// The store could not be read, or not answer a question. Nothing was to be changed.
    pub(super) fn of_store(stream: &StreamName, error: &StoreError) -> Self {
        Self::of_reply(&Reply::Stream(machine::of_setup(stream, error))).of_a_read()
    }

    /// The store could not list its streams.
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

    /// The same for a request that changes nothing: there is nothing to be known of its records.
    pub(super) fn of_a_read(self) -> Self {
        Self {
            known: None,
            ..self
        }
    }

    /// The same for records that no stream will take.
    pub(super) fn rejected(self) -> Self {
        Self {
            known: Some(known_name(WriteState::Rejected)),
            ..self
        }
    }
}

/// What is said where the machine says nothing.
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
    /// Takes `1;{shard};{host}:{port}` apart.
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
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if matches!(status, Http::TOO_MANY_REQUESTS | Http::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        if status == Http::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
