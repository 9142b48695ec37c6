use core::fmt;
use std::io;

/// Exit status of a command that did what it was asked.
pub(crate) const EXIT_OK: u8 = 0;
/// Exit status of a command that failed.
pub(crate) const EXIT_FAILURE: u8 = 1;
/// Exit status of a command line that cannot mean anything.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Why a command ends without having done what it was asked.
///
/// Its message says what was wrong and where; its tip says what would be right, as a command to
/// type where there is one.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: Kind,
    message: String,
    tip: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The command line cannot mean anything. The user's to change.
    Usage,
    /// What was asked could not be done.
    Failure,
    /// The failure was told already, for instance line by line.
    Told,
    /// Whoever read our output went away (`dlog … | head`), which is their right.
    OutputClosed,
}

impl Fault {
    /// The command line cannot mean anything: exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            message: message.into(),
            tip: None,
        }
    }

    /// What was asked could not be done: exit status 1.
    pub(crate) fn failure(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failure,
            message: message.into(),
            tip: None,
        }
    }

    /// A failure that was told already: exit status 1 without another word.
    #[must_use]
    pub(crate) const fn told() -> Self {
        Self {
            kind: Kind::Told,
            message: String::new(),
            tip: None,
        }
    }

    /// The same fault with what would be right.
    #[must_use]
    pub(crate) fn tip(self, tip: impl Into<String>) -> Self {
        Self {
            tip: Some(tip.into()),
            ..self
        }
    }

    /// What a failed write to the standard output means: a closed pipe ends the command quietly,
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

    /// The exit status of a command that ends with this fault.
    #[must_use]
    pub(crate) const fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Usage => EXIT_USAGE,
            Kind::Failure | Kind::Told => EXIT_FAILURE,
            Kind::OutputClosed => EXIT_OK,
        }
    }

    /// What to print on the standard error, if there is anything left to say. `coloured` as for a
    /// terminal.
    #[must_use]
    pub(crate) fn report(&self, coloured: bool) -> Option<String> {
        match self.kind {
            Kind::Told | Kind::OutputClosed => return None,
            Kind::Usage | Kind::Failure => {}
        }
        let (red, green, plain) = if coloured {
            ("\x1b[1;31m", "\x1b[32m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let mut text = format!("{red}error:{plain} {}\n", self.message);
        if let Some(tip) = &self.tip {
            for line in tip.lines() {
                text.push_str(&format!("  {green}tip:{plain} {line}\n"));
            }
        }
        Some(text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_was_wrong_and_then_what_would_be_right() {
        let fault = Fault::failure("nothing answers at 127.0.0.1:7000").tip("dlog local 7000");
        assert_eq!(
            fault.report(false).as_deref(),
            Some("error: nothing answers at 127.0.0.1:7000\n  tip: dlog local 7000\n")
        );
        assert_eq!(fault.exit_status(), EXIT_FAILURE);
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure_and_gets_no_message() {
        let fault = Fault::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((fault.exit_status(), fault.report(true)), (EXIT_OK, None));
    }

    #[test]
    fn a_full_disk_under_the_standard_output_is_a_failure() {
        let fault = Fault::output(&io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(fault.exit_status(), EXIT_FAILURE);
        assert!(fault.report(false).is_some());
    }
}
