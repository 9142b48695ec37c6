//! Choice by load beside choice by turn: the scenarios, streams near their capacity, and streams of
//! which one is slower.

use core::sync::atomic::AtomicBool;
use core::time::Duration;

use distributedlog_sim::{Arrivals, Fault, FaultKind, Scenario, ScenarioError, Simulation};

use super::super::CliError;
use super::policies::PolicyKind;
use super::settings_args::Chosen;
use super::{summary, table};

const POLICIES: [PolicyKind; 2] = [PolicyKind::Ours, PolicyKind::ByLoad];

/// Returns the table.
///
/// # Errors
/// The command was interrupted.
pub(super) fn markdown(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, CliError> {
    let columns = ["p50", "p99", "p99.9", "extra load", "copies", "failed"];
    let names = columns
        .map(|name| format!("{name}: turn | load"))
        .join(" | ");
    let mut text = format!("| | {names} |\n|---|{}\n", "--:|".repeat(2 * columns.len()));
    for (name, scenario) in scenarios() {
        let simulation = Simulation::new(scenario, seed)
            .map_err(|error: ScenarioError| CliError::failure(error.to_string()))?;
        let compared = summary::compare(
            name.clone(),
            String::new(),
            &simulation,
            &POLICIES,
            chosen,
            stop,
        )?;
        let reports = POLICIES.map(|kind| {
            let run = compared.run(kind).expect("neither policy is a bound");
            &run.report
        });
        let mut cells = Vec::with_capacity(2 * columns.len());
        for quantile in [0.5, 0.99, 0.999] {
            cells.extend(reports.map(|report| table::latency(report.latency(quantile))));
        }
        cells.extend(reports.map(|report| table::percent(report.extra_load())));
        cells.extend(reports.map(|report| report.duplicates.to_string()));
        cells.extend(reports.map(|report| report.failed.to_string()));
        text += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    Ok(text)
}

/// Returns the scenarios with their names.
pub(super) fn scenarios() -> Vec<(String, Scenario)> {
    let named = |letter| {
        distributedlog_sim::scenarios::named(letter)
            .expect("it is in the table")
            .1
    };
    let mut all: Vec<_> = distributedlog_sim::scenarios::ALL
        .iter()
        .filter(|(letter, _)| *letter != "g")
        .map(|(letter, _)| (format!("({letter})"), named(letter)))
        .collect();
    let unlimited = Scenario {
        stragglers: None,
        ..named("a")
    };
    for factor in [1.5, 2.5] {
        let name = format!("one {factor} times slower");
        all.push((name, with_a_slow_one(&unlimited, factor)));
    }
    for per_second in [1_500.0, 2_400.0, 3_000.0, 3_600.0] {
        let limited = Scenario {
            arrivals: Arrivals {
                per_second,
                fan_out: 1,
                bursts: None,
            },
            ..named("f")
        };
        all.push((format!("{per_second} a second"), limited.clone()));
        // Three times slower: the five have a capacity of 3,467 a second.
        let slower: &[f64] = if per_second < 3_600.0 {
            &[1.5, 2.0, 3.0]
        } else {
            &[]
        };
        for &factor in slower {
            let name = format!("{per_second} a second, one {factor} times slower");
            all.push((name, with_a_slow_one(&limited, factor)));
        }
    }
    all
}

/// Returns the scenario with one stream whose latencies are longer by this factor throughout.
fn with_a_slow_one(scenario: &Scenario, factor: f64) -> Scenario {
    let fault = Fault {
        stream: Some(1),
        from: Duration::ZERO,
        until: None,
        kind: FaultKind::Slow(factor),
    };
    Scenario {
        faults: vec![fault],
        ..scenario.clone()
    }
}
