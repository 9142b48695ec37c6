//! What answers lead to.

use core::time::Duration;

use distributedlog::client::routing::Settings;

use super::{defaults, with_hosts};
use crate::script::play;

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
fn after_service_unavailable_a_host_gets_no_streams_until_it_replies_to_a_handshake() {
    defaults(
        "
        10 submit 1 write     => send 1 A
        12 answer 1 503       => send 1 B
        14 answer 1 503       => send 1 C
        16 submit 2 write     => send 2 C
        18 submit 3 delete    => send 3 C
        20 answer 3 200       => done 3
        # Half of 100 ms at the least, 100 ms at the most.
        112 tick              => handshake A; handshake B
        113 submit 3 create   => send 3 C
        114 server-info A accept
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
        1 up A                  => handshake A
        1 up B                  => handshake B
        2 server-info A down
        3 server-info B accept
        4 submit 1 write        => send 1 B
        102 tick                => handshake A
        103 server-info A down
        104 submit 2 write      => send 2 B
        # The second time it is left alone for up to twice as long.
        303 tick                => handshake A
        304 server-info A accept
    ",
    );
}

#[test]
fn a_host_that_takes_no_new_streams_is_asked_only_for_those_it_owns() {
    play(
        Settings::default(),
        "
        0 resolved A B          => connect A; connect B
        1 up A                  => handshake A
        1 up B                  => handshake B
        2 server-info A write-only
        3 server-info B accept
        4 submit 1 write        => send 1 B
        5 server-info B accept
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
        1 up A                  => handshake A
        2 server-info A write-only
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
    for code in [
        301, 500, 502, 504, 505, 507, 508, 514, 516, 600, 601, 603, 777,
    ] {
        for operation in ["write", "set", "bulk", "delete"] {
            let answer = if operation == "bulk" {
                "bulk"
            } else {
                "answer"
            };
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
fn an_idempotent_request_is_sent_again_after_any_failure() {
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
    let settings = || {
        Settings::builder()
            .stream_failfast(true)
            .build()
            .expect("valid")
    };
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
fn every_host_is_asked_again_how_it_is_and_what_it_owns_at_intervals() {
    let settings = Settings::builder()
        .periodic_handshake_interval(Duration::from_secs(10))
        .ownership_sync_interval(Duration::from_secs(20))
        .build()
        .expect("valid");
    play(
        settings,
        "
        0 resolved A         => connect A
        0 up A               => handshake A
        1 server-info A accept
        10000 tick           => handshake A briefly
        10001 server-info A accept
        20000 tick           => handshake A
        # Nobody answers: given up after the time for an attempt, and asked again at its time.
        21000 tick           => discard greeting A
        30000 tick           => handshake A briefly
    ",
    );
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
fn an_answer_of_another_method_is_a_protocol_error() {
    defaults(
        "
        10 submit 1 write    => send 1 A
        11 void 1            => fail 1 ProtocolError unknown
    ",
    );
}

#[test]
fn a_proxy_without_handshakes_is_written_to_nevertheless() {
    play(
        Settings::default(),
        "
        0 resolved A         => connect A
        1 up A               => handshake A
        2 handshake-failed A
        3 submit 1 write     => send 1 A
    ",
    );
}
