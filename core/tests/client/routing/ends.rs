//! How requests end: timeouts, deadlines, rounds, cancelling, closing.

use core::time::Duration;

use distributedlog::client::routing::Settings;

use super::{defaults, with_hosts};

#[test]
fn a_request_that_gets_no_answer_in_time_is_discarded_and_given_to_the_caller() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        1009 tick
        1010 tick            => discard 1 A; fail 1 TimedOut unknown
        1011 discarded A
        1012 answer 1 200
    ",
    );
}

#[test]
fn a_request_ends_at_its_deadline_wherever_it_is() {
    let settings = Settings::builder()
        .request_timeout(Some(Duration::from_millis(300)))
        .build()
        .expect("valid");
    with_hosts(
        settings,
        "
        10 submit 1 write          => send 1 A
        10 submit 2 write by 150   => send 2 A
        150 tick                   => discard 2 A; fail 2 TimedOut unknown
        310 tick                   => discard 1 A; fail 1 TimedOut unknown
        400 submit 3 write by 400  => fail 3 TimedOut not-written
        401 submit 4 write by 440  => send 4 A
        410 answer 4 302 B         => send 4 B
        420 answer 4 302 A
        440 tick                   => fail 4 TimedOut not-written
    ",
    );
}

#[test]
fn a_request_with_time_goes_round_again_when_every_host_was_tried_and_one_without_fails() {
    defaults(
        "
        10 submit 1 write by 9000   => send 1 A
        11 answer 1 515             => send 1 B
        12 answer 1 515             => send 1 C
        13 answer 1 515
        # The round waits up to 25 ms, and A, which was tried, 75 ms more.
        38 tick
        113 tick                    => send 1 A
        114 answer 1 200            => written 1
        120 submit 2 write          => send 2 A
        121 answer 2 515            => send 2 B
        122 answer 2 515            => send 2 C
        123 answer 2 515            => fail 2 515 not-written
        130 submit 3 write by 9000 once only => send 3 A
        131 answer 3 515            => send 3 B
        132 answer 3 515            => send 3 C
        133 answer 3 515            => fail 3 515 not-written
    ",
    );
}

#[test]
fn a_request_whose_caller_makes_other_attempts_may_wait_for_a_host_until_its_deadline() {
    defaults(
        "
        10 submit 1 write by 5000 until deadline  => send 1 A
        10 submit 2 write until deadline          => send 2 A
        1010 tick                                 => discard 2 A; fail 2 TimedOut unknown
        4999 tick
        5000 tick                                 => discard 1 A; fail 1 TimedOut unknown
        5010 submit 3 write by 9000 until deadline => send 3 A
        5011 answer 3 515            => send 3 B
        5012 answer 3 515            => send 3 C
        5013 answer 3 515            => fail 3 515 not-written
    ",
    );
}

#[test]
fn a_cancelled_request_is_discarded_if_it_was_sent_and_never_completes() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        11 cancel 1          => Some(Unknown); discard 1 A
        12 cancel 1          => None
        13 discarded A
        14 submit 2 write    => send 2 A
    ",
    );
}

#[test]
fn an_answer_that_overtakes_the_discard_makes_it_unneeded() {
    let mut player = defaults("10 submit 1 write => send 1 A");
    let (host, request) = (player.host("A"), player.request("1"));
    let now = distributedlog::Instant::from_millis(11);
    player.client.cancel(now, request);
    let answer = distributedlog::wire::service::Reply::Void;
    player.client.handle_reply(now, host, request, &answer);
    player.play("12 submit 2 write => send 2 A");
    assert_eq!(player.client.host(host).expect("a host").in_flight, 1);
}

#[test]
fn a_full_table_refuses_and_has_room_again_when_one_completes() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        10 submit 2 write    => send 2 A
        10 submit 3 write    => send 3 A
        10 submit 4 write    => send 4 A
        11 submit 5 write    => Full
        12 answer 3 200      => written 3
        13 submit 5 write    => send 5 A
    ",
    );
}

#[test]
fn closing_finishes_what_is_under_way_by_its_deadline_and_disconnects() {
    let player = defaults(
        "
        10 submit 1 write    => send 1 A
        10 submit 2 write    => send 2 A
        11 close 100
        12 submit 3 write    => Closed
        13 answer 1 200      => written 1
        100 tick             => discard 2 A; fail 2 Closed unknown; disconnect A; disconnect B; \
         disconnect C
    ",
    );
    assert!(player.client.is_closed());
}
