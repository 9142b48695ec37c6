//! Sets that start at the less loaded of two streams (R19).

use distributedlog::writer::{
    Choice, Heap, Settings, SettingsBuilder, StreamCount, Window, Writer,
};
use distributedlog::{AttemptId, Dlsn, Failure, Instant, StatusCode, StreamIndex};
use distributedlog_testkit::script::check;

use crate::{ms, single};

/// Settings by which sets start by load, and nothing is hedged in these tests' time.
fn by_load() -> SettingsBuilder {
    single()
        .choice(Choice::Load)
        .window(Window::Off)
        .request_timeout(ms(60_000))
        .first_speculative_timeout(ms(59_000))
        .max_speculative_timeout(ms(59_000))
}

fn writer(settings: Settings, streams: usize) -> Writer<Heap> {
    let count = StreamCount::new(streams).unwrap();
    Writer::new(settings, count, Heap::new(&settings, count)).unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Writes a record and returns its attempt.
fn start(writer: &mut Writer<Heap>, now: Instant, len: usize) -> (AttemptId, StreamIndex) {
    writer.write(now, &vec![0; len]).unwrap();
    let attempt = writer.poll_transmit(now).unwrap();
    let started = (attempt.id, attempt.stream);
    assert!(writer.poll_transmit(now).is_none());
    writer.assert_invariant();
    started
}

fn answer(writer: &mut Writer<Heap>, now: Instant, attempt: AttemptId) {
    writer.handle_finished(now, attempt, Ok(Dlsn::INITIAL));
    while let Some(record) = writer.poll_completed() {
        writer.take(record).unwrap().unwrap();
    }
    writer.assert_invariant();
}

/// Canonical for R19.
#[test]
fn of_the_stream_in_turn_and_the_next_the_one_with_fewer_bytes_outstanding_starts_the_set() {
    let counters = check(
        by_load().build().unwrap(),
        3,
        "
        0 write large 900
            start 1 on 0: large
        0 write b 10
            start 2 on 1: b
        0 write c 10
            start 3 on 2: c
        // It is the turn of 0, which has 900 bytes outstanding, and 1 has ten.
        1 write d 10
            start 4 on 1: d
        // The turn of 2, ten bytes, before 0.
        2 write e 10
            start 5 on 2: e
        // The turn of 0 again, before 1 with twenty.
        3 write f 10
            start 6 on 1: f
        4 answer 1
            done large: stream 0, 1/1/0
        // The turn of 2 with twenty bytes; 0 has none.
        5 write g 10
            start 7 on 0: g
        ",
    );
    assert_eq!(counters.turns_passed, 3);
}

#[test]
fn equal_loads_keep_the_turn() {
    let mut writer = writer(by_load().build().unwrap(), 5);
    let mut starts = Vec::new();
    for set in 0..50 {
        // Each takes 2 ms.
        let (attempt, stream) = start(&mut writer, at(2 * set), 10);
        starts.push(stream);
        answer(&mut writer, at(2 * set + 2), attempt);
    }
    for window in starts.windows(6) {
        assert_eq!(window[0], window[5], "{starts:?}");
    }
    assert_eq!(writer.counters().turns_passed, 0);
}

#[test]
fn of_two_idle_streams_the_faster_one_starts_the_set() {
    let mut writer = writer(by_load().build().unwrap(), 2);
    let mut now = 0;
    let mut starts = [0, 0];
    for _ in 0..400 {
        let (attempt, stream) = start(&mut writer, at(now), 10);
        let index = usize::from(stream.0);
        starts[index] += 1;
        now += [10, 20][index];
        answer(&mut writer, at(now), attempt);
    }
    // The slow one keeps every fourth of its turns.
    assert!((315..325).contains(&starts[0]), "{starts:?}");
}

#[test]
fn a_stream_that_is_slower_may_be_ahead_by_its_bytes_and_the_product_decides() {
    let mut writer = writer(by_load().build().unwrap(), 2);
    let (first, fast) = start(&mut writer, at(0), 10);
    let (second, slow) = start(&mut writer, at(0), 10);
    answer(&mut writer, at(10), first);
    answer(&mut writer, at(40), second);
    // Four times as slow: it keeps its turn once the other one has three times the set's bytes.
    let mut starts = Vec::new();
    for _ in 0..4 {
        starts.push(start(&mut writer, at(40), 100).1);
    }
    assert_eq!(starts, [fast, fast, fast, slow]);
    assert!(writer.outstanding_bytes(fast) > 300);
    assert!(writer.outstanding_bytes(slow) > 100);
}

#[test]
fn a_stream_loses_at_most_three_turns_in_a_row() {
    for streams in [2, 3, 5, 16] {
        let mut writer = writer(by_load().build().unwrap(), streams);
        // The first stream is loaded for as long as the test lasts.
        let (_, loaded) = start(&mut writer, at(0), 5_000);
        let mut since = vec![0; streams];
        let (mut starts, mut most) = (0, 0);
        for set in 0..1_000 {
            let (attempt, stream) = start(&mut writer, at(set), 10);
            if stream == loaded {
                starts += 1;
                since.fill(0);
            } else {
                let count = &mut since[usize::from(stream.0)];
                *count += 1;
                most = most.max(*count);
                answer(&mut writer, at(set), attempt);
            }
        }
        assert_eq!(most, 4, "{streams} streams: once more than it was passed");
        // One of its four turns is left to it; each round without it is shorter by one set.
        let expected = 1_000 / (4 * (streams - 1) + 1);
        assert!((expected..=expected + 1).contains(&starts), "{starts}");
    }
}

#[test]
fn a_stream_without_room_or_health_is_no_candidate() {
    check(
        by_load().window(Window::Attempts(1)).build().unwrap(),
        3,
        "
        0 write large 900
            start 1 on 0: large
        0 write b 10
            start 2 on 1: b
        1 answer 1
            done large: stream 0, 1/1/0
        // 1 has no room: the choice is between 2 and 0, which are equal.
        2 write c 10
            start 3 on 2: c
        // Only 0 has room, and none then.
        3 write d 900
            start 4 on 0: d
        4 write e 10
            start 5 on 1: e
        ",
    );
}

#[test]
fn attempts_that_are_refused_or_fail_or_are_cancelled_leave_no_load() {
    let mut writer = writer(by_load().build().unwrap(), 3);
    let outstanding =
        |writer: &Writer<Heap>| [0, 1, 2].map(|index| writer.outstanding_bytes(StreamIndex(index)));
    let (refused, _) = start(&mut writer, at(0), 10);
    writer.handle_refused(at(0), refused);
    writer.assert_invariant();
    assert_eq!(outstanding(&writer), [0; 3]);
    let failed = writer.poll_transmit(at(0)).unwrap().id;
    let overloaded = Failure::of_status(StatusCode::OverCapacity);
    writer.handle_finished(at(1), failed, Err(overloaded));
    writer.assert_invariant();
    assert_eq!(outstanding(&writer), [0; 3]);
    writer.poll_transmit(at(1)).unwrap();
    assert_ne!(outstanding(&writer), [0; 3]);
    writer.abort(at(2));
    writer.assert_invariant();
    assert_eq!(outstanding(&writer), [0; 3]);
}

#[test]
fn the_choice_can_be_switched_while_the_writer_runs() {
    let mut writer = writer(by_load().choice(Choice::Turn).build().unwrap(), 2);
    let (_, loaded) = start(&mut writer, at(0), 5_000);
    start(&mut writer, at(0), 10);
    assert_eq!(start(&mut writer, at(1), 10).1, loaded);
    start(&mut writer, at(1), 10);
    let settings = writer.settings().to_builder().choice(Choice::Load);
    writer.change_settings(settings.build().unwrap()).unwrap();
    // The bytes of what began before count.
    assert_ne!(start(&mut writer, at(2), 10).1, loaded);
}
