use distributedlog::settings::{SettingRange, SettingValue};
use distributedlog::writer::{
    BuildError, EnqueueError, Fixed, Settings, SettingsError, StreamCount, Writer,
};
use distributedlog::{Dlsn, Instant};
use distributedlog_testkit::script::{Player, check};

use crate::{ms, single};

/// Canonical for R7: sets.
#[test]
fn no_more_sets_are_in_flight_than_the_settings_allow() {
    check(
        single().in_flight_sets(2).build().unwrap(),
        5,
        "
        0 write a
            start 1 on 0: a
        0 write b
            start 2 on 1: b
        // The third record is accepted and waits; there is no room for a fourth.
        0 write c
        0 write d
            refused d: the writer has no room for the record at the moment
        1 answer 1
            start 3 on 2: c
            done a: stream 0, 1/1/0
        1 write d
        2 answer 2
            start 4 on 3: d
            done b: stream 1, 1/2/0
        ",
    );
}

/// Canonical for R7: bytes.
#[test]
fn no_more_bytes_are_buffered_than_the_settings_allow() {
    // Each record takes 16 + 4 + 80 bytes.
    check(
        single().buffered_bytes(250).build().unwrap(),
        5,
        "
        0 write a 80
            start 1 on 0: a
        0 write b 80
            start 2 on 1: b
        0 write c 80
            refused c: the writer has no room for the record at the moment
        0 write c 30
            start 3 on 2: c
        1 answer 1
            done a: stream 0, 1/1/0
        1 write d 80
            start 4 on 3: d
        ",
    );
}

#[test]
fn no_more_records_are_pending_than_the_settings_allow() {
    let settings = Settings::builder()
        .original_features()
        .pending_records(2)
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
            refused c: the writer has no room for the record at the moment
        2
            start 1 on 0: a b
        3 answer 1
            done a: stream 0, 1/1/0
            done b: stream 0, 1/1/1
        3 write c
        5
            start 2 on 0: c
        ",
    );
}

#[test]
fn reserved_room_stays_reserved_until_it_is_used_or_released() {
    check(
        single().in_flight_sets(3).build().unwrap(),
        5,
        "
        0 reserve r 10
        0 reserve s 10
        0 write a
            start 1 on 0: a
        0 write b
        0 write c
            refused c: the writer has no room for the record at the moment
        0 reserve t 10
            refused t: the writer has no room for the record at the moment
        // The reserved room allows the waiting set to be in flight, whichever record uses the room.
        0 submit r
            start 2 on 1: b
        0 release s
            start 3 on 2: r
        0 write c
        ",
    );
}

#[test]
fn a_submitted_record_may_not_be_longer_than_its_room() {
    let settings = single().build().unwrap();
    let streams = StreamCount::new(1).unwrap();
    let mut writer = Writer::new(settings, streams, Fixed::<1, 3, 4, 256>::new()).unwrap();
    let reservation = writer.reserve(3).unwrap();
    assert_eq!(
        writer.submit(Instant::ZERO, reservation, b"four"),
        Err(EnqueueError::TooLarge { len: 4, max: 3 })
    );
    let reservation = writer.reserve(3).unwrap();
    assert!(writer.submit(Instant::ZERO, reservation, b"two").is_ok());
}

#[test]
fn all_room_is_back_when_everything_has_ended() {
    let settings = single().in_flight_sets(4).build().unwrap();
    let mut player = Player::new(settings, 3);
    player.play(
        "
        0 write a
        0 write b
        0 write c
        0 reserve r 5
        10 answer 1
        11 fail 2 413
        12 release r
        60 answer 4
        2000
        ",
    );
    let writer = player.writer();
    assert_eq!((writer.sets_in_flight(), writer.buffered_bytes()), (0, 0));
    assert_eq!(
        writer.free_record_slots(),
        writer.settings().pending_records()
    );
    assert_eq!(writer.poll_timeout(), None);
}

#[test]
fn a_writer_with_fixed_storage_is_bounded_by_it() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .build()
        .unwrap();
    let streams = StreamCount::new(2).unwrap();
    let mut writer = Writer::new(settings, streams, Fixed::<2, 3, 8, 128>::new()).unwrap();
    let now = Instant::ZERO;
    assert_eq!(writer.max_record_bytes(), 128 - 20);
    assert_eq!(
        writer.write(now, &[0; 109]),
        Err(EnqueueError::TooLarge { len: 109, max: 108 })
    );
    // Two sets may be in flight while a third fills; each holds one such record.
    for _ in 0..3 {
        writer.write(now, &[1; 100]).unwrap();
    }
    assert_eq!(writer.write(now, &[1; 100]), Err(EnqueueError::Full));
    let mut started = Vec::new();
    while let Some(attempt) = writer.poll_transmit(now) {
        started.push(attempt.id);
    }
    assert_eq!(started.len(), 2);
    writer.handle_finished(now, started[0], Ok(Dlsn::INITIAL));
    assert!(writer.write(now, &[1; 100]).is_ok());
}

#[test]
fn storage_that_is_too_short_is_refused_with_the_needed_length() {
    let settings = Settings::builder().original_features().build().unwrap();
    let three = StreamCount::new(3).unwrap();
    let few_streams = Writer::new(settings, three, Fixed::<2, 3, 8, 128>::new());
    assert_eq!(
        few_streams.unwrap_err(),
        BuildError::Streams { rows: 2, needed: 3 }
    );
    let few_sets = Writer::new(settings, three, Fixed::<3, 1, 8, 128>::new());
    assert_eq!(
        few_sets.unwrap_err(),
        BuildError::Sets { rows: 1, needed: 2 }
    );
    let no_records = Writer::new(settings, three, Fixed::<3, 2, 0, 128>::new());
    assert_eq!(no_records.unwrap_err(), BuildError::Records);
    let short = Writer::new(settings, three, Fixed::<3, 2, 8, 20>::new());
    assert_eq!(
        short.unwrap_err(),
        BuildError::SetBytes {
            bytes: 20,
            needed: 21
        }
    );
}

#[test]
fn settings_outside_their_bounds_are_refused_by_name() {
    let refused = [
        (
            Settings::builder().request_timeout(ms(0)),
            "request_timeout is 0ns; it must be within 1ns to 2592000s",
        ),
        (
            Settings::builder().max_speculative_timeout(ms(10_000)),
            "max_speculative_timeout is 10s; it must be below request_timeout, 10s",
        ),
        (
            Settings::builder().first_speculative_timeout(ms(0)),
            "first_speculative_timeout is 0ns; it must be at least 1µs",
        ),
        (
            Settings::builder().first_speculative_timeout(ms(201)),
            "first_speculative_timeout is 201ms; it must be at least 1µs and at most \
             max_speculative_timeout, 200ms",
        ),
        (
            Settings::builder().speculative_backoff_multiplier(0.5),
            "speculative_backoff_multiplier is 0.5; it must be within 1 to 1000",
        ),
        (
            Settings::builder().speculative_backoff_multiplier(f32::NAN),
            "speculative_backoff_multiplier is NaN",
        ),
        (
            Settings::builder().flush_interval(ms(10_000)),
            "flush_interval is 10s; it must be below request_timeout, 10s",
        ),
        (
            Settings::builder().buffer_size(1_040_385),
            "buffer_size is 1040385; it must be within 0 to 1040384",
        ),
        (
            Settings::builder().in_flight_sets(0),
            "in_flight_sets is 0; it must be within 1 to 65000",
        ),
        (
            Settings::builder().buffered_bytes(63),
            "buffered_bytes is 63; it must be within 64 to",
        ),
        (
            Settings::builder().pending_records(0),
            "pending_records is 0; it must be within 1 to",
        ),
    ];
    for (builder, message) in refused {
        let error = builder.build().unwrap_err();
        assert!(
            error.to_string().starts_with(message),
            "{error} instead of {message}"
        );
    }
    assert_eq!(
        StreamCount::new(0).unwrap_err(),
        SettingsError {
            setting: "streams",
            value: SettingValue::Count(0),
            range: SettingRange::Counts(1, 256)
        }
    );
    assert_eq!(
        StreamCount::new(257).unwrap_err().to_string(),
        "streams is 257; it must be within 1 to 256"
    );
}

#[test]
fn the_tutorials_and_the_originals_settings_are_unchanged() {
    let tutorial = Settings::tutorial();
    assert_eq!(
        (tutorial.buffer_size(), tutorial.flush_interval()),
        (0, ms(0))
    );
    assert_eq!(
        (
            tutorial.first_speculative_timeout(),
            tutorial.max_speculative_timeout()
        ),
        (ms(10_000), ms(20_000))
    );
    assert_eq!(tutorial.request_timeout(), ms(50_000));
    let original = Settings::original();
    assert_eq!(
        (original.buffer_size(), original.flush_interval()),
        (16 * 1024, ms(2))
    );
    assert_eq!(
        (
            original.first_speculative_timeout(),
            original.max_speculative_timeout()
        ),
        (ms(50), ms(200))
    );
    assert_eq!(
        (original.request_timeout(), original.rounds().limit),
        (ms(500), Some(1))
    );
}
