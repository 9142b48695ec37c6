//! Options of the program.

use core::time::Duration;
use std::path::PathBuf;

use crate::Outcome;
use crate::peer::{Load, Mode, PEERS};

/// Text of `--help`.
pub(crate) const HELP: &str = "\
Compare dlog with Redis Streams, NATS JetStream, PostgreSQL and Kafka on this machine

The servers are installed from package registries. Each is started on loopback with a folder of its
own below DLOG_BENCH_FOLDER (default: the target folder), which is removed at the end, also after
Ctrl-C. Prints tables in Markdown. The machine should do nothing else.

Usage: tests/parts/peers [OPTIONS]

Options:
  --only NAMES     Measure these only, separated by commas: dlog, redis, nats, postgres, kafka
                   [default: all that can be installed]
  --synced         Leave out the modes that acknowledge before the sync
  --loads NAMES    Run these loads only: one, 64, 1024, alone, most, large, read
  --rounds N       Rounds; in each one server after the other runs all loads [default: 3]
  --seconds N      Time of each load, after a warm-up of a third of it [default: 5]
  --no-proof       Do not count the syncs with strace
  --write FILE     Replace the section between the marks in this file: docs/benchmarks.md
  -h, --help       Print help

Environment: DLOG_BINARY names the dlog to measure; without it, a release build is made.";

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    only: Vec<String>,
    loads: Vec<String>,
    synced: bool,
    /// Number of rounds.
    pub(crate) rounds: usize,
    seconds: f64,
    /// Whether syncs are counted with strace.
    pub(crate) proof: bool,
    /// File whose section is replaced.
    pub(crate) write: Option<PathBuf>,
}

/// Time of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// Time before the measurement.
    pub(crate) warm_up: Duration,
    /// Time that is measured.
    pub(crate) measure: Duration,
}

impl Options {
    /// Parses the arguments. Returns `None` if help is asked for.
    ///
    /// # Errors
    /// An argument is not known or not valid.
    pub(crate) fn parse(arguments: &[&str]) -> Outcome<Option<Self>> {
        let mut options = Self {
            only: Vec::new(),
            loads: Vec::new(),
            synced: false,
            rounds: 3,
            seconds: 5.0,
            proof: true,
            write: None,
        };
        let mut rest = arguments.iter();
        while let Some(&argument) = rest.next() {
            let mut value = || {
                let value = rest.next().copied();
                value.ok_or_else(|| format!("{argument} needs a value; see --help"))
            };
            match argument {
                "-h" | "--help" => return Ok(None),
                "--synced" => options.synced = true,
                "--no-proof" => options.proof = false,
                "--only" => options.only = names(value()?, &PEERS)?,
                "--loads" => options.loads = names(value()?, &crate::peer::LOADS.map(Load::name))?,
                "--rounds" => options.rounds = number(argument, value()?, 1, 100)?,
                "--seconds" => options.seconds = number::<f64>(argument, value()?, 0.5, 3600.0)?,
                "--write" => options.write = Some(below_current(value()?)),
                other => return Err(format!("there is no option {other}; see --help").into()),
            }
        }
        Ok(Some(options))
    }

    /// Returns true if peers were named, so that each of them must be measured.
    pub(crate) fn named(&self) -> bool {
        !self.only.is_empty()
    }

    /// Returns true if this mode is to be measured.
    pub(crate) fn chosen(&self, mode: Mode) -> bool {
        let named = self.only.is_empty() || self.only.iter().any(|name| name == mode.peer());
        named && (mode.synced() || !self.synced)
    }

    /// Returns true if this load is to be run.
    pub(crate) fn runs(&self, load: Load) -> bool {
        self.loads.is_empty() || self.loads.iter().any(|name| name == load.name())
    }

    /// Returns the time of each load.
    pub(crate) fn time(&self) -> Time {
        Time {
            warm_up: Duration::from_secs_f64(self.seconds / 3.0),
            measure: Duration::from_secs_f64(self.seconds),
        }
    }
}

/// Returns a path as the user meant it: cargo starts benchmarks in another folder.
fn below_current(path: &str) -> PathBuf {
    let current = std::env::var_os("PEERS_CURRENT").unwrap_or_default();
    PathBuf::from(current).join(path)
}

fn names(list: &str, known: &[&str]) -> Outcome<Vec<String>> {
    for name in list.split(',') {
        if !known.contains(&name) {
            return Err(format!("there is no '{name}'; there are {}", known.join(", ")).into());
        }
    }
    Ok(list.split(',').map(str::to_owned).collect())
}

fn number<T>(option: &str, text: &str, least: T, most: T) -> Outcome<T>
where
    T: core::str::FromStr + PartialOrd + core::fmt::Display,
{
    match text.parse() {
        Ok(number) if (&least..=&most).contains(&&number) => Ok(number),
        _ => Err(format!("{option} {text}: not a number from {least} to {most}").into()),
    }
}
