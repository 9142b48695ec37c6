use distributedlog::writer::{Reason, Settings};
use distributedlog_testkit::script::{Player, check};

use crate::{ms, single};

/// Canonical for R1.
#[test]
fn a_write_that_is_never_answered_fails_at_its_deadline() {
    let settings = single()
        .first_speculative_timeout(ms(400))
        .max_speculative_timeout(ms(400))
        .build()
        .unwrap();
    check(
        settings,
        2,
        "
        0 write a
            start 1 on 0: a
        400
            start 2 on 1: a
        999
        1000
            cancel 1
            cancel 2
            failed a: the request timeout passed after 2 attempts (unknown whether written)
        ",
    );
}

#[test]
fn time_in_the_buffer_is_part_of_the_request_timeout() {
    // R1. The second record is 300 ms younger than the first and gets its own full second.
    let settings = Settings::builder()
        .original_features()
        .buffer_size(100)
        .flush_interval(ms(400))
        .flush_when_idle(false)
        .request_timeout(ms(1_000))
        .first_speculative_timeout(ms(900))
        .max_speculative_timeout(ms(900))
        .build()
        .unwrap();
    check(
        settings,
        1,
        "
        0 write a
        300 write b
        400
            start 1 on 0: a b
        1000
            failed a: the request timeout passed after 1 attempt (unknown whether written)
        1200 answer 1
            done b: stream 0, 1/1/1
        ",
    );
}

#[test]
fn a_record_that_expires_in_the_buffer_is_removed_from_its_set_and_not_written() {
    // R1: without a flush and without a timer. A record that is reported as not written must not be
    // written later.
    let settings = Settings::builder()
        .original_features()
        .buffer_size(1_000)
        .flush_interval(ms(0))
        .flush_when_idle(false)
        .request_timeout(ms(1_000))
        .build()
        .unwrap();
    check(
        settings,
        1,
        "
        0 write a
        500 write b
        600 write c
        1000
            failed a: the request timeout passed after 0 attempts (not written)
        1100 flush
            start 1 on 0: b c
        1200 answer 1
            done b: stream 0, 1/1/0
            done c: stream 0, 1/1/1
            flushed
        1300 write d
        2300 flush
            failed d: the request timeout passed after 0 attempts (not written)
            flushed
        ",
    );
}

/// Canonical for R2.
#[test]
fn a_set_fails_early_only_when_nothing_is_outstanding_and_no_attempt_is_allowed() {
    let settings = Settings::original()
        .to_builder()
        .buffer_size(0)
        .build()
        .unwrap();
    check(
        settings,
        3,
        "
        0 write a
            start 1 on 0: a
        1 fail 1 503
            start 2 on 1: a
        2 fail 2 503
            start 3 on 2: a
        // The third stream is still outstanding and may succeed.
        300 answer 3
            done a: stream 2, 1/3/0
        300 write b
            start 4 on 1: b
        301 fail 4 503
            start 5 on 2: b
        302 fail 5 503
            start 6 on 0: b
        303 fail 6 503
            failed b: every stream was tried as often as the settings allow after 3 attempts (not \
         written); the last to fail: the proxy answered SERVICE_UNAVAILABLE (503)
        ",
    );
}

/// Canonical for R11.
#[test]
fn losing_attempts_are_cancelled_and_their_late_answers_change_nothing() {
    let counters = check(
        single().build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        150
            start 3 on 2: a
        160 answer 2
            cancel 1
            cancel 3
            done a: stream 1, 1/2/0
        170 answer 1
        180 fail 3 503
        190 answer 2
        2000
        ",
    );
    assert_eq!((counters.cancelled, counters.late_answers), (2, 3));
    assert_eq!(
        (
            counters.hedges_sent,
            counters.hedges_won,
            counters.hedges_wasted
        ),
        (2, 1, 1)
    );
}

#[test]
fn every_record_has_the_position_of_its_index_in_the_set() {
    let settings = Settings::builder()
        .original_features()
        .buffer_size(16 + 3 * 5)
        .flush_when_idle(false)
        .build()
        .unwrap();
    check(
        settings,
        1,
        "
        0 write a
        0 write b
        0 write c
            start 1 on 0: a b c
        1 answer 1 7
            done a: stream 0, 1/7/0
            done b: stream 0, 1/7/1
            done c: stream 0, 1/7/2
        ",
    );
}

/// Canonical for R14, in the state machine.
#[test]
fn a_forgotten_record_is_written_with_its_set_and_its_slot_is_free_afterwards() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .pending_records(3)
        .build()
        .unwrap();
    let mut player = Player::new(settings, 1);
    let played = player.play(
        "
        0 write a
        0 write b
        0 write c
        0 write d
        1 forget b
        2
        3 answer 1
        ",
    );
    assert_eq!(
        played,
        [
            "0 write a",
            "0 write b",
            "0 write c",
            "0 write d",
            "  refused d: the writer has no room for the record at the moment",
            "1 forget b",
            "2",
            "  start 1 on 0: a b c",
            "3 answer 1",
            "  done a: stream 0, 1/1/0",
            "  done c: stream 0, 1/1/2",
        ]
    );
    assert_eq!(player.writer().free_record_slots(), 3);
    assert_eq!(player.writer().buffered_bytes(), 0);
}

#[test]
fn a_failure_says_what_is_known_of_the_record() {
    // Every row of the table "what is known of a record", on a writer of one stream and one round.
    let settings = Settings::original()
        .to_builder()
        .buffer_size(0)
        .build()
        .unwrap();
    for (answer, reason, known) in [
        ("413", Reason::Refused, "rejected"),
        ("403", Reason::Refused, "not written"),
        ("501", Reason::Refused, "not written"),
        ("523", Reason::Refused, "not written"),
        ("602", Reason::Refused, "not written"),
        ("506", Reason::Exhausted, "not written"),
        ("509", Reason::Exhausted, "not written"),
        ("513", Reason::Exhausted, "not written"),
        ("517", Reason::Exhausted, "not written"),
        ("518", Reason::Exhausted, "not written"),
        ("503", Reason::Exhausted, "not written"),
        ("519", Reason::Exhausted, "not written"),
        ("524", Reason::Exhausted, "not written"),
        ("301", Reason::Exhausted, "unknown whether written"),
        ("504", Reason::Exhausted, "unknown whether written"),
        ("516", Reason::Exhausted, "unknown whether written"),
        ("500", Reason::Exhausted, "unknown whether written"),
        ("514", Reason::Exhausted, "unknown whether written"),
        ("9999", Reason::Exhausted, "unknown whether written"),
        ("unreachable", Reason::Exhausted, "not written"),
        ("lost", Reason::Exhausted, "unknown whether written"),
        ("timeout", Reason::Exhausted, "unknown whether written"),
    ] {
        let played = Player::new(settings, 1).play(&format!("0 write a\n1 fail 1 {answer}"));
        let said = played.last().unwrap();
        assert!(said.contains(&format!("({known})")), "{answer}: {said}");
        assert_eq!(
            said.contains("refused"),
            reason == Reason::Refused,
            "{answer}: {said}"
        );
    }
}

#[test]
fn a_record_is_not_called_unwritten_once_one_attempt_may_have_written_it() {
    let settings = Settings::original()
        .to_builder()
        .buffer_size(0)
        .build()
        .unwrap();
    check(
        settings,
        2,
        "
        0 write a
            start 1 on 0: a
        1 fail 1 lost
            start 2 on 1: a
        2 fail 2 unreachable
            failed a: every stream was tried as often as the settings allow after 2 attempts \
         (unknown whether written); the last to fail: no proxy could be reached
        3 write b
            start 3 on 1: b
        4 fail 3 lost
            start 4 on 0: b
        // The record is at fault, but the first attempt may have written it nevertheless.
        5 fail 4 413
            failed b: the record was refused after 2 attempts (unknown whether written); the last \
         to fail: the proxy answered TOO_LARGE_RECORD (413)
        ",
    );
}

/// The answer of a proxy is the reason, not that another could not be reached afterwards.
#[test]
fn an_error_quotes_the_last_answer_of_a_proxy_to_its_record() {
    let settings = Settings::original()
        .to_builder()
        .buffer_size(0)
        .build()
        .unwrap();
    check(
        settings,
        3,
        "
        0 write a
            start 1 on 0: a
        1 fail 1 503
            start 2 on 1: a
        2 fail 2 unreachable
            start 3 on 2: a
        3 fail 3 lost
            failed a: every stream was tried as often as the settings allow after 3 attempts \
         (unknown whether written); the last to fail: the proxy answered SERVICE_UNAVAILABLE (503)
        ",
    );
}
