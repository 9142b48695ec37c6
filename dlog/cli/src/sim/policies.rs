use core::ops::ControlFlow;

use clap::ValueEnum;
use distributedlog::merge::{Deduplicator, MergeSettings};
use distributedlog::writer::{Choice, Counters, Settings};
use distributedlog_sim::{
    BestDelays, Clairvoyant, Grpc, GrpcSettings, Original, Ours, Percentile, PercentileSettings,
    Policy, Report, Simulation, Stopped, Unhedged,
};

use super::settings_args::Chosen;

/// Policy or bound to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PolicyKind {
    /// No hedging: a set waits for its stream
    None,
    /// The algorithm of Apache DistributedLog's multi stream writer, with its bugs
    Original,
    /// One hedge after the 95th percentile, without a budget, as tower's hedge middleware
    P95,
    /// gRPC's hedging (proposal A6): 10 ms, four attempts, throttled by failures
    Grpc,
    /// This writer
    Ours,
    /// This writer, with sets that start at the less loaded of two streams
    ByLoad,
    /// A bound: the two fixed delays that are best in hindsight, for the same extra load
    BestDelays,
    /// A bound: a policy that knows every latency in advance, for the same extra load
    Clairvoyant,
}

impl PolicyKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "no hedging",
            Self::Original => "original",
            Self::P95 => "p95, one hedge",
            Self::Grpc => "gRPC A6",
            Self::Ours => "ours",
            Self::ByLoad => "ours by load",
            Self::BestDelays => "best two delays",
            Self::Clairvoyant => "clairvoyant",
        }
    }

    /// Returns the name on the command line and in JSON.
    pub(super) fn key(self) -> String {
        self.to_possible_value()
            .expect("none is skipped")
            .get_name()
            .to_owned()
    }
}

/// Result of a policy's simulation.
#[derive(Clone, Debug)]
pub(super) struct PolicyRun {
    pub(super) kind: PolicyKind,
    pub(super) report: Report,
    /// Counters of the writer; `None` for other policies.
    pub(super) counters: Option<Counters>,
}

/// Runs a simulation with a policy. Returns `None` if the bound does not exist for this scenario.
pub(super) fn run(
    kind: PolicyKind,
    simulation: &Simulation,
    chosen: &Chosen,
    watch: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<PolicyRun>, Stopped> {
    let streams = simulation.scenario().streams;
    let (settings, share) = (&chosen.settings, chosen.share());
    let timeout = settings.request_timeout();
    let without_counters = |report| PolicyRun {
        kind,
        report,
        counters: None,
    };
    match kind {
        PolicyKind::None => model(simulation, Unhedged::new(streams, timeout), watch)
            .map(|report| Some(without_counters(report))),
        PolicyKind::Original => {
            let (first, max) = (
                settings.first_speculative_timeout(),
                settings.max_speculative_timeout(),
            );
            let multiplier = f64::from(settings.speculative_backoff_multiplier());
            model(
                simulation,
                Original::new(streams, timeout, first, max, multiplier),
                watch,
            )
            .map(|report| Some(without_counters(report)))
        }
        PolicyKind::P95 => model(
            simulation,
            Percentile::new(streams, timeout, PercentileSettings::default()),
            watch,
        )
        .map(|report| Some(without_counters(report))),
        PolicyKind::Grpc => model(
            simulation,
            Grpc::new(streams, timeout, GrpcSettings::default()),
            watch,
        )
        .map(|report| Some(without_counters(report))),
        PolicyKind::Ours | PolicyKind::ByLoad => {
            let by_load = (kind == PolicyKind::ByLoad).then(|| by_load(settings));
            let ours = Ours::new(streams, by_load.unwrap_or(*settings))
                .expect("the scenario's streams and the settings are valid");
            let known = chosen.known_domains(simulation.scenario());
            let mut ours = ours.with_max_wait(chosen.max_wait).with_domains(known);
            let report = simulation.run(
                &mut ours,
                &mut Deduplicator::new(MergeSettings::default()),
                watch,
            )?;
            Ok(Some(PolicyRun {
                kind,
                report,
                counters: Some(ours.counters()),
            }))
        }
        PolicyKind::BestDelays => Ok(BestDelays { share }
            .bound(simulation)
            .map(|(report, _)| without_counters(report))),
        PolicyKind::Clairvoyant => Ok(Clairvoyant { share }
            .bound(simulation)
            .map(without_counters)),
    }
}

/// Returns the settings with sets that start by load.
fn by_load(settings: &Settings) -> Settings {
    let settings = settings.to_builder().choice(Choice::Load);
    settings.build().expect("any valid settings may have it")
}

fn model(
    simulation: &Simulation,
    mut policy: impl Policy,
    watch: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Report, Stopped> {
    simulation.run(
        &mut policy,
        &mut Deduplicator::new(MergeSettings::default()),
        watch,
    )
}
