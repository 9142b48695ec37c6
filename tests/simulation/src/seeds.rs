//! Many runs, and what they amount to.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::panic;
use std::sync::Once;
use std::thread;
use std::time::Instant;

use crate::faults::FaultCounts;
use crate::oracle::Fates;
use crate::run::{Report, run};
use crate::trace::Counts;

/// A seed whose run broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// Which promise, and where.
    pub message: String,
}

/// What many runs amount to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs that kept every promise.
    pub passed: u64,
    /// Runs that did not.
    pub broken: Vec<Broken>,
    /// How much happened.
    pub counts: Counts,
    /// What went wrong.
    pub faults: FaultCounts,
    /// What became of the records.
    pub fates: Fates,
    /// How long it took on the simulated clocks, in milliseconds.
    pub virtual_ms: u64,
    /// How long it took.
    pub took: Duration,
}

thread_local! {
    /// While this thread runs a seed, the first panic in it. One inside of a task would else end
    /// that task alone, and nobody would hear of it.
    static PANIC: RefCell<Watch> = const { RefCell::new(Watch::Off) };
}

/// Whether a thread's panics are a run's, and the first of them.
enum Watch {
    Off,
    On(Option<String>),
}

/// The panic that happened on this thread since the run began, also where something caught it.
pub(crate) fn panicked() -> Option<String> {
    PANIC.with_borrow(|watch| {
        if let Watch::On(first) = watch {
            first.clone()
        } else {
            None
        }
    })
}

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied());
            let place = info.location().map_or(String::new(), |place| {
                format!(" ({}:{})", place.file(), place.line())
            });
            PANIC.with_borrow_mut(|watch| match watch {
                Watch::On(first) => {
                    _ = first.get_or_insert_with(|| {
                        format!("{}{place}", text.unwrap_or("a panic without words"))
                    })
                }
                Watch::Off => usual(info),
            });
        }));
    });
}

/// Runs a seed; says which promise it broke, if it did.
///
/// # Errors
///
/// [`Broken`], also when a panic was caught inside of the system.
pub fn run_caught(seed: u64, prints: bool) -> Result<Report, Broken> {
    watch_panics();
    PANIC.set(Watch::On(None));
    let report = panic::catch_unwind(|| run(seed, prints));
    let message = panicked();
    PANIC.set(Watch::Off);
    match (message, report) {
        (None, Ok(report)) => Ok(report),
        (message, _) => Err(Broken {
            seed,
            message: message.unwrap_or_default(),
        }),
    }
}

/// Runs `count` seeds from `first` on, on so many threads. Stops early at `stop_at` broken ones.
#[must_use]
pub fn run_seeds(first: u64, count: u64, threads: usize, stop_at: usize) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let broken = AtomicU64::new(0);
    let work = || {
        let mut summary = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || broken.load(Ordering::Relaxed) >= stop_at as u64 {
                return summary;
            }
            match run_caught(seed, false) {
                Ok(report) => summary.add(&report),
                Err(why) => {
                    broken.fetch_add(1, Ordering::Relaxed);
                    summary.broken.push(why);
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
    all.broken.sort_by_key(|broken| broken.seed);
    all.took = began.elapsed();
    all
}

impl Summary {
    fn add(&mut self, report: &Report) {
        self.passed += 1;
        self.virtual_ms += report.virtual_ms;
        self.counts.merge(&report.counts);
        self.faults.merge(&report.faults);
        self.fates.merge(&report.fates);
    }

    fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.broken.extend(other.broken);
        self.virtual_ms += other.virtual_ms;
        self.counts.merge(&other.counts);
        self.faults.merge(&other.faults);
        self.fates.merge(&other.fates);
    }
}
