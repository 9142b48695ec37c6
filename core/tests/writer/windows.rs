//! Windows: a stalled stream does not occupy all sets in flight (R9).

use distributedlog::writer::{
    Budget, EnqueueError, Health, Heap, Settings, SettingsBuilder, StreamCount, Window, Writer,
};
use distributedlog::{Dlsn, Instant, StreamIndex};
use distributedlog_testkit::script::check;

use crate::{ms, single};

/// Settings by which only the window limits a stalled stream's share of the sets in flight: no
/// hedge before the deadline, no health.
fn patient() -> SettingsBuilder {
    single()
        .request_timeout(ms(60_000))
        .first_speculative_timeout(ms(59_000))
        .max_speculative_timeout(ms(59_000))
}

#[test]
fn a_stream_with_a_full_window_is_skipped_and_loses_its_turn() {
    let counters = check(
        patient().window(Window::Attempts(1)).build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        1 write b
            start 2 on 1: b
        2 answer 2
            done b: stream 1, 1/2/0
        3 write c
            start 3 on 2: c
        // Stream 0 does not answer: its turn goes to 1, and the next one to 2, when it is free.
        4 write d
            start 4 on 1: d
        5 answer 3
            done c: stream 2, 1/3/0
        6 write e
            start 5 on 2: e
        7 answer 1
            done a: stream 0, 1/1/0
        8 write f
            start 6 on 0: f
        ",
    );
    assert_eq!(counters.window_full, 1);
}

#[test]
fn if_no_window_has_room_a_set_does_not_wait() {
    check(
        patient().window(Window::Attempts(1)).build().unwrap(),
        2,
        "
        0 write a
            start 1 on 0: a
        1 write b
            start 2 on 1: b
        2 write c
            start 3 on 0: c
        3 write d
            start 4 on 1: d
        ",
    );
}

#[test]
fn a_hedge_goes_to_a_stream_whose_window_has_room() {
    check(
        single().window(Window::Attempts(1)).build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        1 write b
            start 2 on 1: b
        50
            start 3 on 2: a
        // All windows are full: the next in the rotation.
        51
            start 4 on 2: b
        ",
    );
}

/// Keeps the maximum of sets in flight while one stream never answers and the others answer at
/// once. Returns the number of sets that the others wrote in `sets` tries, and of those still in
/// flight at the end.
fn with_one_stalled(settings: Settings, streams: usize, sets: usize) -> (usize, usize) {
    let count = StreamCount::new(streams).unwrap();
    let mut writer = Writer::new(settings, count, Heap::new(&settings, count)).unwrap();
    let mut written = 0;
    for number in 0..sets {
        let now = Instant::from_micros(number as u64);
        if writer.write(now, b"record") == Err(EnqueueError::Full) {
            continue;
        }
        while let Some(attempt) = writer.poll_transmit(now) {
            let (id, stream) = (attempt.id, attempt.stream);
            if stream != StreamIndex(0) {
                writer.handle_finished(now, id, Ok(Dlsn::INITIAL));
                written += 1;
            }
        }
        while let Some(record) = writer.poll_completed() {
            writer.take(record).unwrap().unwrap();
        }
    }
    writer.assert_invariant();
    assert_eq!(
        writer.stream_status(StreamIndex(0)).unwrap().outstanding,
        writer.sets_in_flight()
    );
    (written, writer.sets_in_flight())
}

/// Canonical for R9's windows.
#[test]
fn a_stalled_stream_keeps_its_window_and_the_others_share_the_rest() {
    for (streams, sets, window) in [
        (2, 256, 171),
        (3, 256, 128),
        (5, 256, 86),
        (5, 2, 1),
        (20, 100, 10),
    ] {
        let settings = patient().in_flight_sets(sets).build().unwrap();
        let (written, stuck) = with_one_stalled(settings, streams, 2_000);
        assert_eq!(
            (written, stuck),
            (2_000 - window, window),
            "{streams} streams, {sets} sets in flight"
        );
    }
    // Without windows, as in the original, the stalled stream stops all writes.
    let settings = patient().window(Window::Off).build().unwrap();
    let (written, stuck) = with_one_stalled(settings, 5, 2_000);
    assert!(
        (4 * 255..=4 * 256).contains(&written) && stuck == 256,
        "{written} written, {stuck} stuck"
    );
}

#[test]
fn the_only_healthy_stream_gets_more_than_its_window_rather_than_one_on_probation() {
    let health = Health::Probation {
        strikes: 1,
        first_backoff: ms(50_000),
        max_backoff: ms(50_000),
    };
    check(
        patient()
            .window(Window::Attempts(1))
            .health(health)
            .budget(Budget::Off)
            .build()
            .unwrap(),
        2,
        "
        0 write a
            start 1 on 0: a
        1 fail 1 506
            start 2 on 1: a
        2 write b
            start 3 on 1: b
        3 write c
            start 4 on 1: c
        ",
    );
}

#[test]
fn a_window_is_a_share_of_the_sets_that_fit_the_storage() {
    let windows = |streams, sets, window| {
        let settings = single()
            .in_flight_sets(sets)
            .window(window)
            .build()
            .unwrap();
        let count = StreamCount::new(streams).unwrap();
        Writer::new(settings, count, Heap::new(&settings, count))
            .unwrap()
            .window()
    };
    assert_eq!(
        [1, 2, 3, 5, 99].map(|streams| windows(streams, 300, Window::Share)),
        [300, 200, 150, 100, 6]
    );
    assert_eq!(windows(256, 1, Window::Share), 1);
    assert_eq!(windows(256, 65_000, Window::Share), 506);
    assert_eq!(windows(5, 300, Window::Attempts(7)), 7);
    assert!(windows(5, 300, Window::Off) >= 300);
    assert_eq!(
        single()
            .window(Window::Attempts(0))
            .build()
            .unwrap_err()
            .to_string(),
        "window is 0; it must be within 1 to 65535"
    );
    assert_eq!(Settings::original().window(), Window::Off);
    assert_eq!(Settings::default().window(), Window::Share);
}
