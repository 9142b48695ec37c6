use core::sync::atomic::AtomicBool;
use core::time::Duration;

use distributedlog_sim::{Distribution, Scenario, Simulation, Stragglers, scenarios};

use super::super::CliError;
use super::differing;
use super::policies::PolicyKind;
use super::settings_args::Chosen;
use super::summary::{self, Comparison};
use super::{shared, table, tied};

/// Template of the document: `{summary}`, `{noise}`, `{room}`, `{stragglers}`, `{differing}`,
/// `{tied}`, `{shared}` and, for each scenario, `{a}` to `{j}` are replaced by tables.
const TEMPLATE: &str = include_str!("hedging.md");

/// Returns the document about the scenarios, with their results and those of three variations.
///
/// # Errors
/// The command was interrupted.
pub(super) fn text(
    all: &[Comparison],
    chosen: &Chosen,
    seed: u64,
    stop: &AtomicBool,
) -> Result<String, CliError> {
    let mut text = TEMPLATE.replace("{summary}\n", &summary::markdown(all));
    text = text
        .replace("{noise}\n", &noise(chosen, seed, stop)?)
        .replace("{room}\n", &room(chosen, seed, stop)?);
    text = text
        .replace("{stragglers}\n", &stragglers(chosen, seed, stop)?)
        .replace("{differing}\n", &differing::markdown(chosen, seed, stop)?)
        .replace("{tied}\n", &tied::markdown(chosen, seed, stop)?)
        .replace("{shared}\n", &shared::markdown(chosen, seed, stop)?);
    Ok(all.iter().fold(text, |text, compared| {
        text.replace(
            &format!("{{{}}}\n", compared.name),
            &table::markdown(&compared.runs),
        )
    }))
}

/// Returns a table of the scenarios with one faulty stream, with healthy streams that vary less and
/// less.
fn noise(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, CliError> {
    const POLICIES: [PolicyKind; 4] = [
        PolicyKind::Original,
        PolicyKind::Ours,
        PolicyKind::BestDelays,
        PolicyKind::Clairvoyant,
    ];
    let mut text = "| scenario, deviation | original | ours | best two delays | clairvoyant | \
                    ours ÷ clairvoyant |\n|---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for micros in [2_000, 1_000, 500] {
        for letter in ["b", "c", "d"] {
            let latency = Distribution::Lognormal {
                mean: Duration::from_millis(5),
                sd: Duration::from_micros(micros),
            };
            let compared = compare(
                letter,
                |scenario| Scenario {
                    latency,
                    ..scenario
                },
                &POLICIES,
                chosen,
                seed,
                stop,
            )?;
            let p999 = |kind| {
                compared.run(kind).map_or_else(
                    || "–".to_owned(),
                    |run| table::latency(run.report.latency(0.999)),
                )
            };
            let ratio = compared
                .ratio(PolicyKind::Clairvoyant)
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            text += &format!(
                "| ({letter}), {} ms | {} | {ratio} |\n",
                micros as f64 / 1e3,
                POLICIES.map(p999).join(" | ")
            );
        }
    }
    Ok(text)
}

/// Returns the stragglers that scenario (a) is varied with: shares, and factors of their latency.
pub(super) fn straggling() -> impl Iterator<Item = Stragglers> {
    [0.05, 0.1, 0.2, 0.4]
        .into_iter()
        .flat_map(|share| [5.0, 10.0, 20.0].map(|factor| Stragglers { share, factor }))
}

/// Returns a table of scenario (a) with fewer and with many more stragglers than the budget has
/// hedges for.
fn stragglers(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, CliError> {
    const POLICIES: [PolicyKind; 5] = [
        PolicyKind::Original,
        PolicyKind::P95,
        PolicyKind::Grpc,
        PolicyKind::Ours,
        PolicyKind::BestDelays,
    ];
    let mut text = "| | p99: original | ours | p99.9: original | p95, one hedge | gRPC A6 | ours \
                    | best two delays | ours ÷ best two | extra load: p95 | gRPC A6 | ours, \
                    steady |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for stragglers in straggling() {
        let compared = compare(
            "a",
            |scenario| Scenario {
                stragglers: Some(stragglers),
                ..scenario
            },
            &POLICIES,
            chosen,
            seed,
            stop,
        )?;
        let run = |kind| {
            compared
                .run(kind)
                .expect("latencies do not depend on the load, so every policy has a result")
        };
        let at = |kind, quantile| table::latency(run(kind).report.latency(quantile));
        let load = |kind| table::percent(run(kind).report.extra_load());
        let mut row = vec![format!(
            "{} %, × {}",
            stragglers.share * 100.0,
            stragglers.factor
        )];
        row.extend([PolicyKind::Original, PolicyKind::Ours].map(|kind| at(kind, 0.99)));
        row.extend(POLICIES.map(|kind| at(kind, 0.999)));
        row.push(
            compared
                .ratio(PolicyKind::BestDelays)
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
        );
        row.extend([PolicyKind::P95, PolicyKind::Grpc].map(load));
        row.push(table::percent(
            compared.steady_extra_load(run(PolicyKind::Ours)),
        ));
        text += &format!("| {} |\n", row.join(" | "));
    }
    Ok(text)
}

/// Returns a table of the overloaded scenarios: with sets that wait for room in the writer, with
/// sets that the writer refuses, and with room for all of them, so that the proxies refuse them.
fn room(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, CliError> {
    let many = chosen.with_in_flight_sets(1_024);
    let refusing = Chosen {
        max_wait: Duration::ZERO,
        ..*chosen
    };
    let mut text = "| | p50 | p90 | p99 | p99.9 | failed |\n|---|--:|--:|--:|--:|--:|\n".to_owned();
    for letter in ["e", "f"] {
        let rows: [(&str, PolicyKind, &Chosen); 4] = [
            ("original", PolicyKind::Original, chosen),
            ("ours, 256 in flight, others wait", PolicyKind::Ours, chosen),
            (
                "ours, 256 in flight, others fail at once",
                PolicyKind::Ours,
                &refusing,
            ),
            ("ours, 1,024 in flight", PolicyKind::Ours, &many),
        ];
        for (name, kind, chosen) in rows {
            let compared = compare(letter, |scenario| scenario, &[kind], chosen, seed, stop)?;
            let report = &compared
                .run(kind)
                .expect("neither policy is a bound, so both have a result")
                .report;
            let quantiles =
                [0.5, 0.9, 0.99, 0.999].map(|quantile| table::latency(report.latency(quantile)));
            text += &format!(
                "| ({letter}) {name} | {} | {} |\n",
                quantiles.join(" | "),
                report.failed
            );
        }
    }
    Ok(text)
}

/// Runs a scenario of the table after `change`.
fn compare(
    letter: &str,
    change: impl FnOnce(Scenario) -> Scenario,
    policies: &[PolicyKind],
    chosen: &Chosen,
    seed: u64,
    stop: &AtomicBool,
) -> Result<Comparison, CliError> {
    let (about, scenario) = scenarios::named(letter).expect("the letter is in the table");
    let simulation = Simulation::new(change(scenario), seed)
        .map_err(|error| CliError::failure(error.to_string()))?;
    summary::compare(
        letter.to_owned(),
        about.to_owned(),
        &simulation,
        policies,
        chosen,
        stop,
    )
}
