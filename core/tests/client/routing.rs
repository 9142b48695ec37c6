//! One script for each rule of routing. The rules are those of DistributedLog's own client unless a test says otherwise.

use core::time::Duration;

use distributedlog::client::routing::{Resend, Settings};

use crate::script::{Player, play};

const UP: &str = "
    0 resolved A B C     => connect A; connect B; connect C
    1 up A               => greet A
    1 up B               => greet B
    1 up C               => greet C
    2 greeted A accept
    2 greeted B accept
    2 greeted C accept
";

/// Three hosts that are connected and take everything.
fn with_hosts(settings: Settings, script: &str) -> Player {
    play(settings, &format!("{UP}{script}"))
}

fn defaults(script: &str) -> Player {
    with_hosts(Settings::default(), script)
}

#[test]
fn a_request_without_a_known_owner_goes_to_the_first_host_clockwise_and_its_success_makes_that_the_owner() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        12 answer 1 200      => written 1
        13 submit 2 set      => send 2 A
        14 answer 2 200      => written 2
    ",
    );
}

#[test]
fn found_leads_to_the_owner_that_it_names_and_so_do_later_requests() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        12 answer 1 302 C    => send 1 C
        14 answer 1 200      => written 1
        15 submit 2 write    => send 2 C
    ",
    );
}

#[test]
fn the_owners_that_a_handshake_lists_are_believed() {
    play(
        Settings::default(),
        "
        0 resolved A B C        => connect A; connect B; connect C
        1 up A                  => greet A
        1 up B                  => greet B
        1 up C                  => greet C
        2 greeted A accept C
        3 submit 1 write        => send 1 C
    ",
    );
}

#[test]
fn found_that_names_an_unknown_host_makes_it_known() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        12 answer 1 302 D    => connect D
        13 up D              => greet D; send 1 D
        14 answer 1 200      => written 1
    ",
    );
}

#[test]
fn found_that_names_a_host_by_another_name_than_it_is_known_by_leads_to_the_host_that_is_known() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        12 answer 1 302 X    => connect X
        13 found X at B      => send 1 B
        14 answer 1 200      => written 1
        15 submit 2 write    => send 2 B
        16 answer 2 302 X    => send 2 A
    ",
    );
}

#[test]
fn found_that_names_its_own_sender_is_ignored_and_the_ring_decides() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        12 answer 1 302 A    => send 1 B
        14 answer 1 200      => written 1
    ",
    );
}

#[test]
fn found_without_a_legible_location_leaves_it_to_the_ring() {
    defaults(
        "
        10 submit 1 write           => send 1 A
        12 answer 1 302             => send 1 B
        14 answer 1 302 nonsense    => send 1 C
        16 answer 1 200             => written 1
    ",
    );
}

#[test]
fn a_redirect_to_a_host_that_was_tried_waits_its_tries_times_the_start_and_at_most_the_maximum() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        20 answer 1 302 B    => send 1 B
        30 answer 1 302 A
        79 tick
        80 tick              => send 1 A
        90 answer 1 302 B
        164 tick
        165 tick             => send 1 B
        170 answer 1 302 A
        269 tick
        270 tick             => send 1 A
        280 answer 1 302 B
        379 tick
        380 tick             => send 1 B
    ",
    );
}

#[test]
fn two_hosts_that_each_name_the_other_do_not_keep_a_request_for_longer_than_the_redirects_allow() {
    let settings = Settings::builder().max_redirects(Some(3)).build().expect("legal");
    with_hosts(
        settings,
        "
        10 submit 1 write    => send 1 A
        20 answer 1 302 B    => send 1 B
        30 answer 1 302 A
        80 tick              => send 1 A
        90 answer 1 302 B    => fail 1 TooManyRedirects not-written
    ",
    );
}

#[test]
fn a_request_without_a_deadline_is_redirected_a_bounded_number_of_times_by_default() {
    let mut player = Player::new(Settings::default());
    player.play(UP);
    player.play("10 submit 1 write => send 1 A");
    for turn in 0..15 {
        let (there, back) = (1_000 * turn + 20, 1_000 * turn + 520);
        let sends = if turn == 0 { "=> send 1 B" } else { "" };
        player.play(&format!("{there} answer 1 302 B {sends}"));
        if turn > 0 {
            player.play(&format!("{} tick => send 1 B", there + 100));
        }
        player.play(&format!("{back} answer 1 302 A\n{} tick => send 1 A", back + 100));
    }
    player.play("20000 answer 1 302 B\n20100 tick => send 1 B\n20200 answer 1 302 A => fail 1 TooManyRedirects not-written");
}

#[test]
fn answers_that_settle_the_matter_fail_the_request_at_once() {
    for (code, known) in [
        (517, "not-written"),
        (501, "not-written"),
        (506, "not-written"),
        (509, "not-written"),
        (510, "not-written"),
        (511, "not-written"),
        (512, "not-written"),
        (513, "not-written"),
        (602, "not-written"),
        (403, "not-written"),
        (413, "rejected"),
        (523, "not-written"),
        (518, "not-written"),
    ] {
        defaults(&format!(
            "
            10 submit 1 write    => send 1 A
            12 answer 1 {code}   => fail 1 {code} {known}
        "
        ));
    }
}

#[test]
fn service_unavailable_takes_the_host_off_the_ring_and_every_stream_from_it_until_it_answers_a_handshake() {
    defaults(
        "
        10 submit 1 write     => send 1 A
        12 answer 1 503       => send 1 B
        14 answer 1 503       => send 1 C
        16 submit 2 write     => send 2 C
        18 submit 3 delete    => send 3 C
        20 answer 3 200       => done 3
        # Half of 100 ms at the least, 100 ms at the most.
        112 tick              => greet A; greet B
        113 submit 3 create   => send 3 C
        114 greeted A accept
        115 answer 3 200      => done 3
        116 submit 3 release  => send 3 C
        117 answer 3 200      => done 3
        118 submit 3 write    => send 3 A
    ",
    );
}

#[test]
fn a_host_whose_handshake_says_down_is_left_alone_like_one_that_answers_503() {
    play(
        Settings::default(),
        "
        0 resolved A B          => connect A; connect B
        1 up A                  => greet A
        1 up B                  => greet B
        2 greeted A down
        3 greeted B accept
        4 submit 1 write        => send 1 B
        102 tick                => greet A
        103 greeted A down
        104 submit 2 write      => send 2 B
        # The second time it is left alone for up to twice as long.
        303 tick                => greet A
        304 greeted A accept
    ",
    );
}

#[test]
fn a_host_that_takes_no_new_streams_is_asked_only_for_those_it_owns() {
    play(
        Settings::default(),
        "
        0 resolved A B          => connect A; connect B
        1 up A                  => greet A
        1 up B                  => greet B
        2 greeted A write-only
        3 greeted B accept
        4 submit 1 write        => send 1 B
        5 greeted B accept
        6 answer 1 302 A        => send 1 A
        7 answer 1 200          => written 1
        8 submit 2 write        => send 2 A
    ",
    );
}

#[test]
fn hosts_that_take_no_new_streams_are_better_than_none() {
    play(
        Settings::default(),
        "
        0 resolved A            => connect A
        1 up A                  => greet A
        2 greeted A write-only
        4 submit 1 write        => send 1 A
    ",
    );
}

#[test]
fn region_unavailable_and_too_many_streams_go_on_and_keep_the_owner() {
    for code in [519, 524] {
        defaults(&format!(
            "
            10 submit 1 write     => send 1 A
            12 answer 1 200       => written 1
            13 submit 2 write     => send 2 A
            14 answer 2 {code}    => send 2 B
            16 submit 3 write     => send 3 A
        "
        ));
    }
}

#[test]
fn other_answers_forget_the_owner_and_a_request_that_was_surely_not_carried_out_goes_on() {
    defaults(
        "
        10 submit 1 write     => send 1 A
        12 answer 1 302 C     => send 1 C
        14 answer 1 200       => written 1
        15 submit 2 write     => send 2 C
        16 answer 2 515       => send 2 A
        17 submit 3 write     => send 3 A
    ",
    );
}

#[test]
fn a_bulk_write_copes_with_515_where_others_get_302() {
    defaults(
        "
        10 submit 1 bulk      => send 1 A
        12 bulk 1 515         => send 1 B
        14 bulk 1 200         => bulk 1
    ",
    );
}

/// Ours: the original sends all of them again, and writes some twice.
#[test]
fn a_write_that_may_have_been_carried_out_is_not_sent_again_unless_asked_for() {
    for code in [301, 500, 502, 504, 505, 507, 508, 514, 516, 600, 601, 603, 777] {
        for operation in ["write", "set", "bulk", "delete"] {
            let answer = if operation == "bulk" { "bulk" } else { "answer" };
            defaults(&format!(
                "
                10 submit 1 {operation}    => send 1 A
                12 {answer} 1 {code}       => fail 1 {code} unknown
                13 submit 2 write resend after-answers => send 2 A
                14 answer 2 {code}         => send 2 B
            "
            ));
        }
    }
}

#[test]
fn what_may_be_done_twice_is_sent_again_whatever_became_of_it() {
    for operation in ["create", "truncate", "release", "heartbeat", "owner"] {
        defaults(&format!(
            "
            10 submit 1 {operation}    => send 1 A
            12 answer 1 500            => send 1 B
            514 lost B                 => connect B; send 1 C
        "
        ));
    }
}

#[test]
fn once_an_attempt_may_have_written_no_later_failure_says_otherwise() {
    defaults(
        "
        10 submit 1 write resend after-answers => send 1 A
        12 answer 1 500      => send 1 B
        14 answer 1 413      => fail 1 413 unknown
        15 submit 2 write resend always once only => send 2 A
        16 answer 2 500      => send 2 B
        17 answer 2 515      => send 2 C
        18 answer 2 515      => fail 2 515 unknown
    ",
    );
}

#[test]
fn stream_failfast_fails_what_would_be_sent_elsewhere() {
    let settings = || Settings::builder().stream_failfast(true).build().expect("legal");
    for (code, known) in [(515, "not-written"), (504, "unknown"), (524, "not-written")] {
        with_hosts(
            settings(),
            &format!(
                "
                10 submit 1 write    => send 1 A
                12 answer 1 {code}   => fail 1 {code} {known}
            "
            ),
        );
    }
    with_hosts(
        settings(),
        "
        10 submit 1 write    => send 1 A
        12 answer 1 302 B    => send 1 B
    ",
    );
}

#[test]
fn an_unknown_method_takes_the_host_off_the_ring_and_another_exception_is_the_callers() {
    defaults(
        "
        10 submit 1 write                 => send 1 A
        12 exception 1 unknown-method     => send 1 B
        14 exception 1 internal           => fail 1 Exception unknown
        16 submit 2 write                 => send 2 B
    ",
    );
}

#[test]
fn a_nack_goes_elsewhere_and_keeps_the_owner() {
    defaults(
        "
        10 submit 1 write                    => send 1 A
        12 failed 1 not-written refused      => send 1 B
        14 answer 1 200                      => written 1
    ",
    );
}

#[test]
fn a_refused_connection_drops_the_host_and_what_waited_for_it_goes_elsewhere() {
    play(
        Settings::default(),
        "
        0 resolved A B       => connect A; connect B
        1 up B               => greet B
        2 submit 1 write
        3 refused A          => send 1 B
        4 submit 2 write     => send 2 B
        # Probed after at most 100 ms, then twice as late.
        103 tick             => connect A
        104 refused A
        204 tick
        304 tick             => connect A
        305 up A             => greet A
        306 greeted A accept
        307 submit 3 create  => send 3 A
    ",
    );
}

#[test]
fn a_connection_that_takes_too_long_is_given_up() {
    play(
        Settings::default(),
        "
        0 resolved A B       => connect A; connect B
        1 up B               => greet B
        2 greeted B accept
        3 submit 1 write
        200 tick             => disconnect A; send 1 B
        300 tick             => connect A
    ",
    );
}

#[test]
fn with_a_lost_connection_what_was_not_sent_goes_elsewhere_and_what_was_sent_is_unknown() {
    defaults(
        "
        500 submit 1 write                   => send 1 A
        500 submit 2 write                   => send 2 A
        500 submit 3 create                  => send 3 A
        501 failed 1 not-written lost        => send 1 B
        501 lost A                           => connect A; fail 2 ConnectionLost unknown; send 3 B
        502 answer 1 200                     => written 1
        503 up A                             => greet A
    ",
    );
}

#[test]
fn a_request_whose_connection_was_lost_is_sent_again_if_that_was_asked_for() {
    let settings = Settings::builder().resend(Resend::Always).build().expect("legal");
    with_hosts(
        settings,
        "
        500 submit 1 write    => send 1 A
        501 lost A            => connect A; send 1 B
        502 answer 1 200      => written 1
    ",
    );
}

#[test]
fn a_host_that_accepts_and_hangs_up_is_not_connected_to_without_end() {
    play(
        Settings::default(),
        "
        0 resolved A         => connect A
        1 up A               => greet A
        2 lost A
        102 tick             => connect A
        103 up A             => greet A
        104 lost A
        203 tick
        304 tick             => connect A
    ",
    );
}

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
    let settings = Settings::builder().request_timeout(Some(Duration::from_millis(300))).build().expect("legal");
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
fn a_request_with_time_waits_for_the_first_host_that_comes_back() {
    play(
        Settings::default(),
        "
        0 resolved A               => connect A
        1 refused A
        2 submit 1 write by 9000
        3 submit 2 write           => fail 2 Unreachable not-written
        101 tick                   => connect A
        102 up A                   => greet A; send 1 A
        103 answer 1 200           => written 1
    ",
    );
}

#[test]
fn before_names_are_resolved_requests_wait_and_not_for_ever() {
    play(
        Settings::default(),
        "
        0 submit 1 write
        0 submit 2 write
        1 cancel 2                 => Some(NotWritten)
        5 resolved A               => connect A
        6 up A                     => greet A; send 1 A
    ",
    );
    play(
        Settings::default(),
        "
        0 submit 1 write
        1000 tick                  => fail 1 Unreachable not-written
    ",
    );
}

#[test]
fn a_name_that_leads_to_no_host_fails_requests_at_once() {
    play(
        Settings::default(),
        "
        0 resolved
        1 submit 1 write           => fail 1 Unreachable not-written
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
fn a_host_takes_as_many_requests_as_its_connection_has_room_for() {
    play(
        Settings::default(),
        "
        0 resolved A         => connect A
        0 submit 1 write
        0 submit 2 write
        1 up A for 1         => greet A
        2 greeted A accept   => send 1 A
        3 submit 3 write
        4 answer 1 200       => send 2 A; written 1
        5 cancel 2           => Some(Unknown); discard 2 A
        6 discarded A        => send 3 A
        7 answer 3 200       => written 3
    ",
    );
}

#[test]
fn a_draining_host_finishes_what_it_has_and_gets_nothing_new() {
    defaults(
        "
        500 submit 1 write   => send 1 A
        501 drain A
        502 submit 2 write   => send 2 B
        503 answer 1 200     => disconnect A; written 1
        603 tick             => connect A
    ",
    );
}

#[test]
fn a_host_that_names_no_longer_lead_to_is_let_go_when_it_has_answered() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        11 resolved B C      => 
        12 submit 2 write    => send 2 B
        13 answer 1 200      => disconnect A; written 1
        14 resolved A B C    => connect A
    ",
    );
}

#[test]
fn every_host_is_asked_again_how_it_is_and_what_it_owns_at_intervals() {
    let settings = Settings::builder()
        .periodic_handshake_interval(Duration::from_secs(10))
        .ownership_sync_interval(Duration::from_secs(20))
        .build()
        .expect("legal");
    play(
        settings,
        "
        0 resolved A         => connect A
        0 up A               => greet A
        1 greeted A accept
        10000 tick           => greet A briefly
        10001 greeted A accept
        20000 tick           => greet A
        # Nobody answers: given up after the time for an attempt, and asked again at its time.
        21000 tick           => discard greeting A
        30000 tick           => greet A briefly
    ",
    );
}

#[test]
fn asking_for_the_owner_takes_found_for_an_answer() {
    defaults(
        "
        10 submit 1 owner    => send 1 A
        11 answer 1 302 B    => owner 1
        12 submit 2 write    => send 2 B
    ",
    );
}

#[test]
fn release_and_delete_forget_the_owner() {
    for operation in ["release", "delete"] {
        defaults(&format!(
            "
            10 submit 1 write        => send 1 A
            11 answer 1 302 C        => send 1 C
            12 answer 1 200          => written 1
            13 submit 2 {operation}  => send 2 C
            14 answer 2 200          => done 2
            15 submit 3 write        => send 3 A
        "
        ));
    }
}

#[test]
fn requests_to_one_host_go_nowhere_else() {
    defaults(
        "
        10 submit 1 handshake at B   => send 1 B
        11 info 1                    => serverinfo 1
        12 submit 2 accept at C      => send 2 C
        13 void 2                    => done 2
        14 submit 3 handshake at B   => send 3 B
        15 lost B                    => fail 3 ConnectionLost unknown
    ",
    );
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
        100 tick             => discard 2 A; fail 2 Closed unknown; disconnect A; disconnect B; disconnect C
    ",
    );
    assert!(player.client.is_closed());
}

#[test]
fn an_answer_of_another_method_is_a_protocol_error() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        11 void 1            => fail 1 ProtocolError unknown
    ",
    );
}

#[test]
fn a_proxy_that_cannot_greet_is_written_to_all_the_same() {
    play(
        Settings::default(),
        "
        0 resolved A         => connect A
        1 up A               => greet A
        2 ungreeted A
        3 submit 1 write     => send 1 A
    ",
    );
}
