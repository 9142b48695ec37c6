//! Proxies that drop copies of sets before they store them, and tied attempts.

use core::ops::ControlFlow;
use core::time::Duration;

use distributedlog::writer::{Choice, Settings, SettingsBuilder};
use distributedlog_sim::{Arrivals, Drops, Latency, Ours, Report, Scenario, Simulation, scenarios};

fn named(letter: &str) -> Scenario {
    let scenario = scenarios::named(letter).expect("it is one of the table");
    scenario.1.with_sets(20_000)
}

/// Streams of which each processes four sets at a time, near their capacity.
fn busy() -> Scenario {
    let arrivals = Arrivals {
        per_second: 3_600.0,
        fan_out: 1,
        bursts: None,
    };
    Scenario {
        arrivals,
        ..named("f")
    }
}

/// The defaults with the original's request timeout, as `dlog sim` has them.
fn settings() -> SettingsBuilder {
    Settings::builder().request_timeout(Settings::original().request_timeout())
}

fn run(scenario: Scenario, drops: Drops) -> Report {
    let settings = settings().build().expect("the defaults are valid");
    run_with(scenario, drops, settings)
}

fn run_with(scenario: Scenario, drops: Drops, settings: Settings) -> Report {
    let mut ours = Ours::new(scenario.streams, settings).expect("a valid number of streams");
    Simulation::new(scenario, 1)
        .expect("a valid scenario")
        .with_drops(drops)
        .run(&mut ours, &mut (), |_| ControlFlow::Continue(()))
        .expect("it is not stopped")
}

const fn tied(late: bool) -> Drops {
    Drops::Tied { proxies: 1, late }
}

#[test]
fn cancelled_attempts_that_wait_are_dropped_and_no_set_is_lost() {
    let (nothing, cancelled) = (run(busy(), Drops::Nothing), run(busy(), Drops::Cancelled));
    assert_eq!(
        (nothing.dropped, nothing.failed, cancelled.failed),
        (0, 0, 0)
    );
    assert!(cancelled.dropped > 0);
    assert!(cancelled.duplicates < nothing.duplicates);
    assert!(cancelled.latency(0.999) < nothing.latency(0.999));
    for report in [nothing, cancelled] {
        assert_eq!(report.written, 20_000);
        assert_eq!((report.read.delivered, report.read.missing), (20_000, 0));
    }
}

#[test]
fn tied_attempts_save_few_copies_beyond_those_that_are_cancelled() {
    let (cancelled, tied) = (run(busy(), Drops::Cancelled), run(busy(), tied(false)));
    assert_eq!(tied.read.missing, 0);
    let saved = cancelled.duplicates.saturating_sub(tied.duplicates);
    assert!(
        saved * 10 < cancelled.duplicates,
        "{saved} of {}",
        cancelled.duplicates
    );
}

#[test]
fn dropping_an_attempt_behind_one_that_has_begun_takes_the_hedge_with_the_copy() {
    let (nothing, late) = (run(named("a"), Drops::Nothing), run(named("a"), tied(true)));
    assert_eq!(late.duplicates, 0);
    assert!(nothing.latency(0.999) < Latency::Within(Duration::from_millis(50)));
    assert!(late.latency(0.999) > Latency::Within(Duration::from_millis(90)));
}

#[test]
fn choice_by_load_shortens_the_tail_where_streams_are_busy() {
    let by = |choice| {
        let settings = settings().choice(choice).build();
        let settings = settings.expect("the choice is valid with the defaults");
        run_with(busy(), Drops::Nothing, settings)
    };
    let (turn, load) = (by(Choice::Turn), by(Choice::Load));
    assert!(load.latency(0.99) < turn.latency(0.99));
    assert_eq!((turn.failed, load.failed), (0, 0));
}
