use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use distributedlog::{Dlsn, Escaped};
use distributedlog_store::dlsn_text::parse_dlsn;
use distributedlog_store::{
    Acquired, AppendDone, Entry, Lease, LogStore, NamesPage, Owner, ReadBatch, ReadLimit,
    Retention, RetentionInfo, SegmentInfo, StoreError, StoreFuture, StreamInfo, StreamName, utc,
};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{AskError, HttpAnswer, HttpClient, escape};
use super::read::Cursor;

/// Time for an answer: deleting a large stream, and finding a time in one, take a while.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of names in a page.
const MAX_PAGE: usize = 10_000;

/// The streams behind a write proxy's HTTP port, for what administers and reads streams: listing,
/// describing, creating, deleting, truncating, retention, reads. Records are written through the
/// proxy.
pub(crate) struct HttpStore {
    pub(super) client: HttpClient,
    /// Reads that go on: a stream's last response, until it ends or is read from elsewhere.
    pub(super) cursors: Mutex<HashMap<StreamName, Cursor>>,
}

#[derive(Deserialize)]
struct ListBody {
    streams: Vec<StreamName>,
    next: Option<StreamName>,
}

#[derive(Deserialize)]
struct CreatedBody {
    created: bool,
}

#[derive(Deserialize)]
struct StreamBody {
    created_ms: u64,
    first: Option<String>,
    last: Option<String>,
    truncated_before: Option<String>,
    owner: Option<Owner>,
    segments: Vec<SegmentBody>,
}

#[derive(Deserialize)]
struct SegmentBody {
    log_segment: i64,
    completed: bool,
    entries: u64,
    records: u64,
    payload_bytes: u64,
    first_ms: u64,
    last_ms: u64,
}

#[derive(Deserialize)]
struct RetentionBody {
    age_ms: Option<u64>,
    bytes: Option<u64>,
    own: bool,
}

/// What a problem says (RFC 9457). All members may be missing: a gateway may have answered.
#[derive(Debug, Default, Deserialize)]
struct ProblemBody {
    name: Option<String>,
    detail: Option<String>,
    owner: Option<Owner>,
}

/// First line of a read: the position at which it begins.
#[derive(Deserialize)]
struct FirstLine {
    next: String,
}

impl HttpStore {
    pub(crate) fn new(client: HttpClient) -> Self {
        Self {
            client,
            cursors: Mutex::default(),
        }
    }

    /// Makes a request that may succeed with any status of 2xx.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        stream: Option<&StreamName>,
    ) -> Result<HttpAnswer, StoreError> {
        let headers: &[(&str, String)] = if body.is_empty() {
            &[]
        } else {
            &[("content-type", "application/json".to_owned())]
        };
        let address = || self.client.url().to_owned();
        let answer = self.client.ask(method, path, headers, body, TIMEOUT).await;
        let answer = answer.map_err(|error| match error {
            AskError::NotSent(detail) => StoreError::Unreachable {
                address: address(),
                detail,
            },
            AskError::Unanswered(detail) => StoreError::Disconnected {
                address: address(),
                detail,
            },
        })?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(self.problem(&answer, stream))
    }

    /// Converts an answer that is no success.
    pub(super) fn problem(&self, answer: &HttpAnswer, stream: Option<&StreamName>) -> StoreError {
        let problem: ProblemBody = serde_json::from_slice(&answer.body).unwrap_or_default();
        let name = problem.name.as_deref().unwrap_or_default();
        if let (Some(stream), "LOG_NOT_FOUND") = (stream, name) {
            return StoreError::StreamNotFound(stream.clone());
        }
        let mut detail = match problem.detail {
            Some(detail) => detail,
            None => format!("it answered {}", answer.status),
        };
        if answer.status == StatusCode::UNAUTHORIZED {
            detail.push_str(" (name the file with the token: --token-file)");
        }
        if let Some(owner) = problem.owner {
            detail.push_str(&format!(
                "; its owner is the proxy at {}: ask that one's HTTP port",
                Escaped(&owner.address)
            ));
        }
        StoreError::Io {
            path: self.client.url().to_owned(),
            detail,
        }
    }

    /// Makes a request, and reads the body of its answer.
    async fn asked<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        stream: Option<&StreamName>,
    ) -> Result<T, StoreError> {
        let answer = self.ask(method, path, body, stream).await?;
        serde_json::from_slice(&answer.body).map_err(|error| self.no_proxy(&error.to_string()))
    }

    pub(super) fn no_proxy(&self, why: &str) -> StoreError {
        StoreError::Io {
            path: self.client.url().to_owned(),
            detail: format!("its answer is not a write proxy's: {why}"),
        }
    }

    fn unsupported<T: Send + 'static>(operation: &str) -> StoreFuture<'static, T> {
        let operation = format!("{operation} over HTTP");
        Box::pin(core::future::ready(Err(StoreError::Unsupported {
            operation,
        })))
    }

    async fn describe_stream(&self, stream: &StreamName) -> Result<StreamInfo, StoreError> {
        let path = path_of(stream, "");
        let body: StreamBody = self
            .asked(Method::GET, &path, Bytes::new(), Some(stream))
            .await?;
        let dlsn = |text: Option<String>| -> Result<Option<Dlsn>, StoreError> {
            let dlsn = text.map(|text| parse_dlsn(&text)).transpose();
            dlsn.map_err(|error| self.no_proxy(&error.to_string()))
        };
        Ok(StreamInfo {
            name: stream.clone(),
            created_unix_ms: body.created_ms,
            segments: body.segments.into_iter().map(SegmentInfo::from).collect(),
            first: dlsn(body.first)?,
            last: dlsn(body.last)?,
            truncated_before: dlsn(body.truncated_before)?,
            owner: body.owner,
        })
    }

    /// Asks for a retention, or changes it.
    async fn ask_retention(
        &self,
        method: Method,
        stream: Option<&StreamName>,
        body: Bytes,
    ) -> Result<RetentionInfo, StoreError> {
        let path = match stream {
            Some(stream) => path_of(stream, "/retention"),
            None => "/v1/retention".to_owned(),
        };
        let body: RetentionBody = self.asked(method, &path, body, stream).await?;
        let applied = Retention {
            age: body.age_ms.map(Duration::from_millis),
            bytes: body.bytes,
        };
        Ok(RetentionInfo {
            own: body.own.then_some(applied),
            applied,
        })
    }
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpStore")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Returns the path of a stream, with `suffix` behind it.
pub(super) fn path_of(stream: &StreamName, suffix: &str) -> String {
    format!("/v1/streams/{}{suffix}", escape(stream.as_str()))
}

impl From<SegmentBody> for SegmentInfo {
    fn from(body: SegmentBody) -> Self {
        Self {
            log_segment_sequence_no: body.log_segment,
            completed: body.completed,
            entries: body.entries,
            records: body.records,
            payload_bytes: body.payload_bytes,
            first_unix_ms: body.first_ms,
            last_unix_ms: body.last_ms,
        }
    }
}

impl LogStore for HttpStore {
    fn create(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        Box::pin(async move {
            let path = path_of(&stream, "");
            let body: CreatedBody = self
                .asked(Method::PUT, &path, Bytes::new(), Some(&stream))
                .await?;
            if body.created {
                return Ok(());
            }
            Err(StoreError::StreamExists(stream))
        })
    }

    fn delete(&self, stream: &StreamName) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        Box::pin(async move {
            let path = path_of(&stream, "");
            let deleted = self.ask(Method::DELETE, &path, Bytes::new(), Some(&stream));
            deleted.await.map(drop)
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<StreamName>> {
        Box::pin(async move {
            let (mut names, mut more) = (Vec::new(), true);
            // Bounded: each round is a page further on.
            while more {
                let page = self.list_page(names.last(), "", MAX_PAGE).await?;
                more = page.more && !page.names.is_empty();
                names.extend(page.names);
            }
            Ok(names)
        })
    }

    fn list_page(
        &self,
        after: Option<&StreamName>,
        prefix: &str,
        limit: usize,
    ) -> StoreFuture<'_, NamesPage> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut path = format!("/v1/streams?limit={limit}&prefix={}", escape(prefix));
        if let Some(after) = after {
            path.push_str(&format!("&after={}", escape(after.as_str())));
        }
        Box::pin(async move {
            let body: ListBody = self.asked(Method::GET, &path, Bytes::new(), None).await?;
            Ok(NamesPage {
                names: body.streams,
                more: body.next.is_some(),
            })
        })
    }

    fn describe(&self, stream: &StreamName) -> StoreFuture<'_, StreamInfo> {
        let stream = stream.clone();
        Box::pin(async move { self.describe_stream(&stream).await })
    }

    fn acquire(&self, _: &StreamName, _: &Owner) -> StoreFuture<'_, Acquired> {
        Self::unsupported("leases")
    }

    fn release(&self, _: &Lease) -> StoreFuture<'_, ()> {
        Self::unsupported("leases")
    }

    fn append(&self, _: &Lease, _: Entry, done: AppendDone) {
        done(Err(StoreError::Unsupported {
            operation: "leases over HTTP".to_owned(),
        }));
    }

    fn truncate(&self, stream: &StreamName, before: Dlsn) -> StoreFuture<'_, ()> {
        let stream = stream.clone();
        Box::pin(async move {
            let before = escape(&position_text(before));
            let path = path_of(&stream, &format!("/records?before={before}"));
            let done = self.ask(Method::DELETE, &path, Bytes::new(), Some(&stream));
            done.await.map(drop)
        })
    }

    fn read(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> StoreFuture<'_, ReadBatch> {
        let stream = stream.clone();
        Box::pin(async move { self.read_batch(&stream, from, limit).await })
    }

    fn set_retention(
        &self,
        stream: Option<&StreamName>,
        retention: Option<Retention>,
    ) -> StoreFuture<'_, ()> {
        let stream = stream.cloned();
        let (method, body) = match retention {
            Some(Retention { age, bytes }) => {
                let age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
                let body = serde_json::json!({ "age_ms": age_ms, "bytes": bytes });
                (Method::PUT, Bytes::from(body.to_string()))
            }
            None => (Method::DELETE, Bytes::new()),
        };
        Box::pin(async move {
            let set = self.ask_retention(method, stream.as_ref(), body);
            set.await.map(drop)
        })
    }

    fn retention(&self, stream: Option<&StreamName>) -> StoreFuture<'_, RetentionInfo> {
        let stream = stream.cloned();
        Box::pin(async move {
            self.ask_retention(Method::GET, stream.as_ref(), Bytes::new())
                .await
        })
    }

    fn position_at(&self, stream: &StreamName, unix_ms: u64) -> StoreFuture<'_, Dlsn> {
        let stream = stream.clone();
        Box::pin(async move {
            let from = escape(&utc::rfc3339(unix_ms));
            let query = format!("/records?from={from}&follow=false&limit=1");
            let path = path_of(&stream, &query);
            let answer = self.ask(Method::GET, &path, Bytes::new(), Some(&stream));
            let answer = answer.await?;
            let line = answer.body.split(|byte| *byte == b'\n').next();
            let line = serde_json::from_slice::<FirstLine>(line.unwrap_or_default());
            let line = line.map_err(|error| self.no_proxy(&error.to_string()))?;
            let dlsn = line.next.split('@').next().unwrap_or_default();
            parse_dlsn(dlsn).map_err(|error| self.no_proxy(&error.to_string()))
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(core::future::ready(Ok(())))
    }
}

/// Formats a position as the interface takes it.
pub(super) fn position_text(dlsn: Dlsn) -> String {
    format!(
        "{},{},{}",
        dlsn.log_segment_sequence_no, dlsn.entry_id, dlsn.slot_id
    )
}
