//! Runs of many seeds, and their summary.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::panic;
use std::sync::Once;
use std::thread;
use std::time::Instant;

use crate::faults::FaultCounts;
use crate::oracle::RecordCounts;
use crate::run::{Report, run};
use crate::trace::Counts;

/// Seed whose run broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFailure {
    /// Seed of the run.
    pub seed: u64,
    /// Message that names the promise, with the source location.
    pub message: String,
}

/// Summary of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Number of runs that kept every promise.
    pub passed: u64,
    /// Runs that broke a promise.
    pub failures: Vec<SeedFailure>,
    /// Number of events.
    pub counts: Counts,
    /// Number of faults.
    pub faults: FaultCounts,
    /// Number of records by result.
    pub records: RecordCounts,
    /// Duration on the simulated clocks, in milliseconds.
    pub virtual_ms: u64,
    /// Duration in real time.
    pub took: Duration,
}

thread_local! {
    /// First panic on this thread while it runs a seed. A panic inside a task would otherwise end
    /// only that task and pass unseen.
    static PANIC: RefCell<PanicCapture> = const { RefCell::new(PanicCapture::Off) };
}

/// State of the panic capture of a thread: off, or on with the first panic.
enum PanicCapture {
    Off,
    On(Option<String>),
}

/// Returns the first panic on this thread since the run began, also if the panic was caught.
pub(crate) fn panicked() -> Option<String> {
    PANIC.with_borrow(|capture| {
        if let PanicCapture::On(first) = capture {
            first.clone()
        } else {
            None
        }
    })
}

fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied());
            let location = info.location().map_or(String::new(), |location| {
                format!(" ({}:{})", location.file(), location.line())
            });
            PANIC.with_borrow_mut(|capture| match capture {
                PanicCapture::On(first) => {
                    _ = first.get_or_insert_with(|| {
                        format!("{}{location}", text.unwrap_or("a panic without a message"))
                    })
                }
                PanicCapture::Off => usual(info),
            });
        }));
    });
}

/// Runs a seed, and catches panics.
///
/// # Errors
///
/// [`SeedFailure`] if the run broke a promise, also if the system itself caught the panic.
pub fn run_caught(seed: u64, prints: bool) -> Result<Report, SeedFailure> {
    run_caught_with(seed, || run(seed, prints))
}

/// Runs a seed of any simulation, and catches panics.
///
/// # Errors
///
/// [`SeedFailure`] if the run panicked, also if the system itself caught the panic.
pub fn run_caught_with<T>(
    seed: u64,
    run: impl FnOnce() -> T + panic::UnwindSafe,
) -> Result<T, SeedFailure> {
    install_panic_hook();
    PANIC.set(PanicCapture::On(None));
    let report = panic::catch_unwind(run);
    let message = panicked();
    PANIC.set(PanicCapture::Off);
    match (message, report) {
        (None, Ok(report)) => Ok(report),
        (message, _) => Err(SeedFailure {
            seed,
            message: message.unwrap_or_default(),
        }),
    }
}

/// Runs `count` seeds from `first` on, on `threads` threads. Stops early at `stop_at` failures.
#[must_use]
pub fn run_seeds(first: u64, count: u64, threads: usize, stop_at: usize) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failure_count = AtomicU64::new(0);
    let work = || {
        let mut summary = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failure_count.load(Ordering::Relaxed) >= stop_at as u64 {
                return summary;
            }
            match run_caught(seed, false) {
                Ok(report) => summary.add(&report),
                Err(failure) => {
                    failure_count.fetch_add(1, Ordering::Relaxed);
                    summary.failures.push(failure);
                }
            }
        }
    };
    let mut all = Summary::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            all.merge(thread.join().expect("runs are caught"));
        }
    });
    all.failures.sort_by_key(|failure| failure.seed);
    all.took = began.elapsed();
    all
}

impl Summary {
    fn add(&mut self, report: &Report) {
        self.passed += 1;
        self.virtual_ms += report.virtual_ms;
        self.counts.merge(&report.counts);
        self.faults.merge(&report.faults);
        self.records.merge(&report.records);
    }

    fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.virtual_ms += other.virtual_ms;
        self.counts.merge(&other.counts);
        self.faults.merge(&other.faults);
        self.records.merge(&other.records);
    }
}
