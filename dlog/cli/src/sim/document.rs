use core::sync::atomic::AtomicBool;
use core::time::Duration;

use distributedlog_sim::{Distribution, Scenario, Simulation, Stragglers, scenarios};

use super::super::Fault;
use super::policies::Kind;
use super::settings_args::Chosen;
use super::summary::{self, Compared};
use super::table;

/// The document without its figures: `{summary}`, `{noise}`, `{room}`, `{stragglers}` and, for each
/// scenario, `{a}` to `{h}` stand for tables.
const TEMPLATE: &str = include_str!("hedging.md");

/// The document that explains the scenarios, with what came of them, and of three variations.
///
/// # Errors
/// It was interrupted.
pub(super) fn text(
    all: &[Compared],
    chosen: &Chosen,
    seed: u64,
    stop: &AtomicBool,
) -> Result<String, Fault> {
    let mut text = TEMPLATE.replace("{summary}\n", &summary::markdown(all));
    text = text
        .replace("{noise}\n", &noise(chosen, seed, stop)?)
        .replace("{room}\n", &room(chosen, seed, stop)?);
    text = text.replace("{stragglers}\n", &stragglers(chosen, seed, stop)?);
    Ok(all.iter().fold(text, |text, compared| {
        text.replace(
            &format!("{{{}}}\n", compared.name),
            &table::markdown(&compared.runs),
        )
    }))
}

/// The scenarios of one sick stream, with healthy streams that vary less and less.
fn noise(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, Fault> {
    const POLICIES: [Kind; 4] = [
        Kind::Original,
        Kind::Ours,
        Kind::BestDelays,
        Kind::Clairvoyant,
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
            let tail = |kind| {
                compared.run(kind).map_or_else(
                    || "–".to_owned(),
                    |run| table::latency(run.report.latency(0.999)),
                )
            };
            let ratio = compared
                .ratio(Kind::Clairvoyant)
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            text += &format!(
                "| ({letter}), {} ms | {} | {ratio} |\n",
                micros as f64 / 1e3,
                POLICIES.map(tail).join(" | ")
            );
        }
    }
    Ok(text)
}

/// Which stragglers scenario (a) is tried with: how many, and how many times as slow.
pub(super) fn straggling() -> impl Iterator<Item = Stragglers> {
    [0.05, 0.1, 0.2, 0.4]
        .into_iter()
        .flat_map(|share| [5.0, 10.0, 20.0].map(|factor| Stragglers { share, factor }))
}

/// Scenario (a) with fewer and with many more stragglers than the budget pays hedges for.
fn stragglers(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, Fault> {
    const POLICIES: [Kind; 5] = [
        Kind::Original,
        Kind::P95,
        Kind::Grpc,
        Kind::Ours,
        Kind::BestDelays,
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
                .expect("latencies do not depend on the load: each of them means something")
        };
        let at = |kind, quantile| table::latency(run(kind).report.latency(quantile));
        let load = |kind| table::percent(run(kind).report.extra_load());
        let mut row = vec![format!(
            "{} %, × {}",
            stragglers.share * 100.0,
            stragglers.factor
        )];
        row.extend([Kind::Original, Kind::Ours].map(|kind| at(kind, 0.99)));
        row.extend(POLICIES.map(|kind| at(kind, 0.999)));
        row.push(
            compared
                .ratio(Kind::BestDelays)
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
        );
        row.extend([Kind::P95, Kind::Grpc].map(load));
        row.push(table::percent(compared.steady_extra_load(run(Kind::Ours))));
        text += &format!("| {} |\n", row.join(" | "));
    }
    Ok(text)
}

/// The overloaded scenarios, with sets that wait in front of the writer, with sets that are refused
/// there, and with room for all of them, so that it is the proxies that turn them down.
fn room(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, Fault> {
    let many = chosen.with_in_flight_sets(1_024);
    let refusing = Chosen {
        patience: Duration::ZERO,
        ..*chosen
    };
    let mut text = "| | p50 | p90 | p99 | p99.9 | failed |\n|---|--:|--:|--:|--:|--:|\n".to_owned();
    for letter in ["e", "f"] {
        let rows: [(&str, Kind, &Chosen); 4] = [
            ("original", Kind::Original, chosen),
            ("ours, 256 in flight, others wait", Kind::Ours, chosen),
            (
                "ours, 256 in flight, others fail at once",
                Kind::Ours,
                &refusing,
            ),
            ("ours, 1,024 in flight", Kind::Ours, &many),
        ];
        for (name, kind, chosen) in rows {
            let compared = compare(letter, |scenario| scenario, &[kind], chosen, seed, stop)?;
            let report = &compared
                .run(kind)
                .expect("each of them means something")
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

/// Runs a scenario of the table, changed.
fn compare(
    letter: &str,
    change: impl FnOnce(Scenario) -> Scenario,
    policies: &[Kind],
    chosen: &Chosen,
    seed: u64,
    stop: &AtomicBool,
) -> Result<Compared, Fault> {
    let (about, scenario) = scenarios::named(letter).expect("it is one of the table");
    let simulation = Simulation::new(change(scenario), seed)
        .map_err(|error| Fault::failure(error.to_string()))?;
    summary::compare(
        letter.to_owned(),
        about.to_owned(),
        &simulation,
        policies,
        chosen,
        stop,
    )
}
