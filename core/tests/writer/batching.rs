use distributedlog::writer::{Codec, Identity, MAX_SET_BYTES, Settings, WriterId};
use distributedlog_testkit::script::{Player, check};

use crate::ms;

/// The flushing of the original: by size, by time, by overflow.
fn original(buffer_size: usize) -> Settings {
    Settings::original()
        .to_builder()
        .buffer_size(buffer_size)
        .build()
        .unwrap()
}

/// Canonical for R6: size.
#[test]
fn a_set_is_transmitted_when_it_reaches_the_buffer_size() {
    // A header of 16 bytes, and records of 4 + 16 bytes: the fifth reaches 100.
    check(
        original(100),
        1,
        "
        0 write a 16
        0 write b 16
        0 write c 16
        0 write d 16
        0 write e 16
            start 1 on 0: a b c d e
        0 write f 16
        1 answer 1
            done a: stream 0, 1/1/0
            done b: stream 0, 1/1/1
            done c: stream 0, 1/1/2
            done d: stream 0, 1/1/3
            done e: stream 0, 1/1/4
        ",
    );
}

#[test]
fn a_set_is_transmitted_when_its_first_record_has_waited_for_the_flush_interval() {
    // R6: the timer runs from the first record of a set, not at a fixed rate.
    check(
        original(1_000),
        1,
        "
        1 write a
        2.5 write b
        3
            start 1 on 0: a b
        3.5 write c
        5
        5.5
            start 2 on 0: c
        6 answer 2
            done c: stream 0, 1/2/0
        7 answer 1
            done a: stream 0, 1/1/0
            done b: stream 0, 1/1/1
        ",
    );
}

#[test]
fn a_record_that_would_overflow_the_largest_set_begins_a_new_one() {
    // R6. The original ignores the record's 4-byte length here: the second record fits without it,
    // but not with it.
    let second = MAX_SET_BYTES - 16 - 4 - 1_000 - 4 + 1;
    check(
        original(MAX_SET_BYTES),
        1,
        &format!(
            "
        0 write a 1000
        0 write b {second}
            start 1 on 0: a
        2
            start 2 on 0: b
        3 answer 1
            done a: stream 0, 1/1/0
        3 answer 2
            done b: stream 0, 1/2/0
        "
        ),
    );
}

#[test]
fn the_largest_record_makes_the_largest_set_and_one_byte_more_is_refused_at_once() {
    let largest = MAX_SET_BYTES - 20;
    check(
        original(16 * 1024),
        1,
        &format!(
            "
        0 write a {}
            refused a: the record has {} bytes, more than the {largest} that fit a set
        0 write b {largest}
            start 1 on 0: b
        1 answer 1
            done b: stream 0, 1/1/0
        ",
            largest + 1,
            largest + 1
        ),
    );
}

#[test]
fn without_a_buffer_every_record_is_a_set_at_once() {
    check(
        original(0),
        2,
        "
        0 write a
            start 1 on 0: a
        0 write b
            start 2 on 1: b
        1 answer 2
            done b: stream 1, 1/2/0
        1 answer 1
            done a: stream 0, 1/1/0
        ",
    );
}

#[test]
fn when_idle_a_set_is_sent_at_once_and_others_fill_while_it_is_in_flight() {
    let settings = Settings::builder()
        .original_features()
        .flush_interval(ms(0))
        .build()
        .unwrap();
    check(
        settings,
        2,
        "
        0 write a
            start 1 on 0: a
        1 write b
        2 write c
        3 answer 1
            start 2 on 1: b c
            done a: stream 0, 1/1/0
        ",
    );
}

/// Canonical for R6: flush.
#[test]
fn a_flush_completes_when_all_records_written_before_it_have() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .flush_interval(ms(100))
        .build()
        .unwrap();
    check(
        settings,
        3,
        "
        0 write a
        1 flush
            start 1 on 0: a
        2 write b
        3 flush
            start 2 on 1: b
        4 write c
        5 answer 2
            done b: stream 1, 1/2/0
        // Only now is all that was written before the first flush, and before the second, \
         complete.
        6 answer 1
            done a: stream 0, 1/1/0
            flushed
            flushed
        // With nothing written, there is nothing to wait for but what is still there.
        7 flush
            start 3 on 2: c
        8 fail 3 413
            failed c: the record was refused after 1 attempt (rejected); the last to fail: the \
         proxy answered TOO_LARGE_RECORD (413)
            flushed
        9 flush
            flushed
        ",
    );
}

#[test]
fn a_due_set_continues_to_fill_while_no_more_sets_may_be_in_flight() {
    let settings = Settings::original()
        .to_builder()
        .in_flight_sets(1)
        .flush_interval(ms(2))
        .build()
        .unwrap();
    check(
        settings,
        2,
        "
        0 write a
        2
            start 1 on 0: a
        3 write b
        10 write c
        11 answer 1
            start 2 on 1: b c
            done a: stream 0, 1/1/0
        ",
    );
}

#[test]
fn a_compressed_set_holds_the_same_records_and_less_bytes() {
    let settings = original(1_000)
        .to_builder()
        .codec(Codec::Lz4)
        .build()
        .unwrap();
    let mut player = Player::new(settings, 1);
    // Two records of 4 and 996 dots each; the player parses what it shows.
    let played = player.play("0 write a 500\n0 write b 500\n1 answer 1");
    assert_eq!(played[2], "  start 1 on 0: a b");
    assert_eq!(player.writer().buffered_bytes(), 0);
}

#[test]
fn an_identity_is_carried_without_being_a_record() {
    // R12: see the test of the trailer's bytes below wire.
    let identity = Identity::Trailer {
        writer: WriterId([7; 16]),
        first_sequence: 1_000,
    };
    for codec in [Codec::None, Codec::Lz4] {
        let settings = original(1_000)
            .to_builder()
            .codec(codec)
            .identity(identity)
            .build()
            .unwrap();
        check(
            settings,
            2,
            "
            0 write a 500
            0 write b 500
                start 1 on 0: a b
            50
                start 2 on 1: a b
            51 answer 2
                cancel 1
                done a: stream 1, 1/2/0
                done b: stream 1, 1/2/1
            ",
        );
    }
}
