//! Connections that are made, refused and lost, and hosts that come and go.

use distributedlog::client::routing::{Resend, Settings};

use super::{defaults, with_hosts};
use crate::script::play;

#[test]
fn a_refused_connection_drops_the_host_and_what_waited_for_it_goes_elsewhere() {
    play(
        Settings::default(),
        "
        0 resolved A B       => connect A; connect B
        1 up B               => handshake B
        2 submit 1 write
        3 refused A          => send 1 B
        4 submit 2 write     => send 2 B
        # Probed after at most 100 ms, then twice as late.
        103 tick             => connect A
        104 refused A
        204 tick
        304 tick             => connect A
        305 up A             => handshake A
        306 server-info A accept
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
        1 up B               => handshake B
        2 server-info B accept
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
        503 up A                             => handshake A
    ",
    );
}

#[test]
fn a_request_whose_connection_was_lost_is_sent_again_if_that_was_asked_for() {
    let settings = Settings::builder()
        .resend(Resend::Always)
        .build()
        .expect("valid");
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
        1 up A               => handshake A
        2 lost A
        102 tick             => connect A
        103 up A             => handshake A
        104 lost A
        203 tick
        304 tick             => connect A
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
        102 up A                   => handshake A; send 1 A
        103 answer 1 200           => written 1
    ",
    );
}

/// The answer of a proxy says more than that none can be reached afterwards.
#[test]
fn a_proxys_answer_is_the_reason_also_when_it_cannot_be_reached_later() {
    play(
        Settings::default(),
        "
        0 resolved A               => connect A
        1 up A                     => handshake A
        2 submit 1 write           => send 1 A
        3 answer 1 503             => fail 1 503 not-written
        4 submit 2 write           => fail 2 503 not-written
        5 submit 3 write by 50
        50 tick                    => fail 3 503 not-written
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
        6 up A                     => handshake A; send 1 A
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
fn a_host_takes_as_many_requests_as_its_connection_has_room_for() {
    play(
        Settings::default(),
        "
        0 resolved A         => connect A
        0 submit 1 write
        0 submit 2 write
        1 up A for 1         => handshake A
        2 server-info A accept   => send 1 A
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
