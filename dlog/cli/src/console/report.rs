use core::time::Duration;

use distributedlog::writer::{AttemptOutcome, AttemptReports};
use distributedlog::{Dlsn, WriteState};
use serde::Serialize;

use super::super::output::counted;
use super::super::record_text::{DlsnJson, json_line};
use super::super::{CliError, Format, Output};
use distributedlog_store::StreamName;

/// Stream and position of an acknowledged line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RecordLocation {
    /// Stream that has the record.
    pub(crate) stream: StreamName,
    /// Position of the record in the stream.
    pub(crate) dlsn: Dlsn,
    /// Number of attempts made for its set.
    pub(crate) attempts: u32,
}

/// Failure of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineFailure {
    /// Reason, for the user.
    pub(crate) reason: String,
    /// Certainty about whether the record is in a stream.
    pub(crate) state: WriteState,
}

/// Outcome of a line, and its attempts. There are none unless the writer's settings keep them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineOutcome {
    pub(crate) result: Result<RecordLocation, LineFailure>,
    /// Time from the writer's acceptance of the line to its outcome.
    pub(crate) took: Duration,
    pub(crate) attempts: Vec<AttemptSummary>,
}

/// One attempt to write a line's record set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptSummary {
    stream: StreamName,
    /// Time from the start of the first attempt to the start of this one.
    started: Duration,
    took: Duration,
    outcome: AttemptOutcome,
}

/// Converts the attempts of a writer of these streams.
pub(crate) fn attempts(reports: &AttemptReports, streams: &[StreamName]) -> Vec<AttemptSummary> {
    let Some(first) = reports.first() else {
        return Vec::new();
    };
    let of = |report: &distributedlog::writer::AttemptReport| AttemptSummary {
        stream: streams[usize::from(report.stream.0)].clone(),
        started: report.started.since(first.started),
        took: report.took,
        outcome: report.outcome,
    };
    reports.iter().map(of).collect()
}

/// Prints the outcome of lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineReporter {
    format: Format,
    /// Prints successful lines too.
    verbose: bool,
    attempts: bool,
}

impl LineReporter {
    /// Creates a reporter that prints failures, and successful lines too if `verbose`. With
    /// `attempts` it prints all lines with their attempts. As JSON it prints every line in full.
    pub(crate) const fn new(format: Format, verbose: bool, attempts: bool) -> Self {
        Self {
            format,
            verbose: verbose || attempts,
            attempts,
        }
    }

    /// Prints the outcome of a line. A failure in text is no result: it goes to the standard error,
    /// or above the prompt of a console.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn line(
        self,
        number: u64,
        outcome: &LineOutcome,
        output: &Output,
    ) -> Result<(), CliError> {
        if let Format::Json = self.format {
            return json_line(output, &LineJson::new(number, outcome));
        }
        let mut text = match &outcome.result {
            Ok(_) if !self.verbose => return Ok(()),
            Ok(at) => format!(
                "line {number}: {} in stream {}, {}, {}",
                at.dlsn,
                at.stream,
                millis(outcome.took),
                counted(at.attempts.into(), "attempt")
            ),
            Err(error) => format!("line {number} was not acknowledged: {}", error.reason),
        };
        if self.attempts {
            for AttemptSummary {
                stream,
                started,
                took,
                outcome,
            } in &outcome.attempts
            {
                let (started, took) = (millis(*started), millis(*took));
                text += &format!("\n  {stream}, started at {started}: ");
                text += &match outcome {
                    AttemptOutcome::Won => format!("written, answered after {took}"),
                    AttemptOutcome::Failed { cause, known } => {
                        format!("failed after {took}: {cause} ({known})")
                    }
                    AttemptOutcome::GivenUp => format!("given up after {took}"),
                    AttemptOutcome::Outstanding => format!("not answered for {took}"),
                    other => format!("{other:?} after {took}"),
                };
            }
        }
        if outcome.result.is_err() {
            output.notice(text);
            return Ok(());
        }
        output.line(text)
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A line in JSON.
#[derive(Debug, Serialize)]
struct LineJson<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a StreamName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dlsn: Option<DlsnJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// `not written`, `rejected`, or `unknown whether written`; beside an error only.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<String>,
    /// Time from the writer's acceptance of the line to its acknowledgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_us: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptJson<'a>>,
}

#[derive(Debug, Serialize)]
struct AttemptJson<'a> {
    stream: &'a StreamName,
    started_us: u64,
    took_us: u64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<String>,
}

impl<'a> LineJson<'a> {
    fn new(line: u64, outcome: &'a LineOutcome) -> Self {
        let (at, error) = (outcome.result.as_ref().ok(), outcome.result.as_ref().err());
        Self {
            line,
            stream: at.map(|at| &at.stream),
            dlsn: at.map(|at| at.dlsn.into()),
            error: error.map(|error| &*error.reason),
            known: error.map(|error| error.state.to_string()),
            took_us: at.map(|_| micros(outcome.took)),
            attempts: outcome.attempts.iter().map(AttemptJson::new).collect(),
        }
    }
}

impl<'a> AttemptJson<'a> {
    fn new(attempt: &'a AttemptSummary) -> Self {
        let (outcome, cause, known) = match attempt.outcome {
            AttemptOutcome::Won => ("won", None, None),
            AttemptOutcome::Failed { cause, known } => {
                ("failed", Some(cause.to_string()), Some(known.to_string()))
            }
            AttemptOutcome::GivenUp => ("given up", None, None),
            AttemptOutcome::Outstanding => ("outstanding", None, None),
            _ => ("unknown", None, None),
        };
        Self {
            stream: &attempt.stream,
            started_us: micros(attempt.started),
            took_us: micros(attempt.took),
            outcome,
            cause,
            known,
        }
    }
}

#[cfg(test)]
mod tests {
    use distributedlog::Cause;

    use super::super::super::output::CapturedOutput;
    use super::*;

    fn name(stream: &str) -> StreamName {
        StreamName::new(stream).expect("a name")
    }

    fn hedged() -> LineOutcome {
        let attempt = |stream, started, took, outcome| AttemptSummary {
            stream: name(stream),
            started: Duration::from_micros(started),
            took: Duration::from_micros(took),
            outcome,
        };
        LineOutcome {
            result: Ok(RecordLocation {
                stream: name("c"),
                dlsn: Dlsn::new(1, 2, 0),
                attempts: 3,
            }),
            took: Duration::from_micros(52_340),
            attempts: vec![
                attempt("a", 0, 52_340, AttemptOutcome::GivenUp),
                attempt(
                    "b",
                    50_000,
                    340,
                    AttemptOutcome::Failed {
                        cause: Cause::ConnectionLost,
                        known: WriteState::Unknown,
                    },
                ),
                attempt("c", 50_340, 2_000, AttemptOutcome::Won),
            ],
        }
    }

    fn failed() -> LineOutcome {
        LineOutcome {
            result: Err(LineFailure {
                reason: "no luck".to_owned(),
                state: WriteState::NotWritten,
            }),
            took: Duration::ZERO,
            attempts: Vec::new(),
        }
    }

    fn printed(report: LineReporter, outcome: &LineOutcome) -> String {
        let captured = CapturedOutput::default();
        report
            .line(7, outcome, &captured.output())
            .expect("the buffer takes all");
        captured.text()
    }

    #[test]
    fn the_flags_decide_how_much_is_printed_of_each_line() {
        let quiet = LineReporter::new(Format::Text, false, false);
        assert_eq!(printed(quiet, &hedged()), "");
        assert_eq!(
            printed(quiet, &failed()),
            "line 7 was not acknowledged: no luck\n"
        );
        let position = "line 7: DLSN{logSegmentSequenceNo=1, entryId=2, slotId=0} in stream c, \
                        52.3 ms, 3 attempts\n";
        assert_eq!(
            printed(LineReporter::new(Format::Text, true, false), &hedged()),
            position
        );
        let attempts = "  a, started at 0.0 ms: given up after 52.3 ms\n  b, started at 50.0 ms: \
                        failed after 0.3 ms: the connection was lost (unknown whether written)\n  \
                        c, started at 50.3 ms: written, answered after 2.0 ms\n";
        assert_eq!(
            printed(LineReporter::new(Format::Text, false, true), &hedged()),
            format!("{position}{attempts}")
        );
    }

    #[test]
    fn in_json_every_line_is_printed_in_full() {
        let report = LineReporter::new(Format::Json, false, false);
        assert_eq!(
            printed(report, &failed()),
            "{\"line\":7,\"error\":\"no luck\",\"known\":\"not written\"}\n"
        );
        let text = printed(report, &hedged());
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(
            (&value["stream"], &value["dlsn"]["entryId"]),
            (&"c".into(), &2.into())
        );
        assert_eq!(
            (
                &value["attempts"][0]["outcome"],
                &value["attempts"][0]["took_us"]
            ),
            (&"given up".into(), &52_340.into())
        );
        assert_eq!(value["attempts"][1]["known"], "unknown whether written");
    }
}
