//! Pauses that streams ask for (R16).

use std::collections::BTreeMap;

use distributedlog::writer::{
    Health, Heap, Reason, Settings, SettingsBuilder, StreamCount, WriteResult, Writer,
};
use distributedlog::{AttemptId, Cause, Dlsn, Failure, Instant, Outcome, StatusCode, WriteState};

use crate::{ms, single};

/// Time after which a stream answers, in milliseconds.
const ANSWER_MS: u64 = 5;

/// Attempts and results of a writer; times are in milliseconds.
#[derive(Debug, Default)]
struct Played {
    /// Time and stream of each attempt.
    starts: Vec<(u64, u16)>,
    /// Time and result of each record.
    results: Vec<(u64, WriteResult)>,
}

/// Writes a record at each of these times. `answer` says with what a stream answers the attempt
/// that started at a time; `None` if it does not answer.
fn play(
    settings: SettingsBuilder,
    streams: usize,
    records: &[u64],
    mut answer: impl FnMut(u16, u64) -> Option<Outcome>,
) -> Played {
    let settings = settings.build().unwrap();
    let streams = StreamCount::new(streams).unwrap();
    let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
    let mut answers: BTreeMap<(u64, AttemptId), Outcome> = BTreeMap::new();
    let mut waiting = records.iter().copied().peekable();
    let mut played = Played::default();
    let mut now = Instant::ZERO;
    while played.results.len() < records.len() {
        let millis = now.as_micros() / 1_000;
        writer.handle_timeout(now);
        while waiting.next_if(|at| *at <= millis).is_some() {
            writer.write(now, b"a record").unwrap();
        }
        while let Some(entry) = answers
            .first_entry()
            .filter(|entry| entry.key().0 <= millis)
        {
            let ((_, attempt), outcome) = entry.remove_entry();
            writer.handle_finished(now, attempt, outcome);
        }
        while let Some(attempt) = writer.poll_transmit(now) {
            played.starts.push((millis, attempt.stream.0));
            if let Some(outcome) = answer(attempt.stream.0, millis) {
                answers.insert((millis + ANSWER_MS, attempt.id), outcome);
            }
        }
        while writer.poll_cancel().is_some() {}
        while let Some(record) = writer.poll_completed() {
            played.results.push((millis, writer.take(record).unwrap()));
        }
        writer.assert_invariant();
        let next = [
            writer.poll_timeout(),
            answers
                .keys()
                .next()
                .map(|(at, _)| Instant::from_millis(*at)),
            waiting.peek().map(|at| Instant::from_millis(*at)),
        ];
        now = next.into_iter().flatten().min().unwrap_or(now).max(now);
    }
    played
}

const fn asks_for(pause_ms: u64) -> Option<Outcome> {
    let pause = if pause_ms == 0 {
        None
    } else {
        Some(ms(pause_ms))
    };
    Some(Err(Failure::overloaded(
        Cause::Status(StatusCode::OverCapacity),
        pause,
    )))
}

const DONE: Option<Outcome> = Some(Ok(Dlsn::new(1, 0, 0)));

const LASTING: Health = Health::Probation {
    strikes: 3,
    first_backoff: ms(100),
    max_backoff: ms(1_000),
};

/// Canonical for R16.
#[test]
fn a_stream_that_asked_for_less_load_gets_no_attempt_until_its_pause_is_over() {
    for settings in [
        single(),
        single().health(LASTING),
        Settings::builder().buffer_size(0),
    ] {
        let settings = settings.request_timeout(ms(4_000));
        let mut last = [None; 3];
        let played = play(settings, 3, &[0, 1, 500, 1_500], |stream, now| {
            let previous: Option<u64> = last[usize::from(stream)].replace(now);
            // Attempts of sets that were sent before the first answer arrived.
            let answered = previous.is_some_and(|previous| now > previous + ANSWER_MS);
            assert!(
                !answered || previous.is_none_or(|previous| now >= previous + 2_000),
                "stream {stream}: {previous:?}, {now}"
            );
            asks_for(2_000)
        });
        // Each of the four sets goes to each stream before the first pauses, and once after them.
        assert!(played.starts.len() <= 24, "{played:?}");
        for (at, result) in played.results {
            let error = result.expect_err("no stream takes it");
            assert_eq!(
                (error.reason, error.known),
                (Reason::TimedOut, WriteState::NotWritten),
                "{at}"
            );
        }
    }
}

#[test]
fn a_set_waits_for_the_stream_whose_pause_ends_first() {
    // R16. The second and third record find every stream paused.
    let settings = single().health(LASTING).request_timeout(ms(10_000));
    let played = play(settings, 3, &[0, 100, 200], |stream, now| {
        match (stream, now) {
            (1, 0..1_000) => asks_for(1_000),
            (_, 0..1_000) => asks_for(5_000),
            _ => DONE,
        }
    });
    let later = &played.starts[3..];
    assert_eq!(later.len(), 3, "{played:?}");
    for (at, stream) in later {
        // A second, up to a quarter more, and the pause of a round.
        assert!(*stream == 1 && (1_005..1_280).contains(at), "{played:?}");
    }
}

#[test]
fn a_deadline_before_the_end_of_the_pause_fails_the_record_as_not_written() {
    let settings = single().health(LASTING).request_timeout(ms(500));
    let played = play(settings, 2, &[0], |_, _| asks_for(60_000));
    assert_eq!(played.starts.len(), 2, "{played:?}");
    let (at, Err(error)) = played.results[0] else {
        panic!("{played:?}")
    };
    assert_eq!(
        (at, error.reason, error.known, error.attempts),
        (500, Reason::TimedOut, WriteState::NotWritten, 2)
    );
}

#[test]
fn streams_that_name_no_time_are_asked_less_and_less_often() {
    // R16: over thrift, a full disk. The first round, and then a handful of attempts.
    let settings = Settings::builder().request_timeout(ms(4_000));
    for seed in 0..50 {
        let played = play(settings.seed(seed), 5, &[0], |_, _| asks_for(0));
        assert!(
            (6..=16).contains(&played.starts.len()),
            "{}: {:?}",
            played.starts.len(),
            played.starts
        );
        // Once it recovers, it is asked within the longest pause and that of a round.
        let played = play(settings.seed(seed), 5, &[0], |_, now| {
            if now < 2_000 { asks_for(0) } else { DONE }
        });
        let (at, result) = played.results[0];
        assert!(result.is_ok() && at < 3_100, "{played:?}");
    }
}

#[test]
fn a_set_is_hedged_to_a_paused_stream_once_its_pause_is_over() {
    // R16, R3: the first stream stalls while the second one is paused.
    let settings = single().health(LASTING).request_timeout(ms(10_000));
    let played = play(settings, 2, &[0, 1, 10], |stream, now| {
        match (stream, now) {
            (1, 0..1_000) => asks_for(1_000),
            (1, _) => DONE,
            (_, 0..10) => DONE,
            _ => None,
        }
    });
    let (at, result) = played.results[2];
    assert!(
        result.is_ok_and(|written| written.stream.0 == 1),
        "{played:?}"
    );
    assert!((1_000..1_400).contains(&at), "{played:?}");
}

#[test]
fn while_one_stream_is_paused_the_others_are_tried_round_after_round() {
    // R16, R5: a long pause of one stream does not delay the next round of the others.
    let settings = single().health(LASTING).request_timeout(ms(10_000));
    let mut failures = 0;
    let played = play(settings, 2, &[0], |stream, _| {
        failures += 1;
        match (stream, failures) {
            (1, _) => asks_for(60_000),
            (_, 0..4) => Some(Err(Failure::of_status(StatusCode::InternalServerError))),
            _ => DONE,
        }
    });
    let (at, result) = played.results[0];
    assert!(result.is_ok() && at < 200, "{played:?}");
}

#[test]
fn the_original_does_not_pause() {
    let settings = Settings::original().to_builder().buffer_size(0);
    let played = play(settings, 3, &[0], |_, _| asks_for(0));
    let times: Vec<u64> = played.starts.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 5, 10]);
}

#[test]
fn a_set_that_the_transport_refuses_asks_each_stream_once_before_it_pauses() {
    let settings = single().health(LASTING).request_timeout(ms(4_000));
    let settings = settings.build().unwrap();
    let streams = StreamCount::new(2).unwrap();
    let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
    writer.write(Instant::ZERO, b"a record").unwrap();
    let attempt = writer.poll_transmit(Instant::ZERO).expect("an attempt").id;
    writer.handle_finished(Instant::ZERO, attempt, asks_for(2_000).expect("an answer"));
    // One stream is left, and the transport has no room for it.
    let mut refused = 0;
    for now in (0..1_000).map(Instant::from_millis) {
        writer.handle_timeout(now);
        let before = refused;
        while let Some(attempt) = writer.poll_transmit(now).map(|attempt| attempt.id) {
            writer.handle_refused(now, attempt);
            refused += 1;
            assert!(refused - before <= 2, "more attempts at once than streams");
        }
    }
    assert!(refused > 2, "it goes on after each pause: {refused}");
}
