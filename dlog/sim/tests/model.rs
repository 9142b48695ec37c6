//! The simulator of hedging policies: what streams do, what the models do, and the bounds.

use core::ops::ControlFlow;
use core::time::Duration;

use distributedlog::writer::{Adaptive, Budget, Settings};
use distributedlog::{Instant, StreamIndex};
use distributedlog_sim::{
    Actions, AttemptOutcome, AttemptStart, BestDelays, Capacity, Clairvoyant, Distribution, Fault,
    FaultKind, Grpc, GrpcSettings, Latency, MergedReader, Original, Ours, Percentile,
    PercentileSettings, Policy, Recorded, Report, Scenario, SharedStalls, Simulation, Unhedged,
    scenarios,
};

const MS: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_millis(500);

/// Five streams that take exactly 5 ms, and 10 s of 1,000 sets each.
fn steady() -> Scenario {
    let (_, scenario) = scenarios::named("a").expect("it is one of the table");
    Scenario {
        latency: Distribution::Constant(MS * 5),
        stragglers: None,
        sets: 10_000,
        ..scenario
    }
}

fn fault(stream: u16, from: Duration, until: Option<Duration>, kind: FaultKind) -> Vec<Fault> {
    vec![Fault {
        stream: Some(stream),
        from,
        until,
        kind,
    }]
}

fn simulation(scenario: Scenario) -> Simulation {
    Simulation::new(scenario, 1).expect("a valid scenario")
}

fn run(scenario: Scenario, mut policy: impl Policy) -> Report {
    simulation(scenario)
        .run(&mut policy, &mut (), |_| ControlFlow::Continue(()))
        .expect("nobody stops it")
}

fn ours() -> Ours {
    let settings = Settings::builder()
        .recommended()
        .request_timeout(TIMEOUT)
        .build()
        .expect("valid");
    Ours::new(5, settings).expect("five streams")
}

fn within(report: &Report, quantile: f64) -> Duration {
    match report.latency(quantile) {
        Latency::Within(latency) => latency,
        Latency::Failed => panic!("the quantile {quantile} failed"),
    }
}

/// The histogram keeps three digits.
fn about(latency: Duration, expected: Duration) -> bool {
    latency.abs_diff(expected) <= expected / 500
}

#[test]
fn healthy_streams_take_the_latency_of_the_scenario() {
    let report = run(steady(), Unhedged::new(5, TIMEOUT));
    assert_eq!(
        (
            report.sets,
            report.written,
            report.failed,
            report.attempts,
            report.duplicates
        ),
        (10_000, 10_000, 0, 10_000, 0)
    );
    assert!(about(within(&report, 0.0001), MS * 5) && about(within(&report, 1.0), MS * 5));
    assert_eq!(report.read.delivered, 10_000);
}

#[test]
fn a_stall_delays_the_work_of_a_stream_until_it_ends() {
    let scenario = Scenario {
        faults: fault(0, MS * 1_000, Some(MS * 1_400), FaultKind::Stall),
        ..steady()
    };
    let report = run(scenario, Unhedged::new(5, TIMEOUT));
    assert_eq!(report.failed, 0);
    let longest = within(&report, 1.0);
    assert!(longest > MS * 395 && longest < MS * 410, "{longest:?}");
}

#[test]
fn attempts_at_an_owner_that_goes_have_no_outcome_and_some_are_stored() {
    let scenario = Scenario {
        faults: fault(0, MS * 1_000, Some(MS * 2_000), FaultKind::Failover),
        ..steady()
    };
    let mut stored = 0;
    struct Counting<'a>(&'a mut u64);
    impl MergedReader for Counting<'_> {
        fn handle_stored(
            &mut self,
            _: StreamIndex,
            _: u64,
            _: Option<distributedlog::wire::record_set::SetIdentity>,
        ) -> bool {
            *self.0 += 1;
            true
        }
    }
    let mut policy = Unhedged::new(5, TIMEOUT);
    let report = simulation(scenario)
        .run(&mut policy, &mut Counting(&mut stored), |_| {
            ControlFlow::Continue(())
        })
        .expect("to its end");
    // A fifth of the sets of one second.
    assert!((150..250).contains(&report.failed), "{}", report.failed);
    let left_behind = stored - report.written;
    assert!(
        left_behind < 5,
        "at most what was under way when the owner went: {left_behind}"
    );
}

#[test]
fn a_queue_makes_sets_wait_and_a_full_queue_refuses_them() {
    // 5 streams with one worker and 5 ms each: 1,000 sets a second at most, and 2,000 are offered.
    let capacity = Some(Capacity {
        workers: 1,
        queue: 10,
    });
    let mut scenario = Scenario {
        capacity,
        ..steady()
    };
    scenario.arrivals.per_second = 2_000.0;
    let report = run(scenario, Unhedged::new(5, TIMEOUT));
    let share = report.written as f64 / report.sets as f64;
    assert!(
        (0.48..0.56).contains(&share),
        "half of what is offered can be done: {share}"
    );
    // Ten wait, one is worked at, and its own turn; and a millisecond for each stream that had no
    // room.
    assert!(
        within(&report, 0.4) <= MS * 62,
        "{:?}",
        within(&report, 0.4)
    );
    assert_eq!(report.latency(0.9), Latency::Failed);
}

#[test]
fn lost_attempts_have_no_outcome_and_half_of_them_are_stored() {
    let report = run(
        Scenario {
            loss: 0.1,
            ..steady()
        },
        Unhedged::new(5, TIMEOUT),
    );
    assert!((900..1_100).contains(&report.failed), "{}", report.failed);
    let stored = report.read.delivered - report.written;
    assert!((400..600).contains(&stored), "{stored}");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another_one() {
    let (_, scenario) = scenarios::named("b").expect("it is one of the table");
    let with = |seed| {
        let simulation = Simulation::new(scenario.clone().with_sets(20_000), seed).expect("valid");
        simulation
            .run(&mut ours(), &mut (), |_| ControlFlow::Continue(()))
            .expect("to its end")
    };
    assert_eq!(with(7), with(7));
    assert_ne!(with(7), with(8));
}

#[test]
fn the_writer_spends_at_most_its_budget_with_any_number_of_slow_attempts() {
    // As many stragglers as the budget pays hedges for, and hedges that straggle.
    let (_, scenario) = scenarios::named("a").expect("it is one of the table");
    let report = run(scenario.with_sets(10_000), ours());
    let Budget::Share {
        share,
        per_second,
        burst,
    } = Budget::RECOMMENDED
    else {
        panic!("there is a budget")
    };
    let most = f64::from(share) * 10_000.0 + f64::from(per_second) * 11.0 + f64::from(burst);
    assert!(
        report.attempts as f64 - 10_000.0 <= most,
        "{} attempts",
        report.attempts
    );
    assert!(
        report.attempts > 10_400,
        "it does hedge: {}",
        report.attempts
    );
    assert_eq!(report.failed, 0);
}

#[test]
fn without_a_wait_a_set_fails_at_once_when_too_many_are_in_flight() {
    let stall = Fault {
        stream: None,
        from: Duration::ZERO,
        until: Some(MS * 1_000),
        kind: FaultKind::Stall,
    };
    let with = |max_wait| {
        let settings = Settings::builder()
            .recommended()
            .request_timeout(TIMEOUT)
            .in_flight_sets(100)
            .build()
            .expect("valid");
        run(
            Scenario {
                faults: vec![stall],
                ..steady()
            }
            .with_sets(400),
            Ours::new(5, settings)
                .expect("five streams")
                .with_max_wait(max_wait),
        )
    };
    let (refused, waited) = (with(Duration::ZERO), with(TIMEOUT));
    assert!(
        refused.attempts < waited.attempts,
        "{} {}",
        refused.attempts,
        waited.attempts
    );
    assert_eq!(
        (refused.failed, waited.written + waited.failed),
        (400, 400),
        "all that fly stall for longer than they may"
    );
}

#[test]
fn a_run_stops_when_watch_stops_it() {
    let mut told = 0;
    let stopped = simulation(steady().with_sets(1_000_000)).run(&mut ours(), &mut (), |sets| {
        told = sets;
        ControlFlow::Break(())
    });
    assert!(stopped.is_err() && told > 0 && told < 1_000_000);
}

/// Takes the attempts of the last call; returns their streams.
fn streams(actions: &mut Actions) -> Vec<u16> {
    actions
        .starts
        .drain(..)
        .map(|AttemptStart { stream, .. }| stream.0)
        .collect()
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn the_originals_timeout_grows_with_every_set_and_is_never_reset() {
    let mut original = Original::new(5, TIMEOUT, MS * 50, MS * 200, 2.0);
    let mut actions = Actions::default();
    for (set, expected) in [(0, 50), (1, 100), (2, 200), (3, 200)] {
        original.handle_set(at(0), set, &mut actions);
        let stream = actions.starts.pop().expect("it is sent").stream;
        let timers = original.poll_timeout();
        assert_eq!(timers, Some(at(expected)), "set {set}");
        // The outcome comes at once, so its timer has no effect.
        original.handle_outcome(
            at(0),
            AttemptOutcome {
                set,
                stream,
                attempt: 0,
                stored: true,
            },
            &mut actions,
        );
        original.handle_timeout(at(expected), &mut actions);
        assert!(actions.starts.is_empty());
    }
}

#[test]
fn the_original_fails_a_set_while_its_attempts_are_outstanding() {
    let mut original = Original::new(2, TIMEOUT, MS * 50, MS * 200, 2.0);
    let mut actions = Actions::default();
    original.handle_set(at(0), 0, &mut actions);
    original.handle_timeout(at(50), &mut actions);
    assert_eq!(
        (streams(&mut actions), actions.ended.len()),
        (vec![0, 1], 0)
    );
    original.handle_timeout(at(150), &mut actions);
    assert_eq!(actions.ended, [(0, false)]);
}

#[test]
fn grpc_hedges_at_its_cadence_and_stops_when_failures_took_its_tokens() {
    let mut grpc = Grpc::new(5, TIMEOUT, GrpcSettings::default());
    let mut actions = Actions::default();
    grpc.handle_set(at(0), 0, &mut actions);
    for millis in [10, 20, 30, 40, 50] {
        grpc.handle_timeout(at(millis), &mut actions);
    }
    assert_eq!(streams(&mut actions), [0, 1, 2, 3], "four attempts in all");
    // Each failure takes a token of ten; from the fifth on there is no hedge, not even after a
    // failure.
    for set in 1..=5 {
        grpc.handle_set(at(60), set, &mut actions);
        let stream = actions
            .starts
            .drain(..)
            .next_back()
            .expect("it is sent")
            .stream;
        grpc.handle_outcome(
            at(60),
            AttemptOutcome {
                set,
                stream,
                attempt: 0,
                stored: false,
            },
            &mut actions,
        );
        assert_eq!(
            streams(&mut actions).len(),
            usize::from(set < 5),
            "set {set}"
        );
    }
    assert_eq!(actions.ended, [(5, false)], "the fifth has no attempt left");
}

#[test]
fn one_hedge_is_sent_after_the_percentile_and_the_first_outcome_counts() {
    let settings = PercentileSettings {
        min_data_points: 10,
        ..PercentileSettings::default()
    };
    let mut percentile = Percentile::new(5, TIMEOUT, settings);
    let mut actions = Actions::default();
    for set in 0..20 {
        percentile.handle_set(at(set), set, &mut actions);
        percentile.handle_outcome(
            at(set + 5),
            AttemptOutcome {
                set,
                stream: StreamIndex(0),
                attempt: 0,
                stored: true,
            },
            &mut actions,
        );
    }
    actions = Actions::default();
    percentile.handle_set(at(1_500), 20, &mut actions);
    percentile.handle_timeout(at(1_504), &mut actions);
    assert_eq!(streams(&mut actions).len(), 1, "the first attempt only");
    percentile.handle_timeout(at(1_505), &mut actions);
    percentile.handle_timeout(at(1_900), &mut actions);
    assert_eq!(streams(&mut actions).len(), 1, "one hedge");
    percentile.handle_outcome(
        at(1_901),
        AttemptOutcome {
            set: 20,
            stream: StreamIndex(1),
            attempt: 1,
            stored: false,
        },
        &mut actions,
    );
    assert_eq!(actions.ended, [(20, false)]);
}

#[test]
fn the_bounds_are_in_order_and_cost_no_more_than_they_may() {
    let (_, scenario) = scenarios::named("a").expect("it is one of the table");
    let simulation = simulation(scenario.with_sets(20_000));
    let clairvoyant = Clairvoyant { share: 0.05 }
        .bound(&simulation)
        .expect("nothing depends on the load");
    let unlimited = Clairvoyant {
        share: f64::INFINITY,
    }
    .bound(&simulation)
    .expect("nothing depends on the load");
    let (delays, [first, second]) = BestDelays { share: 0.05 }
        .bound(&simulation)
        .expect("nothing depends on the load");
    let unhedged = simulation
        .run(&mut Unhedged::new(5, TIMEOUT), &mut (), |_| {
            ControlFlow::Continue(())
        })
        .expect("to its end");
    for quantile in [0.5, 0.99, 0.999] {
        assert!(unlimited.latency(quantile) <= clairvoyant.latency(quantile));
        assert!(clairvoyant.latency(quantile) <= delays.latency(quantile));
        assert!(delays.latency(quantile) <= unhedged.latency(quantile));
    }
    assert!(clairvoyant.extra_load() <= 0.05 && delays.extra_load() <= 0.05);
    assert!(first < second);
}

#[test]
fn there_is_no_bound_where_latencies_depend_on_the_load() {
    let (_, scenario) = scenarios::named("e").expect("it is one of the table");
    let simulation = simulation(scenario);
    assert!(
        Clairvoyant { share: 0.05 }.bound(&simulation).is_none()
            && BestDelays { share: 0.05 }.bound(&simulation).is_none()
    );
}

#[test]
fn operations_of_many_sets_take_as_long_as_their_slowest() {
    let mut scenario = Scenario {
        faults: fault(4, Duration::ZERO, None, FaultKind::Slow(4.0)),
        ..steady()
    };
    scenario.arrivals.fan_out = 5;
    let report = run(scenario, Unhedged::new(5, TIMEOUT));
    assert_eq!(report.operations(), 2_000);
    assert!(
        about(within(&report, 0.5), MS * 20),
        "{:?}",
        within(&report, 0.5)
    );
}

/// Runs the scenario without hedges and with one after the 95th percentile; returns the 99th
/// percentile of both.
fn p99_without_and_with_hedges(scenario: &Scenario) -> [Duration; 2] {
    let streams = scenario.streams;
    let hedged = Percentile::new(streams, TIMEOUT, PercentileSettings::default());
    let unhedged = run(scenario.clone(), Unhedged::new(streams, TIMEOUT));
    let hedged = run(scenario.clone(), hedged);
    [unhedged, hedged].map(|report| within(&report, 0.99))
}

#[test]
fn hedges_win_nothing_while_the_disk_that_all_streams_share_stalls() {
    let (_, shared) = scenarios::named("i").expect("it is one of the table");
    let [unhedged, hedged] = p99_without_and_with_hedges(&shared);
    assert!(
        hedged > unhedged.mul_f64(0.9),
        "{hedged:?}, {unhedged:?} without"
    );
    let separate = Scenario {
        domains: 0,
        ..shared
    };
    let [unhedged, hedged] = p99_without_and_with_hedges(&separate);
    assert!(
        hedged < unhedged / 2,
        "{hedged:?}, {unhedged:?} without: each stream has a disk of its own"
    );
}

#[test]
fn a_stall_holds_up_the_streams_of_its_domain_and_no_other() {
    // Two sets at a time. If both streams have one disk, both are slow at once, and half as many
    // operations are slow as with two disks.
    let slow = |domains| {
        let mut scenario = Scenario {
            streams: 2,
            domains,
            shared_stalls: Some(SharedStalls {
                every: MS * 200,
                length: MS * 20,
            }),
            ..steady()
        };
        scenario.arrivals.fan_out = 2;
        let report = run(scenario, Unhedged::new(2, TIMEOUT));
        let slow = report.latencies().filter(|(latency, _)| *latency > MS * 6);
        slow.map(|(_, count)| count).sum::<u64>()
    };
    let (one, two) = (slow(1), slow(2));
    assert!(
        one > 200 && (1.4..2.6).contains(&(two as f64 / one as f64)),
        "{one} with one disk, {two} with two"
    );
}

#[test]
fn a_tail_that_was_recorded_in_time_is_shared_by_the_streams_of_a_domain() {
    // An attempt every 5 ms; three of a hundred meet a stall.
    let text = |number: u64| {
        let latency = match number % 100 {
            0 | 1 => 20_000,
            2 => 15_000,
            _ => 500,
        };
        format!("@{} {latency}\n", 5_000 * number)
    };
    let text: String = (0..2_000).map(text).collect();
    let recorded = Recorded::parse(&text).expect("it is valid");
    let scenario = |domains| Scenario {
        latency: Distribution::Recorded(recorded.clone()),
        domains,
        ..steady()
    };
    let [unhedged, hedged] = p99_without_and_with_hedges(&scenario(1));
    assert!(about(unhedged, MS * 20), "{unhedged:?}");
    assert!(hedged > MS * 15, "{hedged:?}: a hedge meets the same stall");
    let [_, hedged] = p99_without_and_with_hedges(&scenario(0));
    assert!(hedged < MS * 5, "{hedged:?}: a hedge meets another disk");
}

#[test]
fn a_writer_that_knows_which_streams_share_a_disk_hedges_to_another_one_and_wins() {
    // Six streams on two disks, and hardly ever two sets in flight: silence shows nothing.
    let (_, mut scenario) = scenarios::named("j").expect("it is in the table");
    (scenario.arrivals.per_second, scenario.sets) = (50.0, 20_000);
    // Hedges after a time that only stalls reach, so that they alone are counted.
    let settings = Settings::builder()
        .adaptive(Adaptive::Off)
        .first_speculative_timeout(MS * 5)
        .request_timeout(TIMEOUT)
        .build()
        .expect("valid");
    let run = |known| {
        let ours = Ours::new(scenario.streams, settings).expect("six streams");
        let mut ours = ours.with_domains(known);
        let report = simulation(scenario.clone())
            .run(&mut ours, &mut (), |_| ControlFlow::Continue(()))
            .expect("nobody stops it");
        let counters = ours.counters();
        let won = counters.hedges_won as f64 / counters.hedges_sent as f64;
        (won, within(&report, 0.99))
    };
    let (hidden, known) = (run(0), run(scenario.domains));
    assert!(
        known.0 > hidden.0 + 0.1 && known.1 <= hidden.1,
        "{known:?}, {hidden:?} if it does not know the disks"
    );
}
