use core::time::Duration;
use std::time::Instant;

use distributedlog::{Dlsn, WriteState};
use serde::Serialize;

use super::super::output::{counted, note};
use super::super::record_text::{DlsnJson, json_line};
use super::super::table::bytes_text;
use super::super::{CliError, Output};
use super::Ack;

/// Number of failures that are printed one by one; the others are counted.
const SHOWN_FAILURES: u64 = 10;

/// Sums over all records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sums {
    pub(super) records: u64,
    pub(super) written: u64,
    /// Records that are in no stream.
    pub(super) not_written: u64,
    /// Records that may be in a stream.
    pub(super) unknown: u64,
    /// Payload bytes of the records that were written.
    pub(super) bytes: u64,
}

/// A record that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged<'a> {
    pub(super) stream: &'a str,
    pub(super) dlsn: Dlsn,
    pub(super) attempts: u32,
    pub(super) took: Duration,
    pub(super) bytes: usize,
}

/// Prints outcomes, and adds them up.
pub(super) struct Reporter {
    ack: Ack,
    output: Output,
    began: Instant,
    pub(super) sums: Sums,
}

#[derive(Serialize)]
struct AcknowledgedJson<'a> {
    record: u64,
    stream: &'a str,
    dlsn: DlsnJson,
    attempts: u32,
    took_us: u64,
}

#[derive(Serialize)]
struct FailedJson<'a> {
    record: u64,
    error: &'a str,
    state: &'a str,
}

#[derive(Serialize)]
struct SumsJson {
    #[serde(flatten)]
    sums: Sums,
    seconds: f64,
}

impl Reporter {
    pub(super) fn new(ack: Ack, output: Output) -> Self {
        Self {
            ack,
            output,
            began: Instant::now(),
            sums: Sums::default(),
        }
    }

    pub(super) fn written(&mut self, record: u64, it: Acknowledged<'_>) -> Result<(), CliError> {
        self.sums.records += 1;
        self.sums.written += 1;
        self.sums.bytes += it.bytes as u64;
        let Acknowledged {
            stream,
            dlsn,
            attempts,
            took,
            ..
        } = it;
        match self.ack {
            Ack::None => Ok(()),
            Ack::Text => self.output.line(format_args!(
                "record {record}: {},{},{} in stream {stream}, {:.1} ms, {}",
                dlsn.log_segment_sequence_no,
                dlsn.entry_id,
                dlsn.slot_id,
                took.as_secs_f64() * 1e3,
                counted(attempts.into(), "attempt"),
            )),
            Ack::Json => json_line(
                &self.output,
                &AcknowledgedJson {
                    record,
                    stream,
                    dlsn: dlsn.into(),
                    attempts,
                    took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                },
            ),
        }
    }

    pub(super) fn failed(
        &mut self,
        record: u64,
        error: &str,
        state: WriteState,
    ) -> Result<(), CliError> {
        self.sums.records += 1;
        let what = match state {
            WriteState::Unknown => {
                self.sums.unknown += 1;
                "has an unknown outcome"
            }
            WriteState::NotWritten | WriteState::Rejected => {
                self.sums.not_written += 1;
                "was not written"
            }
        };
        let failures = self.sums.not_written + self.sums.unknown;
        if failures <= SHOWN_FAILURES {
            note(format_args!("record {record} {what}: {error}"));
        } else if failures == SHOWN_FAILURES + 1 {
            note("Further records failed, which are counted at the end.");
        }
        if self.ack == Ack::Json {
            let state = state.name();
            let failed = FailedJson {
                record,
                error,
                state,
            };
            return json_line(&self.output, &failed);
        }
        Ok(())
    }

    /// Writes what was collected.
    pub(super) fn flush(&self) -> Result<(), CliError> {
        self.output.flush()
    }

    /// Prints the sums.
    pub(super) fn end(&self, is_terminal: bool) -> Result<(), CliError> {
        let took = self.began.elapsed();
        if self.ack == Ack::Json {
            let (sums, seconds) = (self.sums, took.as_secs_f64());
            json_line(&self.output, &SumsJson { sums, seconds })?;
        }
        self.flush()?;
        let failures = self.sums.not_written + self.sums.unknown;
        if is_terminal || failures > 0 || self.ack == Ack::Text {
            note(self.text(took));
        }
        Ok(())
    }

    /// Returns the sums in words.
    pub(super) fn text(&self, took: Duration) -> String {
        let Sums {
            written,
            not_written,
            unknown,
            bytes,
            ..
        } = self.sums;
        let mut text = format!(
            "{} of {} written in {:.1} s",
            counted(written, "record"),
            bytes_text(bytes),
            took.as_secs_f64()
        );
        if not_written > 0 {
            text.push_str(&format!(", {not_written} not written"));
        }
        if unknown > 0 {
            text.push_str(&format!(
                ", {unknown} with an unknown outcome: they may be in a stream"
            ));
        }
        text
    }
}
