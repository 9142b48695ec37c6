use core::time::Duration;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use bytes::Bytes;
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter};
use tokio::sync::mpsc;

use super::super::{Fault, Output, Shutdown, folder};
use super::lines::{Line, LineError, Release};

/// The prompt of the tutorial's console.
pub(crate) const PROMPT: &str = "[dlog] > ";

/// How many lines the history keeps.
const HISTORY_LINES: usize = 1_000;

/// How long the next prompt waits for the last line to be dealt with: results that come soon then
/// stand above it without a redraw.
const PROMPT_WAITS: Duration = Duration::from_millis(250);

/// A line editor on the terminal: the lines that are typed, and an output that writes above the
/// prompt.
///
/// Ctrl-D ends the input, and so does Ctrl-C, which also asks for the end.
///
/// # Errors
/// The terminal cannot be used.
pub(crate) fn open(
    limit: usize,
    shutdown: &Shutdown,
) -> Result<(mpsc::Receiver<Line>, Output), Fault> {
    let refused = |error: ReadlineError| {
        Fault::failure(format!("cannot edit lines on this terminal: {error}"))
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
        // A first start has none, and a damaged one is no reason to keep anyone from writing.
        let _ = editor.load_history(path);
    }
    // One line at a time: the editor waits for each.
    let (sender, lines) = mpsc::channel(1);
    let shutdown = shutdown.clone();
    thread::spawn(move || {
        edit(&mut editor, history.as_deref(), limit, &sender, &shutdown);
    });
    Ok((lines, output))
}

fn edit(
    editor: &mut DefaultEditor,
    history: Option<&Path>,
    limit: usize,
    sender: &mpsc::Sender<Line>,
    shutdown: &Shutdown,
) {
    for number in 1.. {
        let (content, ended) = match editor.readline(PROMPT) {
            Ok(line) if line.len() > limit => (Err(LineError::TooLong { limit }), false),
            Ok(line) => (Ok(Bytes::from(line)), false),
            Err(ReadlineError::Eof) => return,
            Err(ReadlineError::Interrupted) => {
                shutdown.ask();
                return;
            }
            Err(error) => (Err(LineError::Input(error.to_string())), true),
        };
        // Line by line: the process may end while the next line is being edited.
        if let Some(path) = history
            && let Err(error) = editor.append_history(path)
        {
            tracing::debug!(
                "the history could not be kept in {}: {error}",
                path.display()
            );
        }
        let (waiter, dealt_with) = std::sync::mpsc::sync_channel(0);
        if sender
            .blocking_send(Line {
                number,
                content,
                release: Release::of(waiter),
            })
            .is_err()
            || ended
        {
            return;
        }
        // Nothing is ever sent: the wait ends when the line's release is dropped, or in time for
        // the next prompt.
        let _ = dealt_with.recv_timeout(PROMPT_WAITS);
    }
}

/// Where the history is kept: a file below the user's data folder.
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

/// Puts the terminal back as it was before the editor took it, if it did. For processes that end
/// while a line is being edited.
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
            // A second editor in the same process finds the mode that the first one found.
            let _ = BEFORE.set(mode);
        }
    }

    pub(super) fn restore() {
        if let Some(mode) = BEFORE.get() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, mode);
        }
    }
}

/// Elsewhere the editor itself puts the terminal back.
#[cfg(not(unix))]
mod terminal_mode {
    pub(super) const fn remember() {}

    pub(super) const fn restore() {}
}
