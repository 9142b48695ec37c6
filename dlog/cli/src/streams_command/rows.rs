use std::time::{SystemTime, UNIX_EPOCH};

use distributedlog_store::{LogStore, Owner, RetentionInfo, StoreError, StreamInfo, StreamName};
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::super::CliError;
use super::super::administer::{Administered, LimitsJson};
use super::super::progress_line::ProgressLine;

/// Number of names that are read at once.
const PAGE: usize = 8_192;
/// Number of streams that are described at once.
const AT_ONCE: usize = 32;

/// What a list says of a stream.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: StreamName,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) segments: usize,
    pub(super) created_unix_ms: u64,
    /// Time of the last write. `None`: there is no record.
    pub(super) last_unix_ms: Option<u64>,
    pub(super) owner: Option<Owner>,
    /// `None`: the store has no retention.
    pub(super) retention: Option<RetentionInfo>,
}

/// A stream in JSON.
#[derive(Debug, Serialize)]
pub(super) struct RowJson<'a> {
    stream: &'a str,
    records: u64,
    bytes: u64,
    segments: usize,
    created_unix_ms: u64,
    last_unix_ms: Option<u64>,
    owner: Option<&'a Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<LimitsJson>,
}

impl Row {
    fn new(info: StreamInfo, retention: Option<RetentionInfo>) -> Self {
        let segments = &info.segments;
        let written = segments.iter().filter(|segment| segment.entries > 0);
        Self {
            records: segments.iter().map(|segment| segment.records).sum(),
            bytes: segments.iter().map(|segment| segment.payload_bytes).sum(),
            last_unix_ms: written.map(|segment| segment.last_unix_ms).max(),
            segments: segments.len(),
            created_unix_ms: info.created_unix_ms,
            name: info.name,
            owner: info.owner,
            retention,
        }
    }

    pub(super) fn json(&self) -> RowJson<'_> {
        RowJson {
            stream: self.name.as_str(),
            records: self.records,
            bytes: self.bytes,
            segments: self.segments,
            created_unix_ms: self.created_unix_ms,
            last_unix_ms: self.last_unix_ms,
            owner: self.owner.as_ref(),
            retention: self.retention.as_ref().map(LimitsJson::from),
        }
    }
}

/// Calls `each` with pages of the names that begin with `prefix` and contain `search`, in order,
/// until it returns false.
///
/// # Errors
/// The store cannot be reached, or `each` failed.
pub(super) async fn pages(
    at: Administered<'_>,
    prefix: &str,
    search: &str,
    mut each: impl FnMut(Vec<StreamName>) -> Result<bool, CliError>,
) -> Result<(), CliError> {
    let (mut after, mut more) = (None, true);
    // Bounded: each round is a page further on.
    while more {
        let page = at.store.list_page(after.as_ref(), prefix, PAGE).await;
        let page = page.map_err(|error| at.error(&error))?;
        more = page.more && !page.names.is_empty();
        after = page.names.last().cloned();
        let mut names = page.names;
        names.retain(|name| name.as_str().contains(search));
        more &= each(names)?;
    }
    Ok(())
}

/// Describes streams, in the order of their names. Those that were deleted meanwhile are left out.
///
/// # Errors
/// The store cannot be reached.
pub(super) async fn describe(
    at: Administered<'_>,
    names: &[StreamName],
) -> Result<Vec<Row>, CliError> {
    let mut progress = ProgressLine::new();
    let mut rows = Vec::with_capacity(names.len());
    let described = names.iter().map(|name| one(at.store, name));
    let mut described = stream::iter(described).buffered(AT_ONCE);
    while let Some(row) = described.next().await {
        match row {
            Ok(row) => rows.push(row),
            Err(StoreError::StreamNotFound(_)) => {}
            Err(error) => return Err(at.error(&error)),
        }
        progress.show(|| format!("{} of {} streams", rows.len(), names.len()));
    }
    Ok(rows)
}

async fn one(store: &dyn LogStore, name: &StreamName) -> Result<Row, StoreError> {
    let info = store.describe(name).await?;
    let retention = match store.retention(Some(name)).await {
        Ok(retention) => Some(retention),
        Err(StoreError::Unsupported { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Row::new(info, retention))
}

/// Returns the present time in milliseconds since 1970.
pub(super) fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
