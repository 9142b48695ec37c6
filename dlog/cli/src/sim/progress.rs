use core::cell::Cell;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// After which time a run is long enough for whoever waits to be told how far it is, and how often.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells on the terminal how far a run is, if there is one, and ends the run when that is asked
/// for.
pub(super) struct Progress<'a> {
    name: &'static str,
    sets: u64,
    stop: &'a AtomicBool,
    began: Instant,
    told: Cell<Instant>,
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
            told: Cell::new(began),
            shown: Cell::new(false),
            terminal,
        }
    }

    /// So many sets have arrived.
    pub(super) fn tell(&self, sets: u64) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.terminal && self.told.get().elapsed() >= PATIENCE {
            self.told.set(Instant::now());
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

    /// The run is over: the line is empty again.
    pub(super) fn end(&self, sets: u64) {
        if self.shown.get() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let took = self.began.elapsed().as_secs_f64();
        tracing::info!(
            "{}: {sets} sets in {took:.3} s, {:.0} sets a second",
            self.name,
            sets as f64 / took
        );
    }
}
