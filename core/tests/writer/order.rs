//! Records that keep their order in one stream (R20).

use distributedlog::Instant;
use distributedlog::settings::SettingValue;
use distributedlog::writer::{
    BuildError, ChangeError, Health, Heap, Order, SettingsBuilder, StreamCount, Writer,
};
use distributedlog_testkit::script::check;

use crate::{ms, single};

/// Settings by which stream 1 keeps the order: hedges after 200 ms.
fn kept() -> SettingsBuilder {
    single().buffer_size(1_000).order(Order::Kept { home: 1 })
}

fn with_health() -> SettingsBuilder {
    kept().health(Health::Probation {
        strikes: 3,
        first_backoff: ms(100),
        max_backoff: ms(100),
    })
}

fn build(settings: SettingsBuilder, streams: usize) -> Result<Writer<Heap>, BuildError> {
    let settings = settings.build().unwrap();
    let count = StreamCount::new(streams).unwrap();
    Writer::new(settings, count, Heap::new(&settings, count))
}

/// Canonical for R20.
#[test]
fn one_set_at_a_time_is_in_flight_and_each_starts_at_the_same_stream() {
    let settings = kept().flush_when_idle(true).build().unwrap();
    check(
        settings,
        3,
        "
        0 write a
            start 1 on 1: a
        1 write b
        2 write c
        5 answer 1
            start 2 on 1: b c
            done a: stream 1, 1/1/0
        6 write d
        9 flush
        15 answer 2
            start 3 on 1: d
            done b: stream 1, 1/2/0
            done c: stream 1, 1/2/1
        ",
    );
}

#[test]
fn a_stream_that_is_overtaken_gets_no_set_until_it_answers_a_probe_first() {
    let settings = with_health().flush_when_idle(true).build().unwrap();
    let counters = check(
        settings,
        3,
        "
        0 write a
            start 1 on 1: a
        // Not after 50 ms, as without an order.
        200
            start 2 on 2: a
        210 answer 2
            cancel 1
            done a: stream 2, 1/2/0
        220 write b
            start 3 on 2: b
        230 answer 3
            done b: stream 2, 1/3/0
        // Its probation is over: it gets a copy just before the other one.
        400 write c
            start 4 on 1: c
            start 5 on 2: c
        405 answer 4
            cancel 5
            done c: stream 1, 1/4/0
        410 write d
            start 6 on 1: d
        ",
    );
    assert_eq!(
        (counters.probation_entries, counters.probation_exits),
        (1, 1)
    );
}

/// A set fails once at stream 1, and is written to 2; the next one starts at this stream.
#[track_caller]
fn check_after_a_failure(settings: SettingsBuilder, next: u16) {
    let script = format!(
        "
        0 write a
            start 1 on 1: a
        5 fail 1 lost
            start 2 on 2: a
        10 answer 2
            done a: stream 2, 1/2/0
        11 write b
            start 3 on {next}: b
        "
    );
    check(settings.flush_when_idle(true).build().unwrap(), 3, &script);
}

#[test]
fn a_stream_that_fails_once_gets_no_set_until_it_answers_a_probe() {
    check_after_a_failure(with_health(), 2);
}

#[test]
fn without_health_each_set_tries_the_stream_first() {
    check_after_a_failure(kept(), 1);
}

#[test]
fn a_set_behind_one_that_failed_starts_when_that_one_has_failed() {
    let settings = kept().hedging(false).flush_when_idle(true).build().unwrap();
    check(
        settings,
        3,
        "
        0 write a
            start 1 on 1: a
        1 write b
        1000
            cancel 1
            start 2 on 1: b
            failed a: the request timeout passed after 1 attempt (unknown whether written)
        ",
    );
}

#[test]
fn the_stream_that_keeps_the_order_is_one_of_the_writers() {
    assert!(build(kept(), 2).is_ok());
    assert_eq!(
        build(kept(), 1).unwrap_err(),
        BuildError::Home {
            home: 1,
            streams: 1
        }
    );
    let by_name = |home: u64| {
        let mut builder = kept();
        builder
            .set("order", SettingValue::Count(home))
            .map(|()| builder.value("order"))
    };
    assert_eq!(by_name(255), Ok(Some(SettingValue::Count(255))));
    assert!(by_name(256).is_err());
}

#[test]
fn the_order_is_fixed_while_the_writer_runs() {
    let mut writer = build(kept(), 2).unwrap();
    let any = kept().order(Order::Any).build().unwrap();
    assert_eq!(
        writer.change_settings(any),
        Err(ChangeError::Fixed { setting: "order" })
    );
}

#[test]
fn once_its_stream_was_removed_another_one_keeps_the_order() {
    use distributedlog::{Dlsn, Instant, StreamIndex};

    let mut writer = build(kept().flush_when_idle(true), 3).unwrap();
    let mut starts = Vec::new();
    for set in 0..9 {
        if set == 3 {
            writer.remove_stream(StreamIndex(1)).unwrap();
        }
        let now = Instant::from_millis(set);
        writer.write(now, b"record").unwrap();
        let attempt = writer.poll_transmit(now).unwrap();
        let (id, stream) = (attempt.id, attempt.stream);
        starts.push(stream.0);
        writer.handle_finished(now, id, Ok(Dlsn::INITIAL));
        while let Some(record) = writer.poll_completed() {
            writer.take(record).unwrap().unwrap();
        }
        writer.assert_invariant();
    }
    assert_eq!(starts[..3], [1; 3]);
    assert_ne!(starts[3], 1);
    assert_eq!(starts[3..], [starts[3]; 6]);
}

#[test]
fn the_memory_of_a_writer_that_keeps_the_order_is_that_of_one_set_in_flight() {
    use distributedlog::writer::Storage;

    let rows = |settings: SettingsBuilder| {
        let mut writer = build(settings, 2).unwrap();
        while writer.write(Instant::ZERO, b"record").is_ok() {
            while writer.poll_transmit(Instant::ZERO).is_some() {}
        }
        writer.storage().sets().len()
    };
    // The sets in flight, and the one that fills.
    assert_eq!(rows(kept().pending_records(2_000)), 2);
    assert_eq!(rows(single().pending_records(2_000)), 257);
}
