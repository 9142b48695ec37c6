//! Command lines of `dlog sim`, and the targets of the table.

use core::sync::atomic::AtomicBool;
use core::time::Duration;

use clap::Parser as _;
use distributedlog_sim::{Latency, Report, Stragglers};
use serde_json::Value;

use super::*;
use crate::output::CapturedOutput;

#[derive(Debug, clap::Parser)]
struct TestCli {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, clap::Error> {
    TestCli::try_parse_from(core::iter::once("sim").chain(line.split_whitespace()))
        .map(|line| line.args)
}

fn run_sim(line: &str) -> Result<String, CliError> {
    let output = CapturedOutput::default();
    parse(line)
        .expect("the flags are known")
        .work(&output.output(), &AtomicBool::new(false))?;
    Ok(output.text())
}

/// Simulates a scenario with our policy, the original and the bounds, as in the table.
fn compared(line: &str) -> Comparison {
    let args = parse(line).expect("the flags are known");
    let chosen = args.settings.chosen(1).expect("the defaults are valid");
    let (name, about, simulation) = args
        .simulations()
        .expect("a scenario of the table")
        .remove(0);
    let policies = [
        PolicyKind::Original,
        PolicyKind::Ours,
        PolicyKind::BestDelays,
        PolicyKind::Clairvoyant,
    ];
    summary::compare(
        name,
        about,
        &simulation,
        &policies,
        &chosen,
        &AtomicBool::new(false),
    )
    .expect("no test interrupts it")
}

fn report(compared: &Comparison, kind: PolicyKind) -> &Report {
    &compared.run(kind).expect("it ran").report
}

fn within(latency: Latency) -> Duration {
    match latency {
        Latency::Within(latency) => latency,
        Latency::Failed => panic!("more than that failed"),
    }
}

#[test]
fn in_every_scenario_sets_are_accounted_for_and_read_once_and_the_tail_is_not_above_the_originals()
{
    for (letter, _) in scenarios::ALL {
        let compared = compared(letter);
        let (ours, original) = (
            report(&compared, PolicyKind::Ours),
            report(&compared, PolicyKind::Original),
        );
        assert!(
            ours.is_accounted_for(),
            "({letter}) {} written, {} failed, {} missing",
            ours.written,
            ours.failed,
            ours.read.missing
        );
        assert_eq!(ours.read.repeated, 0, "({letter})");
        // Where the disk that all streams share decides, the two differ by which streams the sets
        // began at, and so by their random latencies.
        let most = match original.latency(0.999) {
            Latency::Within(original) if letter == "i" => Latency::Within(original.mul_f64(1.02)),
            most @ (Latency::Within(_) | Latency::Failed) => most,
        };
        assert!(
            ours.latency(0.999) <= most,
            "({letter}) {:?}",
            ours.latency(0.999)
        );
        let steady = compared.steady_extra_load(compared.run(PolicyKind::Ours).expect("it ran"));
        assert!(steady <= 0.05, "({letter}) {steady} in the steady state");
    }
}

#[test]
fn with_any_share_of_stragglers_the_budget_is_spent_where_it_helps_the_tail() {
    for Stragglers { share, factor } in document::straggling() {
        let compared = compared(&format!("a --stragglers {share},{factor}"));
        let (ours, original) = (
            report(&compared, PolicyKind::Ours),
            report(&compared, PolicyKind::Original),
        );
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            let (ours, original) = (
                within(ours.latency(quantile)),
                within(original.latency(quantile)),
            );
            // Where hedges come too late to matter, the two differ by which streams the sets began
            // at, and so by their random latencies.
            let most = if quantile < 0.95 {
                original.mul_f64(1.02)
            } else {
                original
            };
            assert!(
                ours <= most,
                "{share} x {factor}, {quantile}: {ours:?}, original {original:?}"
            );
        }
        let ratio = compared
            .ratio(PolicyKind::BestDelays)
            .expect("neither fails");
        assert!(
            ratio <= 1.15,
            "{share} x {factor}: {ratio} times the best two delays"
        );
        let steady = compared.steady_extra_load(compared.run(PolicyKind::Ours).expect("it ran"));
        assert!(
            (0.049..=0.05).contains(&steady),
            "{share} x {factor}: {steady} in the steady state"
        );
    }
}

#[test]
fn a_stall_in_the_first_second_is_bridged_with_the_initial_tokens_of_the_budget() {
    for when in ["0s-1s", "200ms-1s", "500ms-5s"] {
        let compared = compared(&format!("--sets 10000 --stall 1:{when}"));
        let (ours, original) = (
            report(&compared, PolicyKind::Ours),
            report(&compared, PolicyKind::Original),
        );
        assert_eq!((ours.failed, ours.read.repeated), (0, 0), "{when}");
        for quantile in [0.9, 0.99, 0.999, 0.9999] {
            assert!(
                ours.latency(quantile) <= original.latency(quantile),
                "{when}, {quantile}: {:?}",
                ours.latency(quantile)
            );
        }
        assert!(
            within(ours.latency(0.999)) < Duration::from_millis(70),
            "{when}: {:?}",
            ours.latency(0.999)
        );
    }
}

#[test]
fn the_tail_is_near_the_best_two_delays() {
    for (letter, most) in [("a", 1.1), ("b", 1.1), ("c", 1.1), ("d", 1.1)] {
        let ratio = compared(letter)
            .ratio(PolicyKind::BestDelays)
            .expect("neither fails");
        assert!(ratio <= most, "({letter}) {ratio}");
    }
}

#[test]
fn a_brown_out_costs_no_more_than_the_budget() {
    // With room for all sets, so that the proxies are asked, and not the writer's bound on sets in
    // flight.
    let compared = compared("e --in-flight-sets 1024");
    let run = compared.run(PolicyKind::Ours).expect("it ran");
    let offered: u64 = run.report.seconds[10..20]
        .iter()
        .map(|second| second.sets)
        .sum();
    // The share of the budget, and the tokens that were saved before.
    let most = 0.05 + (100.0 + 10.0) / offered as f64;
    let extra = compared
        .extra_load_in_faults(run)
        .expect("there is a fault");
    assert!(extra <= most, "{extra} instead of {most}");
}

#[test]
fn with_one_stream_nothing_fails_early() {
    let compared = compared("g");
    let ours = report(&compared, PolicyKind::Ours);
    assert_eq!((ours.written, ours.failed), (50_000, 0));
    assert!(
        report(&compared, PolicyKind::Original).failed > 0,
        "the original does"
    );
}

#[test]
fn readers_of_sets_without_an_identity_get_duplicates() {
    let args = parse("b --sets 20000 --policy p95").expect("the flags are known");
    let chosen = args.settings.chosen(1).expect("the defaults are valid");
    let (.., simulation) = args.simulations().expect("a scenario").remove(0);
    let run = policies::run(PolicyKind::P95, &simulation, &chosen, |_| {
        core::ops::ControlFlow::Continue(())
    });
    let report = run
        .expect("no test interrupts it")
        .expect("it means something")
        .report;
    assert!(
        report.duplicates > 0 && report.read.repeated == report.duplicates,
        "the check of the merged reader can fail: {:?}",
        report.read
    );
}

#[test]
fn a_table_is_printed_as_text() {
    let text = run_sim("c --sets 2000 --policy none,ours --seed 3").expect("it runs");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("ours: budget 0.05 and 1/s"), "{text}");
    for line in &lines {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert_eq!(
        lines[2],
        "(c) one of five streams is ten times slower throughout, changed: 2000 sets, seed 3"
    );
    assert!(
        lines[3].starts_with("policy") && lines[3].ends_with("failed"),
        "{text}"
    );
    assert!(
        lines[4].starts_with("no hedging ") && lines[5].starts_with("ours "),
        "{text}"
    );
    assert_eq!(
        text,
        run_sim("c --sets 2000 --policy none,ours --seed 3").expect("it runs"),
        "the same seed gives the same figures"
    );
}

#[test]
fn each_policy_is_a_line_of_json() {
    let text = run_sim("b --sets 2000 --format json").expect("it runs");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let policies: Vec<&str> = lines
        .iter()
        .map(|line| line["policy"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        policies,
        [
            "none",
            "original",
            "p95",
            "grpc",
            "ours",
            "by-load",
            "best-delays",
            "clairvoyant"
        ]
    );
    for line in &lines {
        assert_eq!(
            (&line["scenario"], &line["seed"], &line["sets"]),
            (&Value::from("b"), &Value::from(1), &Value::from(2000))
        );
        assert!(line["p50_us"].is_u64(), "{line}");
    }
    assert!(lines[4]["counters"]["hedges_sent"].is_u64());
}

#[test]
fn results_are_saved() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let save = folder.path().join("run.json");
    run_sim(&format!("a --sets 2000 --save {}", save.display())).expect("it runs");
    let saved: Vec<Value> =
        serde_json::from_slice(&std::fs::read(&save).expect("it was saved")).expect("JSON");
    let latencies = saved[0]["latencies"].as_array().expect("every latency");
    let operations: u64 = latencies
        .iter()
        .map(|pair| pair[1].as_u64().expect("a number"))
        .sum();
    assert_eq!(operations, 2_000);
}

#[cfg(feature = "plots")]
#[test]
fn results_are_drawn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let (svg, png) = (file("tail.svg"), file("tail.png"));
    for plot in [&svg, &png] {
        run_sim(&format!("a --sets 2000 --plot {}", plot.display())).expect("it runs");
    }
    let text = std::fs::read_to_string(&svg).expect("it was drawn");
    for part in [
        "<svg",
        "latency in ms",
        "clairvoyant",
        "polyline",
        "2000 sets over 5 streams, seed 1",
    ] {
        assert!(text.contains(part), "{part}");
    }
    // The legend stands to the right of every curve.
    let right = f64::from(1_100 - 160);
    let points = text
        .lines()
        .filter(|line| line.contains("<polyline") && line.matches(',').count() > 2)
        .flat_map(|line| line.split('"').filter(|part| part.contains(',')))
        .flat_map(|points| points.split_whitespace())
        .filter_map(|point| point.split_once(','));
    let mut any = false;
    for (x, _) in points {
        let x: f64 = x.parse().unwrap_or(0.0);
        any = true;
        assert!(x < right, "{x}");
    }
    assert!(any, "there are curves");
    let bytes = std::fs::read(&png).expect("it was drawn");
    assert!(
        bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000,
        "{} bytes",
        bytes.len()
    );
}

#[test]
fn latencies_are_read_from_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("latencies.txt");
    std::fs::write(&file, "2ms 99\n40ms 1\n").expect("the folder can be written");
    let line = format!(
        "--latency recorded:{} --sets 5000 --policy none --format json",
        file.display()
    );
    let run: Value = serde_json::from_str(&run_sim(&line).expect("it runs")).expect("JSON");
    assert_eq!(run["p50_us"], 2_000);
    assert!(run["p999_us"].as_u64().expect("a latency").abs_diff(40_000) < 100);
}

#[test]
fn invalid_command_lines_are_usage_errors() {
    for (line, part) in [
        ("z", "there is no scenario 'z'"),
        ("--all --streams 3", "--all runs the scenarios unchanged"),
        (
            "a --max-speculative-timeout 2s",
            "--max-speculative-timeout is 2s",
        ),
        ("a --markdown x.md", "needs all scenarios"),
        ("a --adaptive 0.2", "0.5 to 0.9999"),
    ] {
        let error = run_sim(line).expect_err(line);
        assert_eq!(error.exit_status(), crate::EXIT_USAGE, "{line}");
        assert!(error.to_string().contains(part), "{line}: {error}");
    }
    for line in [
        "a --all",
        "a --policy best",
        "a --budget-burst 3",
        "a --sets many",
        "--all --plot x.svg",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[cfg(feature = "plots")]
#[test]
fn a_plot_that_is_neither_svg_nor_png_is_refused() {
    let error = run_sim("a --plot tail.gif").expect_err("there is no such format");
    assert_eq!(error.exit_status(), crate::EXIT_USAGE);
    let text = error.to_string();
    assert!(text.contains("neither in .svg nor in .png"), "{text}");
}

#[test]
fn an_interrupted_run_fails_and_writes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let save = folder.path().join("run.json");
    let args =
        parse(&format!("a --sets 1000000 --save {}", save.display())).expect("the flags are known");
    let error = args
        .work(&CapturedOutput::default().output(), &AtomicBool::new(true))
        .expect_err("it was interrupted");
    assert_eq!(
        (error.exit_status(), error.to_string().as_str()),
        (crate::EXIT_FAILURE, "interrupted before the end")
    );
    assert!(!save.exists());
}

#[test]
fn the_document_has_every_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("hedging.md");
    run_sim(&format!("--all --sets 1000 --markdown {}", file.display())).expect("it runs");
    let text = std::fs::read_to_string(&file).expect("it was written");
    assert!(!text.contains('{'), "a table is missing");
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("| ours | "))
            .count(),
        11,
        "a row in each table, and what it is"
    );
    for (letter, about) in scenarios::ALL {
        assert!(text.contains(&format!("| ({letter}) {about}")), "{letter}");
    }
}

#[test]
fn failures_are_later_than_any_latency() {
    assert!(Latency::Failed > Latency::Within(Duration::MAX));
}
