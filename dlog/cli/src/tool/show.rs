use serde::Serialize;

use super::super::namespace::{self, UriArg};
use super::super::output;
use super::super::record_text::{self, DlsnJson};
use super::super::streams::StreamSelection;
use super::super::{CliError, Format, Output};
use super::retention::{self, LimitsJson};
use distributedlog_store::utc;
use distributedlog_store::{
    LogStore, Owner, RetentionInfo, SegmentInfo, StoreError, StreamInfo, StreamName,
};

/// Show the state of streams: positions, owner, log segments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool show -u $URI -s basic-stream-3
  dlog tool show -u $URI -r basic-stream- -e 3-7 --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    #[command(flatten)]
    selection: StreamSelection,

    /// Leave the log segments out (the original's -ns)
    #[arg(long)]
    no_log_segments: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Prints the state of each stream.
    ///
    /// # Errors
    /// The store cannot be reached, or a stream does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = self.selection.names()?;
        self.show(
            namespace::connect(&self.uri.uri).await?.as_ref(),
            &names,
            output,
        )
        .await
    }

    pub(super) async fn show(
        &self,
        store: &dyn LogStore,
        names: &[StreamName],
        output: &Output,
    ) -> Result<(), CliError> {
        for name in names {
            let mut info = store
                .describe(name)
                .await
                .map_err(|error| namespace::store_error(&error, Some(&self.uri.uri)))?;
            let records = info.segments.iter().map(|segment| segment.records).sum();
            if self.no_log_segments {
                info.segments.clear();
            }
            let retention = match store.retention(Some(name)).await {
                Ok(retention) => Some(retention),
                // Stores without retention have none to show.
                Err(StoreError::Unsupported { .. }) => None,
                Err(error) => return Err(namespace::store_error(&error, Some(&self.uri.uri))),
            };
            let retention = retention.as_ref();
            match self.format {
                Format::Text => output.line(text(&info, records, retention).trim_end())?,
                Format::Json => {
                    record_text::json_line(output, &json(&info, records, retention))?;
                }
            }
        }
        Ok(())
    }
}

/// Formats the state of a stream as text.
fn text(info: &StreamInfo, records: u64, retention: Option<&RetentionInfo>) -> String {
    let dlsn = |dlsn: Option<distributedlog::Dlsn>, none: &str| {
        dlsn.map_or_else(|| none.to_owned(), |dlsn| dlsn.to_string())
    };
    let mut lines = vec![
        format!("Log stream {}", info.name),
        format!("  created       {}", utc::text(info.created_unix_ms)),
        format!("  records       {records}"),
        format!(
            "  first         {}",
            dlsn(info.first, "none: the stream is empty")
        ),
        format!(
            "  last          {}",
            dlsn(info.last, "none: the stream is empty")
        ),
        format!(
            "  truncated     {}",
            info.truncated_before
                .map_or_else(|| "no".to_owned(), |before| format!("before {before}"))
        ),
        format!(
            "  owner         {}",
            info.owner
                .as_ref()
                .map_or_else(|| "none".to_owned(), owner_text)
        ),
    ];
    let retention = retention.map(retention::text);
    lines.extend(retention.map(|text| format!("  retention     {text}")));
    lines.extend(info.segments.iter().map(segment_text));
    lines.join("\n") + "\n"
}

fn owner_text(owner: &Owner) -> String {
    match owner.shard {
        -1 => format!("proxy at {}", owner.address),
        shard => format!("proxy at {}, shard {shard}", owner.address),
    }
}

fn segment_text(segment: &SegmentInfo) -> String {
    format!(
        "  log segment {} {}, {}, {}, {}, from {} to {}",
        segment.log_segment_sequence_no,
        if segment.completed {
            "completed"
        } else {
            "in progress"
        },
        match segment.entries {
            1 => "1 entry".to_owned(),
            entries => format!("{entries} entries"),
        },
        output::counted(segment.records, "record"),
        output::counted(segment.payload_bytes, "byte"),
        utc::text(segment.first_unix_ms),
        utc::text(segment.last_unix_ms),
    )
}

#[derive(Serialize)]
struct StreamJson<'a> {
    stream: &'a str,
    created_unix_ms: u64,
    records: u64,
    first: Option<DlsnJson>,
    last: Option<DlsnJson>,
    truncated_before: Option<DlsnJson>,
    owner: Option<&'a Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<LimitsJson>,
    segments: &'a [SegmentInfo],
}

fn json<'a>(
    info: &'a StreamInfo,
    records: u64,
    retention: Option<&RetentionInfo>,
) -> StreamJson<'a> {
    StreamJson {
        stream: info.name.as_str(),
        created_unix_ms: info.created_unix_ms,
        records,
        first: info.first.map(DlsnJson::from),
        last: info.last.map(DlsnJson::from),
        truncated_before: info.truncated_before.map(DlsnJson::from),
        owner: info.owner.as_ref(),
        retention: retention.map(LimitsJson::from),
        segments: &info.segments,
    }
}

#[cfg(test)]
mod tests {
    use distributedlog::Dlsn;

    use super::*;

    fn info() -> StreamInfo {
        StreamInfo {
            name: StreamName::new("basic-stream-3").expect("a name"),
            created_unix_ms: 1_795_449_504_000,
            segments: vec![SegmentInfo {
                log_segment_sequence_no: 1,
                completed: false,
                entries: 2,
                records: 5,
                payload_bytes: 45,
                first_unix_ms: 1_795_449_505_000,
                last_unix_ms: 1_795_449_506_000,
            }],
            first: Some(Dlsn::INITIAL),
            last: Some(Dlsn::new(1, 2, 3)),
            truncated_before: None,
            owner: Some(Owner {
                shard: 1,
                address: "127.0.0.1:8000".to_owned(),
            }),
        }
    }

    #[test]
    fn a_streams_state_is_shown_as_text() {
        assert_eq!(
            text(&info(), 5, None),
            "\
Log stream basic-stream-3
  created       2026-11-23 15:58:24 UTC
  records       5
  first         DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0}
  last          DLSN{logSegmentSequenceNo=1, entryId=2, slotId=3}
  truncated     no
  owner         proxy at 127.0.0.1:8000, shard 1
  log segment 1 in progress, 2 entries, 5 records, 45 bytes, from 2026-11-23 15:58:25 UTC to \
             2026-11-23 15:58:26 UTC
"
        );
    }

    #[test]
    fn a_streams_state_is_shown_as_json() {
        assert_eq!(
            serde_json::to_string(&json(&info(), 5, None)).expect("it serializes"),
            "{\"stream\":\"basic-stream-3\",\"created_unix_ms\":1795449504000,\"records\":5,\"\
             first\":{\"logSegmentSequenceNo\":1,\"entryId\":0,\"slotId\":0},\"last\":{\"\
             logSegmentSequenceNo\":1,\"entryId\":2,\"slotId\":3},\"truncated_before\":null,\"\
             owner\":{\"shard\":1,\"address\":\"127.0.0.1:8000\"},\"segments\":[{\"\
             log_segment_sequence_no\":1,\"completed\":false,\"entries\":2,\"records\":5,\"\
             payload_bytes\":45,\"first_unix_ms\":1795449505000,\"last_unix_ms\":1795449506000}]}"
        );
    }
}
