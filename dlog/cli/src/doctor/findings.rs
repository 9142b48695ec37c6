use std::time::Instant;

use serde_json::json;

use super::super::output::{harmless, stdout_colour};
use super::super::record_text::json_line;
use super::super::{CliError, Format, Output};

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// It is as it should be.
    Ok,
    /// It works, but will cause trouble.
    Warning,
    /// It does not work.
    Failure,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Failure => "fail",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\x1b[32m",
            Self::Warning => "\x1b[33m",
            Self::Failure => "\x1b[1;31m",
        }
    }
}

/// Prints results of checks as they come, and counts them.
pub(super) struct Findings<'a> {
    output: &'a Output,
    format: Format,
    coloured: bool,
    pub(super) warnings: u64,
    pub(super) failures: u64,
}

impl<'a> Findings<'a> {
    pub(super) fn new(output: &'a Output, format: Format) -> Self {
        Self {
            output,
            format,
            coloured: stdout_colour(),
            warnings: 0,
            failures: 0,
        }
    }

    /// Prints a result, with what to do about it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn add(
        &mut self,
        level: Level,
        text: &str,
        tip: Option<&str>,
    ) -> Result<(), CliError> {
        match level {
            Level::Ok => {}
            Level::Warning => self.warnings += 1,
            Level::Failure => self.failures += 1,
        }
        if self.format == Format::Json {
            let line = json!({ "level": level.name(), "text": text, "tip": tip });
            return json_line(self.output, &line);
        }
        let (colour, plain) = if self.coloured {
            (level.colour(), "\x1b[0m")
        } else {
            ("", "")
        };
        let mut lines = format!("{colour}{:<4}{plain}  {}", level.name(), harmless(text));
        for line in tip.iter().flat_map(|tip| tip.lines()) {
            lines += &format!("\n      tip: {}", harmless(line));
        }
        self.output.line(lines)
    }

    pub(super) fn ok(&mut self, text: &str) -> Result<(), CliError> {
        self.add(Level::Ok, text, None)
    }

    pub(super) fn warn(&mut self, text: &str, tip: &str) -> Result<(), CliError> {
        self.add(Level::Warning, text, Some(tip))
    }

    pub(super) fn fail(&mut self, text: &str, tip: Option<&str>) -> Result<(), CliError> {
        self.add(Level::Failure, text, tip)
    }

    /// Prints an error of another command's work as a failure.
    pub(super) fn error(&mut self, what: &str, error: &CliError) -> Result<(), CliError> {
        self.fail(&format!("{what}: {}", error.reason()), error.tip_text())
    }
}

/// Formats a duration since `began` to a tenth of a millisecond.
pub(super) fn since(began: Instant) -> String {
    format!("{:.1} ms", began.elapsed().as_secs_f64() * 1e3)
}
