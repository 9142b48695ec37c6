use distributedlog::writer::Settings;
use distributedlog_testkit::script::check;

use crate::{ms, single};

/// Canonical for R13, in the state machine.
#[test]
fn closing_flushes_waits_for_outstanding_sets_and_accepts_no_record() {
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
fn records_outstanding_at_the_time_of_the_close_complete_as_closed() {
    check(
        single().in_flight_sets(1).build().unwrap(),
        2,
        "
        0 write a
            start 1 on 0: a
        1 write b
        2 close 30
        // Only one set may be in flight: the other was never sent, and that is known.
        30
            cancel 1
            failed b: the writer was closed after 0 attempts (not written)
            failed a: the writer was closed after 1 attempt (unknown whether written)
            finished
        ",
    );
}

#[test]
fn hedges_and_deadlines_continue_while_closing() {
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
fn closing_an_idle_writer_finishes_at_once_and_reservations_do_not_delay_it() {
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
