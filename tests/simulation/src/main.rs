//! Runs seeds of the simulation, or replays one.

use std::process::ExitCode;

use clap::Parser;
use distributedlog_simulation::{SeedFailure, Summary, run_caught, run_seeds};

/// Simulates the whole system: writers, proxies, store and readers over a network and a disk that
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
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Number of threads; each seed runs on one thread from start to end
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Enable one seeded bug; an unknown name, such as `list`, prints all names
    #[cfg(seeded_bugs)]
    #[arg(long)]
    bug: Option<String>,
    /// Enable the seeded bugs one after the other, and print the seed that finds each
    #[cfg(seeded_bugs)]
    #[arg(long, conflicts_with = "bug")]
    every_bug: bool,
    /// Stop after this number of seeds that broke a promise
    #[arg(long, default_value_t = 5)]
    stop_at: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(seeded_bugs)]
    if let Some(name) = &args.bug
        && !switch_on_named(name)
    {
        return ExitCode::from(2);
    }
    #[cfg(seeded_bugs)]
    if args.every_bug {
        return if find_every_bug(&args) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    match args.seed {
        Some(seed) => match run_caught(seed, args.trace) {
            Ok(report) => {
                println!("{report:#?}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                print_failure(&failure);
                ExitCode::FAILURE
            }
        },
        None => {
            let summary = run_seeds(args.first, args.seeds, args.threads, args.stop_at);
            print_summary(&summary);
            if summary.failures.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Enables a seeded bug. Returns false, and prints all names, if no bug has this name.
#[cfg(seeded_bugs)]
fn switch_on_named(name: &str) -> bool {
    use distributedlog::seeded_bugs::{Bug, switch_on};
    match Bug::ALL.iter().find(|bug| bug.name() == name) {
        Some(bug) => {
            println!("bug:{}", bug.description());
            switch_on(*bug);
            true
        }
        None => {
            for bug in Bug::ALL {
                println!("{}", bug.name());
            }
            false
        }
    }
}

/// Runs the seeds once for each seeded bug, and prints the seed that finds it. Returns false if a
/// bug was missed.
#[cfg(seeded_bugs)]
fn find_every_bug(args: &Args) -> bool {
    use distributedlog::seeded_bugs::{Bug, switch_on};
    let mut all = true;
    for bug in Bug::ALL {
        switch_on(*bug);
        let summary = run_seeds(args.first, args.seeds, args.threads, 1);
        let seconds = summary.took.as_secs_f64();
        match summary.failures.first() {
            Some(SeedFailure { seed, message }) => {
                println!(
                    "found: {} by seed {seed} after {} seeds, {seconds:.1} s: {message}",
                    bug.name(),
                    summary.passed + 1
                );
            }
            None => {
                all = false;
                println!(
                    "MISSED: {} in {} seeds, {seconds:.1} s",
                    bug.name(),
                    summary.passed
                );
            }
        }
    }
    switch_on(Bug::None);
    all
}

fn print_failure(SeedFailure { seed, message }: &SeedFailure) {
    println!("seed {seed}: {message}");
    println!("  replay: cargo run -p distributedlog-simulation -- --seed {seed} --trace");
}

fn print_summary(summary: &Summary) {
    let Summary {
        passed,
        failures,
        counts,
        faults,
        records,
        virtual_ms,
        took,
    } = summary;
    for failure in failures {
        print_failure(failure);
    }
    let (seconds, hours) = (took.as_secs_f64(), *virtual_ms as f64 / 3.6e6);
    println!(
        "{passed} seeds passed, {} failed, in {seconds:.1} s ({hours:.1} hours on the simulated \
         clocks)",
        failures.len()
    );
    println!(
        "{:.2} million steps, {} faults",
        counts.steps() as f64 / 1e6,
        faults.total()
    );
    println!(
        "steps: {} turns, {} deliveries, {} disk operations, {} writer events, {} records read",
        counts.turns,
        counts.deliveries,
        counts.disk_operations,
        counts.writer_events,
        counts.records_read
    );
    for (fault, count) in faults.each() {
        println!("  {count:>7} {}", fault.name());
    }
    println!(
        "records: {} acknowledged, {} not written, {} unknown, {} of writers that died; {} have \
         duplicates",
        records.written, records.not_written, records.unknown, records.orphaned, records.duplicated
    );
}
