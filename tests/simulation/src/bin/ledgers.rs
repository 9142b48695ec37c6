//! Runs seeds of the simulation of ledgers, or replays one.

use std::process::ExitCode;

use clap::Parser;
use distributedlog_simulation::ledger::{LedgerReport, run_ledger};
use distributedlog_simulation::run_caught_with;

/// Simulates ledgers: a writer and recoveries over bookies and a ZooKeeper that behave as badly as
/// they may
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
    /// Enable the seeded bugs one after the other, and print the seed that finds each
    #[cfg(seeded_bugs)]
    #[arg(long)]
    every_bug: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(seeded_bugs)]
    if args.every_bug {
        return if find_every_bug(&args) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if let Some(seed) = args.seed {
        return match run_caught_with(seed, || run_ledger(seed, args.trace)) {
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
    let (total, failed) = run_seeds(&args, 5);
    println!(
        "{} ledgers kept every promise, {failed} did not: {:.2} million steps, {} faults, {} \
         recoveries",
        args.seeds - failed,
        total.steps as f64 / 1e6,
        total.faults,
        total.recoveries
    );
    println!(
        "entries: {} confirmed, {} not written, {} written that the writer did not see confirmed; \
         {} changes of ensembles",
        total.confirmed, total.not_written, total.written_by_recovery, total.ensemble_changes
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the seeds until `stop_at` have failed, and prints each failure. Returns the sum of the
/// reports, and the number of failures.
fn run_seeds(args: &Args, stop_at: u64) -> (LedgerReport, u64) {
    let mut total = LedgerReport::default();
    let mut failed = 0;
    for seed in args.first..args.first + args.seeds {
        match run_caught_with(seed, || run_ledger(seed, false)) {
            Ok(report) => total.add(&report),
            Err(failure) => {
                failed += 1;
                println!("seed {seed}: {}", failure.message);
                println!(
                    "  replay: cargo run -p distributedlog-simulation --bin ledgers -- --seed \
                     {seed} --trace"
                );
                if failed == stop_at {
                    break;
                }
            }
        }
    }
    (total, failed)
}

/// Runs the seeds once for each seeded bug until one finds it. Returns false if a bug was missed.
#[cfg(seeded_bugs)]
fn find_every_bug(args: &Args) -> bool {
    use distributedlog_bookkeeper::seeded_bugs::{Bug, switch_on};
    let mut all = true;
    for bug in Bug::ALL {
        switch_on(*bug);
        let found = (args.first..args.first + args.seeds)
            .find_map(|seed| run_caught_with(seed, || run_ledger(seed, false)).err());
        match found {
            Some(failure) => {
                let count = failure.seed - args.first + 1;
                println!(
                    "found: {} after {count} seeds: {}",
                    bug.name(),
                    failure.message
                );
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
