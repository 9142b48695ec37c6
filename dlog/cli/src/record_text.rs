use distributedlog::Dlsn;
use serde::Serialize;

use super::{CliError, Format, Output};
use distributedlog_reader::Record;
use distributedlog_store::StreamName;

/// A DLSN in JSON, with the original's names for its parts.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DlsnJson {
    log_segment_sequence_no: i64,
    entry_id: i64,
    slot_id: i64,
}

impl From<Dlsn> for DlsnJson {
    fn from(dlsn: Dlsn) -> Self {
        Self {
            log_segment_sequence_no: dlsn.log_segment_sequence_no,
            entry_id: dlsn.entry_id,
            slot_id: dlsn.slot_id,
        }
    }
}

/// A record in JSON.
#[derive(Debug, Serialize)]
struct RecordJson<'a> {
    stream: &'a StreamName,
    dlsn: DlsnJson,
    written_unix_ms: u64,
    bytes: usize,
    /// The payload if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// The payload in hexadecimal digits if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

/// Prints a record as the tutorial's reader does, or as a line of JSON.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn print(
    output: &Output,
    format: Format,
    stream: &StreamName,
    record: &Record,
) -> Result<(), CliError> {
    match format {
        Format::Text => output.line(format_args!(
            "Received record {} from stream {stream}\n\"\"\"\n{}\n\"\"\"",
            record.dlsn,
            output.payload_text(&record.payload)
        )),
        Format::Json => json_line(output, &record_json(stream, record)),
    }
}

/// Prints one JSON object on a line of its own. On a terminal the control characters that JSON
/// allows in texts (U+007F to U+009F) are escaped too, because terminals interpret them.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn json_line(output: &Output, value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value)
        .expect("the keys are texts and nothing in it fails to serialize");
    if output.is_terminal() && text.contains(char::is_control) {
        return output.line(text.chars().fold(String::new(), |mut line, c| {
            if c.is_control() {
                line.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                line.push(c);
            }
            line
        }));
    }
    output.line(text)
}

fn record_json<'a>(stream: &'a StreamName, record: &'a Record) -> RecordJson<'a> {
    let payload = core::str::from_utf8(&record.payload).ok();
    RecordJson {
        stream,
        dlsn: record.dlsn.into(),
        written_unix_ms: record.written_unix_ms,
        bytes: record.payload.len(),
        payload,
        payload_hex: payload.is_none().then(|| hex(&record.payload)),
    }
}

/// Formats bytes as lower-case hexadecimal digits.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::output::CapturedOutput;
    use super::*;

    fn printed(format: Format, payload: &'static [u8]) -> String {
        let captured = CapturedOutput::default();
        let payload = Bytes::from_static(payload);
        let record = Record::new(Dlsn::INITIAL, payload, 7);
        print(
            &captured.output(),
            format,
            &StreamName::new("basic-stream-3").expect("a name"),
            &record,
        )
        .expect("the buffer takes all");
        captured.text()
    }

    #[test]
    fn a_record_is_printed_as_in_the_tutorial() {
        assert_eq!(
            printed(Format::Text, b"message-1"),
            "Received record DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0} from stream \
             basic-stream-3\n\"\"\"\nmessage-1\n\"\"\"\n"
        );
    }

    #[test]
    fn json_on_a_terminal_keeps_its_meaning_and_controls_nothing() {
        let captured = CapturedOutput::default();
        let value = serde_json::json!({ "payload": "a\u{9b}2J\x1b\u{7f}" });
        json_line(&Output::to_terminal(captured.clone()), &value).expect("the buffer takes all");
        let text = captured.text();
        assert_eq!(text, "{\"payload\":\"a\\u009b2J\\u001b\\u007f\"}\n");
        let read: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(read, value);
    }

    #[test]
    fn a_record_in_json_is_one_line() {
        assert_eq!(
            printed(Format::Json, b"two\nlines"),
            "{\"stream\":\"basic-stream-3\",\"dlsn\":{\"logSegmentSequenceNo\":1,\"entryId\":0,\"\
             slotId\":0},\"written_unix_ms\":7,\"bytes\":9,\"payload\":\"two\\nlines\"}\n"
        );
        assert!(
            printed(Format::Json, b"\xff\x00").contains("\"bytes\":2,\"payload_hex\":\"ff00\"")
        );
    }
}
