//! Appends several records of one request, each with a result of its own.

use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use distributedlog::StatusCode;
use distributedlog::wire::crc;
use distributedlog::wire::service::{Binaries, Request, WriteContext};
use serde::Serialize;

use super::HttpState;
use super::client::ClientWatch;
use super::position::ShortDlsn;
use super::problem::Problem;
use crate::machine::{Reply, StreamReply, Terms};
use crate::stats::is_repeated;

/// Content type of records behind their lengths.
pub(super) const LENGTH_PREFIXED: &str = "application/vnd.distributedlog.records";
/// Content type of records that are lines.
pub(super) const LINES: &str = "application/x-ndjson";

/// Largest body, in bytes: 4 MiB, several entries. One of the largest record has room.
pub(super) const MAX_BODY_BYTES: usize = 4 << 20;
/// Maximum number of records. Each takes about 200 bytes besides its own, its result included.
const MAX_RECORDS: usize = 4096;

/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;

/// Layout of the records in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A line each.
    Lines,
    /// Each behind its length.
    LengthPrefixed,
}

/// A request with several records.
pub(super) struct Batch<'a> {
    pub(super) stream: &'a str,
    pub(super) layout: Layout,
    pub(super) body: &'a Bytes,
    pub(super) crc32: Option<i64>,
    pub(super) attempt: Option<i32>,
}

#[derive(Debug, Serialize)]
struct BatchBody<'a> {
    stream: &'a str,
    /// Number of records in the request.
    records: usize,
    /// Number of those that were written.
    written: usize,
    /// In the order of the records.
    results: Vec<ResultBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum ResultBody {
    Dlsn(ShortDlsn),
    Error(Problem),
}

impl Batch<'_> {
    /// Appends the records.
    ///
    /// # Errors
    ///
    /// The body cannot be read: nothing was written. Or all records have failed for one reason.
    pub(super) async fn append(
        &self,
        state: &HttpState,
        terms: Terms,
        client: &ClientWatch,
    ) -> Result<Response, Problem> {
        self.check_sum()?;
        let records = split(self.layout, self.body)?;
        let request = Request::WriteBulkWithContext {
            stream: self.stream,
            data: Binaries::new(&records),
            context: WriteContext {
                attempt: self.attempt,
                ..WriteContext::default()
            },
        };
        if is_repeated(&request) {
            state.service.stats.repeated.inc();
        }
        let action = state.check(&request, self.body);
        let action = action.map_err(|reply| Problem::of_reply(&reply))?;
        let reply = state.ask(&request, action, terms, client).await;
        let Reply::Bulk(replies) = reply else {
            return Err(Problem::of_reply(&reply));
        };
        let results: Vec<ResultBody> = replies.into_iter().map(result).collect();
        let is_written = |result: &&ResultBody| matches!(result, ResultBody::Dlsn(_));
        Ok(Json(BatchBody {
            stream: self.stream,
            records: records.len(),
            written: results.iter().filter(is_written).count(),
            results,
        })
        .into_response())
    }

    /// Compares the client's checksum, if it sent one, with that of the body.
    fn check_sum(&self) -> Result<(), Problem> {
        let Some(claimed) = self.crc32 else {
            return Ok(());
        };
        let actual = crc::write(self.stream, self.body);
        if claimed == i64::from(actual) {
            return Ok(());
        }
        let detail = format!(
            "checksum failed: the request says {claimed:#010x}, what arrived has {actual:#010x}"
        );
        Err(Problem::of_code(StatusCode::ChecksumFailed, detail))
    }
}

fn result(reply: StreamReply) -> ResultBody {
    match reply {
        StreamReply {
            code: StatusCode::Success,
            dlsn: Some(dlsn),
            ..
        } => ResultBody::Dlsn(ShortDlsn(dlsn)),
        reply => ResultBody::Error(Problem::of_reply(&Reply::Stream(reply))),
    }
}

/// Splits a body into its records.
fn split(layout: Layout, body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let mut records = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (record, behind) = match layout {
            Layout::Lines => line(rest),
            Layout::LengthPrefixed => prefixed(rest).ok_or_else(|| {
                malformed(format!(
                    "the record with index {} is cut off: the body has {} bytes from its length on",
                    records.len(),
                    rest.len()
                ))
            })?,
        };
        rest = behind;
        if layout == Layout::Lines && record.is_empty() {
            continue;
        }
        if records.len() == MAX_RECORDS {
            return Err(malformed(format!(
                "the body has more than {MAX_RECORDS} records"
            )));
        }
        records.push(record);
    }
    if records.is_empty() {
        return Err(malformed("the body has no record".to_owned()));
    }
    Ok(records)
}

/// Returns the first line, without its end, and what follows it.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, behind) = match end {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), behind)
}

/// Returns the first record behind its length, and what follows it. `None` if it is cut off.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

fn malformed(detail: String) -> Problem {
    Problem::bad_request(detail).rejected()
}
