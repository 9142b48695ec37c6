//! What proxies save that drop copies before they store them, and tied attempts.

use core::sync::atomic::AtomicBool;

use distributedlog_sim::{Drops, Simulation};

use super::super::CliError;
use super::policies::PolicyKind;
use super::settings_args::Chosen;
use super::{differing, summary, table};

const DROPS: [(&str, Drops); 5] = [
    ("nothing", Drops::Nothing),
    ("cancelled", Drops::Cancelled),
    ("tied, one proxy", tied(1, false)),
    ("tied, late too, one proxy", tied(1, true)),
    ("tied, late too, two proxies", tied(2, true)),
];

const fn tied(proxies: u16, late: bool) -> Drops {
    Drops::Tied { proxies, late }
}

/// Returns the table.
///
/// # Errors
/// The command was interrupted.
pub(super) fn markdown(chosen: &Chosen, seed: u64, stop: &AtomicBool) -> Result<String, CliError> {
    let mut text = "| | dropped | p50 | p99 | p99.9 | extra load | copies | failed |\n\
                    |---|---|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for (name, scenario) in differing::scenarios() {
        for (what, drops) in DROPS {
            let simulation = Simulation::new(scenario.clone(), seed)
                .map_err(|error| CliError::failure(error.to_string()))?
                .with_drops(drops);
            let compared = summary::compare(
                name.clone(),
                String::new(),
                &simulation,
                &[PolicyKind::Ours],
                chosen,
                stop,
            )?;
            let report = &compared
                .run(PolicyKind::Ours)
                .expect("it is not a bound")
                .report;
            let quantiles = [0.5, 0.99, 0.999].map(|q| table::latency(report.latency(q)));
            text += &format!(
                "| {name} | {what} | {} | {} | {} | {} |\n",
                quantiles.join(" | "),
                table::percent(report.extra_load()),
                report.duplicates,
                report.failed
            );
        }
    }
    Ok(text)
}
