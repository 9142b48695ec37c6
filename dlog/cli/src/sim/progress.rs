use core::cell::RefCell;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::super::output::counted;
use super::super::progress_line::ProgressLine;

/// Prints the progress of a run on the terminal, if there is one, and stops the run on request.
pub(super) struct Progress<'a> {
    name: &'static str,
    sets: u64,
    stop: &'a AtomicBool,
    began: Instant,
    line: RefCell<ProgressLine>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(name: &'static str, sets: u64, stop: &'a AtomicBool) -> Self {
        Self {
            name,
            sets,
            stop,
            began: Instant::now(),
            line: RefCell::new(ProgressLine::new()),
        }
    }

    /// Prints the progress after `sets` sets have arrived, at most once in each interval.
    pub(super) fn update(&self, sets: u64) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        let text = || format!("{}: {} %", self.name, sets * 100 / self.sets);
        self.line.borrow_mut().show(text);
        ControlFlow::Continue(())
    }

    /// Clears the progress line and logs the duration of the run.
    pub(super) fn end(&self, sets: u64) {
        self.line.borrow_mut().clear();
        let took = self.began.elapsed().as_secs_f64();
        tracing::info!(
            "{}: {} in {took:.3} s, {:.0} sets per second",
            self.name,
            counted(sets, "set"),
            sets as f64 / took
        );
    }
}
