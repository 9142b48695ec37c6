//! `dlog sim`: simulates hedging policies, to help choose settings.

mod differing;
mod document;
mod json;
#[cfg(feature = "plots")]
mod plot;
mod policies;
mod progress;
mod scenario_args;
mod settings_args;
mod shared;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod tied;

use core::sync::atomic::{AtomicBool, Ordering};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distributedlog_sim::{Simulation, scenarios};

use super::output::counted;
use super::record_text::json_line;
use super::{CliError, Format, Output, Shutdown};
use json::RunJson;
use policies::PolicyKind;
use scenario_args::ScenarioArgs;
use settings_args::SettingsArgs;
use summary::Comparison;

/// Simulate the latency and the load of writes with settings that you choose.
///
/// Runs the writer itself, in virtual time, over streams that straggle, stall, move, are overloaded
/// or share a disk; also models of other policies, and theoretical bounds. The same seed gives all
/// of them the same latencies, and the same results each time. A set that failed counts as slower
/// than all others. A merged reader reads every duplicate that is in a stream: "read twice" counts
/// the records that it delivers again.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = after_help()
)]
pub(crate) struct Args {
    /// The scenario, a to j [default: healthy streams, with the faults that the flags describe]
    scenario: Option<String>,

    /// Simulate all scenarios, one after the other
    #[arg(long, conflicts_with_all = ["scenario", "plot"])]
    all: bool,

    /// The policies to compare, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true,
        value_name = "POLICY[,POLICY]",
        default_value = "none,original,p95,grpc,ours,by-load,best-delays,clairvoyant"
    )]
    policy: Vec<PolicyKind>,

    /// The seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Also write the results to this file, as JSON, with every latency
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Plot the distribution of the latencies to this file, .svg or .png
    #[arg(long, value_name = "FILE", hide = cfg!(not(feature = "plots")))]
    plot: Option<PathBuf>,

    /// Write the document about the scenarios, with these results, to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    #[command(flatten)]
    scenario_args: ScenarioArgs,

    #[command(flatten)]
    settings: SettingsArgs,
}

/// Returns the help text about scenarios, with examples.
fn after_help() -> String {
    let plot = if cfg!(feature = "plots") {
        " --plot tail.svg"
    } else {
        ""
    };
    format!(
        "\
Scenarios:
  a  5 % of the attempts take ten times as long    e  brown-out: all at half of their capacity
  b  one of five streams stalls for 30 s           f  bursts above the capacity
  c  one of five is ten times slower               g  one stream only
  d  ownership failover: silent for 10 s           h  fan-out: 100 sets to 100 streams each time
  i  five streams share a disk that stalls         j  six streams on two disks that stall

Examples:
  dlog sim b
      all policies while one of five streams stalls
  dlog sim a --policy ours,clairvoyant --sets 1000000 --budget 0.02 --adaptive 0.98
      the effect of a budget of 2 %
  dlog sim --latency recorded:latencies.txt --streams 3 --stall 1:10s-20s{plot}
      your own latencies, one a line (4.1ms, or 4.1ms 250 for 250 of them; a number without a unit
      is in microseconds), and a stall; or from dlog bench --record, with the time of each (@12ms
      4.1ms), so that what held up all streams of the store at once does so again
  dlog sim j --domains 1
      what a second disk is worth
  dlog sim --all --markdown docs/hedging.md
      the table of the documentation

Budget, health and adaptive timeouts are on, as recommended, unless a flag switches them off."
    )
}

impl Args {
    /// Runs the simulations, and prints, saves and plots the results.
    ///
    /// # Errors
    /// A flag is invalid, a file cannot be read or written, or the command was interrupted.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let stop = Arc::new(AtomicBool::new(false));
        let work = {
            let (output, stop) = (output.clone(), Arc::clone(&stop));
            tokio::task::spawn_blocking(move || self.work(&output, &stop))
        };
        tokio::pin!(work);
        let result = tokio::select! {
            result = &mut work => result,
            () = shutdown.requested() => {
                stop.store(true, Ordering::Relaxed);
                work.await
            }
        };
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn work(self, output: &Output, stop: &AtomicBool) -> Result<(), CliError> {
        let chosen = self.settings.chosen(self.seed)?;
        self.check_plot()?;
        if self.markdown.is_some() && !self.all {
            return Err(CliError::usage("--markdown needs all scenarios")
                .tip("dlog sim --all --markdown docs/hedging.md"));
        }
        let simulations = self.simulations()?;
        if self.format == Format::Text && self.policy.contains(&PolicyKind::Ours) {
            output.line(table::wrapped(&chosen.text()))?;
        }
        let mut all = Vec::with_capacity(simulations.len());
        for (name, about, simulation) in simulations {
            let compared = summary::compare(name, about, &simulation, &self.policy, &chosen, stop)?;
            self.print(&compared, output)?;
            all.push(compared);
        }
        if let Some(file) = &self.save {
            save(&all, file)?;
        }
        #[cfg(feature = "plots")]
        if let (Some(file), [compared]) = (&self.plot, all.as_slice()) {
            plot::draw(compared, file)?;
        }
        if let Some(file) = &self.markdown {
            write_file(
                file,
                document::text(&all, &chosen, self.seed, stop)?.as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Checks that the plot can be drawn, before anything is simulated.
    #[cfg(feature = "plots")]
    fn check_plot(&self) -> Result<(), CliError> {
        self.plot.as_deref().map_or(Ok(()), |file| {
            super::plot::PlotFormat::from_path(file).map(|_| ())
        })
    }

    /// Refuses to draw: this binary was built without plots.
    #[cfg(not(feature = "plots"))]
    fn check_plot(&self) -> Result<(), CliError> {
        if self.plot.is_some() {
            return Err(super::features::missing("--plot", "plots"));
        }
        Ok(())
    }

    /// Returns the name, the description and the simulation of each scenario to run.
    fn simulations(&self) -> Result<Vec<(String, String, Simulation)>, CliError> {
        let letters: Vec<Option<&str>> = match (&self.scenario, self.all) {
            (letter, false) => vec![letter.as_deref()],
            (_, true) if !self.scenario_args.is_empty() => {
                return Err(CliError::usage("--all runs the scenarios unchanged")
                    .tip("change one of them: dlog sim a --streams 3"));
            }
            (_, true) => scenarios::ALL
                .iter()
                .map(|(letter, _)| Some(*letter))
                .collect(),
        };
        let simulation = |letter: Option<&str>| {
            let (about, scenario) = self.scenario_args.scenario(letter)?;
            let simulation = Simulation::new(scenario, self.seed)
                .map_err(|error| CliError::usage(error.to_string()))?;
            Ok((letter.unwrap_or("-").to_owned(), about, simulation))
        };
        letters.into_iter().map(simulation).collect()
    }

    fn print(&self, compared: &Comparison, output: &Output) -> Result<(), CliError> {
        match self.format {
            Format::Text => {
                let sets = counted(compared.scenario.sets, "set");
                output.line(format!(
                    "({}) {}: {sets}, seed {}",
                    compared.name, compared.about, compared.seed
                ))?;
                output.line(table::text(&compared.runs))
            }
            Format::Json => compared
                .runs
                .iter()
                .try_for_each(|run| json_line(output, &RunJson::new(compared, run, false))),
        }
    }
}

/// Writes all results to a file, as JSON.
fn save(all: &[Comparison], file: &Path) -> Result<(), CliError> {
    let runs: Vec<RunJson<'_>> = all
        .iter()
        .flat_map(|compared| {
            compared
                .runs
                .iter()
                .map(|run| RunJson::new(compared, run, true))
        })
        .collect();
    let mut text = serde_json::to_vec(&runs)
        .map_err(|error| CliError::failure(format!("cannot write the results as JSON: {error}")))?;
    text.push(b'\n');
    write_file(file, &text)
}

/// Writes a file.
fn write_file(file: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(file, bytes)
        .map_err(|error| CliError::failure(format!("cannot write {}: {error}", file.display())))
}
