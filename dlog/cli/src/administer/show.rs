use std::collections::BTreeMap;

use distributedlog::Escaped;
use distributedlog_store::utc;
use distributedlog_store::{Owner, RetentionInfo, SegmentInfo, StoreError, StreamInfo, StreamName};
use serde::Serialize;

use super::super::output;
use super::super::record_text::{self, DlsnJson};
use super::super::{CliError, Format, Output};
use super::Administered;
use super::retention::{LimitsJson, retention_text};

/// Ledgers of streams' log segments, for namespaces on BookKeeper.
pub(crate) type ShownLedgers = BTreeMap<StreamName, Vec<ShownLedger>>;

/// Ledger of a log segment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShownLedger {
    pub(crate) log_segment_sequence_no: i64,
    pub(crate) ledger: i64,
    pub(crate) truncated: Truncated,
}

/// Part of a log segment that is truncated.
// Without BookKeeper no ledger is shown.
#[cfg_attr(not(feature = "bookkeeper"), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Truncated {
    No,
    Partly,
    Whole,
}

/// Prints the state of each stream, with its log segments unless `without_segments`.
///
/// # Errors
/// A stream does not exist.
pub(crate) async fn show(
    at: Administered<'_>,
    names: &[StreamName],
    ledgers: &ShownLedgers,
    without_segments: bool,
    format: Format,
    output: &Output,
) -> Result<(), CliError> {
    for name in names {
        let described = at.store.describe(name).await;
        let mut info = described.map_err(|error| at.error(&error))?;
        let records = info.segments.iter().map(|segment| segment.records).sum();
        if without_segments {
            info.segments.clear();
        }
        let retention = match at.store.retention(Some(name)).await {
            Ok(retention) => Some(retention),
            // Stores without retention have none to show.
            Err(StoreError::Unsupported { .. }) => None,
            Err(error) => return Err(at.error(&error)),
        };
        let retention = retention.as_ref();
        let ledgers = ledgers.get(name).filter(|_| !without_segments);
        let ledgers = ledgers.map(Vec::as_slice);
        match format {
            Format::Text => {
                let text = text(&info, records, retention);
                output.line(text + &ledgers_text(ledgers.unwrap_or_default()))?;
            }
            Format::Json => {
                let mut json = json(&info, records, retention);
                json.ledgers = ledgers;
                record_text::json_line(output, &json)?;
            }
        }
    }
    Ok(())
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
    let retention = retention.map(retention_text);
    lines.extend(retention.map(|text| format!("  retention     {text}")));
    lines.extend(info.segments.iter().map(segment_text));
    lines.join("\n")
}

/// Formats the ledgers of log segments, each on a line of its own.
fn ledgers_text(ledgers: &[ShownLedger]) -> String {
    let line = |it: &ShownLedger| {
        let number = it.log_segment_sequence_no;
        let truncated = match it.truncated {
            Truncated::No | Truncated::Partly => "",
            Truncated::Whole => ", which is truncated and deleted with the next one",
        };
        format!(
            "\n  ledger {} of log segment {number}{truncated}",
            it.ledger
        )
    };
    ledgers.iter().map(line).collect()
}

fn owner_text(owner: &Owner) -> String {
    let address = Escaped(&owner.address);
    match owner.shard {
        -1 => format!("proxy at {address}"),
        shard => format!("proxy at {address}, shard {shard}"),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    ledgers: Option<&'a [ShownLedger]>,
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
        ledgers: None,
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
             2026-11-23 15:58:26 UTC"
        );
    }

    #[test]
    fn the_ledgers_of_log_segments_follow_them() {
        let of = |log_segment_sequence_no, ledger, truncated| ShownLedger {
            log_segment_sequence_no,
            ledger,
            truncated,
        };
        let ledgers = [of(1, 4, Truncated::Whole), of(2, 9, Truncated::No)];
        assert_eq!(
            ledgers_text(&ledgers),
            "
  ledger 4 of log segment 1, which is truncated and deleted with the next one
  ledger 9 of log segment 2"
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
