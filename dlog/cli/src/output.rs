use core::fmt;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::ValueEnum;

use super::{CliError, progress_line};

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
    /// First failed write of a [best effort](Self::best_effort) output.
    failed: Option<Arc<OnceLock<io::Error>>>,
    /// What a [collecting](Self::collecting) output has not written yet.
    collected: Option<Arc<Mutex<Vec<u8>>>>,
}

/// Size from which a collecting output writes.
const LARGE_WRITE: usize = 64 << 10;

impl Output {
    /// Creates an output to the standard output.
    #[must_use]
    pub(crate) fn stdout() -> Self {
        Self {
            sink: Arc::new(Mutex::new(Box::new(io::stdout()))),
            escapes: io::stdout().is_terminal(),
            takes_notices: false,
            failed: None,
            collected: None,
        }
    }

    /// Creates an output to anything else that takes bytes.
    #[must_use]
    pub(crate) fn to(sink: impl Write + Send + 'static) -> Self {
        Self {
            sink: Arc::new(Mutex::new(Box::new(sink))),
            escapes: false,
            takes_notices: true,
            failed: None,
            collected: None,
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

    /// Returns the same output for a command that prints many lines: what is written is collected
    /// into large writes until [`flush`](Self::flush). A terminal gets each line at once.
    #[must_use]
    pub(crate) fn collecting(&self) -> Self {
        Self {
            collected: (!self.escapes).then(Arc::default),
            ..self.clone()
        }
    }

    /// Writes what a collecting output has collected.
    ///
    /// # Errors
    /// The output is closed, or a write failed.
    pub(crate) fn flush(&self) -> Result<(), CliError> {
        let Some(collected) = &self.collected else {
            return Ok(());
        };
        let mut bytes = collected.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write_now(&bytes);
        bytes.clear();
        written
    }

    /// Returns the same output for a command that changes something, whose work must not end
    /// because a reader closed the pipe: a failed write is kept for [`check`](Self::check), later
    /// ones are skipped, and none of them is an error.
    #[must_use]
    pub(crate) fn best_effort(&self) -> Self {
        Self {
            failed: Some(self.failed.clone().unwrap_or_default()),
            ..self.clone()
        }
    }

    /// Returns the first failed write of a best effort output as an error.
    ///
    /// # Errors
    /// A write failed. Not all results were printed.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        match self.failed.as_ref().and_then(|failed| failed.get()) {
            Some(error) => Err(CliError::output(error)),
            None => Ok(()),
        }
    }

    /// Writes `text` and a line end, and flushes them. On a terminal its control characters are
    /// replaced, as [`payload_text`](Self::payload_text) does.
    ///
    /// # Errors
    /// The output is closed, or a write failed.
    pub(crate) fn line(&self, text: impl fmt::Display) -> Result<(), CliError> {
        let text = format!("{text}\n");
        if self.escapes {
            self.write(harmless(&text).as_bytes())
        } else {
            self.write(text.as_bytes())
        }
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

    /// Writes `bytes` unchanged, and flushes them unless they are [collected](Self::collecting).
    ///
    /// # Errors
    /// The output is closed, or a write failed.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        let Some(collected) = &self.collected else {
            return self.write_now(bytes);
        };
        let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
        collected.extend_from_slice(bytes);
        let is_large = collected.len() >= LARGE_WRITE;
        drop(collected);
        if is_large { self.flush() } else { Ok(()) }
    }

    fn write_now(&self, bytes: &[u8]) -> Result<(), CliError> {
        // A task that panicked during a write left at most half a line.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if self
            .failed
            .as_ref()
            .is_some_and(|failed| failed.get().is_some())
        {
            return Ok(());
        }
        if self.escapes {
            progress_line::clear_shown();
        }
        let written = sink.write_all(bytes).and_then(|()| sink.flush());
        match (written, &self.failed) {
            (Ok(()), _) => Ok(()),
            (Err(error), None) => Err(CliError::output(&error)),
            (Err(error), Some(failed)) => {
                // The lock is held, so it is empty.
                let _ = failed.set(error);
                Ok(())
            }
        }
    }

    /// Returns true if the output is a terminal, which interprets control characters.
    #[must_use]
    pub(crate) const fn is_terminal(&self) -> bool {
        self.escapes
    }

    /// Converts a record's bytes to text for this output: UTF-8, with U+FFFD for invalid bytes. On
    /// a terminal U+FFFD also replaces control characters other than line ends and tabs: a record
    /// must not be able to rewrite the user's screen.
    #[must_use]
    pub(crate) fn payload_text(&self, payload: &[u8]) -> String {
        let text = String::from_utf8_lossy(payload);
        if self.escapes {
            harmless(&text).into_owned()
        } else {
            text.into_owned()
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("escapes", &self.escapes)
            .finish_non_exhaustive()
    }
}

/// Replaces control characters other than line ends and tabs by U+FFFD, so that a text from
/// elsewhere cannot control the terminal that shows it.
#[must_use]
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(is_harmful) {
        text.replace(is_harmful, "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// Returns true if the standard error may be coloured: it is a terminal, and `NO_COLOR` is unset or
/// empty.
#[must_use]
pub(crate) fn stderr_colour() -> bool {
    io::stderr().is_terminal() && !is_colour_unwanted()
}

/// Does the same for the standard output.
#[must_use]
pub(crate) fn stdout_colour() -> bool {
    io::stdout().is_terminal() && !is_colour_unwanted()
}

fn is_colour_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
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

/// Writes a line to the standard error, and ignores errors: a closed pipe is no reason to fail. Its
/// control characters are replaced, also in a file: files are shown on terminals.
pub(crate) fn note(text: impl fmt::Display) {
    note_coloured(harmless(&text.to_string()));
}

/// Does the same with a text that has escape sequences of this program, and none from elsewhere.
pub(crate) fn note_coloured(text: impl fmt::Display) {
    progress_line::clear_shown();
    let text = text.to_string();
    let _ = match stderr_width() {
        Some(width) => writeln!(io::stderr(), "{}", wrapped(&text, width)),
        None => writeln!(io::stderr(), "{text}"),
    };
}

/// Returns the width of the terminal that the standard error is. `None` if it is none, or does not
/// say.
fn stderr_width() -> Option<usize> {
    #[cfg(unix)]
    if io::stderr().is_terminal() {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
        return Some(size.ws_col.into()).filter(|width| *width >= MIN_WIDTH);
    }
    None
}

/// Narrowest terminal whose lines are broken between words.
const MIN_WIDTH: usize = 30;

/// Breaks lines that are longer than `width` between words. What follows is indented as far as the
/// line itself, and by two more. Escape sequences of colours have no width.
fn wrapped(text: &str, width: usize) -> String {
    let mut wrapped = String::with_capacity(text.len() + 16);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            wrapped.push('\n');
        }
        let words = line.trim_start_matches(' ');
        let indent = line.len() - words.len();
        wrapped.push_str(&line[..indent]);
        let mut column = indent;
        for (index, word) in words.split(' ').enumerate() {
            let length = visible(word);
            if index > 0 && column + 1 + length > width {
                wrapped.push('\n');
                wrapped.extend(core::iter::repeat_n(' ', indent + 2));
                column = indent + 2;
            } else if index > 0 {
                wrapped.push(' ');
                column += 1;
            }
            wrapped.push_str(word);
            column += length;
        }
    }
    wrapped
}

/// Returns the number of characters that a terminal shows, colours left out.
fn visible(word: &str) -> usize {
    let (mut shown, mut escaped) = (0, false);
    for c in word.chars() {
        match (escaped, c) {
            (true, 'm') => escaped = false,
            (true, _) => {}
            (false, '\x1b') => escaped = true,
            (false, _) => shown += 1,
        }
    }
    shown
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
    fn no_text_of_a_result_can_control_a_terminal() {
        let (captured, text) = (CapturedOutput::default(), "owner \x1b[2J\u{9b}31m\ttail");
        let terminal = Output::to_terminal(captured.clone());
        terminal.line(text).expect("the buffer takes all");
        captured.output().line(text).expect("the buffer takes all");
        assert_eq!(
            captured.text(),
            format!("owner \u{fffd}[2J\u{fffd}31m\ttail\n{text}\n")
        );
    }

    /// Counts writes.
    #[derive(Clone, Default)]
    struct Counted(Arc<Mutex<Vec<usize>>>);

    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn many_lines_are_written_at_once_except_to_a_terminal() {
        let counted = Counted::default();
        let output = Output::to(counted.clone()).collecting();
        let line = "x".repeat(999);
        for _ in 0..100 {
            output.line(&line).expect("it takes all");
        }
        output.flush().expect("it takes all");
        output.flush().expect("it takes all");
        let writes = counted.0.lock().expect("no panic").clone();
        assert_eq!(writes, [66_000, 34_000]);
        let counted = Counted::default();
        let terminal = Output::to_terminal(counted.clone()).collecting();
        for _ in 0..3 {
            terminal.line("x").expect("it takes all");
        }
        assert_eq!(counted.0.lock().expect("no panic").len(), 3);
    }

    #[test]
    fn a_collecting_output_whose_reader_has_gone_fails_like_any_other() {
        let output = Output::to(Closed).collecting();
        output.line("x").expect("it is not written yet");
        assert!(output.flush().is_err());
        assert!(output.line("x".repeat(LARGE_WRITE)).is_err());
    }

    #[test]
    fn messages_are_broken_between_words_at_the_terminals_width() {
        let text = "error: a long message\n  \x1b[32mtip:\x1b[0m do this and that\nshort";
        assert_eq!(
            wrapped(text, 16),
            "error: a long\n  message\n  \x1b[32mtip:\x1b[0m do this\n    and that\nshort"
        );
        let name = "x".repeat(40);
        assert_eq!(wrapped(&name, 16), name);
        assert_eq!(wrapped("a  b", 80), "a  b");
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_best_effort_output_keeps_its_first_failure_for_the_end() {
        let output = Output::to(Closed).best_effort();
        output.check().expect("nothing was written yet");
        output.line("x").expect("it is kept");
        output.best_effort().line("y").expect("it is kept");
        let error = output.check().expect_err("the pipe is closed");
        assert_eq!(error.exit_status(), super::super::EXIT_OK);
    }

    #[test]
    fn a_closed_pipe_ends_the_command_quietly() {
        let error = Output::to(Closed)
            .line("x")
            .expect_err("the pipe is closed");
        assert_eq!(
            (error.exit_status(), error.report(false)),
            (super::super::EXIT_OK, None)
        );
    }
}
