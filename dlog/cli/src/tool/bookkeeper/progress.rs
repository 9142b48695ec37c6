use core::time::Duration;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

/// Interval at which progress is printed, the first time after one interval.
const INTERVAL: Duration = Duration::from_millis(500);

/// Progress of long work on the terminal, if there is one.
pub(super) struct Progress {
    printed: Instant,
    is_shown: bool,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            printed: Instant::now(),
            is_shown: false,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Prints how many of what are done, at most once in each interval.
    pub(super) fn update(&mut self, what: &str, done: usize) {
        if self.is_terminal && self.printed.elapsed() >= INTERVAL {
            self.printed = Instant::now();
            self.is_shown = true;
            let _ = write!(std::io::stderr(), "\r{what}: {done}\x1b[K");
        }
    }

    /// Clears the line.
    pub(super) fn end(&mut self) {
        if core::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
