use core::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;

use super::CliError;

/// Format of a command's results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // For people.
    #[default]
    Text,
    // For programs: one JSON object per line.
    Json,
}

/// Sink for a command's results: the standard output, the console above its prompt, or a test's
/// buffer. Clones share it.
///
/// Each call writes its whole text at once, so that the texts of several tasks never mix.
#[derive(Clone)]
pub(crate) struct Output {
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
    /// The sink is a terminal: control characters of records are replaced.
    escapes: bool,
    /// Notices go to the sink too, rather than to the standard error.
    takes_notices: bool,
}

impl Output {
    /// Creates an output to the standard output.
    #[must_use]
    pub(crate) fn stdout() -> Self {
        Self {
            sink: Arc::new(Mutex::new(Box::new(io::stdout()))),
            escapes: io::stdout().is_terminal(),
            takes_notices: false,
        }
    }

    /// Creates an output to anything else that takes bytes.
    #[must_use]
    pub(crate) fn to(sink: impl Write + Send + 'static) -> Self {
        Self {
            sink: Arc::new(Mutex::new(Box::new(sink))),
            escapes: false,
            takes_notices: true,
        }
    }

    /// Creates an output to a terminal behind something else, such as a line editor that redraws
    /// its prompt.
    #[must_use]
    pub(crate) fn to_terminal(sink: impl Write + Send + 'static) -> Self {
        Self {
            escapes: true,
            ..Self::to(sink)
        }
    }

    /// Writes `text` and a line end, and flushes them.
    ///
    /// # Errors
    /// The output is closed, or a write failed.
    pub(crate) fn line(&self, text: impl fmt::Display) -> Result<(), CliError> {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Writes a line and ignores errors: a server does not end because the process that started it
    /// closed the pipe.
    pub(crate) fn announce(&self, text: impl fmt::Display) {
        let _ = self.line(text);
    }

    /// Writes a message that is not a result: above the prompt of a console, on the standard error
    /// otherwise.
    pub(crate) fn notice(&self, text: impl fmt::Display) {
        if self.takes_notices {
            self.announce(text)
        } else {
            note(text)
        }
    }

    /// Writes `bytes` unchanged, and flushes them.
    ///
    /// # Errors
    /// The output is closed, or a write failed.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        // A task that panicked during a write left at most half a line.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write_all(bytes)
            .and_then(|()| sink.flush())
            .map_err(|error| CliError::output(&error))
    }

    /// Converts a record's bytes to text for this output: UTF-8, with U+FFFD for invalid bytes. On
    /// a terminal U+FFFD also replaces control characters other than line ends and tabs: a record
    /// must not be able to rewrite the user's screen.
    #[must_use]
    pub(crate) fn payload_text(&self, payload: &[u8]) -> String {
        let text = String::from_utf8_lossy(payload);
        if !self.escapes {
            return text.into_owned();
        }
        text.chars()
            .map(|c| {
                if c.is_control() && c != '\n' && c != '\t' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("escapes", &self.escapes)
            .finish_non_exhaustive()
    }
}

/// Returns true if the standard error may be coloured: it is a terminal, and `NO_COLOR` is unset or
/// empty.
#[must_use]
pub(crate) fn stderr_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Formats a number of things: `1 record`, `2 records`. The plural of `thing` must end in s.
#[must_use]
pub(crate) fn counted(number: u64, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// Writes a line to the standard error, and ignores errors: a closed pipe is no reason to fail.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Buffer from which a test reads the output of a command. Clones share it.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(crate) struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl CapturedOutput {
    pub(crate) fn output(&self) -> Output {
        Output::to(self.clone())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(
            self.0
                .lock()
                .expect("no test panics while it writes")
                .clone(),
        )
        .expect("commands write UTF-8")
    }
}

#[cfg(test)]
impl Write for CapturedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no test panics while it writes")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_bytes_reach_a_pipe_unchanged_and_cannot_control_a_terminal() {
        let payload = b"caf\xc3\xa9\t\x1b[2J\nend\xff";
        assert_eq!(
            Output::to(Vec::new()).payload_text(payload),
            "café\t\x1b[2J\nend\u{fffd}"
        );
        assert_eq!(
            Output::to_terminal(Vec::new()).payload_text(payload),
            "café\t\u{fffd}[2J\nend\u{fffd}"
        );
    }

    #[test]
    fn a_closed_pipe_ends_the_command_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = Output::to(Closed)
            .line("x")
            .expect_err("the pipe is closed");
        assert_eq!(
            (error.exit_status(), error.report(false)),
            (super::super::EXIT_OK, None)
        );
    }
}
