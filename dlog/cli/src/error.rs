use core::fmt;
use std::io;

use super::output::harmless;

/// Exit status of a command that succeeded.
pub(crate) const EXIT_OK: u8 = 0;
/// Exit status of a command that failed.
pub(crate) const EXIT_FAILURE: u8 = 1;
/// Exit status after a usage error.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Exit status of a command after which the outcome of at least one write is unknown.
pub(crate) const EXIT_UNKNOWN: u8 = 3;

/// Error that ends a command.
///
/// Its message says what failed, with which value; its tip says what to do, as a command to type
/// where there is one.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    message: String,
    tip: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A usage error: the user must change the command line.
    Usage,
    /// The command could not do its work.
    Failure,
    /// The failure was printed already, for instance line by line.
    AlreadyReported,
    /// The outcome of at least one write is unknown, which was printed already.
    UnknownOutcome,
    /// The reader of the output closed the pipe (`dlog … | head`), which is no failure.
    OutputClosed,
}

impl CliError {
    /// Creates a usage error: exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            message: message.into(),
            tip: None,
        }
    }

    /// Creates a failure: exit status 1.
    pub(crate) fn failure(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failure,
            message: message.into(),
            tip: None,
        }
    }

    /// Creates a failure that was printed already: exit status 1 without a message.
    #[must_use]
    pub(crate) const fn already_reported() -> Self {
        Self {
            kind: Kind::AlreadyReported,
            message: String::new(),
            tip: None,
        }
    }

    /// Returns the failure as one after which the outcome of a write is unknown, if it is.
    #[must_use]
    pub(crate) fn with_unknown_outcome(self, is_unknown: bool) -> Self {
        let kind = if is_unknown {
            Kind::UnknownOutcome
        } else {
            self.kind
        };
        Self { kind, ..self }
    }

    /// Adds a tip: what the user can do about it. Replaces an earlier tip.
    #[must_use]
    pub(crate) fn tip(self, tip: impl Into<String>) -> Self {
        Self {
            tip: Some(tip.into()),
            ..self
        }
    }

    /// Converts a failed write to the standard output: a closed pipe ends the command quietly,
    /// anything else is a failure.
    #[must_use]
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                kind: Kind::OutputClosed,
                message: String::new(),
                tip: None,
            };
        }
        Self::failure(format!("cannot write to the standard output: {error}"))
    }

    /// Returns the exit status of a command that ends with this error.
    #[must_use]
    pub(crate) const fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Usage => EXIT_USAGE,
            Kind::Failure | Kind::AlreadyReported => EXIT_FAILURE,
            Kind::UnknownOutcome => EXIT_UNKNOWN,
            Kind::OutputClosed => EXIT_OK,
        }
    }

    /// Returns the message, or that the output is closed.
    #[must_use]
    pub(crate) fn reason(&self) -> &str {
        if self.kind == Kind::OutputClosed {
            "the reader of the output has closed it"
        } else {
            &self.message
        }
    }

    /// Returns the tip.
    #[must_use]
    pub(crate) fn tip_text(&self) -> Option<&str> {
        self.tip.as_deref()
    }

    /// Returns the error with more after its message. One that prints no message is not changed.
    #[must_use]
    pub(crate) fn with_detail(mut self, detail: &str) -> Self {
        if !self.message.is_empty() {
            self.message.push_str(detail);
        }
        self
    }

    /// Returns the text for the standard error, or `None` if there is nothing left to print.
    /// `coloured`: with a terminal's escape sequences. Control characters of the message and of the
    /// tip are replaced: they may quote what came from elsewhere.
    #[must_use]
    pub(crate) fn report(&self, coloured: bool) -> Option<String> {
        match self.kind {
            Kind::AlreadyReported | Kind::OutputClosed => return None,
            Kind::UnknownOutcome if self.message.is_empty() => return None,
            Kind::Usage | Kind::Failure | Kind::UnknownOutcome => {}
        }
        let (red, green, plain) = if coloured {
            ("\x1b[1;31m", "\x1b[32m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let mut text = format!("{red}error:{plain} {}\n", harmless(&self.message));
        if let Some(tip) = &self.tip {
            for line in harmless(tip).lines() {
                text.push_str(&format!("  {green}tip:{plain} {line}\n"));
            }
        }
        Some(text)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_its_message_and_then_its_tip() {
        let error = CliError::failure("nothing answers at 127.0.0.1:7000").tip("dlog local 7000");
        assert_eq!(
            error.report(false).as_deref(),
            Some("error: nothing answers at 127.0.0.1:7000\n  tip: dlog local 7000\n")
        );
        assert_eq!(error.exit_status(), EXIT_FAILURE);
    }

    #[test]
    fn a_message_cannot_control_the_terminal() {
        let report = CliError::failure("from \x1b]0;x\x07")
            .tip("run \x1b[A")
            .report(false);
        assert_eq!(
            report.as_deref(),
            Some("error: from \u{fffd}]0;x\u{fffd}\n  tip: run \u{fffd}[A\n")
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_prints_no_message() {
        let error = CliError::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.exit_status(), error.report(true)), (EXIT_OK, None));
    }

    #[test]
    fn a_full_disk_under_the_standard_output_is_a_failure() {
        let error = CliError::output(&io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.exit_status(), EXIT_FAILURE);
        assert!(error.report(false).is_some());
    }
}
