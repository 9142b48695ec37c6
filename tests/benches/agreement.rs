//! Whether the commands' figures can be trusted: the rates of `dlog bench` beside those of the path
//! benchmark, in turns against the same proxy, and what `dlog sim` predicts from latencies that
//! `dlog bench` recorded, beside what a stalled stream then does.
//!
//! `cargo bench -p distributedlog-tests --bench agreement`, optionally with the number of rounds
//! and one of the two parts (`-- 5 rates`, `-- stalls`). The folder of the store is made below the
//! current folder, or below `DLOG_BENCH_FOLDER`. It takes about two minutes a round.

use core::time::Duration;
use std::path::Path;

use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::path_writer::{PathWriter, RECORD_BYTES, STREAMS, patient};
use distributedlog_tests::process::{From, Starting};
use distributedlog_tests::stack::{Proxy, StoreOf};
use distributedlog_tests::stats;
use serde_json::Value;
use tokio::runtime::Runtime;

/// Loads: name, bytes of a set, and records in flight.
const LOADS: [(&str, usize, usize); 4] = [
    ("sets of 16 KiB, 8,192 in flight", 16 * 1024, 8192),
    ("sets of 16 KiB, 1,024 in flight", 16 * 1024, 1024),
    ("each record a set, 64 in flight", 0, 64),
    ("one record at a time", 0, 1),
];

/// Time that each measures for in a round.
const TURN_SECONDS: u64 = 5;

/// Records a second of the prediction, whose stall lasts a quarter of the measurement.
const RATE: u64 = 200;
const SECONDS: u64 = 40;
const STALL_FROM_SECONDS: u64 = 10;
const STALL_UNTIL_SECONDS: u64 = 20;

/// The rules whose stall is predicted: name, and the flags of both commands.
const RULES: [(&str, &[&str]); 2] = [
    (
        "timeouts of the original (50 ms, doubled)",
        &[
            "--health=off",
            "--window=off",
            "--budget=off",
            "--adaptive=off",
        ],
    ),
    ("recommended rules", &["--recommended"]),
];

/// Percentiles that are compared: their keys in the JSON of `sim` and of `bench`.
const PERCENTILES: [(&str, &str); 3] = [("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9")];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.iter().find_map(|each| each.parse().ok());
    let rounds = rounds.unwrap_or(3);
    let has = |part: &str| arguments.iter().any(|each| each == part);
    let folder = bench_folder("agreement");
    let runtime = Runtime::new().expect("threads");
    if !has("stalls") {
        rates(&runtime, folder.path(), rounds);
    }
    if !has("rates") {
        predictions(&runtime, folder.path(), rounds);
    }
}

/// Prints the rates of both.
fn rates(runtime: &Runtime, folder: &Path, rounds: usize) {
    let store = folder.join("rates");
    let proxy = runtime.block_on(Proxy::start(StoreOf::In(&store), 0, &[]));
    println!(
        "| records of {RECORD_BYTES} bytes | path, records/s | `dlog bench`, records/s | ratio |"
    );
    println!("|---|--:|--:|--:|");
    for (name, set_bytes, in_flight) in LOADS {
        let writer = PathWriter::new(&proxy, patient().buffer_size(set_bytes));
        let calibration = writer.write(5_000, in_flight);
        let count = (5_000.0 / calibration.as_secs_f64()) as u64 * TURN_SECONDS;
        let (mut ours, mut command) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let took = writer.write(count, in_flight);
            ours.push(count as f64 / took.as_secs_f64());
            command.push(runtime.block_on(bench_rate(&proxy, set_bytes, in_flight)));
        }
        let ratios = ours
            .iter()
            .zip(&command)
            .map(|(ours, command)| command / ours);
        let ratios: Vec<f64> = ratios.collect();
        println!(
            "| {name} | {:.0} | {:.0} | {:.2} ({}) |",
            median(&ours),
            median(&command),
            median(&ratios),
            list(&ratios)
        );
    }
}

/// The rate that `dlog bench` reports for this load with the settings of the path benchmark.
async fn bench_rate(proxy: &Proxy, set_bytes: usize, in_flight: usize) -> f64 {
    let flags = format!(
        "bench {} {} --format json --duration {TURN_SECONDS}s --warm-up 500ms \
         --size {RECORD_BYTES} --in-flight {in_flight} --buffer-size {set_bytes} \
         --in-flight-sets 2048 --request-timeout 30s --first-speculative-timeout 5s \
         --max-speculative-timeout 10s --health off --window off --budget off --adaptive off \
         --no-identity",
        proxy.name(),
        STREAMS.join(",")
    );
    dlog(flags.split_whitespace()).await["records_per_second"]
        .as_f64()
        .expect("a rate")
}

/// Prints what was predicted of a stall, and what was measured.
fn predictions(runtime: &Runtime, folder: &Path, rounds: usize) {
    println!();
    println!(
        "| one of five streams stalls for a quarter of the time | | p50, ms | p99, ms | p99.9, ms \
         | extra load |"
    );
    println!("|---|---|--:|--:|--:|--:|");
    for (rules, flags) in RULES {
        let (mut predicted, mut measured) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let store = folder.join(format!("stall-{round}-{}", flags.len()));
            let turn = runtime.block_on(predict_and_measure(&store, flags, round + 1));
            predicted.push(turn.0);
            measured.push(turn.1);
        }
        for (what, rows) in [("`dlog sim`", &predicted), ("measured", &measured)] {
            let cell = |index: usize| {
                let of_rounds: Vec<f64> = rows.iter().map(|row: &[f64; 4]| row[index]).collect();
                format!("{:.2} ({})", median(&of_rounds), list(&of_rounds))
            };
            let cells: Vec<String> = (0..4).map(cell).collect();
            println!("| {rules} | {what} | {} |", cells.join(" | "));
        }
    }
}

/// Records latencies, predicts from them, and measures the stall: the percentiles in milliseconds
/// and the extra load, of both.
async fn predict_and_measure(store: &Path, rules: &[&str], seed: usize) -> ([f64; 4], [f64; 4]) {
    let (proxy, stats) = Proxy::start_with_stats(StoreOf::In(store), 0, &["--faults"]).await;
    let recording = store.with_extension("txt");
    let bench = format!(
        "bench {} {} --format json --rate {RATE} --duration {SECONDS}s --size {RECORD_BYTES} \
         --buffer-size 0 --request-timeout 10s",
        proxy.name(),
        STREAMS.join(","),
    );
    let bench: Vec<&str> = bench.split_whitespace().collect();
    let file = recording
        .to_str()
        .expect("temporary folders have plain names");
    dlog(
        bench
            .iter()
            .copied()
            .chain(["--no-hedging", "--record", file]),
    )
    .await;

    let sim = format!(
        "sim --format json --policy ours --seed {seed} --streams {} --rate {RATE} --sets {} \
         --latency recorded:{file} --stall 2:{STALL_FROM_SECONDS}s-{STALL_UNTIL_SECONDS}s \
         --request-timeout 10s",
        STREAMS.len(),
        RATE * SECONDS,
    );
    let predicted = dlog(sim.split_whitespace().chain(rules.iter().copied())).await;

    let stall = async {
        // The stall's place in the measurement, behind the warm-up of a second.
        tokio::time::sleep(Duration::from_secs(1 + STALL_FROM_SECONDS)).await;
        stats::put(stats, &format!("/faults/{}/stall", STREAMS[1])).await;
        tokio::time::sleep(Duration::from_secs(
            STALL_UNTIL_SECONDS - STALL_FROM_SECONDS,
        ))
        .await;
        stats::delete(stats, &format!("/faults/{}", STREAMS[1])).await;
    };
    let (measured, ()) = tokio::join!(
        dlog(bench.iter().copied().chain(rules.iter().copied())),
        stall
    );
    (
        row(&PERCENTILES.map(|(key, _)| &predicted[key]), &predicted),
        row(
            &PERCENTILES.map(|(_, key)| &measured["write_latency_us"][key]),
            &measured,
        ),
    )
}

/// The percentiles in milliseconds, and the extra load of a report.
fn row(percentiles_us: &[&Value; 3], report: &Value) -> [f64; 4] {
    let [p50, p99, p999] =
        percentiles_us.map(|us| us.as_f64().expect("a latency in microseconds") / 1000.0);
    let extra_load = report["extra_load"].as_f64().expect("a share");
    [p50, p99, p999, extra_load]
}

/// What `dlog` prints, as JSON.
async fn dlog(arguments: impl Iterator<Item = &str>) -> Value {
    let limit = Duration::from_secs(4 * SECONDS);
    let ended = Starting::dlog(arguments)
        .start()
        .until_exit_within(limit)
        .await;
    let text = ended.with_code(0).text(From::Stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in: {text}"))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
    values.join(", ")
}
