use core::sync::atomic::AtomicBool;

use distributedlog_sim::{Latency, Report, Scenario, Simulation};

use super::super::CliError;
use super::policies::{self, PolicyKind, PolicyRun};
use super::progress::Progress;
use super::settings_args::Chosen;
use super::table;

/// Results of a scenario with each policy.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// Letter of the scenario, or "-".
    pub(super) name: String,
    pub(super) about: String,
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) runs: Vec<PolicyRun>,
}

/// Runs a scenario with each policy, leaving out bounds that do not exist for it.
///
/// # Errors
/// The command was interrupted.
pub(super) fn compare(
    name: String,
    about: String,
    simulation: &Simulation,
    policies: &[PolicyKind],
    chosen: &Chosen,
    stop: &AtomicBool,
) -> Result<Comparison, CliError> {
    let (scenario, seed) = (simulation.scenario().clone(), simulation.seed());
    let mut runs = Vec::with_capacity(policies.len());
    for &kind in policies {
        let progress = Progress::new(kind.name(), scenario.sets, stop);
        let ran = policies::run(kind, simulation, chosen, |sets| progress.update(sets));
        progress.end(scenario.sets);
        runs.extend(ran.map_err(|_| CliError::failure("interrupted before the end"))?);
    }
    Ok(Comparison {
        name,
        about,
        scenario,
        seed,
        runs,
    })
}

impl Comparison {
    pub(super) fn run(&self, kind: PolicyKind) -> Option<&PolicyRun> {
        self.runs.iter().find(|run| run.kind == kind)
    }

    /// Returns the extra load without the first second, in which the writer spends the initial
    /// tokens of its budget, and without the first second of each fault.
    pub(super) fn steady_extra_load(&self, run: &PolicyRun) -> f64 {
        let begins = |second: usize| {
            second == 0
                || self.scenario.faults.iter().any(|fault| {
                    let from = fault.from.as_secs_f64();
                    from > 0.0 && from < second as f64 + 1.0 && from + 1.0 > second as f64
                })
        };
        run.report.extra_load_of(|second| !begins(second))
    }

    /// Returns the extra load during faults that begin after the start of the run, or `None` if
    /// there are none.
    pub(super) fn extra_load_in_faults(&self, run: &PolicyRun) -> Option<f64> {
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

    /// Returns our 99.9th percentile as a multiple of that of `to`, or `None` if one of them
    /// failed.
    pub(super) fn ratio(&self, to: PolicyKind) -> Option<f64> {
        let micros = |kind| match self.run(kind)?.report.latency(0.999) {
            Latency::Within(latency) => Some(latency.as_secs_f64()),
            Latency::Failed => None,
        };
        Some(micros(PolicyKind::Ours)? / micros(to)?)
    }
}

/// Returns a table of all scenarios: our 99.9th percentile beside others', and its cost in load.
pub(super) fn markdown(all: &[Comparison]) -> String {
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
        if let Some(run) = compared.run(PolicyKind::Ours) {
            text += &format!("| {} |\n", row(compared, run).join(" | "));
        }
    }
    text
}

fn row(compared: &Comparison, run: &PolicyRun) -> Vec<String> {
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
        of(PolicyKind::Original, tail),
        tail(&run.report),
        ratio(PolicyKind::BestDelays),
        ratio(PolicyKind::Clairvoyant),
        table::percent(run.report.extra_load()),
        table::percent(compared.steady_extra_load(run)),
        compared
            .extra_load_in_faults(run)
            .map_or_else(|| "–".to_owned(), table::percent),
        of(PolicyKind::Original, failed),
        failed(&run.report),
        run.report.read.repeated.to_string(),
    ]
}
