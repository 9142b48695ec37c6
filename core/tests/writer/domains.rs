//! Hedges that go to another failure domain first (R22).

use distributedlog::writer::{
    Fixed, Health, Heap, NoChanges, Settings, SettingsBuilder, StreamCount, Window, Writer,
    WriterFeatures,
};
use distributedlog::{FailureDomain, Instant, StreamIndex};
use distributedlog_testkit::script::check;

use crate::{ms, single};

/// Hedges after 50, 100, 200, 200 ms.
fn waiting() -> SettingsBuilder {
    single().wait_out_stalls(true)
}

/// Canonical for R22.
#[test]
fn a_set_is_hedged_to_a_stream_of_another_failure_domain_first() {
    check(
        waiting().build().unwrap(),
        4,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-1
        0 domain 3 disk-2
        0 write a
            start 1 on 0: a
        // Nothing is in flight at streams 1 and 2: silence (R21) shows nothing.
        50
            start 2 on 3: a
        // No other domain is left.
        150
            start 3 on 1: a
        160 answer 2
            cancel 1
            cancel 3
            done a: stream 3, 1/2/0
        ",
    );
}

#[test]
fn streams_of_other_failure_domains_come_in_the_order_of_the_rotation() {
    check(
        waiting().build().unwrap(),
        5,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-2
        0 domain 3 disk-2
        0 domain 4 disk-3
        0 write a
            start 1 on 0: a
        50
            start 2 on 2: a
        // A domain where it waits already comes after one where it does not.
        150
            start 3 on 4: a
        350
            start 4 on 1: a
        ",
    );
}

#[test]
fn a_stream_of_an_unknown_failure_domain_shares_it_with_no_other() {
    check(
        waiting().build().unwrap(),
        4,
        "
        // As if proxies of stream 0 said nothing.
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        60 answer 2
            cancel 1
            done a: stream 1, 1/2/0
        60 domain 1 disk-1
        60 domain 2 disk-1
        60 write b
            start 3 on 1: b
        110
            start 4 on 3: b
        ",
    );
}

#[test]
fn the_failure_domain_of_a_stream_that_moved_is_the_new_one() {
    check(
        waiting().build().unwrap(),
        3,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-2
        0 write a
            start 1 on 0: a
        // Its attempt waits where stream 0 was, and where the stream is now.
        10 domain 0 disk-2
        50
            start 2 on 1: a
        60 answer 2
            cancel 1
            done a: stream 1, 1/2/0
        60 write b
            start 3 on 1: b
        60 domain 2 disk-1
        60 domain 0 disk-3
        110
            start 4 on 0: b
        ",
    );
}

#[test]
fn a_healthy_stream_of_the_same_failure_domain_comes_before_one_on_probation_elsewhere() {
    let health = Health::Probation {
        strikes: 1,
        first_backoff: ms(10_000),
        max_backoff: ms(10_000),
    };
    check(
        waiting().health(health).build().unwrap(),
        3,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-2
        0 write a
            start 1 on 0: a
        1 answer 1
            done a: stream 0, 1/1/0
        1 write b
            start 2 on 1: b
        2 answer 2
            done b: stream 1, 1/2/0
        2 write c
            start 3 on 2: c
        3 fail 3 506
            start 4 on 0: c
        4 answer 4
            done c: stream 0, 1/4/0
        10 write d
            start 5 on 0: d
        60
            start 6 on 1: d
        ",
    );
}

#[test]
fn a_stream_without_room_in_another_failure_domain_comes_before_one_with_room_in_the_same() {
    check(
        waiting().window(Window::Attempts(1)).build().unwrap(),
        3,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-2
        0 write a
            start 1 on 0: a
        40 write b
            start 2 on 1: b
        40 write c
            start 3 on 2: c
        41 answer 2
            done b: stream 1, 1/2/0
        50
            start 4 on 2: a
        ",
    );
}

#[test]
fn a_stream_that_is_silent_in_another_failure_domain_comes_after_all_others() {
    check(
        waiting().build().unwrap(),
        3,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-2
        0 write a
            start 1 on 0: a
        0 write b
            start 2 on 1: b
        0 write c
            start 3 on 2: c
        40 answer 2
            done b: stream 1, 1/2/0
        // R21: stream 2 has been silent as long as stream 0.
        50
            start 4 on 1: a
            start 5 on 1: c
        ",
    );
}

#[test]
fn a_retry_after_a_failure_goes_to_the_next_stream_whatever_its_failure_domain() {
    check(
        waiting().build().unwrap(),
        3,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-2
        0 write a
            start 1 on 0: a
        5 fail 1 500
            start 2 on 1: a
        ",
    );
}

#[test]
fn the_originals_settings_hedge_in_the_order_of_the_rotation_whatever_the_failure_domains() {
    check(
        single().build().unwrap(),
        3,
        "
        0 domain 0 disk-1
        0 domain 1 disk-1
        0 domain 2 disk-2
        0 write a
            start 1 on 0: a
        50
            start 2 on 1: a
        ",
    );
}

/// Has the first of three streams, two of which share a domain, not answer. Returns true if its
/// record is hedged to the third, and the domain that the writer knows of the first.
fn hedged_elsewhere<F: WriterFeatures>(settings: Settings) -> (bool, Option<FailureDomain>) {
    let streams = StreamCount::new(3).unwrap();
    let storage = Heap::new(&settings, streams);
    let mut writer = Writer::<_, F>::with_features(settings, streams, storage).unwrap();
    writer.write(Instant::ZERO, b"record").unwrap();
    let first = writer.poll_transmit(Instant::ZERO).unwrap().stream;
    // The rotation's next is either of the others: the pair that shares is the first and that one.
    let later = Instant::from_millis(50);
    let others: Vec<StreamIndex> = (0..3).map(StreamIndex).filter(|it| *it != first).collect();
    let mut elsewhere = true;
    for near in &others {
        let mut writer =
            Writer::<_, F>::with_features(settings, streams, Heap::new(&settings, streams))
                .unwrap();
        writer.write(Instant::ZERO, b"record").unwrap();
        assert_eq!(writer.poll_transmit(Instant::ZERO).unwrap().stream, first);
        writer.set_failure_domain(first, Some(FailureDomain::of("disk-1")));
        writer.set_failure_domain(*near, Some(FailureDomain::of("disk-1")));
        writer.set_failure_domain(StreamIndex(3), Some(FailureDomain::of("no such stream")));
        writer.handle_timeout(later);
        elsewhere &= writer.poll_transmit(later).unwrap().stream != *near;
    }
    writer.set_failure_domain(first, Some(FailureDomain::of("disk-1")));
    let status = writer.stream_status(first).unwrap();
    (elsewhere, status.failure_domain)
}

#[test]
fn a_writer_that_leaves_the_rule_out_keeps_no_failure_domains() {
    struct All;
    impl WriterFeatures for All {}

    let settings = waiting().seed(1).build().unwrap();
    let known = Some(FailureDomain::of("disk-1"));
    assert_eq!(hedged_elsewhere::<All>(settings), (true, known));
    assert_eq!(hedged_elsewhere::<NoChanges>(settings), (false, None));
}

#[test]
fn a_stream_that_takes_the_index_of_a_removed_one_has_no_failure_domain() {
    let settings = waiting().build().unwrap();
    let streams = StreamCount::new(2).unwrap();
    let storage = Fixed::<2, 3, 8, 64>::new();
    let mut writer = Writer::new(settings, streams, storage).unwrap();
    let stream = StreamIndex(1);
    writer.set_failure_domain(stream, Some(FailureDomain::of("disk-1")));
    writer.remove_stream(stream).unwrap();
    assert_eq!(writer.add_stream(), Ok(stream));
    assert_eq!(writer.stream_status(stream).unwrap().failure_domain, None);
}
