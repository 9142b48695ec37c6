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

use super::position::Position;
use super::problem::Problem;
use super::route::StreamPath;
use super::{Face, body};
use crate::machine::{Action, Answer, Response as Outcome, Work};

/// What a record set is called in a content type.
const RECORD_SET: &str = "application/vnd.distributedlog.record-set";

/// CRC-32 over the stream's name and the body, in hex.
pub(super) const CRC32: HeaderName = HeaderName::from_static("dlog-crc32");
/// How long the work may wait to be started, in milliseconds.
pub(super) const TIMEOUT_MS: HeaderName = HeaderName::from_static("dlog-timeout-ms");
/// How many attempts were made for these records before.
pub(super) const ATTEMPT: HeaderName = HeaderName::from_static("dlog-attempt");

/// The longest time that a client can ask for: a day.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

#[derive(Debug, Serialize)]
struct Written<'a> {
    stream: &'a str,
    /// How many records were written.
    records: u32,
    /// Where the first of them is.
    dlsn: Position,
}

/// Appends a record or a record set.
pub(super) async fn append(
    State(face): State<Arc<Face>>,
    StreamPath(stream): StreamPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let is_record_set = is_record_set(&headers)?;
    let crc32 = number(
        &headers,
        &CRC32,
        16,
        u64::from(u32::MAX),
        "eight hex digits, CRC-32 (IEEE) of the stream's name and the body",
    )?;
    let timeout_ms = number(
        &headers,
        &TIMEOUT_MS,
        10,
        MAX_TIMEOUT_MS,
        "a number of milliseconds, one day at most",
    )?;
    let attempt = number(
        &headers,
        &ATTEMPT,
        10,
        u64::from(u16::MAX),
        "how many attempts were made before, at most 65535",
    )?;
    let received = body::read(&face, body).await?;
    let payload = received.bytes.clone();
    if attempt.is_some_and(|attempt| attempt > 0) {
        face.service.stats.repeated.inc();
    }
    let context = WriteContext {
        crc32: crc32.map(|crc| i64::try_from(crc).expect("it has 32 bits")),
        is_record_set: Some(is_record_set),
        ..WriteContext::default()
    };
    let deadline = timeout_ms.map(|allowed| face.service.now() + Duration::from_millis(allowed));
    let request = Request::WriteWithContext {
        stream: &stream,
        data: &payload,
        context,
    };
    let action = match face.check(&request, &payload) {
        Ok(action) => action,
        // Among the checks, only that of the record set answers with this code; over HTTP there is
        // a better one.
        Err(Answer::Stream(Outcome {
            code: StatusCode::InternalServerError,
            message,
            ..
        })) => {
            let detail = message.unwrap_or(Cow::Borrowed("not a record set"));
            return Err(Problem::new(Http::BAD_REQUEST, "MALFORMED_RECORD_SET", detail).rejected());
        }
        Err(answer) => return Err(Problem::of_answer(&answer)),
    };
    let records = match &action {
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
    };
    let answer = face.ask(&request, action, deadline).await;
    if let Answer::Stream(Outcome {
        code: StatusCode::Success,
        dlsn: Some(dlsn),
        ..
    }) = answer
    {
        return Ok(Json(Written {
            stream: &stream,
            records,
            dlsn: dlsn.into(),
        })
        .into_response());
    }
    Err(Problem::of_answer(&answer))
}

/// Whether the body is a record set, by its content type.
fn is_record_set(headers: &HeaderMap) -> Result<bool, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        let detail = format!(
            "content-encoding {encoding:?} is not understood: records are stored as they come"
        );
        return Err(unsupported(detail));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(false);
    };
    let text = value.to_str().unwrap_or("");
    let essence = text
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        RECORD_SET => Ok(true),
        "application/octet-stream" | "application/json" => Ok(false),
        text if text.starts_with("text/") => Ok(false),
        _ => Err(unsupported(format!(
            "content-type {value:?} is not understood: say application/octet-stream, text/plain \
             or application/json for one record, {RECORD_SET} for a record set"
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

/// A number in a header, if it is there.
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
