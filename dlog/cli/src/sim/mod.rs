//! Simulates hedging policies, to choose settings by.

mod document;
mod json;
#[cfg(feature = "plots")]
mod plot;
mod policies;
mod progress;
mod scenario_args;
mod settings_args;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, Ordering};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distributedlog_sim::{Simulation, scenarios};

use super::record_text::json_line;
use super::{Fault, Format, Output, Shutdown};
use json::RunJson;
use policies::Kind;
use scenario_args::ScenarioArgs;
use settings_args::SettingsArgs;
use summary::Compared;

/// Simulate how long writes take, and what load they make, with settings that you choose.
///
/// The writer itself runs, in virtual time, over streams that straggle, stall, move or are
/// overloaded; so do models of what others do, and the bounds that nobody passes. The same seed
/// gives all of them the same latencies, and the same figures each time. A set that failed
/// counts as slower than all others. Every copy that comes to lie in a stream is shown to a merged
/// reader: "read twice" is what it would deliver again.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = after_help()
)]
pub(crate) struct Args {
    /// Which scenario, a to h; none: one in which nothing goes wrong but what the flags say
    scenario: Option<String>,

    /// All scenarios, one after the other
    #[arg(long, conflicts_with_all = ["scenario", "plot"])]
    all: bool,

    /// Which policies, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true,
        value_name = "POLICY[,POLICY]",
        default_value = "none,original,p95,grpc,ours,best-delays,clairvoyant"
    )]
    policy: Vec<Kind>,

    /// What everything is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Write the results to this file too, as JSON, with every latency
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Draw the distribution of the latencies to this file, .svg or .png
    #[arg(long, value_name = "FILE", hide = cfg!(not(feature = "plots")))]
    plot: Option<PathBuf>,

    /// Write the document that explains the scenarios, with these figures, to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    #[command(flatten)]
    scenario_args: ScenarioArgs,

    #[command(flatten)]
    settings: SettingsArgs,
}

/// Returns the scenarios and the examples.
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
  c  one of five is ten times slower for good      g  one stream only
  d  ownership failover: silent for 10 s           h  fan-out: 100 sets to 100 streams each time

Examples:
  dlog sim b
      all policies while one of five streams stalls
  dlog sim a --policy ours,clairvoyant --sets 1000000 --budget 0.02 --adaptive 0.98
      what a budget of 2 % would do
  dlog sim --latency recorded:latencies.txt --streams 3 --stall 1:10s-20s{plot}
      latencies of one's own, one a line (4.1ms, or 4.1ms 250 for 250 of them), and a stall
  dlog sim --all --markdown docs/hedging.md
      the table of the documentation

Budget, health and adaptive timeouts are on here, as recommended, unless a flag says otherwise."
    )
}

impl Args {
    /// Runs the simulations and prints, saves and draws what came of them.
    ///
    /// # Errors
    /// The flags make no sense, a file cannot be read or written, or it was interrupted.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), Fault> {
        let stop = Arc::new(AtomicBool::new(false));
        let work = {
            let (output, stop) = (output.clone(), Arc::clone(&stop));
            tokio::task::spawn_blocking(move || self.work(&output, &stop))
        };
        tokio::pin!(work);
        let ended = tokio::select! {
            ended = &mut work => ended,
            () = shutdown.asked() => {
                stop.store(true, Ordering::Relaxed);
                work.await
            }
        };
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn work(self, output: &Output, stop: &AtomicBool) -> Result<(), Fault> {
        let chosen = self.settings.chosen(self.seed)?;
        self.check_plot()?;
        if self.markdown.is_some() && !self.all {
            return Err(Fault::usage("the document is about all scenarios")
                .tip("dlog sim --all --markdown docs/hedging.md"));
        }
        let simulations = self.simulations()?;
        if self.format == Format::Text && self.policy.contains(&Kind::Ours) {
            output.line(chosen.text())?;
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
            written(
                file,
                document::text(&all, &chosen, self.seed, stop)?.as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Checks that the plot can be drawn, before anything is simulated.
    #[cfg(feature = "plots")]
    fn check_plot(&self) -> Result<(), Fault> {
        self.plot
            .as_deref()
            .map_or(Ok(()), |file| plot::Image::of(file).map(|_| ()))
    }

    /// Refuses to draw: this binary was built without plots.
    #[cfg(not(feature = "plots"))]
    fn check_plot(&self) -> Result<(), Fault> {
        if self.plot.is_some() {
            return Err(super::features::missing("--plot", "plots"));
        }
        Ok(())
    }

    /// What is to be simulated: what it is called, what it is, and it.
    fn simulations(&self) -> Result<Vec<(String, String, Simulation)>, Fault> {
        let letters: Vec<Option<&str>> = match (&self.scenario, self.all) {
            (letter, false) => vec![letter.as_deref()],
            (_, true) if !self.scenario_args.is_empty() => {
                return Err(Fault::usage("--all runs the scenarios as they are")
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
                .map_err(|error| Fault::usage(error.to_string()))?;
            Ok((letter.unwrap_or("-").to_owned(), about, simulation))
        };
        letters.into_iter().map(simulation).collect()
    }

    fn print(&self, compared: &Compared, output: &Output) -> Result<(), Fault> {
        match self.format {
            Format::Text => {
                let sets = compared.scenario.sets;
                output.line(format!(
                    "({}) {}: {sets} sets, seed {}",
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

/// Writes all results to a file.
fn save(all: &[Compared], file: &Path) -> Result<(), Fault> {
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
        .map_err(|error| Fault::failure(format!("cannot write the results as JSON: {error}")))?;
    text.push(b'\n');
    written(file, &text)
}

fn written(file: &Path, bytes: &[u8]) -> Result<(), Fault> {
    std::fs::write(file, bytes)
        .map_err(|error| Fault::failure(format!("cannot write {}: {error}", file.display())))
}
