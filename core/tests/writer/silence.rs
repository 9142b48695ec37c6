//! Hedges that go to no stream that is silent (R21).

use distributedlog::writer::{
    Adaptive, Counters, Health, Heap, NoChanges, Settings, SettingsBuilder, StreamCount, Writer,
    WriterFeatures,
};
use distributedlog::{AttemptId, Dlsn, Instant, StreamIndex};
use distributedlog_testkit::script::check;

use crate::{ms, single};

/// Hedges after 50, 100, 200, 200 ms.
fn waiting() -> SettingsBuilder {
    single().wait_out_stalls(true)
}

/// Checks what follows once the sets a and b are in flight, one at stream 0 and one at stream 1.
#[track_caller]
fn check_with_two_in_flight(settings: SettingsBuilder, streams: usize, script: &str) -> Counters {
    let opening = "
        0 write a
            start 1 on 0: a
        0 write b
            start 2 on 1: b";
    let settings = settings.build().unwrap();
    check(settings, streams, &format!("{opening}{script}"))
}

/// Canonical for R21.
#[test]
fn a_set_is_hedged_to_a_stream_that_is_not_silent() {
    check_with_two_in_flight(
        waiting(),
        3,
        "
        // Stream 1 has been silent as long as stream 0. Nothing is in flight at stream 2.
        50
            start 3 on 2: a
            start 4 on 2: b
        60 answer 3
            cancel 1
            done a: stream 2, 1/3/0
        61 answer 4
            cancel 2
            done b: stream 2, 1/4/0
        ",
    );
}

#[test]
fn while_all_streams_are_silent_a_set_waits_for_at_most_the_max_speculative_timeout() {
    // R21: each time as long again as its attempt has taken.
    let counters = check_with_two_in_flight(
        waiting(),
        2,
        "
        50
        100
        199
        200
            start 3 on 1: a
            start 4 on 0: b
        210 answer 3
            cancel 1
            done a: stream 1, 1/3/0
        211 answer 2
            cancel 4
            done b: stream 1, 1/2/0
        ",
    );
    assert_eq!((counters.silences, counters.hedges_sent), (4, 2));
}

#[test]
fn a_set_that_waits_is_hedged_to_the_first_stream_that_answers_again() {
    check_with_two_in_flight(
        waiting(),
        2,
        "
        50
        60 answer 2
            done b: stream 1, 1/2/0
        99
        100
            start 3 on 1: a
        101 answer 3
            cancel 1
            done a: stream 1, 1/3/0
        ",
    );
}

#[test]
fn a_stall_that_all_streams_share_costs_no_hedge() {
    // R21: it ends before the wait does.
    let counters = check_with_two_in_flight(
        waiting(),
        2,
        "
        90 answer 1
            done a: stream 0, 1/1/0
        90 answer 2
            done b: stream 1, 1/2/0
        ",
    );
    assert_eq!((counters.silences, counters.hedges_sent), (2, 0));
}

#[test]
fn a_stream_that_has_answered_since_is_not_silent_though_something_waits_there() {
    check_with_two_in_flight(
        waiting(),
        2,
        "
        0 write c
            start 3 on 0: c
        0 write d
            start 4 on 1: d
        40 answer 4
            done d: stream 1, 1/4/0
        // Stream 1 has answered 10 ms ago; stream 0, where b would go, has not answered.
        50
            start 5 on 1: a
            start 6 on 1: c
        60 answer 2
            done b: stream 1, 1/2/0
        ",
    );
}

#[test]
fn a_stream_with_nothing_in_flight_is_no_evidence_of_a_stall() {
    let counters = check(
        waiting().build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        // By now stream 1 has been silent too, and 2 is asked next.
        150
            start 3 on 2: a
        151 answer 1
            cancel 2
            cancel 3
            done a: stream 0, 1/1/0
        ",
    );
    assert_eq!(counters.silences, 0);
}

#[test]
fn the_originals_settings_hedge_whatever_the_other_streams_do() {
    let counters = check_with_two_in_flight(
        single(),
        2,
        "
        50
            start 3 on 1: a
            start 4 on 0: b
        ",
    );
    assert_eq!(counters.silences, 0);
    assert!(!Settings::original().wait_out_stalls());
    assert!(Settings::default().wait_out_stalls());
}

/// Writes two records to two streams that do not answer. Returns the streams of the hedges 50 ms
/// later.
fn hedges<F: WriterFeatures>() -> Vec<StreamIndex> {
    let settings = waiting().build().unwrap();
    let streams = StreamCount::new(2).unwrap();
    let storage = Heap::new(&settings, streams);
    let mut writer = Writer::<_, F>::with_features(settings, streams, storage).unwrap();
    for record in ["a", "b"] {
        writer.write(Instant::ZERO, record.as_bytes()).unwrap();
        assert!(writer.poll_transmit(Instant::ZERO).is_some());
    }
    let later = Instant::from_millis(50);
    writer.handle_timeout(later);
    let mut streams = Vec::new();
    while let Some(attempt) = writer.poll_transmit(later) {
        streams.push(attempt.stream);
    }
    streams
}

/// Waits, as hosts do.
struct Waits;

impl WriterFeatures for Waits {}

#[test]
fn a_writer_that_leaves_the_rule_out_ignores_its_setting() {
    assert_eq!(hedges::<Waits>().len(), 0);
    assert_eq!(hedges::<NoChanges>().len(), 2);
}

/// A writer with health and adaptive timeouts.
fn adaptive(waits: bool, streams: usize) -> Writer<Heap> {
    let settings = single()
        .wait_out_stalls(waits)
        .adaptive(Adaptive::RECOMMENDED)
        .health(Health::RECOMMENDED)
        .build()
        .unwrap();
    let streams = StreamCount::new(streams).unwrap();
    Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap()
}

/// Ends an attempt, and takes what completes with it.
fn answer(writer: &mut Writer<Heap>, now: Instant, attempt: AttemptId) {
    writer.handle_finished(now, attempt, Ok(Dlsn::INITIAL));
    while writer.poll_transmit(now).is_some() {}
    while writer.poll_cancel().is_some() {}
    while let Some(record) = writer.poll_completed() {
        writer.take(record).unwrap().unwrap();
    }
    writer.assert_invariant();
}

/// Writes sets to two streams that answer after 10 ms, and then six that all are answered after a
/// stall of 150 ms. Returns how many streams are on probation for it, and how many hedges were
/// sent.
fn after_a_shared_stall(waits: bool) -> (u64, u64) {
    let mut writer = adaptive(waits, 2);
    let mut now = Instant::from_millis(1);
    for (sets, took) in core::iter::repeat_n((1, 10), 100).chain([(6, 150)]) {
        let end = now + ms(took);
        let mut attempts: Vec<AttemptId> = Vec::new();
        for _ in 0..sets {
            writer.write(now, b"record").unwrap();
            attempts.push(writer.poll_transmit(now).unwrap().id);
        }
        while let Some(at) = writer.poll_timeout().filter(|at| *at < end) {
            writer.handle_timeout(at);
            while writer.poll_transmit(at).is_some() {}
        }
        now = end;
        for attempt in attempts {
            answer(&mut writer, now, attempt);
        }
    }
    let counters = writer.counters();
    (counters.probation_entries, counters.hedges_sent)
}

#[test]
fn a_stall_that_streams_share_puts_none_of_them_on_probation() {
    // R9, R21: the three sets of each stream took fifteen times as long as usual.
    assert_eq!(after_a_shared_stall(true), (0, 0));
    assert_eq!(after_a_shared_stall(false).0, 2);
}

#[test]
fn a_stream_that_is_slow_alone_is_put_on_probation() {
    let mut writer = adaptive(true, 3);
    let mut now = Instant::from_millis(1);
    let mut slow = None;
    for set in 0..200 {
        writer.write(now, b"record").unwrap();
        let attempt = writer.poll_transmit(now).unwrap();
        let (id, stream) = (attempt.id, attempt.stream);
        // From the hundredth set on, the stream that has it takes ten times as long.
        if set == 100 {
            slow = Some(stream);
        }
        now += ms(if slow == Some(stream) { 100 } else { 10 });
        answer(&mut writer, now, id);
    }
    assert!(writer.counters().probation_entries >= 1);
}
