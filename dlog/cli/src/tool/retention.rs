use core::time::Duration;

use serde::Serialize;

use super::super::namespace::{self, UriArg};
use super::super::output;
use super::super::streams::parse_name;
use super::super::{CliError, Format, Output, duration, record_text};
use distributedlog_store::{LogStore, Retention, RetentionInfo, StoreError, StreamName};

/// Show or set how long the records of a stream, or of a namespace's streams, are kept.
///
/// Whole log segments are discarded, oldest first: when their last record is as old as --age, and
/// while at least --bytes are left without them. Without a limit, nothing is discarded. A stream
/// without a retention of its own has its namespace's, and a namespace that of the store's flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool retention -u $URI                              (the namespace's)
  dlog tool retention -u $URI --age 7d                     (the namespace's, from now on)
  dlog tool retention -u $URI -s basic-stream-3 --age 2h --bytes 1000000000
  dlog tool retention -u $URI -s basic-stream-3 --keep-all
  dlog tool retention -u $URI -s basic-stream-3 --inherit")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    /// The stream; without it, the namespace
    #[arg(short, long, value_name = "STREAM", value_parser = parse_name)]
    stream: Option<StreamName>,

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

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct RetentionJson<'a> {
    stream: Option<&'a str>,
    #[serde(flatten)]
    limits: LimitsJson,
}

/// A retention in JSON.
#[derive(Serialize)]
pub(super) struct LimitsJson {
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

impl Args {
    /// Sets the retention if a flag says so, and prints it.
    ///
    /// # Errors
    /// The store cannot be reached, it has no retention, or the stream does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        self.retention(self.uri.connect().await?.as_ref(), output)
            .await
    }

    pub(super) async fn retention(
        &self,
        store: &dyn LogStore,
        output: &Output,
    ) -> Result<(), CliError> {
        let error = |error| {
            let failed = namespace::uri_error(&error, &self.uri.uri);
            if matches!(error, StoreError::Unsupported { .. }) {
                return failed
                    .tip("on BookKeeper the write proxies have it: dlog proxy --retention");
            }
            failed
        };
        let stream = self.stream.as_ref();
        let limits = Retention {
            age: self.age,
            bytes: self.bytes,
        };
        if self.inherit {
            store.set_retention(stream, None).await.map_err(error)?;
        } else if self.keep_all || !limits.is_none() {
            let limits = Some(limits);
            store.set_retention(stream, limits).await.map_err(error)?;
        }
        let info = store.retention(stream).await.map_err(error)?;
        match self.format {
            Format::Text => {
                let of = stream.map_or_else(|| "the namespace".to_owned(), ToString::to_string);
                output.line(format_args!("Retention of {of}: {}", text(&info)))
            }
            Format::Json => record_text::json_line(output, &self.json(&info)),
        }
    }

    fn json(&self, info: &RetentionInfo) -> RetentionJson<'_> {
        RetentionJson {
            stream: self.stream.as_ref().map(StreamName::as_str),
            limits: info.into(),
        }
    }
}

/// Describes a retention in words.
pub(super) fn text(info: &RetentionInfo) -> String {
    let limits = match (info.applied.age, info.applied.bytes) {
        (None, None) => "none: records are kept until they are truncated".to_owned(),
        (Some(age), None) => format!("{age:?}"),
        (None, Some(bytes)) => output::counted(bytes, "byte"),
        (Some(age), Some(bytes)) => format!("{age:?} and {}", output::counted(bytes, "byte")),
    };
    let inherited = if info.own.is_some() {
        ""
    } else {
        " (inherited)"
    };
    limits + inherited
}
