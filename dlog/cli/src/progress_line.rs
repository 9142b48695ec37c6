use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Interval at which the progress is printed, the first time after one interval.
const INTERVAL: Duration = Duration::from_millis(500);

/// True while a line is shown.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// A line on the standard error that shows how far long work is, if that is a terminal. Dropping it
/// clears it.
pub(crate) struct ProgressLine {
    printed: Instant,
    shown: bool,
    is_terminal: bool,
}

impl ProgressLine {
    pub(crate) fn new() -> Self {
        Self {
            printed: Instant::now(),
            shown: false,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Shows the text, at most once in each interval.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.is_terminal && self.printed.elapsed() >= INTERVAL {
            (self.printed, self.shown) = (Instant::now(), true);
            SHOWN.store(true, Ordering::Relaxed);
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", text());
        }
    }

    /// Clears the line.
    pub(crate) fn clear(&mut self) {
        if core::mem::take(&mut self.shown) {
            clear_shown();
        }
    }
}

/// Clears the line that is shown, if one is: something else is about to be printed on the terminal.
pub(crate) fn clear_shown() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}
