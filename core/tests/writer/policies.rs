//! Budget (R8), health (R9) and identity (R12).

use distributedlog::StreamIndex;
use distributedlog::wire::record_set::{RecordSet, SetIdentity};
use distributedlog::writer::{
    Budget, Codec, Health, Heap, Identity, Rounds, Settings, StreamCount, Writer, WriterId,
};
use distributedlog::{Cause, Dlsn, Failure, Instant};
use distributedlog_testkit::script::{Player, check};

use crate::{ms, single};

/// Canonical for R8.
#[test]
fn when_the_budget_is_spent_sets_wait_for_their_outstanding_attempts() {
    let budget = Budget::Share {
        share: 0.5,
        per_second: 0,
        burst: 1,
    };
    let counters = check(
        single().budget(budget).build().unwrap(),
        3,
        "
        // The bucket starts with one token; each set pays in half of one, and no more than one is \
         kept.
        0 write a
            start 1 on 0: a
        0 write b
            start 2 on 1: b
        50
            start 3 on 1: a
        100
        500 answer 2
            done b: stream 1, 1/2/0
        501 answer 3
            cancel 1
            done a: stream 1, 1/3/0
        501 write c
            start 4 on 2: c
        502 answer 4
            done c: stream 2, 1/4/0
        // Two sets since: a whole token again.
        502 write d
            start 5 on 0: d
        552
            start 6 on 1: d
        ",
    );
    assert!(counters.budget_exhausted >= 1);
    assert_eq!(counters.hedges_sent, 2);
}

#[test]
fn a_set_deposits_into_the_budget_once_even_if_the_transport_refuses_it() {
    let settings = single()
        .budget(Budget::Share {
            share: 0.5,
            per_second: 0,
            burst: 1,
        })
        .rounds(Rounds {
            limit: None,
            first_backoff: ms(1),
            max_backoff: ms(1),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 3);
    player.play("0 write a\n60 answer 2");
    assert_eq!(
        player.counters().hedges_sent,
        1,
        "the token that the bucket starts with"
    );
    // Six refusals, then an attempt; half a token is there.
    player.play("100 refuse 6\n100 write b\n900");
    assert_eq!(
        (
            player.counters().transport_full,
            player.counters().hedges_sent
        ),
        (6, 1)
    );
}

#[test]
fn retries_take_from_the_same_budget_as_hedges() {
    // R8: in a total outage the load is the offered one and the tokens of the bucket.
    let settings = single()
        .budget(Budget::Share {
            share: 0.1,
            per_second: 0,
            burst: 4,
        })
        .rounds(Rounds {
            limit: None,
            first_backoff: ms(5),
            max_backoff: ms(20),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 3);
    player.play("0 write a\n1 fail 1 503\n2 fail 2 503\n3 fail 3 503");
    let played = player.play("999");
    assert_eq!(
        played,
        ["999"],
        "no attempt more: the bucket is empty, and only sets fill it"
    );
    assert_eq!(player.counters().attempts, 3);
    // R2: it does not fail early for lack of tokens.
    let played = player.play("1000");
    assert!(
        played[1].contains("the request timeout passed after 3 attempts (not written)"),
        "{played:?}"
    );
}

#[test]
fn time_deposits_too_so_that_a_writer_of_few_sets_can_continue() {
    let settings = single()
        .budget(Budget::Share {
            share: 0.01,
            per_second: 10,
            burst: 1,
        })
        .rounds(Rounds {
            limit: None,
            first_backoff: ms(5),
            max_backoff: ms(5),
        })
        .build()
        .unwrap();
    let mut player = Player::new(settings, 3);
    player.play("0 write a\n1 fail 1 503\n2 fail 2 503");
    let played = player.play("110");
    assert!(
        played.iter().any(|line| line.contains("start 3 on 2: a")),
        "{played:?}"
    );
}

#[test]
fn a_proxy_that_asks_for_less_load_gets_a_pause_and_its_set_is_not_hedged() {
    // R8: pushback. The set continues with the next stream, which gets all the remaining time.
    let health = Health::Probation {
        strikes: 3,
        first_backoff: ms(500),
        max_backoff: ms(500),
    };
    let counters = check(
        single().health(health).build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        1 fail 1 517
            start 2 on 1: a
        900 answer 2
            done a: stream 1, 1/2/0
        ",
    );
    assert_eq!((counters.hedges_sent, counters.pushbacks), (0, 1));
}

#[test]
fn a_stream_that_pushed_back_pauses() {
    let health = Health::Probation {
        strikes: 3,
        first_backoff: ms(500),
        max_backoff: ms(500),
    };
    check(
        single().health(health).build().unwrap(),
        3,
        "
        0 write a
            start 1 on 0: a
        1 fail 1 517
            start 2 on 1: a
        2 answer 2
            done a: stream 1, 1/2/0
        3 write b
            start 3 on 1: b
        4 answer 3
            done b: stream 1, 1/3/0
        5 write c
            start 4 on 2: c
        6 answer 4
            done c: stream 2, 1/4/0
        // Its turn, but it pauses for 250 to 500 ms; then it is used again.
        7 write d
            start 5 on 1: d
        8 answer 5
            done d: stream 1, 1/5/0
        600 write e
            start 6 on 2: e
        601 answer 6
            done e: stream 2, 1/6/0
        602 write f
            start 7 on 0: f
        ",
    );
}

#[test]
fn a_stream_pauses_for_as_long_as_its_proxy_asked() {
    // R8: a mux nack, or HTTP 429 and 503, with and without Retry-After, which holds with the
    // defaults, too.
    let health = Health::Probation {
        strikes: 3,
        first_backoff: ms(100),
        max_backoff: ms(500),
    };
    let budget = Budget::Share {
        share: 1.0,
        per_second: 0,
        burst: 10,
    };
    let pauses = Rounds {
        limit: None,
        first_backoff: ms(10),
        max_backoff: ms(20),
    };
    for (builder, asked, least, most) in [
        (single().health(health), Some(3_000), 3_000, 3_750),
        (single().health(health), None, 50, 100),
        (
            single().budget(budget).rounds(pauses),
            Some(3_000),
            3_000,
            3_750,
        ),
        (single().budget(budget).rounds(pauses), None, 5, 10),
        (single().health(health), Some(3_600_000), 60_000, 75_000),
        (single().max_cool_down(ms(1_000)), Some(3_000), 1_000, 1_250),
        (single().max_cool_down(ms(0)), Some(3_000), 0, 0),
        (single(), Some(3_000), 3_000, 3_750),
        (single(), None, 0, 0),
    ] {
        let mut player = Player::new(builder.request_timeout(ms(100_000)).build().unwrap(), 2);
        player.play("0 write a");
        let attempt = player.attempt(1);
        let failure = Failure::overloaded(Cause::Refused, asked.map(ms));
        player
            .writer()
            .handle_finished(Instant::ZERO, attempt, Err(failure));
        let well_at = |millis: u64, player: &mut Player| {
            player.writer().handle_timeout(Instant::from_millis(millis));
            player
                .writer()
                .stream_status(StreamIndex(0))
                .unwrap()
                .healthy
        };
        assert!(
            least == 0 || !well_at(least - 1, &mut player),
            "{asked:?}: for {least} ms at least"
        );
        assert!(
            well_at(most, &mut player),
            "{asked:?}: for {most} ms at most"
        );
    }
}

#[test]
fn a_failing_stream_is_skipped_probed_and_used_again() {
    // R9: on probation at once because of its answer; probed by copies of sets that start
    // elsewhere, after 50 to 100 ms, then after twice as long.
    let health = Health::Probation {
        strikes: 3,
        first_backoff: ms(100),
        max_backoff: ms(10_000),
    };
    let mut player = Player::new(single().health(health).build().unwrap(), 2);
    player.play("0 write a\n1 fail 1 506\n2 answer 2");
    assert_eq!(player.counters().probation_entries, 1);
    let mut attempt = 2;
    // For each set, the streams at which it was attempted, in this order.
    let mut went: Vec<Vec<u16>> = Vec::new();
    for number in 0..60 {
        let at = 3 + 10 * number;
        let played = player.play(&format!("{at} write r{number}"));
        let streams: Vec<u16> = played[1..]
            .iter()
            .map(|line| if line.contains(" on 0: ") { 0 } else { 1 })
            .collect();
        let probes = went.iter().filter(|streams| **streams == [1, 0]).count();
        let probed = streams == [1, 0];
        attempt += streams.len();
        went.push(streams);
        if probed && probes == 0 {
            // The probe fails, and the set completes without delay.
            assert_eq!(
                player.play(&format!("{} fail {attempt} 506", at + 1)).len(),
                1
            );
        }
        // The second one succeeds before the healthy stream does.
        player.play(&format!(
            "{} answer {}",
            at + 2,
            if probed && probes == 0 {
                attempt - 1
            } else {
                attempt
            }
        ));
    }
    let probes: Vec<_> = (0..60).filter(|number| went[*number] == [1, 0]).collect();
    assert_eq!(probes.len(), 2, "{went:?}");
    assert!((5..=10).contains(&probes[0]), "the first probe: {probes:?}");
    assert!(
        (10..=21).contains(&(probes[1] - probes[0])),
        "the second: {probes:?}"
    );
    // Until then all sets start at the other stream; from then on it is used in its turn again.
    assert!(went[..probes[1]].iter().all(|streams| streams[0] == 1));
    assert!(
        went[probes[1] + 1..]
            .chunks(2)
            .all(|pair| pair.len() < 2 || pair == [vec![0], vec![1]]),
        "{went:?}"
    );
    let counters = player.counters();
    assert_eq!(
        (
            counters.probation_exits,
            counters.probes_sent,
            counters.hedges_sent
        ),
        (1, 2, 0)
    );
}

#[test]
fn a_probe_takes_from_the_budget_and_waits_for_it() {
    // R8: probes are extra attempts as hedges and retries are.
    let health = Health::Probation {
        strikes: 1,
        first_backoff: ms(1),
        max_backoff: ms(1),
    };
    let budget = Budget::Share {
        share: 0.25,
        per_second: 0,
        burst: 1,
    };
    let mut player = Player::new(single().health(health).budget(budget).build().unwrap(), 2);
    player.play("0 write a\n1 fail 1 506\n2 answer 2");
    let mut attempt = 2;
    for number in 0..20 {
        let at = 10 + 10 * number;
        let starts = player.play(&format!("{at} write r{number}")).len() - 1;
        player.play(&format!("{} answer {}", at + 1, attempt + 1));
        attempt += starts;
    }
    // A retry took the token that the bucket starts with; 21 sets paid in a quarter each.
    assert_eq!(player.counters().probes_sent, 5);
}

#[test]
fn a_returning_stream_is_one_strike_from_probation_until_it_succeeds_once() {
    let health = Health::Probation {
        strikes: 3,
        first_backoff: ms(10),
        max_backoff: ms(10),
    };
    check(
        single().health(health).build().unwrap(),
        2,
        "
        0 write a
            start 1 on 0: a
        1 fail 1 506
            start 2 on 1: a
        2 answer 2
            done a: stream 1, 1/2/0
        20 write b
            start 3 on 1: b
            start 4 on 0: b
        21 answer 4
            cancel 3
            done b: stream 0, 1/4/0
        22 write c
            start 5 on 0: c
        // Slower than its hedge, once.
        72
            start 6 on 1: c
        73 answer 6
            cancel 5
            done c: stream 1, 1/6/0
        74 write d
            start 7 on 1: d
        75 answer 7
            done d: stream 1, 1/7/0
        76 write e
            start 8 on 1: e
        ",
    );
}

#[test]
fn with_all_streams_on_probation_the_writer_uses_all_of_them() {
    // R9.
    let health = Health::Probation {
        strikes: 1,
        first_backoff: ms(10_000),
        max_backoff: ms(10_000),
    };
    let mut player = Player::new(single().health(health).build().unwrap(), 2);
    player.play("0 write a\n1 fail 1 500\n2 fail 2 500");
    let played = player.play("100 write b\n101 write c");
    let starts: Vec<_> = played
        .iter()
        .filter(|line| line.contains("start"))
        .collect();
    assert!(
        starts.iter().any(|line| line.contains(" on 0: "))
            && starts.iter().any(|line| line.contains(" on 1: ")),
        "{played:?}"
    );
}

#[test]
fn the_remaining_streams_share_the_sets_evenly() {
    // R9: over any window of h consecutive sets with h streams healthy, each of them starts exactly
    // one.
    let health = Health::Probation {
        strikes: 1,
        first_backoff: ms(60_000),
        max_backoff: ms(60_000),
    };
    let settings = single().health(health).seed(3).build().unwrap();
    let streams = StreamCount::new(7).unwrap();
    let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
    let sick = [StreamIndex(1), StreamIndex(4)];
    let mut starts = Vec::new();
    for number in 0..200_u64 {
        let now = Instant::from_millis(number);
        let record = writer.write(now, b"record").unwrap();
        let mut first = true;
        while let Some(attempt) = writer.poll_transmit(now) {
            let (id, stream) = (attempt.id, attempt.stream);
            if first {
                starts.push(stream);
            }
            first = false;
            let failure =
                distributedlog::Failure::unanswered(distributedlog::Cause::ConnectionLost);
            writer.handle_finished(
                now,
                id,
                if sick.contains(&stream) {
                    Err(failure)
                } else {
                    Ok(Dlsn::INITIAL)
                },
            );
        }
        assert_eq!(writer.poll_completed(), Some(record));
        writer.take(record).unwrap().unwrap();
    }
    assert_eq!(
        starts.iter().filter(|stream| sick.contains(stream)).count(),
        2,
        "once each"
    );
    let healthy = &starts[7..];
    for window in healthy.windows(5) {
        assert!(
            window
                .iter()
                .all(|stream| window.iter().filter(|other| *other == stream).count() == 1),
            "{window:?}"
        );
    }
}

/// Canonical for R12.
#[test]
fn every_copy_of_a_set_carries_the_same_identity_and_every_set_its_own() {
    for codec in [Codec::None, Codec::Lz4] {
        let identity = Identity::Trailer {
            writer: WriterId([7; 16]),
            first_sequence: 100,
        };
        let settings = single().codec(codec).identity(identity).build().unwrap();
        let streams = StreamCount::new(3).unwrap();
        let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
        for sequence in 100..105 {
            let start = Instant::from_millis(10_000 * sequence);
            writer.write(start, &[b'x'; 200]).unwrap();
            for now in [start, start + ms(50), start + ms(150)] {
                writer.handle_timeout(now);
                let attempt = writer.poll_transmit(now).unwrap();
                let mut scratch = [0; 1024];
                let set = RecordSet::parse(attempt.record_set, &mut scratch).unwrap();
                assert!(set.records().eq([[b'x'; 200].as_slice()]));
                assert_eq!(
                    set.identity(),
                    Some(SetIdentity {
                        writer: WriterId([7; 16]),
                        sequence
                    })
                );
            }
            writer.handle_timeout(start + ms(1_000));
            while writer.poll_cancel().is_some() {}
        }
    }
}

#[test]
fn without_an_identity_the_bytes_are_the_originals() {
    let settings = Settings::original()
        .to_builder()
        .buffer_size(0)
        .build()
        .unwrap();
    let streams = StreamCount::new(1).unwrap();
    let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams)).unwrap();
    writer.write(Instant::ZERO, b"abc").unwrap();
    let attempt = writer.poll_transmit(Instant::ZERO).unwrap();
    assert_eq!(
        attempt.record_set,
        b"\0\0\x10\0\0\0\0\x01\0\0\0\x07\0\0\0\x07\0\0\0\x03abc"
    );
    assert_eq!((attempt.record_count, attempt.earlier_attempts), (1, 0));
}
