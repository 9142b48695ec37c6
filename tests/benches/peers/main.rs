//! The same records written to and read from a `dlog proxy --data`, Redis Streams, NATS JetStream,
//! PostgreSQL and Kafka: rounds in turn, on one disk, with the limits of the machine in the same
//! run, and the proof that what is acknowledged is synced. Prints the tables of docs/benchmarks.md.
//!
//! `tests/parts/peers` installs the servers and starts this program; `tests/parts/peers --help`.

mod client;
mod kafka;
mod limits;
mod machine;
mod nats;
mod options;
mod ours;
mod peer;
mod postgres;
mod proof;
mod redis;
mod section;
mod server;
mod table;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use client::Sample;
use limits::Limits;
use machine::Disk;
use options::Options;
use peer::{LOADS, Load, MODES, Mode};
use proof::Proof;

/// Result of a step; the error says what failed, with which value, and what to do.
type Outcome<T> = Result<T, Box<dyn core::error::Error>>;

/// Everything that was measured.
#[derive(Default)]
struct Results {
    samples: BTreeMap<(Mode, Load), Vec<Sample>>,
    limits: Vec<Limits>,
    proofs: BTreeMap<Mode, Proof>,
    /// Version, settings and client of each peer.
    about: BTreeMap<&'static str, String>,
    /// Loads that failed, and peers that are not installed.
    missing: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // cargo adds this to what it is given.
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let arguments: Vec<&str> = arguments
        .into_iter()
        .filter(|it| *it != "--bench")
        .collect();
    let done = match arguments.split_first() {
        Some((&"client-dlog", rest)) => ours::client(rest),
        Some((&"client-redis", rest)) => redis::client(rest),
        Some((&"echo", _)) => limits::echo(),
        _ => compare(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &[&str]) -> Outcome<()> {
    let Some(options) = Options::parse(arguments)? else {
        println!("{}", options::HELP);
        return Ok(());
    };
    let Some(parent) = std::env::var_os("PEERS_FOLDER") else {
        // With all benchmarks, `cargo bench` starts this one too.
        println!("not measured: run tests/parts/peers, which installs the servers");
        return Ok(());
    };
    let folder = tempfile::Builder::new().prefix("run-").tempdir_in(parent)?;
    // PostgreSQL runs as another user, who must reach its folder.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    server::end_with_a_signal(folder.path());
    let disk = Disk::of(folder.path());
    if disk.is_none() {
        eprintln!(
            "peers: /proc/diskstats does not count the disk of {}: bytes and flushes are left out",
            folder.path().display()
        );
    }
    let before = machine::load_average();
    let mut results = Results::default();
    let mut modes: Vec<Mode> = MODES
        .into_iter()
        .filter(|mode| options.chosen(*mode))
        .collect();
    modes.retain(|mode| match mode.installed() {
        Ok(()) => true,
        Err(why) => {
            results.missing.push(format!("{}: {why}", mode.title()));
            false
        }
    });
    if modes.is_empty() {
        return Err(results.missing.join("; ").into());
    }
    for round in 0..options.rounds {
        eprintln!("round {} of {}: limits", round + 1, options.rounds);
        results
            .limits
            .push(limits::measure(folder.path(), disk.as_ref())?);
        for mode in &modes {
            let last = round + 1 == options.rounds;
            measure(
                *mode,
                &options,
                last,
                folder.path(),
                disk.as_ref(),
                &mut results,
            );
        }
        // Each round begins with another one, so that no one always follows the same.
        modes.rotate_left(1);
    }
    let text = table::section(&results, &options, &before);
    println!("{text}");
    if let Some(file) = &options.write {
        section::replace(file, &text)?;
        eprintln!("written to {}", file.display());
    }
    let failed = options.named() && !results.missing.is_empty();
    if failed || results.samples.is_empty() {
        return Err(format!("not all was measured: {}", results.missing.join("; ")).into());
    }
    Ok(())
}

/// Runs all loads of a mode on a new server. A load that fails is noted, and the others go on.
fn measure(
    mode: Mode,
    options: &Options,
    prove: bool,
    folder: &Path,
    disk: Option<&Disk>,
    results: &mut Results,
) {
    eprintln!("  {}", mode.title());
    let running = match mode.start(folder) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("    failed: {error}");
            results.missing.push(format!("{}: {error}", mode.title()));
            return;
        }
    };
    results
        .about
        .entry(mode.peer())
        .or_insert_with(|| running.about());
    for load in LOADS {
        if !mode.runs(load) || !options.runs(load) {
            continue;
        }
        match running.run(load, options.time(), disk) {
            Ok(sample) => {
                eprintln!("    {}: {}", load.title(), sample.brief(load));
                results
                    .samples
                    .entry((mode, load))
                    .or_default()
                    .push(sample);
            }
            Err(error) => {
                eprintln!("    {}: failed: {error}", load.title());
                let what = format!("{}, {}: {error}", mode.title(), load.title());
                results.missing.push(what);
            }
        }
    }
    if prove && options.proof {
        match proof::of(&*running) {
            Ok(proof) => {
                eprintln!("    syncs a record: {}", proof.brief());
                results.proofs.insert(mode, proof);
            }
            Err(error) => eprintln!("    syncs not counted: {error}"),
        }
    }
}
