//! Runs seeds of the simulation of streams on BookKeeper, or replays one.

use core::num::NonZero;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use clap::Parser;
use distributedlog_simulation::run_caught_with;
use distributedlog_simulation::streams::{StreamsReport, run_streams};

/// Simulates processes that store streams on BookKeeper, over bookies and a ZooKeeper ensemble that
/// behave as badly as they may
#[derive(Parser)]
struct Args {
    /// Run only this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Print every event of the run
    #[arg(long, requires = "seed")]
    trace: bool,
    /// First seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Number of seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Run each seed twice, and compare the traces
    #[arg(long)]
    twice: bool,
    /// Enable the seeded bugs one after the other, and print the seed that finds each
    #[cfg(seeded_bugs)]
    #[arg(long)]
    every_bug: bool,
    /// Enable this seeded bug
    #[cfg(seeded_bugs)]
    #[arg(long, conflicts_with = "every_bug")]
    bug: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(seeded_bugs)]
    if let Some(name) = &args.bug {
        use distributedlog_store::bookkeeper::seeded_bugs::{Bug, switch_on};
        let Some(bug) = Bug::ALL.iter().find(|it| it.name() == name) else {
            eprintln!("there is no seeded bug {name}");
            return ExitCode::FAILURE;
        };
        switch_on(*bug);
    }
    #[cfg(seeded_bugs)]
    if args.every_bug {
        return if find_every_bug(&args) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if let Some(seed) = args.seed {
        return match run_caught_with(seed, || run_streams(seed, args.trace)) {
            Ok(report) => {
                println!("{report:#?}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                println!("seed {seed}: {}", failure.message);
                ExitCode::FAILURE
            }
        };
    }
    let began = std::time::Instant::now();
    let (total, failed) = run_seeds(&args, 5);
    let kept = args.seeds - failed;
    println!(
        "{kept} runs kept every promise, {failed} did not: {} faults, {} processes, {} requests to \
         ZooKeeper, {:.1} hours on the simulated clock, {:.0} s",
        total.faults,
        total.processes,
        total.requests,
        total.virtual_ms as f64 / 3_600_000.0,
        began.elapsed().as_secs_f64()
    );
    println!(
        "{} appends; records: {} acknowledged, {} not written, {} unknown; {} read",
        total.appends,
        total.records.written,
        total.records.not_written,
        total.records.unknown,
        total.records_read
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the seeds until `stop_at` have failed, and prints each failure. Returns the sum of the
/// reports, and the number of failures.
fn run_seeds(args: &Args, stop_at: u64) -> (StreamsReport, u64) {
    let total = Mutex::new((StreamsReport::default(), 0));
    for_seeds(args, |seed| {
        let result = run_caught_with(seed, || {
            let report = run_streams(seed, false);
            if args.twice {
                assert_eq!(report, run_streams(seed, false), "two runs differ");
            }
            report
        });
        let mut total = total.lock().expect("no thread panics with it");
        match result {
            Ok(report) => total.0.add(&report),
            Err(failure) => {
                total.1 += 1;
                println!("seed {seed}: {}", failure.message);
                println!(
                    "  replay: cargo run -p distributedlog-simulation --bin streams -- --seed \
                     {seed} --trace"
                );
            }
        }
        total.1 < stop_at
    });
    total.into_inner().expect("no thread panics with it")
}

/// Calls a function with each seed, in their order, on as many threads as there are processors.
/// Stops when it returns false.
fn for_seeds(args: &Args, run: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(args.first);
    let goes_on = AtomicBool::new(true);
    let work = || {
        while goes_on.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.first + args.seeds {
                return;
            }
            if !run(seed) {
                goes_on.store(false, Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

/// Runs the seeds once for each seeded bug until one finds it. Returns false if a bug was missed.
#[cfg(seeded_bugs)]
fn find_every_bug(args: &Args) -> bool {
    use distributedlog_store::bookkeeper::seeded_bugs::{Bug, switch_on};
    let mut all = true;
    for bug in Bug::ALL {
        switch_on(*bug);
        let found = Mutex::new(None);
        for_seeds(args, |seed| {
            let Err(failure) = run_caught_with(seed, || run_streams(seed, false)) else {
                return true;
            };
            let mut found = found.lock().expect("no thread panics with it");
            // Another thread may still run a smaller seed.
            if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                *found = Some((seed, failure.message));
            }
            false
        });
        match found.into_inner().expect("no thread panics with it") {
            Some((seed, message)) => {
                let count = seed - args.first + 1;
                let message = message.lines().next().unwrap_or_default();
                println!("found: {} after {count} seeds: {message}", bug.name());
            }
            None => {
                all = false;
                println!("MISSED: {} in {} seeds", bug.name(), args.seeds);
            }
        }
    }
    switch_on(Bug::None);
    all
}
