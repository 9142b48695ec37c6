//! Streams that are added and removed while the writer runs (R17).

use distributedlog::writer::{
    Fixed, Health, MemberError, Reason, Rounds, Settings, Storage, StreamCount, Writer,
};
use distributedlog::{AttemptId, Cause, Dlsn, Failure, Instant, Outcome, StatusCode, StreamIndex};

use crate::{ms, single};

type Tables = Fixed<3, 8, 32, 128>;

const A: StreamIndex = StreamIndex(0);
const B: StreamIndex = StreamIndex(1);
const C: StreamIndex = StreamIndex(2);

fn writer(settings: Settings, streams: usize) -> Writer<Tables> {
    let count = StreamCount::new(streams).unwrap();
    Writer::new(settings, count, Tables::new()).unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Writes a record and returns the stream of its attempt.
fn start(writer: &mut Writer<impl Storage>, now: Instant) -> (AttemptId, StreamIndex) {
    writer.write(now, b"record").unwrap();
    let attempt = writer.poll_transmit(now).unwrap();
    (attempt.id, attempt.stream)
}

/// Ends an attempt, and takes the results of its records.
fn end(writer: &mut Writer<impl Storage>, now: Instant, attempt: AttemptId, outcome: Outcome) {
    writer.handle_finished(now, attempt, outcome);
    while writer.poll_cancel().is_some() {}
    while let Some(record) = writer.poll_completed() {
        let _ = writer.take(record);
    }
    writer.assert_invariant();
}

fn starts(writer: &mut Writer<impl Storage>, sets: usize) -> Vec<StreamIndex> {
    let now = Instant::ZERO;
    let one = |_| {
        let (attempt, stream) = start(writer, now);
        end(writer, now, attempt, Ok(Dlsn::INITIAL));
        stream
    };
    (0..sets).map(one).collect()
}

/// Canonical for R17.
#[test]
fn a_stream_that_was_added_takes_turns_and_one_that_was_removed_gets_no_attempt() {
    let mut writer = writer(single().build().unwrap(), 2);
    assert_eq!(writer.add_stream(), Ok(C));
    let mut third = starts(&mut writer, 3);
    third.sort_unstable_by_key(|stream| stream.0);
    assert_eq!(third, [A, B, C]);
    writer.remove_stream(B).unwrap();
    assert!(writer.is_drained(B) && !writer.is_drained(A));
    let rest = starts(&mut writer, 6);
    assert_eq!(rest.iter().filter(|it| **it == A).count(), 3, "{rest:?}");
    assert!(!rest.contains(&B), "{rest:?}");
    assert!(writer.stream_status(B).unwrap().removed);
    assert_eq!(writer.member_count(), 2);
}

#[test]
fn what_is_outstanding_at_a_removed_stream_may_still_win_and_is_hedged_elsewhere() {
    let mut writer = writer(single().build().unwrap(), 3);
    let (first, from) = start(&mut writer, at(0));
    writer.remove_stream(from).unwrap();
    assert!(!writer.is_drained(from), "an attempt is outstanding there");
    // The speculative timeout is 50 ms: the two others are hedged to, and the removed one is not.
    let mut hedges = Vec::new();
    for millis in [50, 150, 350, 550] {
        writer.handle_timeout(at(millis));
        hedges.extend(writer.poll_transmit(at(millis)).map(|it| it.stream));
    }
    assert_eq!(hedges.len(), 2);
    assert!(!hedges.contains(&from));
    writer.handle_finished(at(600), first, Ok(Dlsn::INITIAL));
    let record = writer.poll_completed().unwrap();
    assert_eq!(writer.take(record).unwrap().unwrap().stream, from);
    assert!(writer.is_drained(from));
}

#[test]
fn the_only_stream_stays_and_others_are_removed_once() {
    let mut writer = writer(single().build().unwrap(), 2);
    assert_eq!(writer.remove_stream(C), Err(MemberError::NotMember));
    writer.remove_stream(A).unwrap();
    assert_eq!(writer.remove_stream(A), Err(MemberError::NotMember));
    assert_eq!(writer.remove_stream(B), Err(MemberError::OnlyStream));
    assert_eq!(starts(&mut writer, 2), [B, B]);
}

#[test]
fn an_index_is_used_again_in_order_of_removal_and_not_while_an_attempt_is_outstanding() {
    let mut writer = writer(single().build().unwrap(), 3);
    assert_eq!(writer.add_stream(), Err(MemberError::Full { rows: 3 }));
    let (attempt, busy) = start(&mut writer, at(0));
    writer.remove_stream(busy).unwrap();
    assert_eq!(writer.add_stream(), Err(MemberError::Full { rows: 3 }));
    let other = [A, B, C].into_iter().find(|it| *it != busy).unwrap();
    writer.remove_stream(other).unwrap();
    assert_eq!(writer.add_stream(), Ok(other), "the other one is busy");
    writer.remove_stream(other).unwrap();
    end(&mut writer, at(1), attempt, Ok(Dlsn::INITIAL));
    assert_eq!(writer.add_stream(), Ok(busy), "it was removed first");
    assert_eq!(writer.add_stream(), Ok(other));
}

/// Fails a set's attempts until it ends, and returns its reason and the streams that were tried.
fn refuse_all(writer: &mut Writer<Tables>, mut now: u64) -> (Reason, Vec<StreamIndex>) {
    let refused = Failure::of_status(StatusCode::StreamUnavailable);
    assert_eq!(refused.cause, Cause::Status(StatusCode::StreamUnavailable));
    let advice = distributedlog::Advice::FailOnThisStream;
    let refused = Failure::new(refused.cause, refused.known, advice);
    let record = writer.write(at(now), b"record").unwrap();
    let mut tried = Vec::new();
    loop {
        now += 1;
        while let Some(attempt) = writer.poll_transmit(at(now)) {
            let (id, stream) = (attempt.id, attempt.stream);
            tried.push(stream);
            writer.handle_finished(at(now), id, Err(refused));
        }
        if writer.poll_completed() == Some(record) {
            return (writer.take(record).unwrap().unwrap_err().reason, tried);
        }
        assert!(now < 2_000, "{tried:?}");
        writer.handle_timeout(at(now));
    }
}

#[test]
fn a_set_is_refused_once_all_streams_that_are_left_have_refused_it() {
    let rounds = Rounds {
        limit: None,
        first_backoff: ms(1),
        max_backoff: ms(1),
    };
    let mut writer = writer(single().rounds(rounds).build().unwrap(), 3);
    writer.remove_stream(B).unwrap();
    let (reason, tried) = refuse_all(&mut writer, 0);
    assert_eq!(reason, Reason::Refused);
    assert!(tried.len() == 2 && !tried.contains(&B), "{tried:?}");
    // The new stream has refused nothing, whatever the one before it with this index did.
    assert_eq!(writer.add_stream(), Ok(B));
    let (reason, tried) = refuse_all(&mut writer, 10);
    assert_eq!((reason, tried.len()), (Reason::Refused, 3));
}

#[test]
fn a_removed_stream_is_not_probed_and_one_that_was_added_in_its_place_is_healthy() {
    let health = Health::Probation {
        strikes: 1,
        first_backoff: ms(10),
        max_backoff: ms(10),
    };
    let mut writer = writer(single().health(health).build().unwrap(), 3);
    let (attempt, ill) = start(&mut writer, at(0));
    let lost = Failure::unanswered(Cause::ConnectionLost);
    writer.handle_finished(at(0), attempt, Err(lost));
    let retry = writer.poll_transmit(at(0)).unwrap().id;
    end(&mut writer, at(0), retry, Ok(Dlsn::INITIAL));
    assert!(!writer.stream_status(ill).unwrap().healthy);
    writer.remove_stream(ill).unwrap();
    for millis in 20..60 {
        let (attempt, stream) = start(&mut writer, at(millis));
        assert_ne!(stream, ill);
        assert!(writer.poll_transmit(at(millis)).is_none(), "no probe");
        end(&mut writer, at(millis), attempt, Ok(Dlsn::INITIAL));
    }
    assert_eq!(writer.add_stream(), Ok(ill));
    let status = writer.stream_status(ill).unwrap();
    assert!(
        status.healthy && status.counters.attempts == 0,
        "{status:?}"
    );
}
