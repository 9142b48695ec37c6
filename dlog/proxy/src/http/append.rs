use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode as Http, header};
use axum::response::{IntoResponse, Json, Response};
use distributedlog::StatusCode;
use distributedlog::wire::service::{Request, WriteContext};
use serde::Serialize;

use super::access::HttpCaller;
use super::batch::{self, Batch, Layout};
use super::client::ClientWatch;
use super::guard::PeerAddress;
use super::position::DlsnBody;
use super::problem::Problem;
use super::route::StreamPath;
use super::{HttpState, body};
use crate::MAX_RECORD_BYTES;
use crate::machine::{Action, Reply, StreamReply, Terms, Work};
use crate::stats::is_repeated;

/// Content type of a record set.
const RECORD_SET: &str = "application/vnd.distributedlog.record-set";

/// CRC-32 over the stream's name and the body, in hex.
pub(super) const CRC32: HeaderName = HeaderName::from_static("dlog-crc32");
/// Time within which the work must start, in milliseconds.
pub(super) const TIMEOUT_MS: HeaderName = HeaderName::from_static("dlog-timeout-ms");
/// Number of attempts that the client made for these records before.
pub(super) const ATTEMPT: HeaderName = HeaderName::from_static("dlog-attempt");

/// Longest time that a client can ask for: a day.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

#[derive(Debug, Serialize)]
struct AppendedBody<'a> {
    stream: &'a str,
    /// Number of records that were written.
    records: u32,
    /// Position of the first of them.
    dlsn: DlsnBody,
}

/// What a body contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Record,
    RecordSet,
    /// Several records.
    Batch(Layout),
}

impl Content {
    const fn max_bytes(self) -> usize {
        match self {
            Self::Record | Self::RecordSet => MAX_RECORD_BYTES,
            Self::Batch(_) => batch::MAX_BODY_BYTES,
        }
    }
}

/// The request headers of an append, parsed.
struct AppendHeaders {
    content: Content,
    crc32: Option<i64>,
    /// Time that the client allows for the work to start.
    timeout: Option<Duration>,
    /// Number of attempts that the client made for these records before.
    attempt: Option<i32>,
}

impl AppendHeaders {
    fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        let content = content(headers)?;
        let crc32 = number(
            headers,
            &CRC32,
            16,
            u64::from(u32::MAX),
            "eight hex digits, CRC-32 (IEEE) of the stream's name and the body",
        )?;
        let timeout_ms = number(
            headers,
            &TIMEOUT_MS,
            10,
            MAX_TIMEOUT_MS,
            "a number of milliseconds, one day at most",
        )?;
        let attempt = number(
            headers,
            &ATTEMPT,
            10,
            u64::from(u16::MAX),
            "the number of earlier attempts, at most 65535",
        )?;
        Ok(Self {
            content,
            crc32: crc32.map(|crc| i64::try_from(crc).expect("it has 32 bits")),
            timeout: timeout_ms.map(Duration::from_millis),
            attempt: attempt.map(|attempt| i32::try_from(attempt).expect("it has 16 bits")),
        })
    }
}

/// Appends a record, a record set, or several records.
pub(super) async fn append(
    State(state): State<Arc<HttpState>>,
    StreamPath(stream): StreamPath,
    headers: HeaderMap,
    client: ClientWatch,
    caller: HttpCaller,
    PeerAddress(peer): PeerAddress,
    body: Body,
) -> Result<Response, Problem> {
    let parsed = AppendHeaders::parse(&headers)?;
    let received = body::read(&state, peer.ip(), body, parsed.content.max_bytes()).await?;
    caller.charge(&state, &headers, received.bytes.len());
    let headers = parsed;
    let payload = received.bytes.clone();
    // The client's time starts once its body is here, as a thrift client's does.
    let terms = Terms {
        deadline: headers.timeout.map(|allowed| state.service.now() + allowed),
        may_create: caller.may_create(&stream),
    };
    if let Content::Batch(layout) = headers.content {
        let batch = Batch {
            stream: &stream,
            layout,
            body: &payload,
            crc32: headers.crc32,
            attempt: headers.attempt,
        };
        return batch.append(&state, terms, &client).await;
    }
    let request = Request::WriteWithContext {
        stream: &stream,
        data: &payload,
        context: WriteContext {
            crc32: headers.crc32,
            is_record_set: Some(headers.content == Content::RecordSet),
            attempt: headers.attempt,
            ..WriteContext::default()
        },
    };
    if is_repeated(&request) {
        state.service.stats.repeated.inc();
    }
    let action = state
        .check(&request, &payload)
        .map_err(|reply| refused(&reply))?;
    let records = slots(&action);
    let reply = state.ask(&request, action, terms, &client).await;
    if let Reply::Stream(StreamReply {
        code: StatusCode::Success,
        dlsn: Some(dlsn),
        ..
    }) = reply
    {
        return Ok(Json(AppendedBody {
            stream: &stream,
            records,
            dlsn: dlsn.into(),
        })
        .into_response());
    }
    Err(Problem::of_reply(&reply))
}

/// Converts the reply of a failed check.
fn refused(reply: &Reply) -> Problem {
    // Among the checks, only that of the record set answers with this code; over HTTP there is a
    // better one.
    if let Reply::Stream(StreamReply {
        code: StatusCode::InternalServerError,
        message,
        ..
    }) = reply
    {
        let detail = message.clone().unwrap_or(Cow::Borrowed("not a record set"));
        return Problem::new(Http::BAD_REQUEST, "MALFORMED_RECORD_SET", detail).rejected();
    }
    Problem::of_reply(reply)
}

/// Returns the number of records that a checked write appends.
fn slots(action: &Action<'_>) -> u32 {
    match action {
        Action::Stream {
            work: Work::Write(record) | Work::WriteOnce(record, _),
            ..
        } => record.slots,
        Action::Stream {
            work: Work::Bulk(_) | Work::Touch | Work::Truncate(_) | Work::Release | Work::Delete,
            ..
        }
        | Action::Handshake { .. }
        | Action::SetAcceptNewStream(_)
        | Action::Create { .. }
        | Action::Owner { .. } => unreachable!("a write is a write"),
    }
}

/// Returns what the body contains by its content type.
fn content(headers: &HeaderMap) -> Result<Content, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        let detail = format!(
            "content-encoding {encoding:?} is not supported: records are stored as they are sent"
        );
        return Err(unsupported(detail));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Content::Record);
    };
    let text = value.to_str().unwrap_or("");
    let essence = text
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        RECORD_SET => Ok(Content::RecordSet),
        batch::LINES => Ok(Content::Batch(Layout::Lines)),
        batch::LENGTH_PREFIXED => Ok(Content::Batch(Layout::LengthPrefixed)),
        "application/octet-stream" | "application/json" => Ok(Content::Record),
        text if text.starts_with("text/") => Ok(Content::Record),
        _ => Err(unsupported(format!(
            "content-type {value:?} is not supported: use application/octet-stream, text/plain \
             or application/json for one record, {} or {} for several, {RECORD_SET} for a record \
             set",
            batch::LINES,
            batch::LENGTH_PREFIXED
        ))),
    }
}

fn unsupported(detail: String) -> Problem {
    Problem::new(
        Http::UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_MEDIA_TYPE",
        detail,
    )
    .rejected()
}

/// Parses a number in a header, if the header is there.
fn number(
    headers: &HeaderMap,
    name: &HeaderName,
    radix: u32,
    most: u64,
    right: &str,
) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("");
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let whole = radix == 10 || text.len() == 8;
    match u64::from_str_radix(text, radix) {
        Ok(number) if plain && whole && number <= most => Ok(Some(number)),
        Ok(_) | Err(_) => Err(Problem::bad_request(format!(
            "{name}: {value:?} is not {right}"
        ))),
    }
}
