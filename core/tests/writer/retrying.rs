use distributedlog::writer::{Rounds, Settings};
use distributedlog_testkit::script::{Player, check};

use crate::{ms, single};

/// Canonical for R5.
#[test]
fn a_retryable_failure_moves_to_the_next_stream_at_once() {
    let counters = check(
        single().build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        3 fail 1 518
            start 2 on 1: a
        5 fail 2 lost
            start 3 on 2: a
        7 answer 3
            done a: stream 2, 1/3/0
        ",
    );
    assert_eq!(
        (counters.retries, counters.failures, counters.hedges_sent),
        (2, 2, 0)
    );
}

#[test]
fn after_all_streams_failed_the_next_round_begins_after_a_doubling_pause() {
    // R5. The pauses are jittered: between half and all of 10, 20, 40 ms.
    let settings = single()
        .rounds(Rounds {
            limit: None,
            first_backoff: ms(10),
            max_backoff: ms(40),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 1);
    player.play("0 write a\n1 fail 1 503");
    let mut failed_at = 1_000;
    for (attempt, longest) in [(2, 10_000), (3, 20_000), (4, 40_000), (5, 40_000)] {
        let retried_at = player.writer().poll_timeout().unwrap().as_micros();
        let pause = retried_at - failed_at;
        assert!(
            (longest / 2..=longest).contains(&pause),
            "attempt {attempt} after {pause} us"
        );
        failed_at = retried_at + 1_000;
        let millis = failed_at as f64 / 1e3;
        let played = player.play(&format!("{millis} fail {attempt} 503"));
        assert!(
            played[1].contains(&format!("start {attempt} on 0: a")),
            "{played:?}"
        );
    }
    // The next pause would end after the deadline.
    let played = player.play("990 fail 6 503\n1000");
    assert!(
        played
            .last()
            .unwrap()
            .contains("the request timeout passed"),
        "{played:?}"
    );
    assert!(
        played.last().unwrap().contains("(not written)"),
        "{played:?}"
    );
}

#[test]
fn the_number_of_rounds_can_be_limited() {
    let settings = single()
        .rounds(Rounds {
            limit: Some(2),
            first_backoff: ms(1),
            max_backoff: ms(1),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 2);
    player.play("0 write a\n1 fail 1 503\n2 fail 2 503");
    player.play("10\n11 fail 3 503");
    let played = player.play("12 fail 4 503");
    assert!(
        played[1]
            .contains("every stream was tried as often as the settings allow after 4 attempts"),
        "{played:?}"
    );
}

#[test]
fn while_one_stream_stalls_the_others_are_tried_round_after_round() {
    // R5: there is no use in waiting for the stalled stream until the deadline.
    let settings = single()
        .rounds(Rounds {
            limit: None,
            first_backoff: ms(10),
            max_backoff: ms(10),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 3);
    player.play("0 write a\n50\n51 fail 2 518\n52 fail 3 518");
    let played = player.play("70");
    assert!(
        played.iter().any(|line| line.contains("start 4 on 1: a")),
        "{played:?}"
    );
    let played = player.play("71 answer 4");
    assert_eq!(
        played,
        ["71 answer 4", "  cancel 1", "  done a: stream 1, 1/4/0"]
    );
}

#[test]
fn a_failure_that_belongs_to_the_record_fails_at_once() {
    // R5: the record is not sent to another stream.
    check(
        single().build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        3 fail 1 413
            failed a: the record was refused after 1 attempt (rejected); the last to fail: the \
         proxy answered TOO_LARGE_RECORD (413)
        ",
    );
}

#[test]
fn a_stream_that_denies_the_write_is_not_asked_again_and_the_set_fails_when_all_do() {
    let settings: Settings = single()
        .rounds(Rounds {
            limit: None,
            first_backoff: ms(10),
            max_backoff: ms(10),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 2);
    assert_eq!(
        player.play("0 write a\n1 fail 1 403\n2 fail 2 503")[4],
        "2 fail 2 503"
    );
    // The second round leaves the denying stream out.
    let played = player.play("20");
    assert!(
        played.iter().any(|line| line.contains("start 3 on 1: a")),
        "{played:?}"
    );
    let played = player.play("21 fail 3 403");
    assert!(
        played[1].starts_with("  failed a: the record was refused after 3 attempts (not written)"),
        "{played:?}"
    );
}

#[test]
fn a_retry_gives_its_stream_the_time_that_the_failed_one_had() {
    // R3 and R5: without that the hedge of the first attempt would follow the retry by a
    // millisecond.
    check(
        single().build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        49 fail 1 503
            start 2 on 1: a
        98
        99
            start 3 on 2: a
        100 answer 2
            cancel 3
            done a: stream 1, 1/2/0
        ",
    );
}

#[test]
fn a_transport_without_room_costs_no_attempt_and_no_round() {
    let settings = single()
        .rounds(Rounds {
            limit: Some(1),
            first_backoff: ms(10),
            max_backoff: ms(10),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 2);
    let played = player.play("0 refuse 2\n0 write a\n11");
    assert!(
        played.contains(&"  no room on 0: a".to_owned())
            && played.contains(&"  no room on 1: a".to_owned()),
        "{played:?}"
    );
    assert!(
        played.contains(&"  start 1 on 0: a".to_owned())
            || played.contains(&"  start 1 on 1: a".to_owned()),
        "{played:?}"
    );
    assert_eq!(player.play("12 answer 1").len(), 2);
    let counters = player.counters();
    assert_eq!(
        (counters.attempts, counters.retries, counters.transport_full),
        (1, 0, 2)
    );
}
