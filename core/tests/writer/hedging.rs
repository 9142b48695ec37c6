use distributedlog::writer::{Adaptive, MAX_OUTSTANDING, Settings};
use distributedlog::{Dlsn, Instant};
use distributedlog_testkit::script::{Player, check};

use crate::{ms, single};

/// Canonical for R3.
#[test]
fn speculative_timeouts_grow_within_a_request_and_are_reset_for_the_next() {
    check(
        single().max_speculative_timeout(ms(150)).build().unwrap(),
        6,
        "
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        150
            start 3 on 2: a
        300
            start 4 on 3: a
        450
            start 5 on 4: a
        500 answer 1
            cancel 2
            cancel 3
            cancel 4
            cancel 5
            done a: stream 0, 1/1/0
        500 write b
            start 6 on 1: b
        550
            start 7 on 2: b
        560 answer 7
            cancel 6
            done b: stream 2, 1/7/0
        ",
    );
}

#[test]
fn each_set_has_its_own_schedule() {
    // R3: the second set's first hedge is sent 50 ms after its own first attempt, though the first
    // set's timeout has doubled twice.
    check(
        single().build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        140 write b
            start 3 on 1: b
        150
            start 4 on 2: a
        190
            start 5 on 2: b
        191 answer 4
            cancel 1
            cancel 2
            done a: stream 2, 1/4/0
        192 answer 5
            cancel 3
            done b: stream 2, 1/5/0
        ",
    );
}

#[test]
fn with_one_stream_nothing_is_hedged_and_a_slow_write_succeeds() {
    check(
        single().build().unwrap(),
        1,
        "
        0 write a
            start 1 on 0: a
        900 answer 1
            done a: stream 0, 1/1/0
        ",
    );
}

#[test]
fn a_late_timer_causes_one_hedge_for_each_set() {
    check(
        single().build().unwrap(),
        5,
        "
        0 write a
            start 1 on 0: a
        0 write b
            start 2 on 1: b
        // The laptop sleeps. Three hedges of each set were due in the meantime.
        800 sleep
            start 3 on 1: a
            start 4 on 2: b
        // The schedule continues from now.
        899
        900
            start 5 on 2: a
            start 6 on 3: b
        901 answer 5
            cancel 1
            cancel 3
            done a: stream 2, 1/5/0
        902 answer 6
            cancel 2
            cancel 4
            done b: stream 3, 1/6/0
        ",
    );
}

#[test]
fn a_timer_that_is_later_than_the_deadline_hedges_nothing() {
    check(
        single().build().unwrap(),
        5,
        "
        0 write a
            start 1 on 0: a
        60000 sleep
            cancel 1
            failed a: the request timeout passed after 1 attempt (unknown whether written)
        ",
    );
}

#[test]
fn an_answer_that_has_arrived_is_handled_before_a_late_timer() {
    // The driver passes answers to the machine before timers; the player does so as documented.
    let mut player = Player::new(single().build().unwrap(), 5);
    player.play("0 write a");
    let (now, attempt) = (Instant::from_millis(60_000), player.attempt(1));
    player
        .writer()
        .handle_finished(now, attempt, Ok(Dlsn::INITIAL));
    assert_eq!(
        player.play("60000 sleep"),
        ["60000 sleep", "  done a: stream 0, 1/0/0"]
    );
}

#[test]
fn no_more_attempts_of_a_set_are_outstanding_than_the_table_holds() {
    let settings = single()
        .request_timeout(ms(2_000))
        .max_speculative_timeout(ms(50))
        .build()
        .unwrap();
    let mut player = Player::new(settings, 12);
    player.play("0 write a\n1900");
    assert_eq!(player.counters().attempts, MAX_OUTSTANDING as u64);
    // If one fails, the next stream takes its place.
    player.play("1901 fail 3 503");
    assert_eq!(player.counters().attempts, MAX_OUTSTANDING as u64 + 1);
    let played = player.play("2000");
    assert_eq!(
        played.iter().filter(|line| line.contains("cancel")).count(),
        MAX_OUTSTANDING
    );
}

#[test]
fn without_hedging_only_a_failure_sends_a_set_to_the_next_stream() {
    // The speculative timeouts are the defaults, of which one is above this request timeout. They
    // have no effect here.
    let settings = single()
        .hedging(false)
        .request_timeout(ms(150))
        .build()
        .unwrap();
    check(
        settings,
        3,
        "
        0 write a
            start 1 on 0: a
        100 fail 1 503
            start 2 on 1: a
        149 answer 2
            done a: stream 1, 1/2/0
        149 write b
            start 3 on 1: b
        299
            cancel 3
            failed b: the request timeout passed after 1 attempt (unknown whether written)
        ",
    );
}

/// Canonical for R10.
#[test]
fn the_speculative_timeout_follows_the_latency_once_it_is_warm() {
    let settings: Settings = single()
        .adaptive(Adaptive::Quantile {
            quantile: 0.9,
            floor: ms(1),
            warm_up: 3,
        })
        .build()
        .unwrap();
    check(
        settings,
        2,
        "
        0 write a
            start 1 on 0: a
        10 answer 1
            done a: stream 0, 1/1/0
        10 write b
            start 2 on 1: b
        20 answer 2
            done b: stream 1, 1/2/0
        20 write c
            start 3 on 0: c
        30 answer 3
            done c: stream 0, 1/3/0
        30 write d
            start 4 on 1: d
        40 answer 4
            done d: stream 1, 1/4/0
        40 write e
            start 5 on 0: e
        50 answer 5
            done e: stream 0, 1/5/0
        50 write f
            start 6 on 1: f
        60 answer 6
            done f: stream 1, 1/6/0
        // Ten milliseconds lie in a bucket from 8.192 to 10.24 ms: of latencies spread evenly in \
         it, a tenth is longer than 10.048 ms.
        60 write g
            start 7 on 0: g
        70.048
            start 8 on 1: g
        71 answer 7
            cancel 8
            done g: stream 0, 1/7/0
        ",
    );
}

#[test]
fn a_set_that_was_hedged_waits_for_a_quantile_half_as_rare_before_it_is_hedged_again() {
    let settings: Settings = single()
        .adaptive(Adaptive::Quantile {
            quantile: 0.9,
            floor: ms(1),
            warm_up: 3,
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 4);
    let mut now = 0;
    for number in 1..=12 {
        player.play(&format!(
            "{now} write r{number}\n{} answer {number}",
            now + 10
        ));
        now += 10;
    }
    // A tenth of the latencies, a fifth, two fifths: 10.048, 9.84 and 9.424 ms, each from the
    // attempt before.
    let played = player.play(&format!("{now} write x\n200"));
    let expected = "start 13 on 0: x|130.048|start 14 on 1: x|139.888|start 15 on 2: \
                    x|149.312|start 16 on 3: x";
    let played: Vec<_> = played[1..played.len() - 1]
        .iter()
        .map(|line| line.trim())
        .collect();
    assert_eq!(played.join("|"), expected);
}
