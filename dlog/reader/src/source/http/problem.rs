use core::time::Duration;

use distributedlog::Escaped;
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::settings::Server;
use crate::reader::ReadError;
use crate::source::Failure;

/// Statuses with which a server refuses a read for ever.
const REFUSALS: [u16; 8] = [400, 401, 403, 405, 406, 409, 410, 415];

/// Longest pause that a server can ask for, in seconds.
const MAX_RETRY_AFTER_S: u64 = 60;

/// Problem details of RFC 9457, as far as they matter here. A gateway's error page has none.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

/// Returns the failure that an error response means for the read of a stream.
pub(super) fn failure(
    server: &Server,
    stream: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Failure {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let mut detail = format!("{server} answered {}", status.as_u16());
    for part in [&problem.name, &problem.detail].into_iter().flatten() {
        detail.push(' ');
        detail.push_str(&Escaped(part).to_string());
    }
    let stream = stream.to_owned();
    match (status.as_u16(), problem.name.as_deref()) {
        (_, Some("STREAM_RECREATED")) => Failure::Fatal(ReadError::Recreated { stream, detail }),
        (_, Some("POSITION_BEYOND_END")) => {
            Failure::Fatal(ReadError::PositionBeyondEnd { stream, detail })
        }
        (404, Some("LOG_NOT_FOUND")) => Failure::Missing(detail),
        (404, Some("NO_SUCH_ROUTE")) => Failure::Fatal(ReadError::Refused {
            stream,
            status: Some(404),
            detail,
        }),
        (code, _) if REFUSALS.contains(&code) => Failure::Fatal(ReadError::Refused {
            stream,
            status: Some(code),
            detail,
        }),
        _ => Failure::Transient {
            detail,
            retry_after: retry_after(headers),
            at_once: false,
            answered: true,
        },
    }
}

/// Returns the pause that the server asks for, in seconds; dates are for caches, and ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_S)))
}
