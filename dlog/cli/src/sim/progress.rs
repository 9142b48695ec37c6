use core::cell::Cell;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{IsTerminal, Write};
use std::time::Instant;

use super::super::output::counted;

/// Interval at which the progress is printed, the first time after one interval.
const INTERVAL: Duration = Duration::from_millis(500);

/// Prints the progress of a run on the terminal, if there is one, and stops the run on request.
pub(super) struct Progress<'a> {
    name: &'static str,
    sets: u64,
    stop: &'a AtomicBool,
    began: Instant,
    printed: Cell<Instant>,
    shown: Cell<bool>,
    terminal: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(name: &'static str, sets: u64, stop: &'a AtomicBool) -> Self {
        let (began, terminal) = (Instant::now(), std::io::stderr().is_terminal());
        Self {
            name,
            sets,
            stop,
            began,
            printed: Cell::new(began),
            shown: Cell::new(false),
            terminal,
        }
    }

    /// Prints the progress after `sets` sets have arrived, at most once in each interval.
    pub(super) fn update(&self, sets: u64) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.terminal && self.printed.get().elapsed() >= INTERVAL {
            self.printed.set(Instant::now());
            self.shown.set(true);
            let _ = write!(
                std::io::stderr(),
                "\r{}: {} %\x1b[K",
                self.name,
                sets * 100 / self.sets
            );
        }
        ControlFlow::Continue(())
    }

    /// Clears the progress line and logs the duration of the run.
    pub(super) fn end(&self, sets: u64) {
        if self.shown.get() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let took = self.began.elapsed().as_secs_f64();
        tracing::info!(
            "{}: {} in {took:.3} s, {:.0} sets per second",
            self.name,
            counted(sets, "set"),
            sets as f64 / took
        );
    }
}
