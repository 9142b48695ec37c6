use distributedlog::writer::{AttemptOutcome, EnqueueError, Reason, Settings};
use distributedlog::{Clock, Instant, StreamIndex, WriteState};
use distributedlog_testkit::Faults;
use futures_lite::future::{or, poll_once};

use crate::{ms, single, stage};

/// Canonical for R13: dropping the runner leaves no write pending.
#[test]
fn dropping_the_runner_completes_every_write_as_closed() {
    let mut stage = stage(single().build().unwrap(), 2, 1);
    let sent = stage.executor.run(stage.writer.submit(b"sent")).unwrap();
    stage.executor.settle();
    let unsent = stage.writer.try_write(b"unsent").unwrap();
    let mut flush = Box::pin(stage.writer.flush());
    assert_eq!(stage.executor.run(poll_once(&mut flush)), None);
    stage.executor.cancel(stage.runner);

    let error = stage.executor.run(sent).unwrap_err();
    assert_eq!(
        (error.reason, error.known, error.attempts),
        (Reason::Closed, WriteState::Unknown, 1)
    );
    let error = stage.executor.run(unsent).unwrap_err();
    assert_eq!(
        (error.reason, error.known, error.attempts),
        (Reason::Closed, WriteState::NotWritten, 0)
    );
    stage.executor.run(flush);
    stage.executor.run(stage.writer.close());
    let error = stage.executor.run(stage.writer.write(b"late")).unwrap_err();
    assert_eq!(
        (error.reason, error.known),
        (Reason::Closed, WriteState::NotWritten)
    );
    assert_eq!(
        stage.executor.run(stage.writer.reserve(1)).unwrap_err(),
        EnqueueError::Closed
    );
    assert_eq!(
        stage.writer.try_write(b"late").unwrap_err(),
        EnqueueError::Closed
    );
}

#[test]
fn dropping_the_last_handle_completes_all_writes_as_closed_and_ends_the_runner() {
    // R13.
    let mut stage = stage(single().build().unwrap(), 2, 1);
    let clone = stage.writer.clone();
    let sent = clone.try_write(b"sent").unwrap();
    drop(clone);
    stage.executor.settle();
    assert!(
        !stage.executor.is_finished(stage.runner),
        "one handle is left"
    );
    drop(stage.writer);
    let error = stage.executor.run(sent).unwrap_err();
    assert_eq!(
        (error.reason, error.known),
        (Reason::Closed, WriteState::Unknown)
    );
    stage.executor.settle();
    assert!(stage.executor.is_finished(stage.runner));
}

#[test]
fn closing_waits_for_outstanding_writes_and_then_every_write_is_refused() {
    // R13.
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .flush_interval(ms(400))
        .build()
        .unwrap();
    let mut stage = stage(settings, 2, 1);
    let buffered = stage.writer.try_write(b"buffered").unwrap();
    stage.executor.run(stage.writer.close());
    assert_eq!(
        stage.executor.clock().now(),
        Instant::from_millis(2),
        "the set was flushed at once"
    );
    stage.executor.run(buffered).unwrap();
    assert!(stage.executor.is_finished(stage.runner));
    assert!(stage.writer.is_closed());
    assert_eq!(
        stage.writer.try_write(b"late").unwrap_err(),
        EnqueueError::Closed
    );
}

#[test]
fn a_close_with_a_deadline_gives_up_unfinished_writes_then() {
    let mut stage = stage(single().build().unwrap(), 1, 1);
    stage.faults.set(StreamIndex(0), Faults::stalled());
    let stuck = stage.writer.try_write(b"stuck").unwrap();
    stage.executor.run(stage.writer.close_within(ms(30)));
    assert_eq!(stage.executor.clock().now(), Instant::from_millis(30));
    assert_eq!(
        stage.executor.run(stuck).unwrap_err().reason,
        Reason::Closed
    );
}

#[test]
fn a_task_that_waits_for_room_learns_of_the_close() {
    let mut stage = stage(single().in_flight_sets(1).build().unwrap(), 1, 1);
    stage.faults.set(StreamIndex(0), Faults::stalled());
    let _first = stage.writer.try_write(b"1").unwrap();
    stage.executor.settle();
    let _second = stage.writer.try_write(b"2").unwrap();
    let writer = stage.writer.clone();
    let waits = async { writer.write(b"3").await.unwrap_err().reason };
    let mut waits = Box::pin(waits);
    assert!(stage.executor.run(poll_once(&mut waits)).is_none());
    stage.executor.run(stage.writer.close_within(ms(5)));
    assert_eq!(stage.executor.run(waits), Reason::Closed);
}

/// Canonical for R14.
#[test]
fn a_dropped_write_does_not_affect_its_set_and_leaks_nothing() {
    let settings = Settings::builder()
        .original_features()
        .flush_when_idle(false)
        .pending_records(3)
        .build()
        .unwrap();
    let mut stage = stage(settings, 1, 1);
    for round in 0..100_u8 {
        let before = stage.writer.try_write(&[round, 1]).unwrap();
        let between = [round, 2];
        let mut dropped = Box::pin(stage.writer.write(&between));
        assert!(stage.executor.run(poll_once(&mut dropped)).is_none());
        let after = stage.writer.try_write(&[round, 3]).unwrap();
        // At a random time of its life.
        match round % 3 {
            0 => drop(dropped),
            1 => {
                stage.executor.settle();
                drop(dropped);
            }
            _ => {
                stage.executor.run(stage.writer.flush());
                drop(dropped);
            }
        }
        let (before, after) = (
            stage.executor.run(before).unwrap(),
            stage.executor.run(after).unwrap(),
        );
        assert_eq!(
            (before.dlsn.slot_id, after.dlsn.slot_id),
            (0, 2),
            "the record between them was written"
        );
        assert_eq!(
            stage.streams.record_at(before.stream, before.dlsn.slot(1)),
            Some(vec![round, 2])
        );
    }
}

#[test]
fn a_write_dropped_before_it_is_accepted_is_not_written() {
    let mut stage = stage(single().build().unwrap(), 1, 1);
    drop(stage.writer.write(b"never polled"));
    stage.executor.run(stage.writer.flush());
    assert_eq!(stage.streams.sets_stored(), 0);
}

#[test]
fn a_write_can_be_raced_against_a_timer() {
    let mut stage = stage(single().build().unwrap(), 1, 1);
    stage.faults.set(StreamIndex(0), Faults::stalled());
    let clock = stage.executor.clock();
    let timed = or(async { Some(stage.writer.write(b"slow").await) }, async {
        clock.sleep_until(Instant::from_millis(10)).await;
        None
    });
    assert_eq!(stage.executor.run(timed), None);
    stage.faults.set(StreamIndex(0), Faults::NONE);
    stage.executor.run(stage.writer.write(b"next")).unwrap();
}

#[test]
fn a_result_can_carry_the_attempts_that_were_made_for_it() {
    let mut stage = stage(single().attempt_reports(true).build().unwrap(), 2, 1);
    stage.faults.set(StreamIndex(0), Faults::stalled());
    stage.faults.set(
        StreamIndex(1),
        Faults {
            delay: (ms(1), ms(1)),
            ..Faults::NONE
        },
    );
    for _ in 0..2 {
        let (result, attempts) = stage
            .executor
            .run(stage.writer.try_write(b"record").unwrap().with_attempts());
        let written = result.unwrap();
        assert_eq!(written.stream, StreamIndex(1));
        let won = attempts.last().unwrap();
        assert_eq!(
            (won.stream, won.outcome, won.took),
            (StreamIndex(1), AttemptOutcome::Won, ms(3))
        );
        if let [first, _] = attempts.as_slice() {
            assert_eq!(
                (first.stream, first.outcome, first.took),
                (StreamIndex(0), AttemptOutcome::GivenUp, ms(53))
            );
        }
    }
    assert_eq!(stage.writer.counters().hedges_won, 1);
}
