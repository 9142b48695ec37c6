//! Simulates hedging policies.

mod policies;
mod reader;
mod table;

use core::ops::ControlFlow;
use core::time::Duration;

use distributedlog::wire::record_set::WriterId;
use distributedlog::writer::{Adaptive, Budget, Health, Identity, Settings};
use distributedlog_testkit::model::{Simulation, scenarios};

use super::output::note;
use super::{Fault, Output, duration};
use policies::Kind;

/// Simulate how fast writes are, and what load they make, under policies of hedging.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog sim a
  dlog sim b --sets 1000000 --policy ours,clairvoyant")]
pub(crate) struct Args {
    /// Which scenario: a to h
    scenario: String,

    /// Which policies
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none,original,p95,grpc,ours,clairvoyant")]
    policy: Vec<Kind>,

    /// How many sets are written [default: the scenario's]
    #[arg(long)]
    sets: Option<u64>,

    /// What all draws are made of
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Budget of extra attempts for each set
    #[arg(long, default_value_t = 0.05)]
    budget_share: f32,
    /// Extra attempts each second
    #[arg(long, default_value_t = 0)]
    budget_per_second: u32,
    /// Extra attempts saved up
    #[arg(long, default_value_t = 10)]
    budget_burst: u32,
    /// Quantile of the adaptive timeout
    #[arg(long, default_value_t = 0.95)]
    adaptive_quantile: f32,
    /// Floor of the adaptive timeout
    #[arg(long, value_parser = duration::parse, default_value = "1ms")]
    adaptive_floor: Duration,
    /// Warm-up of the adaptive timeout
    #[arg(long, default_value_t = 20)]
    adaptive_warm_up: u32,
    /// Strikes to probation
    #[arg(long, default_value_t = 3)]
    health_strikes: u32,
    /// First probation
    #[arg(long, value_parser = duration::parse, default_value = "1s")]
    health_first_backoff: Duration,
    /// Longest probation
    #[arg(long, value_parser = duration::parse, default_value = "30s")]
    health_max_backoff: Duration,
    /// Request timeout
    #[arg(long, value_parser = duration::parse, default_value = "500ms")]
    request_timeout: Duration,
    /// First speculative timeout
    #[arg(long, value_parser = duration::parse, default_value = "50ms")]
    first_speculative_timeout: Duration,
    /// Longest speculative timeout
    #[arg(long, value_parser = duration::parse, default_value = "200ms")]
    max_speculative_timeout: Duration,
    /// Multiplier
    #[arg(long, default_value_t = 2.0)]
    speculative_backoff_multiplier: f32,
    /// Sets in flight
    #[arg(long, default_value_t = 256)]
    in_flight_sets: usize,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Result<(), Fault> {
        let settings = self.settings()?;
        let (about, scenario) =
            scenarios::named(&self.scenario).ok_or_else(|| Fault::usage(format!("'{}' is not a scenario: a to h", self.scenario)))?;
        let sets = self.sets.unwrap_or(scenario.sets);
        let simulation = Simulation::new(scenario.with_sets(sets), self.seed).map_err(|error| Fault::usage(error.to_string()))?;
        output.line(format!("({}) {about}: {sets} sets, seed {}", self.scenario, self.seed))?;
        let mut runs = Vec::new();
        for kind in self.policy {
            let began = std::time::Instant::now();
            let run = policies::run(kind, &simulation, &settings, f64::from(self.budget_share), |_| ControlFlow::Continue(()));
            note(format_args!("{}: {:.0} sets a second", kind.name(), sets as f64 / began.elapsed().as_secs_f64()));
            runs.extend(run.expect("never stopped"));
        }
        output.write(table::text(&runs).as_bytes())?;
        for run in &runs {
            if let Some(counters) = run.counters {
                output.line(format!("{counters:?}"))?;
            }
        }
        Ok(())
    }

    fn settings(&self) -> Result<Settings, Fault> {
        Settings::builder()
            .request_timeout(self.request_timeout)
            .first_speculative_timeout(self.first_speculative_timeout)
            .max_speculative_timeout(self.max_speculative_timeout)
            .speculative_backoff_multiplier(self.speculative_backoff_multiplier)
            .in_flight_sets(self.in_flight_sets)
            .budget(Budget::Share { share: self.budget_share, per_second: self.budget_per_second, burst: self.budget_burst })
            .health(Health::Probation {
                strikes: self.health_strikes,
                first_backoff: self.health_first_backoff,
                max_backoff: self.health_max_backoff,
            })
            .adaptive(Adaptive::Quantile { quantile: self.adaptive_quantile, floor: self.adaptive_floor, warm_up: self.adaptive_warm_up })
            .identity(Identity::Trailer { writer: WriterId([7; 16]), first_sequence: 0 })
            .seed(self.seed)
            .build()
            .map_err(|error| Fault::usage(error.to_string()))
    }
}
