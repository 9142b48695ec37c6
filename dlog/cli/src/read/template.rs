use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use distributedlog_reader::StreamRecord;
use distributedlog_store::utc;

use super::super::escapes;
use super::super::output::harmless;
use super::format::{dlsn_text, push_hex};

/// Layout of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Stream,
    Dlsn,
    Time,
    TimeMs,
    Bytes,
    Payload,
    Hex,
    Base64,
}

const NAMES: [(&str, Part); 8] = [
    ("stream", Part::Stream),
    ("dlsn", Part::Dlsn),
    ("time", Part::Time),
    ("time_ms", Part::TimeMs),
    ("bytes", Part::Bytes),
    ("payload", Part::Payload),
    ("hex", Part::Hex),
    ("base64", Part::Base64),
];

impl Template {
    /// Appends a record. On a terminal control characters of the payload are replaced.
    pub(super) fn format(&self, it: &StreamRecord, is_terminal: bool, buffer: &mut Vec<u8>) {
        let record = &it.record;
        for part in &self.0 {
            match part {
                Part::Text(text) => buffer.extend_from_slice(text),
                Part::Stream => buffer.extend_from_slice(it.stream.as_bytes()),
                Part::Dlsn => buffer.extend_from_slice(dlsn_text(record.dlsn).as_bytes()),
                Part::Time => {
                    buffer.extend_from_slice(utc::rfc3339(record.written_unix_ms).as_bytes());
                }
                Part::TimeMs => {
                    buffer.extend_from_slice(record.written_unix_ms.to_string().as_bytes());
                }
                Part::Bytes => {
                    buffer.extend_from_slice(record.payload.len().to_string().as_bytes());
                }
                Part::Payload if is_terminal => {
                    let text = String::from_utf8_lossy(&record.payload);
                    buffer.extend_from_slice(harmless(&text).as_bytes());
                }
                Part::Payload => buffer.extend_from_slice(&record.payload),
                Part::Hex => push_hex(&record.payload, buffer),
                Part::Base64 => {
                    buffer.extend_from_slice(STANDARD.encode(&record.payload).as_bytes());
                }
            }
        }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let (mut parts, mut rest) = (Vec::new(), text);
        let literal = |text: &str| escapes::parse(text).map(Part::Text).map_err(TemplateError);
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(brace);
            if !before.is_empty() {
                parts.push(literal(before)?);
            }
            if let Some(behind) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                parts.push(Part::Text(from.as_bytes()[..1].to_vec()));
                rest = behind;
                continue;
            }
            let name = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let Some((name, behind)) = name else {
                let error = "a brace stands alone; write {{ or }} for one in the output";
                return Err(TemplateError(error.to_owned()));
            };
            let known = NAMES.iter().find(|(known, _)| *known == name);
            let (_, part) = known.ok_or_else(|| {
                let names = NAMES.map(|(name, _)| format!("{{{name}}}")).join(", ");
                TemplateError(format!("there is no {{{name}}}; there are {names}"))
            })?;
            parts.push(part.clone());
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(literal(rest)?);
        }
        Ok(Self(parts))
    }
}

/// Error of a text that is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for TemplateError {}
