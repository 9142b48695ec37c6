//! Settings that change while the writer runs (R18).

use distributedlog::writer::{
    Budget, ChangeError, Codec, Health, Heap, Settings, SettingsBuilder, StreamCount, WriteResult,
    Writer,
};
use distributedlog::{Cause, Dlsn, Failure, Instant};

use crate::{ms, single};

fn writer(settings: Settings) -> Writer<Heap> {
    let streams = StreamCount::new(3).unwrap();
    Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap()
}

fn change(
    writer: &mut Writer<Heap>,
    change: impl FnOnce(SettingsBuilder) -> SettingsBuilder,
) -> Result<(), ChangeError> {
    let settings = change(writer.settings().to_builder()).build().unwrap();
    let changed = writer.change_settings(settings);
    writer.assert_invariant();
    changed
}

type Change = fn(SettingsBuilder) -> SettingsBuilder;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn result(writer: &mut Writer<Heap>, now: Instant) -> Option<WriteResult> {
    writer.handle_timeout(now);
    let record = writer.poll_completed()?;
    writer.take(record)
}

/// Canonical for R18.
#[test]
fn a_changed_setting_holds_from_the_next_record_and_attempt_on() {
    let mut writer = writer(single().build().unwrap());
    writer.write(at(0), b"first").unwrap();
    writer.poll_transmit(at(0)).unwrap();
    change(&mut writer, |settings| {
        settings
            .request_timeout(ms(100))
            .first_speculative_timeout(ms(10))
            .max_speculative_timeout(ms(10))
    })
    .unwrap();
    writer.write(at(1), b"second").unwrap();
    writer.poll_transmit(at(1)).unwrap();
    // The first one waits for its 50 ms, the second one for 10 ms.
    assert_eq!(writer.poll_timeout(), Some(at(11)));
    writer.handle_timeout(at(11));
    assert_eq!(writer.poll_transmit(at(11)).unwrap().record_count, 1);
    assert!(writer.poll_transmit(at(11)).is_none());
    assert!(result(&mut writer, at(100)).is_none());
    assert!(result(&mut writer, at(101)).unwrap().is_err());
    assert!(result(&mut writer, at(999)).is_none());
    assert!(result(&mut writer, at(1_000)).unwrap().is_err());
}

#[test]
fn a_record_that_joins_a_set_has_at_least_the_deadline_of_those_before_it() {
    let settings = single().buffer_size(1_000).flush_interval(ms(0));
    let mut writer = writer(settings.flush_when_idle(false).build().unwrap());
    writer.write(at(0), b"long").unwrap();
    let shorter = |settings: SettingsBuilder| {
        settings
            .request_timeout(ms(300))
            .max_speculative_timeout(ms(100))
    };
    change(&mut writer, shorter).unwrap();
    writer.write(at(1), b"short").unwrap();
    assert!(result(&mut writer, at(999)).is_none());
    assert!(result(&mut writer, at(1_000)).unwrap().is_err());
    assert!(result(&mut writer, at(1_000)).unwrap().is_err());
    writer.write(at(1_000), b"alone").unwrap();
    assert!(result(&mut writer, at(1_300)).unwrap().is_err());
}

#[test]
fn a_set_is_sent_at_the_new_size() {
    let settings = single().buffer_size(1_000).flush_interval(ms(0));
    let mut writer = writer(settings.flush_when_idle(false).build().unwrap());
    writer.write(at(0), &[0; 100]).unwrap();
    assert!(writer.poll_transmit(at(0)).is_none());
    change(&mut writer, |settings| settings.buffer_size(150)).unwrap();
    writer.write(at(0), &[0; 100]).unwrap();
    assert!(writer.poll_transmit(at(0)).is_some());
}

#[test]
fn what_the_tables_depend_on_is_fixed_and_named() {
    let mut writer = writer(single().build().unwrap());
    let changes: [(&str, Change); 4] = [
        ("in_flight_sets", |it| it.in_flight_sets(3)),
        ("pending_records", |it| it.pending_records(3)),
        ("seed", |it| it.seed(77)),
        ("codec", |it| it.codec(Codec::Lz4)),
    ];
    for (setting, fixed) in changes {
        let before = *writer.settings();
        let error = ChangeError::Fixed { setting };
        assert_eq!(change(&mut writer, fixed), Err(error));
        let message = format!("{setting} cannot be changed while the writer runs");
        assert_eq!(error.to_string(), message);
        assert_eq!(*writer.settings(), before);
    }
}

#[test]
fn a_stream_on_probation_returns_when_health_is_switched_off_and_a_budget_keeps_its_level() {
    let health = Health::Probation {
        strikes: 1,
        first_backoff: ms(10_000),
        max_backoff: ms(10_000),
    };
    let budget = |burst| Budget::Share {
        share: 0.1,
        per_second: 0,
        burst,
    };
    let settings = single().health(health).budget(budget(1));
    let mut writer = writer(settings.build().unwrap());
    writer.write(at(0), b"record").unwrap();
    let attempt = writer.poll_transmit(at(0)).unwrap();
    let (id, ill) = (attempt.id, attempt.stream);
    writer.handle_finished(at(0), id, Err(Failure::unanswered(Cause::ConnectionLost)));
    let retry = writer
        .poll_transmit(at(0))
        .expect("the budget has one token")
        .id;
    change(&mut writer, |settings| settings.budget(budget(100))).unwrap();
    writer.handle_finished(
        at(0),
        retry,
        Err(Failure::unanswered(Cause::ConnectionLost)),
    );
    assert!(writer.poll_transmit(at(0)).is_none(), "the token is spent");
    assert!(!writer.stream_status(ill).unwrap().healthy);
    change(&mut writer, |settings| {
        settings.health(Health::Off).budget(Budget::Off)
    })
    .unwrap();
    assert!(writer.stream_status(ill).unwrap().healthy);
    let again = writer.poll_timeout().unwrap();
    writer.handle_timeout(again);
    let last = writer.poll_transmit(again).unwrap().id;
    writer.handle_finished(again, last, Ok(Dlsn::INITIAL));
    let record = writer.poll_completed().unwrap();
    assert!(writer.take(record).unwrap().is_ok());
}
