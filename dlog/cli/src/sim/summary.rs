use core::sync::atomic::AtomicBool;

use distributedlog_sim::{Latency, Report, Scenario, Simulation};

use super::super::Fault;
use super::policies::{self, Kind, Run};
use super::progress::Progress;
use super::settings_args::Chosen;
use super::table;

/// A scenario, and what came of it under each policy.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    /// Its letter, or what else it is called.
    pub(super) name: String,
    pub(super) about: String,
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) runs: Vec<Run>,
}

/// Runs a scenario under those of the policies that mean something in it.
///
/// # Errors
/// It was interrupted.
pub(super) fn compare(
    name: String,
    about: String,
    simulation: &Simulation,
    policies: &[Kind],
    chosen: &Chosen,
    stop: &AtomicBool,
) -> Result<Compared, Fault> {
    let (scenario, seed) = (simulation.scenario().clone(), simulation.seed());
    let mut runs = Vec::with_capacity(policies.len());
    for &kind in policies {
        let progress = Progress::new(kind.name(), scenario.sets, stop);
        let ran = policies::run(kind, simulation, chosen, |sets| progress.tell(sets));
        progress.end(scenario.sets);
        runs.extend(ran.map_err(|_| Fault::failure("interrupted before the end"))?);
    }
    Ok(Compared {
        name,
        about,
        scenario,
        seed,
        runs,
    })
}

impl Compared {
    pub(super) fn run(&self, kind: Kind) -> Option<&Run> {
        self.runs.iter().find(|run| run.kind == kind)
    }

    /// The extra load without the first second, in which the writer spends what its budget begins
    /// with, and without that of each fault.
    pub(super) fn steady_extra_load(&self, run: &Run) -> f64 {
        let begins = |second: usize| {
            second == 0
                || self.scenario.faults.iter().any(|fault| {
                    let from = fault.from.as_secs_f64();
                    from > 0.0 && from < second as f64 + 1.0 && from + 1.0 > second as f64
                })
        };
        run.report.extra_load_of(|second| !begins(second))
    }

    /// The extra load while a fault lasts that begins in the course of the run; none without such.
    pub(super) fn extra_load_in_faults(&self, run: &Run) -> Option<f64> {
        let mut faults = self
            .scenario
            .faults
            .iter()
            .filter(|fault| !fault.from.is_zero())
            .peekable();
        faults.peek()?;
        let faults: Vec<_> = faults
            .map(|fault| {
                (
                    fault.from.as_secs_f64(),
                    fault
                        .until
                        .map_or(f64::INFINITY, |until| until.as_secs_f64()),
                )
            })
            .collect();
        Some(run.report.extra_load_of(|second| {
            faults
                .iter()
                .any(|(from, until)| *from <= second as f64 && (second as f64) < *until)
        }))
    }

    /// Our 99.9th percentile as a multiple of another's.
    pub(super) fn ratio(&self, to: Kind) -> Option<f64> {
        let micros = |kind| match self.run(kind)?.report.latency(0.999) {
            Latency::Within(latency) => Some(latency.as_secs_f64()),
            Latency::Failed => None,
        };
        Some(micros(Kind::Ours)? / micros(to)?)
    }
}

/// The table of all scenarios: our 99.9th percentile against others', and what it costs.
pub(super) fn markdown(all: &[Compared]) -> String {
    let header = [
        "",
        "original",
        "ours",
        "÷ best two delays",
        "÷ clairvoyant",
        "extra load",
        "steady",
        "in the fault",
        "failed: original",
        "ours",
        "read twice",
    ];
    let mut text = format!(
        "| {} |\n|---|{}\n",
        header.join(" | "),
        "--:|".repeat(header.len() - 1)
    );
    for compared in all {
        if let Some(run) = compared.run(Kind::Ours) {
            text += &format!("| {} |\n", row(compared, run).join(" | "));
        }
    }
    text
}

fn row(compared: &Compared, run: &Run) -> Vec<String> {
    let of = |kind, text: fn(&Report) -> String| {
        compared
            .run(kind)
            .map_or_else(|| "–".to_owned(), |run| text(&run.report))
    };
    let tail = |report: &Report| table::latency(report.latency(0.999));
    let failed = |report: &Report| report.failed.to_string();
    let ratio = |kind| {
        compared
            .ratio(kind)
            .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    vec![
        format!("({}) {}", compared.name, compared.about),
        of(Kind::Original, tail),
        tail(&run.report),
        ratio(Kind::BestDelays),
        ratio(Kind::Clairvoyant),
        table::percent(run.report.extra_load()),
        table::percent(compared.steady_extra_load(run)),
        compared
            .extra_load_in_faults(run)
            .map_or_else(|| "–".to_owned(), table::percent),
        of(Kind::Original, failed),
        failed(&run.report),
        run.report.read.twice.to_string(),
    ]
}
