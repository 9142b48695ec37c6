//! Faults of Apache DistributedLog 0.5.0's `DistributedLogMultiStreamWriter`, each with a test that
//! this writer does not have it. Some are covered by the canonical test of a rule:
//!
//! - time in the buffer is not part of the request timeout: `completion`; losing attempts are not
//!   cancelled: `completion` (R11);
//! - the 4-byte length is forgotten in the overflow check: `batching`; readers cannot recognise
//!   duplicates: `policies` (R12);
//! - a stalled stream keeps its full share of first attempts: `policies` and the async writer's
//!   `stalled_stream` (R9);
//! - `write` holds the lock while it sends: the async writer's `fixed_storage`;
//! - a timer that is rejected leaves the request pending for ever: there is no scheduler to reject
//!   one; that every set in flight is in the timer table or in the queue is checked after each step
//!   of the `simulation`.

use distributedlog::writer::{Heap, Settings, StreamCount, WriteError, Writer};
use distributedlog::{Dlsn, Failure, Instant, StatusCode};
use distributedlog_testkit::script::{Player, check};

use crate::{ms, single};

/// The settings of the original, with one record in each set.
fn original() -> Settings {
    Settings::original()
        .to_builder()
        .buffer_size(0)
        .build()
        .unwrap()
}

#[test]
fn the_speculative_timeout_does_not_ratchet_up_permanently() {
    let mut player = Player::new(single().build().unwrap(), 5);
    for request in 0..20 {
        let at = request * 10_000;
        let first = 1 + 3 * request;
        let played = player.play(&format!(
            "{at} write a\n{}\n{} answer {}",
            at + 150,
            at + 151,
            first + 2
        ));
        // The hedges are sent after 50 and after 100 ms more, for the twentieth request as for the
        // first.
        assert!(
            played.contains(&format!("{}", at + 50)) && played.contains(&format!("{}", at + 150)),
            "{played:?}"
        );
    }
}

#[test]
fn a_timer_that_fires_after_all_streams_were_tried_does_not_fail_the_set() {
    check(
        original(),
        2,
        "
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        499 answer 1
            cancel 2
            done a: stream 0, 1/1/0
        ",
    );
}

#[test]
fn a_failure_after_all_streams_were_tried_does_not_fail_the_set() {
    check(
        original(),
        2,
        "
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        60 fail 2 500
        499 answer 1
            done a: stream 0, 1/1/0
        ",
    );
}

#[test]
fn a_losing_attempt_that_fails_late_sends_no_further_copy() {
    check(
        original(),
        3,
        "
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        60 answer 2
            cancel 1
            done a: stream 1, 1/2/0
        61 fail 1 500
        1000
        ",
    );
}

#[test]
fn the_error_has_the_cause_and_not_just_a_timeout() {
    let played = Player::new(original(), 2).play("0 write a\n1 fail 1 500\n2 fail 2 518");
    let said = played.last().unwrap();
    assert!(
        said.ends_with("the last to fail: the proxy answered STREAM_NOT_READY (518)"),
        "{said}"
    );
}

#[test]
fn definite_failures_are_not_tried_on_every_stream() {
    let mut player = Player::new(original(), 5);
    player.play("0 write a\n1 fail 1 413");
    assert_eq!(player.counters().attempts, 1);
}

#[test]
fn the_request_timeout_has_a_timer_of_its_own() {
    // One stream, no hedges, no failures: no other timer, and the deadline fires nevertheless.
    let mut player = Player::new(original(), 1);
    let played = player.play("0 write a\n500");
    assert!(
        played
            .last()
            .unwrap()
            .contains("the request timeout passed"),
        "{played:?}"
    );
}

#[test]
fn the_rotation_stays_even_in_a_long_life() {
    // The original counts sets, and takes the remainder of a number that becomes negative. This
    // writer moves from row to row.
    let settings = single().build().unwrap();
    let streams = StreamCount::new(3).unwrap();
    let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
    let mut counts = [0_u32; 3];
    for _ in 0..3 * 70_000 {
        let record = writer.write(Instant::ZERO, b"record").unwrap();
        let attempt = writer.poll_transmit(Instant::ZERO).unwrap();
        let (id, stream) = (attempt.id, attempt.stream);
        counts[usize::from(stream.0)] += 1;
        writer.handle_finished(Instant::ZERO, id, Ok(Dlsn::INITIAL));
        assert_eq!(writer.poll_completed(), Some(record));
        writer.take(record).unwrap().unwrap();
    }
    assert_eq!(counts, [70_000; 3]);
}

#[test]
fn a_multiplier_below_one_is_refused() {
    assert!(
        Settings::builder()
            .original_features()
            .speculative_backoff_multiplier(0.99)
            .build()
            .is_err()
    );
    assert!(
        Settings::builder()
            .original_features()
            .speculative_backoff_multiplier(1.0)
            .build()
            .is_ok()
    );
}

#[test]
fn closing_leaves_no_write_pending() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .flush_interval(ms(0))
        .build()
        .unwrap();
    let mut player = Player::new(settings, 2);
    let played = player.play("0 write a\n1 write b\n2 close 10\n10");
    let failed = played
        .iter()
        .filter(|line| line.contains("the writer was closed"))
        .count();
    assert_eq!(failed, 2, "{played:?}");
}

#[test]
fn buffered_and_in_flight_bytes_are_bounded() {
    let mut player = Player::new(single().in_flight_sets(10).build().unwrap(), 5);
    for _ in 0..1_000 {
        player.play("0 write a");
    }
    assert_eq!(player.counters().records, 11);
    assert_eq!(player.counters().refused_full, 989);
}

/// Returns the error of a record that the only proxy calls too large.
fn too_large() -> WriteError {
    let streams = StreamCount::new(1).unwrap();
    let heap = Heap::new(&original(), streams);
    let mut writer = Writer::new(original(), streams, heap).unwrap();
    let now = Instant::from_millis(1);
    let record = writer.write(now, b"record").unwrap();
    let attempt = writer.poll_transmit(now).unwrap().id;
    let failure = Failure::of_status(StatusCode::TooLargeRecord);
    writer.handle_finished(now, attempt, Err(failure));
    writer.take(record).unwrap().unwrap_err()
}

#[test]
fn a_main_that_returns_the_error_of_a_write_shows_its_text() {
    // Rust prints `Error: {error:?}`.
    assert_eq!(
        format!("{:?}", too_large()),
        "the record was refused after 1 attempt (rejected); the last to fail: the proxy answered \
         TOO_LARGE_RECORD (413)"
    );
}

#[test]
fn a_known_reason_is_not_retryable_and_says_so() {
    let error = too_large();
    assert!(!error.is_retryable() && !error.may_be_written());
}
