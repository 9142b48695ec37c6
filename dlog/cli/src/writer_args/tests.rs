use core::time::Duration;

use clap::Parser as _;
use distributedlog::writer::{Adaptive, Budget, Codec, Health, Order, Rounds, Window};

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    writer: WriterArgs,
}

fn settings(line: &str) -> Result<Settings, CliError> {
    Line::parse_from(core::iter::once("x").chain(line.split_whitespace()))
        .writer
        .settings()
}

#[test]
fn without_flags_the_settings_are_the_tutorials() {
    assert_eq!(
        settings("").expect("the defaults are valid"),
        Settings::tutorial()
    );
}

#[test]
fn quickstart_hedges_after_the_recommended_time_and_the_originals_console_after_the_tutorials() {
    let first = |builder: SettingsBuilder| {
        let settings = builder.build().expect("the defaults are valid");
        (settings.first_speculative_timeout(), settings.budget())
    };
    assert_eq!(
        first(Quickstart::base()),
        (Duration::from_millis(50), Budget::RECOMMENDED)
    );
    assert_eq!(
        first(Tutorial::base()),
        (Duration::from_secs(10), Budget::Off)
    );
}

#[test]
fn every_setting_has_its_flag() {
    let flags = "--request-timeout 5s --first-speculative-timeout 50ms \
                 --max-speculative-timeout 200ms --speculative-backoff-multiplier 3 \
                 --buffer-size 16384 --flush-interval 2ms --no-flush-when-idle --compression \
                 lz4 --in-flight-sets 7 --buffered-bytes 1000000 --rounds 1 --first-backoff \
                 20ms --max-backoff 30ms --seed 42 --no-hedging --order 2";
    let expected = Settings::builder()
        .original_features()
        .request_timeout(Duration::from_secs(5))
        .first_speculative_timeout(Duration::from_millis(50))
        .max_speculative_timeout(Duration::from_millis(200))
        .speculative_backoff_multiplier(3.0)
        .buffer_size(16_384)
        .flush_interval(Duration::from_millis(2))
        .flush_when_idle(false)
        .codec(Codec::Lz4)
        // One, because the order is kept.
        .in_flight_sets(7)
        .order(Order::Kept { home: 2 })
        .buffered_bytes(1_000_000)
        .rounds(Rounds {
            limit: Some(1),
            first_backoff: Duration::from_millis(20),
            max_backoff: Duration::from_millis(30),
        })
        .seed(42)
        .hedging(false)
        .build();
    assert_eq!(settings(flags).expect("valid"), expected.expect("valid"));
}

#[test]
fn record_sets_carry_an_identity_unless_it_is_switched_off() {
    let identity = |line: &str| {
        Line::parse_from(core::iter::once("x").chain(line.split_whitespace()))
            .writer
            .identity()
    };
    assert!(identity("") && !identity("--no-identity"));
}

#[test]
fn settings_at_odds_with_each_other_are_a_fault_of_the_command_line() {
    let fault = settings("--request-timeout 5s").expect_err("20 s are longer than 5 s");
    assert_eq!(fault.exit_status(), crate::EXIT_USAGE);
}

fn applied(line: &str) -> Result<SettingsBuilder, clap::Error> {
    let line = Line::try_parse_from(core::iter::once("x").chain(line.split_whitespace()))?;
    Ok(line.writer.builder().expect("numbers that fit"))
}

#[test]
fn without_flags_nothing_changes_and_with_recommended_all_of_it_does() {
    let tutorial = Settings::tutorial().to_builder();
    assert_eq!(applied("").expect("valid"), tutorial);
    assert_eq!(
        applied("--recommended").expect("valid"),
        tutorial.recommended()
    );
}

#[test]
fn every_policy_has_its_flag() {
    let flags = "--budget 0.1 --budget-per-second 3 --budget-burst 7 --health on \
                 --health-strikes 5 --health-first-backoff 50ms --health-max-backoff 4s \
                 --window 9 --adaptive 0.99 --adaptive-floor 5ms --adaptive-warm-up 100 \
                 --wait-out-stalls on";
    let (first_backoff, max_backoff) = (Duration::from_millis(50), Duration::from_secs(4));
    let expected = Settings::tutorial()
        .to_builder()
        .budget(Budget::Share {
            share: 0.1,
            per_second: 3,
            burst: 7,
        })
        .health(Health::Probation {
            strikes: 5,
            first_backoff,
            max_backoff,
        })
        .window(Window::Attempts(9))
        .adaptive(Adaptive::Quantile {
            quantile: 0.99,
            floor: Duration::from_millis(5),
            warm_up: 100,
        })
        .wait_out_stalls(true);
    assert_eq!(applied(flags).expect("valid"), expected);
    assert_eq!(
        applied("--health on").expect("valid"),
        Settings::tutorial()
            .to_builder()
            .health(Health::RECOMMENDED)
    );
    assert_eq!(
        applied("--window off").expect("valid"),
        Settings::tutorial().to_builder().window(Window::Off)
    );
}

#[test]
fn a_flag_beside_recommended_changes_its_own_setting() {
    let recommended = Settings::tutorial().to_builder().recommended();
    assert_eq!(
        applied("--recommended --health off").expect("valid"),
        recommended.health(Health::Off)
    );
    assert_eq!(
        applied("--recommended --budget off").expect("valid"),
        recommended.budget(Budget::Off)
    );
    assert_eq!(
        applied("--recommended --adaptive off").expect("valid"),
        recommended.adaptive(Adaptive::Off)
    );
    assert_eq!(
        applied("--recommended --wait-out-stalls off").expect("valid"),
        recommended.wait_out_stalls(false)
    );
}

#[test]
fn what_cannot_be_understood_or_says_nothing_alone_is_refused() {
    for (line, said) in [
        ("--budget much", "neither a number, as in 0.05, nor off"),
        (
            "--window 70000",
            "neither share, nor a number up to 65535, nor off",
        ),
        ("--budget-burst 5", "--budget <SHARE|off>"),
        ("--health-strikes 5", "--health <on|off>"),
        ("--health-max-backoff 5s", "--health <on|off>"),
        ("--adaptive-floor 5ms", "--adaptive <QUANTILE|off>"),
        ("--adaptive-warm-up 5", "--adaptive <QUANTILE|off>"),
        ("--wait-out-stalls maybe", "[possible values: on, off]"),
    ] {
        let error = applied(line).expect_err(line).to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// A flag that holds the numbers of its setting alone, with the flag of its group before it.
fn with_its_group(row: &SettingRow, value: &str) -> String {
    let (flag, group) = (flag_of(row.name), row.name.split('.').next());
    let on = match group {
        Some("health") => "--health on ",
        Some("budget") if flag != "budget" => "--budget 0.5 ",
        Some("adaptive") if flag != "adaptive" => "--adaptive 0.5 ",
        _ => "",
    };
    format!("{on}--{flag} {value}")
}

#[test]
fn a_number_that_no_setting_can_hold_is_a_usage_error_that_names_the_flag() {
    let mut refused = 0;
    let numbers = rows::<Tutorial>().filter(|row| matches!(row.unit, "count" | "bytes"));
    for row in numbers {
        let flag = format!("--{}", flag_of(row.name));
        for value in [1_u64 << 32, 9_999_999_999, u64::MAX] {
            let line = with_its_group(row, &value.to_string());
            let parsed = Line::try_parse_from(core::iter::once("x").chain(line.split(' ')));
            let error = match parsed.map(|line| line.writer.settings()) {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => {
                    assert_eq!(error.exit_status(), crate::EXIT_USAGE, "{line}");
                    error.to_string()
                }
                Err(error) => error.to_string(),
            };
            assert!(error.contains(&flag), "{line}: {error}");
            refused += 1;
        }
        let line = with_its_group(row, "18446744073709551616");
        let error = applied(&line).expect_err("more than 64 bits").to_string();
        assert!(error.contains(&flag), "{line}: {error}");
    }
    assert!(refused > 0, "no setting has fewer than 64 bits");
    assert_eq!(
        settings("--health on --health-strikes 9999999999")
            .expect_err("more than 32 bits")
            .to_string(),
        "--health-strikes is 9999999999; it is too large"
    );
}

#[test]
fn every_row_of_the_table_has_a_flag_or_is_named_as_without() {
    let command = <WriterArgs as clap::Args>::augment_args(Command::new("x"));
    let flags: Vec<&str> = command.get_arguments().filter_map(Arg::get_long).collect();
    for row in Settings::rows() {
        // `rounds` and others are the flags of their groups' first fields.
        let without = Tutorial::WITHOUT_FLAG.contains(&row.name);
        assert_eq!(flags.contains(&flag_of(row.name)), !without, "{}", row.name);
    }
}
