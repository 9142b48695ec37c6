use core::time::Duration;

use distributedlog::writer::{AttemptOutcome, AttemptReports};
use distributedlog::{Dlsn, WriteState};
use serde::Serialize;

use super::super::record_text::{DlsnJson, json_line};
use super::super::{Fault, Format, Output};
use distributedlog_store::StreamName;

/// Where a line went.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The stream that took it.
    pub(crate) stream: StreamName,
    /// Its position there.
    pub(crate) dlsn: Dlsn,
}

/// Why a line was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unacknowledged {
    pub(crate) why: String,
    /// Whether its record may be in a stream.
    pub(crate) known: WriteState,
}

/// How a line ended, and what each attempt to write it met: none unless the writer's settings keep
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) result: Result<Place, Unacknowledged>,
    pub(crate) attempts: Vec<Attempt>,
}

/// One attempt to write a line's record set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    stream: StreamName,
    /// How long after the first one it was started.
    started: Duration,
    took: Duration,
    outcome: AttemptOutcome,
}

/// The attempts of a writer over these streams.
pub(crate) fn attempts(reports: &AttemptReports, streams: &[StreamName]) -> Vec<Attempt> {
    let Some(first) = reports.first() else {
        return Vec::new();
    };
    let of = |report: &distributedlog::writer::AttemptReport| Attempt {
        stream: streams[usize::from(report.stream.0)].clone(),
        started: report.started.since(first.started),
        took: report.took,
        outcome: report.outcome,
    };
    reports.iter().map(of).collect()
}

/// What is said of each line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    format: Format,
    /// Whether lines that went well are worth a word.
    verbose: bool,
    attempts: bool,
}

impl Report {
    /// Says where lines went only when `verbose`; failures always. With `attempts`, the attempts of
    /// each line too. As JSON, everything of every line.
    pub(crate) const fn new(format: Format, verbose: bool, attempts: bool) -> Self {
        Self {
            format,
            verbose: verbose || attempts,
            attempts,
        }
    }

    /// Says how a line ended.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn line(self, number: u64, ended: &Ended, output: &Output) -> Result<(), Fault> {
        if let Format::Json = self.format {
            return json_line(output, &LineJson::new(number, ended));
        }
        let mut text = match &ended.result {
            Ok(_) if !self.verbose => return Ok(()),
            Ok(place) => format!("line {number}: {} in stream {}", place.dlsn, place.stream),
            Err(error) => format!("line {number} was not acknowledged: {}", error.why),
        };
        if self.attempts {
            for Attempt {
                stream,
                started,
                took,
                outcome,
            } in &ended.attempts
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
                };
            }
        }
        output.line(text)
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
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
    fn new(line: u64, ended: &'a Ended) -> Self {
        let (place, error) = (ended.result.as_ref().ok(), ended.result.as_ref().err());
        Self {
            line,
            stream: place.map(|place| &place.stream),
            dlsn: place.map(|place| place.dlsn.into()),
            error: error.map(|error| &*error.why),
            known: error.map(|error| error.known.to_string()),
            attempts: ended.attempts.iter().map(AttemptJson::new).collect(),
        }
    }
}

impl<'a> AttemptJson<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (outcome, cause, known) = match attempt.outcome {
            AttemptOutcome::Won => ("won", None, None),
            AttemptOutcome::Failed { cause, known } => {
                ("failed", Some(cause.to_string()), Some(known.to_string()))
            }
            AttemptOutcome::GivenUp => ("given up", None, None),
            AttemptOutcome::Outstanding => ("outstanding", None, None),
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

    use super::super::super::output::Captured;
    use super::*;

    fn name(stream: &str) -> StreamName {
        StreamName::new(stream).expect("a name")
    }

    fn hedged() -> Ended {
        let attempt = |stream, started, took, outcome| Attempt {
            stream: name(stream),
            started: Duration::from_micros(started),
            took: Duration::from_micros(took),
            outcome,
        };
        Ended {
            result: Ok(Place {
                stream: name("c"),
                dlsn: Dlsn::new(1, 2, 0),
            }),
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

    fn failed() -> Ended {
        Ended {
            result: Err(Unacknowledged {
                why: "no luck".to_owned(),
                known: WriteState::NotWritten,
            }),
            attempts: Vec::new(),
        }
    }

    fn said(report: Report, ended: &Ended) -> String {
        let captured = Captured::default();
        report
            .line(7, ended, &captured.output())
            .expect("the buffer takes all");
        captured.text()
    }

    #[test]
    fn as_much_is_said_as_was_asked_for() {
        let quiet = Report::new(Format::Text, false, false);
        assert_eq!(said(quiet, &hedged()), "");
        assert_eq!(
            said(quiet, &failed()),
            "line 7 was not acknowledged: no luck\n"
        );
        let place = "line 7: DLSN{logSegmentSequenceNo=1, entryId=2, slotId=0} in stream c\n";
        assert_eq!(
            said(Report::new(Format::Text, true, false), &hedged()),
            place
        );
        let attempts = "  a, started at 0.0 ms: given up after 52.3 ms\n  b, started at 50.0 ms: \
                        failed after 0.3 ms: the connection was lost (unknown whether written)\n  \
                        c, started at 50.3 ms: written, answered after 2.0 ms\n";
        assert_eq!(
            said(Report::new(Format::Text, false, true), &hedged()),
            format!("{place}{attempts}")
        );
    }

    #[test]
    fn in_json_every_line_says_everything() {
        let report = Report::new(Format::Json, false, false);
        assert_eq!(
            said(report, &failed()),
            "{\"line\":7,\"error\":\"no luck\",\"known\":\"not written\"}\n"
        );
        let text = said(report, &hedged());
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
