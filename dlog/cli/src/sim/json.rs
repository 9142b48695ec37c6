use distributedlog::writer::Counters;
use distributedlog_sim::Latency;
use serde::Serialize;

use super::super::latency::QUANTILES;
use super::policies::PolicyRun;
use super::summary::Comparison;

/// Results of one policy, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct RunJson<'a> {
    scenario: &'a str,
    policy: String,
    seed: u64,
    sets: u64,
    written: u64,
    failed: u64,
    operations: u64,
    /// Percentiles in microseconds; null if more sets failed than are above the percentile.
    p50_us: Option<u64>,
    p90_us: Option<u64>,
    p99_us: Option<u64>,
    p999_us: Option<u64>,
    p9999_us: Option<u64>,
    attempts: u64,
    extra_load: f64,
    /// Extra load without the first second of the run and of each fault.
    steady_extra_load: f64,
    copies: u64,
    delivered: u64,
    delivered_twice: u64,
    written_and_not_delivered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<Counters>,
    /// Latencies in microseconds of the operations that did not fail, each with its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    latencies: Option<Vec<(u64, u64)>>,
}

impl<'a> RunJson<'a> {
    /// Converts one policy's run; with its whole distribution if `whole`.
    pub(super) fn new(compared: &'a Comparison, run: &PolicyRun, whole: bool) -> Self {
        let report = &run.report;
        let quantiles = QUANTILES.map(|(_, quantile)| match report.latency(quantile) {
            Latency::Within(latency) => Some(latency.as_micros() as u64),
            Latency::Failed => None,
        });
        let [p50_us, p90_us, p99_us, p999_us, p9999_us] = quantiles;
        Self {
            scenario: &compared.name,
            policy: run.kind.key(),
            seed: compared.seed,
            sets: report.sets,
            written: report.written,
            failed: report.failed,
            operations: report.operations(),
            p50_us,
            p90_us,
            p99_us,
            p999_us,
            p9999_us,
            attempts: report.attempts,
            extra_load: report.extra_load(),
            steady_extra_load: compared.steady_extra_load(run),
            copies: report.duplicates,
            delivered: report.read.delivered,
            delivered_twice: report.read.repeated,
            written_and_not_delivered: report.read.missing,
            counters: run.counters,
            latencies: whole.then(|| {
                report
                    .latencies()
                    .map(|(latency, count)| (latency.as_micros() as u64, count))
                    .collect()
            }),
        }
    }
}
