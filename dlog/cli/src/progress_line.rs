use core::time::Duration;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Interval at which the progress is printed, the first time after one interval.
const INTERVAL: Duration = Duration::from_millis(500);

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
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", text());
        }
    }

    /// Clears the line.
    pub(crate) fn clear(&mut self) {
        if core::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}
