//! What it is worth to wait for streams that are silent (R21), and to know which streams share a
//! disk (R22).

use core::sync::atomic::AtomicBool;

use distributedlog_sim::{Scenario, Simulation, scenarios};

use super::super::CliError;
use super::policies::PolicyKind;
use super::settings_args::Chosen;
use super::{summary, table};

/// Names of the rows, and if the writer waits, and knows the domains.
const ROWS: [(&str, bool, bool); 3] = [
    ("hedges", false, false),
    ("waits", true, false),
    ("waits, knows the disks", true, true),
];

/// Returns the table.
///
/// # Errors
/// The command was interrupted.
pub(super) fn markdown(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, CliError> {
    let mut text =
        "| | while all streams are silent | p50 | p99 | p99.9 | hedges | of which won | \
                    probations | extra load |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for (name, scenario) in rows() {
        for (what, waits, knows_domains) in ROWS {
            // With a disk for each stream there is nothing to know.
            if knows_domains && scenario.domains == 0 {
                continue;
            }
            let simulation = Simulation::new(scenario.clone(), seed)
                .map_err(|error| CliError::failure(error.to_string()))?;
            let compared = summary::compare(
                name.to_owned(),
                String::new(),
                &simulation,
                &[PolicyKind::Ours],
                &chosen
                    .with_wait_out_stalls(waits)
                    .with_knows_domains(knows_domains),
                stop,
            )?;
            let run = compared.run(PolicyKind::Ours).expect("it is not a bound");
            let counters = run.counters.expect("the writer counts");
            let quantiles = [0.5, 0.99, 0.999].map(|q| table::latency(run.report.latency(q)));
            text += &format!(
                "| {name} | {what} | {} | {} | {} | {} | {} |\n",
                quantiles.join(" | "),
                counters.hedges_sent,
                counters.hedges_won,
                counters.probation_entries,
                table::percent(run.report.extra_load()),
            );
        }
    }
    Ok(text)
}

/// Returns the scenarios with shared disks, also with a higher load and a lower one, without stalls
/// and with nothing shared, and two others.
fn rows() -> Vec<(&'static str, Scenario)> {
    let named = |letter| scenarios::named(letter).expect("it is in the table").1;
    let busy = |letter| {
        let mut scenario = named(letter);
        scenario.arrivals.per_second *= 20.0;
        scenario.sets *= 2;
        scenario
    };
    let mut quiet = named("j");
    (quiet.arrivals.per_second, quiet.sets) = (50.0, 20_000);
    let own = Scenario {
        domains: 0,
        ..named("i")
    };
    let never = Scenario {
        shared_stalls: None,
        ..named("i")
    };
    vec![
        ("(i)", named("i")),
        ("(i), 20,000 a second", busy("i")),
        ("(i), if the disk never stalled", never),
        ("(j)", named("j")),
        ("(j), 20,000 a second", busy("j")),
        ("(j), 50 a second", quiet),
        ("(i), each stream with a disk of its own", own),
        ("(a)", named("a")),
        ("(b)", named("b")),
    ]
}
