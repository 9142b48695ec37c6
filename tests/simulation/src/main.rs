//! Runs seeds of the simulation, or replays one.

use std::process::ExitCode;

use clap::Parser;
use distributedlog_simulation::{Broken, Summary, run_caught, run_seeds};

/// Simulates the whole system: writers, proxies, store and readers over a network and a disk that
/// do the worst that they may.
#[derive(Parser)]
struct Args {
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// On how many threads. A seed is run by one of them from its beginning to its end.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Switch one of the seeded bugs on; `list` names them.
    #[cfg(seeded_bugs)]
    #[arg(long)]
    bug: Option<String>,
    /// Switch the seeded bugs on one after the other, and say which seed finds each.
    #[cfg(seeded_bugs)]
    #[arg(long, conflicts_with = "bug")]
    every_bug: bool,
    /// Stop after so many seeds that broke a promise.
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
            Err(broken) => {
                tell(&broken);
                ExitCode::FAILURE
            }
        },
        None => {
            let summary = run_seeds(args.first, args.seeds, args.threads, args.stop_at);
            print(&summary);
            if summary.broken.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Switches a bug on. False: there is none of that name, and they were listed.
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

/// Whether each seeded bug is found by one of the seeds, and none of them fails without a bug.
#[cfg(seeded_bugs)]
fn find_every_bug(args: &Args) -> bool {
    use distributedlog::seeded_bugs::{Bug, switch_on};
    let mut all = true;
    for bug in Bug::ALL {
        switch_on(*bug);
        let summary = run_seeds(args.first, args.seeds, args.threads, 1);
        let seconds = summary.took.as_secs_f64();
        match summary.broken.first() {
            Some(Broken { seed, message }) => {
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

fn tell(Broken { seed, message }: &Broken) {
    println!("seed {seed}: {message}");
    println!("  replay: cargo run -p distributedlog-simulation -- --seed {seed} --trace");
}

fn print(summary: &Summary) {
    let Summary {
        passed,
        broken,
        counts,
        faults,
        fates,
        virtual_ms,
        took,
    } = summary;
    for broken in broken {
        tell(broken);
    }
    let (seconds, hours) = (took.as_secs_f64(), *virtual_ms as f64 / 3.6e6);
    println!(
        "{passed} seeds passed, {} failed, in {seconds:.1} s ({hours:.1} hours on the simulated \
         clocks)",
        broken.len()
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
         copies",
        fates.written, fates.not_written, fates.unknown, fates.orphaned, fates.copied
    );
}
