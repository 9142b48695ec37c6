use core::ops::ControlFlow;

use clap::ValueEnum;
use distributedlog::merge::{Deduplicator, MergeSettings};
use distributedlog::writer::Counters;
use distributedlog_sim::{
    BestDelays, Clairvoyant, Grpc, GrpcSettings, Original, Ours, Percentile, PercentileSettings,
    Policy, Report, Simulation, Stopped, Unhedged,
};

use super::settings_args::Chosen;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A set waits for its stream
    None,
    /// The algorithm of Apache DistributedLog's multi stream writer, with its faults
    Original,
    /// One hedge after the 95th percentile, without a budget, as tower's hedge middleware
    P95,
    /// gRPC's hedging (proposal A6): 10 ms, four attempts, throttled by failures
    Grpc,
    /// This writer
    Ours,
    /// A bound: the two fixed delays that would have been best for the same extra load
    BestDelays,
    /// The bound: who knows every latency in advance, for the same extra load
    Clairvoyant,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "no hedging",
            Self::Original => "original",
            Self::P95 => "p95, one hedge",
            Self::Grpc => "gRPC A6",
            Self::Ours => "ours",
            Self::BestDelays => "best two delays",
            Self::Clairvoyant => "clairvoyant",
        }
    }

    /// The name by which the command line and JSON know it.
    pub(super) fn key(self) -> String {
        self.to_possible_value()
            .expect("none is skipped")
            .get_name()
            .to_owned()
    }
}

/// A policy's run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) kind: Kind,
    pub(super) report: Report,
    /// What the writer counted, where it was ours.
    pub(super) counters: Option<Counters>,
}

/// Runs a simulation under a policy. None when the policy means nothing in it.
pub(super) fn run(
    kind: Kind,
    simulation: &Simulation,
    chosen: &Chosen,
    watch: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<Run>, Stopped> {
    let streams = simulation.scenario().streams;
    let (settings, share) = (&chosen.settings, chosen.share());
    let timeout = settings.request_timeout();
    let told = |report| Run {
        kind,
        report,
        counters: None,
    };
    match kind {
        Kind::None => model(simulation, Unhedged::new(streams, timeout), watch)
            .map(|report| Some(told(report))),
        Kind::Original => {
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
            .map(|report| Some(told(report)))
        }
        Kind::P95 => model(
            simulation,
            Percentile::new(streams, timeout, PercentileSettings::default()),
            watch,
        )
        .map(|report| Some(told(report))),
        Kind::Grpc => model(
            simulation,
            Grpc::new(streams, timeout, GrpcSettings::default()),
            watch,
        )
        .map(|report| Some(told(report))),
        Kind::Ours => {
            let ours = Ours::new(streams, chosen.settings)
                .expect("the scenario's streams are legal, and so are the settings");
            let mut ours = ours.with_patience(chosen.patience);
            let report = simulation.run(
                &mut ours,
                &mut Deduplicator::new(MergeSettings::default()),
                watch,
            )?;
            Ok(Some(Run {
                kind,
                report,
                counters: Some(ours.counters()),
            }))
        }
        Kind::BestDelays => Ok(BestDelays { share }
            .bound(simulation)
            .map(|(report, _)| told(report))),
        Kind::Clairvoyant => Ok(Clairvoyant { share }.bound(simulation).map(told)),
    }
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
