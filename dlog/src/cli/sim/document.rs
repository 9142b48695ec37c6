use core::sync::atomic::AtomicBool;
use core::time::Duration;

use distributedlog::writer::Settings;
use distributedlog_testkit::model::{Distribution, Scenario, Simulation, scenarios};

use super::super::Fault;
use super::policies::Kind;
use super::summary::{self, Compared};
use super::table;

/// The document without its figures: `{summary}`, `{noise}` and, for each scenario, `{a}` to `{h}` stand for tables.
const TEMPLATE: &str = include_str!("hedging.md");

/// The document that explains the scenarios, with what came of them.
pub(super) fn text(all: &[Compared], noise: &[Compared]) -> String {
    let text = TEMPLATE.replace("{summary}\n", &summary::markdown(all)).replace("{noise}\n", &noise_table(noise));
    all.iter().fold(text, |text, compared| text.replace(&format!("{{{}}}\n", compared.name), &table::markdown(&compared.runs)))
}

/// The scenarios of one sick stream, with healthy streams that vary less and less.
///
/// # Errors
/// It was interrupted.
pub(super) fn noise(settings: &Settings, seed: u64, stop: &AtomicBool) -> Result<Vec<Compared>, Fault> {
    let mut all = Vec::new();
    for micros in [2_000, 1_000, 500] {
        for letter in ["b", "c", "d"] {
            let (about, scenario) = scenarios::named(letter).expect("it is one of the table");
            let latency = Distribution::Lognormal { mean: Duration::from_millis(5), sd: Duration::from_micros(micros) };
            let simulation = Simulation::new(Scenario { latency, ..scenario }, seed).map_err(|error| Fault::failure(error.to_string()))?;
            let name = format!("{letter}, {} ms", micros as f64 / 1e3);
            let policies = [Kind::Original, Kind::Ours, Kind::BestDelays, Kind::Clairvoyant];
            all.push(summary::compare(name, about.to_owned(), &simulation, &policies, settings, stop)?);
        }
    }
    Ok(all)
}

fn noise_table(noise: &[Compared]) -> String {
    let mut text =
        "| scenario, deviation | original | ours | best two delays | clairvoyant | ours ÷ clairvoyant |\n|---|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for compared in noise {
        let tail = |kind| compared.run(kind).map_or_else(|| "–".to_owned(), |run| table::latency(run.report.latency(0.999)));
        let ratio = compared.ratio(Kind::Clairvoyant).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let tails = [Kind::Original, Kind::Ours, Kind::BestDelays, Kind::Clairvoyant].map(tail);
        text += &format!("| {} | {} | {ratio} |\n", compared.name, tails.join(" | "));
    }
    text
}
