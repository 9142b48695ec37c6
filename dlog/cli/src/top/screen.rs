//! The terminal as a screen: its own page, no cursor, keys without a line end. crossterm and
//! ratatui would bring many crates for what takes these lines.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::thread;

use tokio::sync::mpsc;

use super::super::{CliError, Output};

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) u8);

/// True while the terminal shows the page.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// The terminal's page. Dropping it, a panic, and an end at once restore the terminal.
pub(super) struct Screen {
    keys: mpsc::Receiver<Key>,
}

impl Screen {
    /// Opens the page. `None` if the input is no terminal: then there are no keys.
    pub(super) fn open() -> Option<Self> {
        if !io::stdin().is_terminal() || !mode::without_lines() {
            return None;
        }
        IS_OPEN.store(true, Ordering::Relaxed);
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            earlier(panic);
        }));
        // Its own page, without a cursor.
        let _ = io::stdout().write_all(b"\x1b[?1049h\x1b[?25l");
        let (sender, keys) = mpsc::channel(16);
        thread::spawn(move || {
            for byte in io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                if sender.blocking_send(Key(byte)).is_err() {
                    return;
                }
            }
        });
        Some(Self { keys })
    }

    /// Waits for a key. `None`: the input has ended.
    pub(super) async fn key(&mut self) -> Option<Key> {
        self.keys.recv().await
    }

    /// Returns the rows and columns of the terminal.
    pub(super) fn size() -> (usize, usize) {
        mode::size().unwrap_or((24, 80))
    }

    /// Replaces what is shown. Lines are cut off at the terminal's width.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn draw(
        &self,
        output: &Output,
        lines: &[String],
        rows: usize,
        columns: usize,
    ) -> Result<(), CliError> {
        let mut page = String::from("\x1b[H");
        for (row, line) in lines.iter().take(rows.max(1)).enumerate() {
            if row > 0 {
                page.push_str("\r\n");
            }
            page.extend(line.chars().take(columns));
            page.push_str("\x1b[K");
        }
        page.push_str("\x1b[J");
        output.write(page.as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal if it shows the page.
pub(crate) fn restore() {
    if IS_OPEN.swap(false, Ordering::Relaxed) {
        let mut stdout = io::stdout();
        let _ = stdout.write_all(b"\x1b[?25h\x1b[?1049l");
        let _ = stdout.flush();
        mode::restore();
    }
}

#[cfg(unix)]
mod mode {
    use std::io;
    use std::sync::OnceLock;

    use rustix::termios::{
        LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr,
    };

    static BEFORE: OnceLock<Termios> = OnceLock::new();

    /// Lets keys through without a line end and without an echo; Ctrl-C stays a signal.
    pub(super) fn without_lines() -> bool {
        let Ok(mode) = tcgetattr(io::stdin()) else {
            return false;
        };
        let mut changed = mode.clone();
        let _ = BEFORE.set(mode);
        changed.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Now, &changed).is_ok()
    }

    pub(super) fn restore() {
        if let Some(mode) = BEFORE.get() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, mode);
        }
    }

    pub(super) fn size() -> Option<(usize, usize)> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        let is_known = size.ws_row > 0 && size.ws_col > 0;
        is_known.then(|| (size.ws_row.into(), size.ws_col.into()))
    }
}

#[cfg(not(unix))]
mod mode {
    pub(super) const fn without_lines() -> bool {
        false
    }

    pub(super) const fn restore() {}

    pub(super) const fn size() -> Option<(usize, usize)> {
        None
    }
}
