use distributedlog::writer::Settings;
use distributedlog_testkit::script::check;

use crate::{ms, single};

/// Canonical for R13, on the machine's side.
#[test]
fn closing_flushes_waits_for_what_is_outstanding_and_takes_nothing_new() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .flush_interval(ms(100))
        .build()
        .unwrap();
    check(
        settings,
        2,
        "
        0 write a
        1 flush
            start 1 on 0: a
        2 write b
        3 close
            start 2 on 1: b
        4 write c
            refused c: the writer is closed
        5 answer 1
            done a: stream 0, 1/1/0
            flushed
        6 answer 2
            done b: stream 1, 1/2/0
            finished
        ",
    );
}

#[test]
fn what_is_outstanding_when_the_closes_time_is_over_completes_as_closed() {
    check(
        single().in_flight_sets(1).build().unwrap(),
        2,
        "
        0 write a
            start 1 on 0: a
        1 write b
        2 close 30
        // One set may fly: the other was never sent, and that is known.
        30
            cancel 1
            failed b: the writer was closed after 0 attempts (not written)
            failed a: the writer was closed after 1 attempt (unknown whether written)
            finished
        ",
    );
}

#[test]
fn while_closing_hedges_and_deadlines_go_on() {
    check(
        single().build().unwrap(),
        2,
        "
        0 write a
            start 1 on 0: a
        1 close
        50
            start 2 on 1: a
        1000
            cancel 1
            cancel 2
            failed a: the request timeout passed after 2 attempts (unknown whether written)
            finished
        ",
    );
}

#[test]
fn aborting_completes_everything_at_once() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
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
        3 flush
            start 2 on 1: b
        3 write c
        4 fail 2 unreachable
            start 3 on 0: b
        5 abort
            cancel 3
            cancel 1
            failed c: the writer was closed after 0 attempts (not written)
            failed a: the writer was closed after 1 attempt (unknown whether written)
            failed b: the writer was closed after 2 attempts (unknown whether written); the last \
         to fail: no proxy could be reached
            flushed
            finished
        ",
    );
}

#[test]
fn closing_an_idle_writer_finishes_at_once_and_reservations_do_not_hold_it_up() {
    check(
        single().in_flight_sets(1).build().unwrap(),
        2,
        "
        0 reserve r 1
        0 write a
        1 close
            start 1 on 0: a
        2 answer 1
            done a: stream 0, 1/1/0
            finished
        3 submit r
            refused r: the writer is closed
        ",
    );
}
