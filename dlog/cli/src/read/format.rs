use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use distributedlog::Dlsn;
use distributedlog_reader::{StreamRecord, StreamRun};
use distributedlog_store::utc;
use serde::Serialize;

use super::super::output::harmless;
use super::super::{CliError, Output};
use super::template::Template;
use super::{Delimiter, Reading};

/// Size from which the buffer is written. A pipe takes 64 KiB at once; a file more.
const LARGE_WRITE: usize = 256 << 10;

/// Format of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum RecordFormat {
    // The payload; on a terminal without control characters.
    #[default]
    Text,
    // One object a line.
    #[value(alias = "ndjson")]
    Json,
    // The payload as it is.
    Raw,
    // The payload in hexadecimal digits.
    Hex,
    Base64,
    // Nothing, for --stats.
    None,
}

/// Layout of the output.
#[derive(Debug)]
enum Layout {
    Format(RecordFormat),
    Template(Template),
    LengthPrefixed,
}

/// Records on their way to the standard output, in large writes.
#[derive(Debug)]
pub(super) struct Printer<'a> {
    layout: Layout,
    delimiter: Vec<u8>,
    is_terminal: bool,
    output: &'a Output,
    /// Bounded: [`LARGE_WRITE`] and a record, or the records of a set.
    buffer: Vec<u8>,
}

/// A record in JSON.
#[derive(Serialize)]
struct RecordJson<'a> {
    stream: &'a str,
    dlsn: &'a str,
    time: &'a str,
    written_unix_ms: u64,
    bytes: usize,
    /// The payload if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// The payload in base64 if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(reading: &Reading, output: &'a Output) -> Self {
        let layout = match &reading.template {
            Some(template) => Layout::Template(template.clone()),
            None if reading.length_prefixed => Layout::LengthPrefixed,
            None => Layout::Format(reading.format),
        };
        let delimiter = match (&layout, &reading.delimiter) {
            (Layout::LengthPrefixed | Layout::Format(RecordFormat::None), _) => Vec::new(),
            (_, Some(Delimiter(delimiter))) => delimiter.clone(),
            (_, None) => b"\n".to_vec(),
        };
        Self {
            layout,
            delimiter,
            is_terminal: output.is_terminal(),
            output,
            buffer: Vec::with_capacity(LARGE_WRITE),
        }
    }

    /// Returns true if nothing but payloads is printed, so that runs can be.
    pub(super) const fn prints_payloads(&self) -> bool {
        match self.layout {
            Layout::Format(RecordFormat::Json) | Layout::Template(_) => false,
            Layout::Format(_) | Layout::LengthPrefixed => true,
        }
    }

    /// Adds the payloads of a run, and writes what was added if it is much. Adds nothing unless
    /// [payloads are printed](Self::prints_payloads).
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn print_run(&mut self, it: &StreamRun) -> Result<(), CliError> {
        for (_, payload) in it.run.iter() {
            self.add_payload(payload);
            self.add_delimiter();
        }
        self.write_if_large()
    }

    /// Adds a record, and writes what was added if it is much.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn print(&mut self, it: &StreamRecord) -> Result<(), CliError> {
        match &self.layout {
            Layout::Format(RecordFormat::Json) => {
                push_json(it, self.is_terminal, &mut self.buffer);
            }
            Layout::Template(template) => {
                template.format(it, self.is_terminal, &mut self.buffer);
            }
            Layout::Format(_) | Layout::LengthPrefixed => self.add_payload(&it.record.payload),
        }
        self.add_delimiter();
        self.write_if_large()
    }

    fn add_payload(&mut self, payload: &[u8]) {
        let buffer = &mut self.buffer;
        match &self.layout {
            Layout::Format(RecordFormat::Text) if self.is_terminal => {
                let text = String::from_utf8_lossy(payload);
                buffer.extend_from_slice(harmless(&text).as_bytes());
            }
            Layout::Format(RecordFormat::Text | RecordFormat::Raw) => {
                buffer.extend_from_slice(payload);
            }
            Layout::Format(RecordFormat::Hex) => push_hex(payload, buffer),
            Layout::Format(RecordFormat::Base64) => {
                buffer.extend_from_slice(STANDARD.encode(payload).as_bytes());
            }
            Layout::Format(RecordFormat::None | RecordFormat::Json) | Layout::Template(_) => {}
            Layout::LengthPrefixed => {
                let length = u32::try_from(payload.len()).expect("a record has at most 1 MB");
                buffer.extend_from_slice(&length.to_be_bytes());
                buffer.extend_from_slice(payload);
            }
        }
    }

    fn add_delimiter(&mut self) {
        match self.delimiter[..] {
            [byte] => self.buffer.push(byte),
            ref bytes => self.buffer.extend_from_slice(bytes),
        }
    }

    fn write_if_large(&mut self) -> Result<(), CliError> {
        if self.buffer.len() >= LARGE_WRITE {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.output.write(&self.buffer);
        self.buffer.clear();
        written
    }
}

/// Formats a position: `1,0,5`.
pub(super) fn dlsn_text(dlsn: Dlsn) -> String {
    format!(
        "{},{},{}",
        dlsn.log_segment_sequence_no, dlsn.entry_id, dlsn.slot_id
    )
}

/// Appends lower-case hexadecimal digits.
pub(super) fn push_hex(bytes: &[u8], buffer: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        buffer.push(DIGITS[usize::from(byte >> 4)]);
        buffer.push(DIGITS[usize::from(byte & 15)]);
    }
}

fn push_json(it: &StreamRecord, is_terminal: bool, buffer: &mut Vec<u8>) {
    let record = &it.record;
    let payload = core::str::from_utf8(&record.payload).ok();
    let json = RecordJson {
        stream: &it.stream,
        dlsn: &dlsn_text(record.dlsn),
        time: &utc::rfc3339(record.written_unix_ms),
        written_unix_ms: record.written_unix_ms,
        bytes: record.payload.len(),
        payload,
        payload_base64: payload.is_none().then(|| STANDARD.encode(&record.payload)),
    };
    let begin = buffer.len();
    serde_json::to_writer(&mut *buffer, &json).expect("memory takes all");
    // Terminals interpret control characters that JSON allows in texts (U+007F to U+009F).
    if is_terminal {
        let text = String::from_utf8_lossy(&buffer[begin..]).into_owned();
        buffer.truncate(begin);
        for c in text.chars() {
            if c.is_control() {
                buffer.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            } else {
                buffer.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
}
