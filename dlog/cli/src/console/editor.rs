use core::time::Duration;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use bytes::Bytes;
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter};
use tokio::sync::mpsc;

use super::super::{CliError, Output, Shutdown, folder};
use super::ConsoleInput;
use super::lines::{DoneGuard, InputKind, InputLine, LineError};

/// The prompt of the tutorial's console.
pub(crate) const PROMPT: &str = "[dlog] > ";

/// Maximum number of lines in the history.
const HISTORY_LINES: usize = 1_000;

/// Maximum time that the next prompt waits for the last line's outcome: results that arrive in that
/// time are printed above it without a redraw.
const PROMPT_DELAY: Duration = Duration::from_millis(250);

/// Opens a line editor on the terminal. Returns the lines that the user types, and an output that
/// writes above the prompt.
///
/// Ctrl-D ends the input, and so does Ctrl-C, which also requests shutdown.
///
/// # Errors
/// The editor cannot use the terminal.
pub(crate) fn open(limit: usize, shutdown: &Shutdown) -> Result<ConsoleInput, CliError> {
    let refused = |error: ReadlineError| {
        CliError::failure(format!("cannot edit lines on this terminal: {error}"))
    };
    terminal_mode::remember();
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)
        .map_err(refused)?
        .auto_add_history(true)
        .build();
    let mut editor = DefaultEditor::with_config(config).map_err(refused)?;
    let output = Output::to_terminal(AbovePrompt {
        printer: editor.create_external_printer().map_err(refused)?,
        text: String::new(),
    });
    let history = history_file();
    if let Some(path) = &history {
        // The first start has no history, and a damaged one must not keep the user from writing.
        let _ = editor.load_history(path);
    }
    // Bounded: one line, because the editor waits for each.
    let (sender, lines) = mpsc::channel(1);
    let shutdown = shutdown.clone();
    thread::spawn(move || {
        edit(&mut editor, history.as_deref(), limit, &sender, &shutdown);
    });
    Ok(ConsoleInput {
        lines,
        output: output.best_effort(),
        kind: InputKind::Terminal,
    })
}

/// Reads lines until the input ends or the receiver is dropped. What is pasted into one prompt may
/// be several lines.
fn edit(
    editor: &mut DefaultEditor,
    history: Option<&Path>,
    limit: usize,
    sender: &mpsc::Sender<InputLine>,
    shutdown: &Shutdown,
) {
    let mut number = 0;
    loop {
        let (contents, last) = match editor.readline(PROMPT) {
            Ok(text) => (records(&text, limit), false),
            Err(ReadlineError::Eof) => return,
            Err(ReadlineError::Interrupted) => {
                shutdown.request();
                return;
            }
            Err(error) => (vec![Err(LineError::Input(error.to_string()))], true),
        };
        // After each line: the process may end while the next line is being edited.
        if let Some(path) = history
            && let Err(error) = editor.append_history(path)
        {
            tracing::debug!(
                "cannot append to the history in {}: {error}",
                path.display()
            );
        }
        let (on_drop, done) = std::sync::mpsc::sync_channel(0);
        for content in contents {
            number += 1;
            let done = DoneGuard::new(on_drop.clone());
            let line = InputLine {
                number,
                content,
                done,
            };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
        if last {
            return;
        }
        drop(on_drop);
        // Nothing is ever sent: the wait ends when the last guard drops its sender, or after the
        // delay.
        let _ = done.recv_timeout(PROMPT_DELAY);
    }
}

/// Splits the text of one prompt into records: a paste of several lines is as many records. The
/// line end behind the last line of a paste ends that line, and begins no empty one.
fn records(text: &str, limit: usize) -> Vec<Result<Bytes, LineError>> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines = text.split('\n').map(|line| {
        if line.len() > limit {
            Err(LineError::TooLong { limit })
        } else {
            Ok(Bytes::copy_from_slice(line.as_bytes()))
        }
    });
    lines.collect()
}

/// Returns the history's file in the user's data folder, or `None` if there can be none.
fn history_file() -> Option<PathBuf> {
    let file = folder::user_data("history").ok()?;
    std::fs::create_dir_all(file.parent()?).ok()?;
    Some(file)
}

/// Writes whole texts above the prompt.
struct AbovePrompt<P> {
    printer: P,
    text: String,
}

impl<P: ExternalPrinter> Write for AbovePrompt<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.printer
            .print(core::mem::take(&mut self.text))
            .map_err(io::Error::other)
    }
}

/// Restores the terminal mode from before the editor changed it. For processes that end while a
/// line is being edited.
pub(crate) fn restore_terminal() {
    terminal_mode::restore();
}

#[cfg(unix)]
mod terminal_mode {
    use std::io;
    use std::sync::OnceLock;

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    static BEFORE: OnceLock<Termios> = OnceLock::new();

    pub(super) fn remember() {
        if let Ok(mode) = tcgetattr(io::stdin()) {
            // Keeps the first: a second editor in the same process would save the same mode.
            let _ = BEFORE.set(mode);
        }
    }

    pub(super) fn restore() {
        if let Some(mode) = BEFORE.get() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, mode);
        }
    }
}

/// On other systems the editor itself restores the terminal.
#[cfg(not(unix))]
mod terminal_mode {
    pub(super) const fn remember() {}

    pub(super) const fn restore() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_of_several_lines_is_as_many_records() {
        let split = |text: &str| -> Vec<String> {
            let lines = records(text, 3).into_iter();
            let shown = lines.map(|line| match line {
                Ok(line) => String::from_utf8_lossy(&line).into_owned(),
                Err(error) => error.to_string(),
            });
            shown.collect()
        };
        assert_eq!(split("one"), ["one"]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("a\nb\n"), ["a", "b"]);
        assert_eq!(split("a\n\nb"), ["a", "", "b"]);
        let too_long = LineError::TooLong { limit: 3 }.to_string();
        assert_eq!(split("long\nok"), [&*too_long, "ok"]);
    }
}
