//! Which host a request goes to: ring, owners, redirects.

use distributedlog::FailureDomain;
use distributedlog::client::routing::{Settings, StreamKey};

use super::{UP, defaults, with_hosts};
use crate::script::{Player, STREAM, play};

#[test]
fn a_request_without_an_owner_goes_to_the_first_host_clockwise_which_then_owns_the_stream() {
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
        1 up A                  => handshake A
        1 up B                  => handshake B
        1 up C                  => handshake C
        2 server-info A accept C
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
        13 up D              => handshake D; send 1 D
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
    let settings = Settings::builder()
        .max_redirects(Some(3))
        .build()
        .expect("valid");
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
        player.play(&format!(
            "{back} answer 1 302 A\n{} tick => send 1 A",
            back + 100
        ));
    }
    player.play(
        "20000 answer 1 302 B\n20100 tick => send 1 B\n20200 answer 1 302 A => fail 1 \
         TooManyRedirects not-written",
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

/// Three hosts, of which A and B say that they share a store, and C says nothing.
const SAID: &str = "
    0 resolved A B C     => connect A; connect B; connect C
    1 up A               => handshake A
    1 up B               => handshake B
    1 up C               => handshake C
    2 domain A store-1
    2 domain B store-1
    2 domain C
";

#[test]
fn a_streams_failure_domain_is_that_of_the_host_where_it_would_be_sent() {
    let mut player = play(Settings::default(), SAID);
    let mut domain = |script: &str| {
        player.play(script);
        player.client.failure_domain(StreamKey::of(STREAM))
    };
    let store = Some(FailureDomain::of("store-1"));
    // Nobody owns it: A is the first on the ring.
    assert_eq!(domain(""), store);
    assert_eq!(
        domain(
            "
            10 submit 1 write    => send 1 A
            12 answer 1 302 C    => send 1 C
            14 answer 1 200      => written 1
            "
        ),
        None
    );
    // Its proxy restarts, and now says where its storage is.
    assert_eq!(
        domain(
            "
            500 lost C           => connect C
            501 up C             => handshake C
            502 domain C store-2
            "
        ),
        Some(FailureDomain::of("store-2"))
    );
    // The stream moves to a proxy of another store.
    assert_eq!(
        domain(
            "
            510 submit 2 write   => send 2 C
            511 answer 2 302 B   => send 2 B
            512 answer 2 200     => written 2
            "
        ),
        store
    );
    // Its proxy is started again by an older program.
    assert_eq!(
        domain(
            "
            900 lost B           => connect B
            901 up B             => handshake B
            902 domain B
            "
        ),
        None
    );
}
