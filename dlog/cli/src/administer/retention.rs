use core::time::Duration;

use distributedlog_store::{Retention, RetentionInfo, StoreError, StreamName};
use serde::Serialize;

use super::super::output;
use super::super::{CliError, Format, Output, duration, record_text};
use super::{Administered, PlaceRef};

/// Change of a retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Show it only.
    Nothing,
    /// These limits from now on; none keeps all records.
    Set(Retention),
    /// That of the namespace, or of the store's flags, from now on.
    Inherit,
}

/// Flags that change a retention.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct RetentionFlags {
    /// Discard log segments whose last record is this old
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    age: Option<Duration>,

    /// Discard the oldest log segments while at least this many payload bytes are left
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    bytes: Option<u64>,

    /// Keep all records until they are truncated
    #[arg(long, conflicts_with_all = ["age", "bytes"])]
    keep_all: bool,

    /// Remove the stream's own retention, or the namespace's
    #[arg(long, conflicts_with_all = ["age", "bytes", "keep_all"])]
    inherit: bool,
}

impl RetentionFlags {
    /// Returns the change that the flags ask for.
    pub(crate) fn change(self) -> Change {
        let limits = Retention {
            age: self.age,
            bytes: self.bytes,
        };
        if self.inherit {
            Change::Inherit
        } else if self.keep_all || !limits.is_none() {
            Change::Set(limits)
        } else {
            Change::Nothing
        }
    }
}

#[derive(Serialize)]
struct RetentionJson<'a> {
    stream: Option<&'a str>,
    #[serde(flatten)]
    limits: LimitsJson,
}

/// A retention in JSON.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LimitsJson {
    age_ms: Option<u64>,
    bytes: Option<u64>,
    /// True if it was set for the stream, or for the namespace at run time.
    own: bool,
}

impl From<&RetentionInfo> for LimitsJson {
    fn from(info: &RetentionInfo) -> Self {
        let age_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Self {
            age_ms: info.applied.age.map(age_ms),
            bytes: info.applied.bytes,
            own: info.own.is_some(),
        }
    }
}

/// Changes the retention of a stream, or of the namespace's streams, and prints it.
///
/// # Errors
/// The store has no retention, or the stream does not exist.
pub(crate) async fn retention(
    at: Administered<'_>,
    stream: Option<&StreamName>,
    change: Change,
    format: Format,
    output: &Output,
) -> Result<(), CliError> {
    let failed = |error| {
        let failed = at.error(&error);
        if matches!(error, StoreError::Unsupported { .. })
            && matches!(at.place, PlaceRef::Namespace(_))
        {
            return failed.tip("on BookKeeper the write proxies have it: dlog proxy --retention");
        }
        failed
    };
    let set = match change {
        Change::Nothing => None,
        Change::Set(limits) => Some(Some(limits)),
        Change::Inherit => Some(None),
    };
    if let Some(limits) = set {
        let set = at.store.set_retention(stream, limits).await;
        set.map_err(failed)?;
    }
    let info = at.store.retention(stream).await.map_err(failed)?;
    match format {
        Format::Text => {
            let of = stream.map_or_else(|| "the namespace".to_owned(), ToString::to_string);
            output.line(format_args!("Retention of {of}: {}", retention_text(&info)))
        }
        Format::Json => {
            let stream = stream.map(StreamName::as_str);
            let limits = LimitsJson::from(&info);
            record_text::json_line(output, &RetentionJson { stream, limits })
        }
    }
}

/// Describes a retention in words.
pub(crate) fn retention_text(info: &RetentionInfo) -> String {
    let limits = match (info.applied.age, info.applied.bytes) {
        (None, None) => "none: records are kept until they are truncated".to_owned(),
        (Some(age), None) => duration::text(age),
        (None, Some(bytes)) => output::counted(bytes, "byte"),
        (Some(age), Some(bytes)) => {
            let bytes = output::counted(bytes, "byte");
            format!("{} and {bytes}", duration::text(age))
        }
    };
    let inherited = if info.own.is_some() {
        ""
    } else {
        " (inherited)"
    };
    limits + inherited
}
