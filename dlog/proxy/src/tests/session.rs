//! Sessions of the two protocols: first bytes, many requests at once, discards, deadlines.

use distributedlog::wire::framed::{self, HeaderContext, RequestHeader, ResponseHeader};
use distributedlog::wire::mux::{
    Context, Deadline, INIT_CHECK, InitHeaders, Message, Tag, TraceKeys,
};
use distributedlog::wire::service::{Request, SequenceId};
use distributedlog_testkit::store::ReleaseOrder;

use super::kit::{Raw, StoppedClock, dispatch, framed_call, of_reply, settings, start, write};

/// Time of day of the proxies in these tests, in seconds since 1970.
const NOW: i64 = 1_800_000_000;
const SECOND: i64 = 1_000_000_000;

fn deadline(sent_ago: i64, allowed: i64) -> [u8; Deadline::BYTES] {
    let timestamp_ns = (NOW - sent_ago) * SECOND;
    Deadline {
        timestamp_ns,
        deadline_ns: timestamp_ns + allowed * SECOND,
    }
    .to_bytes()
}

#[tokio::test]
async fn a_session_begins_as_the_originals_does() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.say(1, Message::BadRerr { error: INIT_CHECK }).await;
    assert_eq!(
        client.heard().await,
        (1, r#"BadRerr { error: "tinit check" }"#.to_owned())
    );
    client
        .say(
            1,
            Message::Tinit {
                version: 1,
                headers: InitHeaders::default(),
            },
        )
        .await;
    assert_eq!(
        client.heard().await,
        (1, "Rinit { version: 1, headers: [] }".to_owned())
    );
    client.say(1, Message::Tping).await;
    assert_eq!(client.heard().await, (1, "Rping".to_owned()));
}

#[tokio::test]
async fn a_client_may_dispatch_at_once_and_in_the_old_form() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let request = write("s", b"x");
    let mut payload = vec![0; request.encoded_len(SequenceId(5))];
    request
        .encode(SequenceId(5), &mut payload)
        .expect("the buffer is as long as the message");
    client
        .say(
            3,
            Message::Treq {
                keys: TraceKeys::default(),
                payload: &payload,
            },
        )
        .await;
    assert_eq!(client.heard().await, (3, "200 at 1/0/0".to_owned()));
}

#[tokio::test]
async fn frames_that_mean_nothing_here_are_refused_and_the_session_goes_on() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    for (bytes, answer) in [
        (
            &[0, 0, 0, 4, 99, 0, 0, 4][..],
            r#"Rerr { error: "Unexpected mux message type 99" }"#,
        ),
        (
            &[0, 0, 0, 4, 0xbc, 0, 0, 4],
            r#"Rerr { error: "Rinit.version at offset 8: needs 2 bytes, 0 are left" }"#,
        ),
        (
            &[0, 0, 0, 6, 0xbc, 0, 0, 4, 0, 1],
            r#"Rerr { error: "Unexpected mux message type -68" }"#,
        ),
        (
            &[0, 0, 0, 6, 68, 0, 0, 4, 0, 0],
            r#"Rerr { error: "mux has no version 0; this server speaks version 1" }"#,
        ),
        (&[0, 0, 0, 4, 64, 0, 0, 4], "Rdrain"),
        (&[0, 0, 0, 4, 65, 0, 0, 4], "Rping"),
    ] {
        if bytes[4] == 99 {
            client.say(1, Message::Tping).await;
            client.heard().await;
        }
        client.send(bytes).await;
        assert_eq!(client.heard().await, (4, answer.to_owned()));
    }
    client
        .say(
            0,
            Message::Tlease {
                unit: 0,
                amount: 1000,
            },
        )
        .await;
    client
        .say(
            0,
            Message::Tdiscarded {
                discarded: Tag::ONE,
                reason: "of nothing",
            },
        )
        .await;
    client.say(2, Message::Rping).await;
    assert_eq!(client.ask(&write("s", b"x")).await, "200 at 1/0/0");
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_answered_each_under_its_tag() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let mut bytes = Vec::new();
    for tag in 2..1002_u32 {
        bytes.extend(dispatch(tag, &[], &write("s", &tag.to_be_bytes())));
    }
    client.send(&bytes).await;
    let mut answered = Vec::new();
    for _ in 2..1002 {
        let (tag, answer) = client.heard().await;
        assert_eq!(
            answer,
            format!("200 at 1/{}/0", tag - 2),
            "positions follow the order of the requests"
        );
        answered.push(tag);
    }
    answered.sort_unstable();
    assert!(answered.into_iter().eq(2..1002));
    assert!(
        store
            .records("s")
            .into_iter()
            .map(|(_, payload)| payload)
            .eq((2..1002_u32).map(|tag| tag.to_be_bytes().to_vec()))
    );
}

#[tokio::test]
async fn answers_overtake_each_other_under_mux() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    store.hold_results();
    client.dispatch(2, &write("s", b"a")).await;
    client.dispatch(3, &write("s", b"b")).await;
    client.say(1, Message::Tping).await;
    assert_eq!(client.heard().await, (1, "Rping".to_owned()));
    store.until_appends(3).await;
    store.release_results(ReleaseOrder::LastToFirst);
    assert_eq!(client.heard().await, (3, "200 at 1/2/0".to_owned()));
    assert_eq!(client.heard().await, (2, "200 at 1/1/0".to_owned()));
}

#[tokio::test]
async fn framed_requests_that_come_together_are_answered_in_their_order() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let mut bytes = Vec::new();
    for number in 0..1000_u32 {
        bytes.extend(framed_call(&write("s", &number.to_be_bytes())));
    }
    client.send(&bytes).await;
    for number in 0..1000 {
        assert_eq!(client.heard_framed().await, format!("200 at 1/{number}/0"));
    }
    assert_eq!(store.records("s").len(), 1000);
}

#[tokio::test]
async fn an_upgraded_client_gets_headers_and_its_deadlines_count() {
    let (proxy, store) =
        start(settings().wall_clock(std::sync::Arc::new(StoppedClock((NOW * SECOND) as u64))))
            .await;
    let mut client = Raw::connect(&proxy).await;
    let mut probe = [0; 64];
    let length = framed::encode_upgrade_request(&mut probe).expect("room");
    client.send(&probe[..length]).await;
    let answer = client.frame().await.expect("an answer");
    assert_eq!(
        framed::upgrade_accepted(framed::frame_body(&answer).expect("a frame")),
        Ok(true)
    );
    for (deadline, expected) in [
        (deadline(0, 1), "200 at 1/0/0"),
        (
            deadline(3, 1),
            "exception 6: not started: the request's deadline had passed",
        ),
    ] {
        let contexts = [HeaderContext(Context::deadline(&deadline))];
        let header = RequestHeader {
            contexts: Some((&contexts).into()),
            client_id: Some("me"),
            ..RequestHeader::default()
        };
        let mut bytes = vec![0; framed::encoded_request_len(Some(&header), &write("s", b"x"))];
        framed::encode_request(Some(&header), SequenceId(0), &write("s", b"x"), &mut bytes)
            .expect("the buffer is as long as the frame");
        client.send(&bytes).await;
        let frame = client.frame().await.expect("an answer");
        let (header, message) =
            ResponseHeader::decode(framed::frame_body(&frame).expect("a frame")).expect("a header");
        assert_eq!(
            (header, of_reply(message).as_str()),
            (ResponseHeader::default(), expected)
        );
    }
    assert_eq!(store.records("s").len(), 1);
}

#[tokio::test]
async fn work_whose_deadline_has_passed_is_not_started() {
    let (proxy, store) =
        start(settings().wall_clock(std::sync::Arc::new(StoppedClock((NOW * SECOND) as u64))))
            .await;
    let mut client = Raw::connect(&proxy).await;
    for (sent_ago, allowed, expected) in [
        (0, 1, "200 at 1/0/0"),
        (3, 1, "Nack: not started: the request's deadline had passed"),
        (86_400, 1, "200 at 1/1/0"),
        (-86_400, 1, "200 at 1/2/0"),
    ] {
        let deadline = deadline(sent_ago, allowed);
        client
            .send(&dispatch(
                2,
                &[Context::deadline(&deadline)],
                &write("s", b"x"),
            ))
            .await;
        assert_eq!(
            client.heard().await,
            (2, expected.to_owned()),
            "sent {sent_ago} s ago"
        );
    }
    assert_eq!(store.records("s").len(), 3);
}

#[tokio::test]
async fn a_client_whose_clock_is_slow_shakes_hands_on_each_connection_and_is_served() {
    let (proxy, store) =
        start(settings().wall_clock(std::sync::Arc::new(StoppedClock((NOW * SECOND) as u64))))
            .await;
    let deadline = deadline(60, 1);
    let late = [Context::deadline(&deadline)];
    for connection in 0..3 {
        let mut client = Raw::connect(&proxy).await;
        client.send(&dispatch(2, &late, &Request::Handshake)).await;
        let (_, answer) = client.heard().await;
        assert!(
            answer.starts_with("server "),
            "on connection {connection}: {answer}"
        );
        let mut refused = 0;
        while store.records("s").len() == connection {
            client.send(&dispatch(2, &late, &write("s", b"x"))).await;
            let (_, answer) = client.heard().await;
            assert!(
                answer.starts_with(if refused < 7 { "Nack" } else { "200" }),
                "the handshake counts as the first of eight: {answer}"
            );
            refused += 1;
        }
    }
}

#[tokio::test]
async fn a_discarded_request_that_has_not_started_never_does() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    store.hold_acquires();
    client.dispatch(2, &write("s", b"a")).await;
    client.dispatch(3, &write("s", b"b")).await;
    client.dispatch(4, &write("s", b"c")).await;
    client
        .say(
            0,
            Message::Tdiscarded {
                discarded: Tag::new(2).expect("a tag"),
                reason: "lost the race",
            },
        )
        .await;
    assert_eq!(
        client.heard().await,
        (
            2,
            "Error: not started: the client discarded the request".to_owned()
        )
    );
    client
        .say(
            0,
            Message::BadTdiscarded {
                discarded: Tag::new(4).expect("a tag"),
                reason: "in the old form",
            },
        )
        .await;
    assert_eq!(
        client.heard().await,
        (
            4,
            "Error: not started: the client discarded the request".to_owned()
        )
    );
    store.release_acquires();
    assert_eq!(client.heard().await, (3, "200 at 1/0/0".to_owned()));
    assert_eq!(store.records("s").len(), 1);
}

#[tokio::test]
async fn a_discarded_request_that_has_started_is_answered() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    store.hold_results();
    client.dispatch(2, &write("s", b"a")).await;
    store.until_appends(1).await;
    client
        .say(
            0,
            Message::Tdiscarded {
                discarded: Tag::new(2).expect("a tag"),
                reason: "too late",
            },
        )
        .await;
    client.say(1, Message::Tping).await;
    assert_eq!(client.heard().await, (1, "Rping".to_owned()));
    store.release_results(ReleaseOrder::FirstToLast);
    assert_eq!(client.heard().await, (2, "200 at 1/0/0".to_owned()));
}

/// The invariant of a connection: every request that it passed to the service is answered there,
/// even if the client has gone.
#[tokio::test]
async fn queued_requests_are_dropped_and_started_ones_finished_when_the_client_has_gone() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    store.hold_results();
    store.hold_acquires();
    client.dispatch(2, &write("s", b"started")).await;
    client.dispatch(3, &write("other", b"waits")).await;
    store.until_appends(2).await;
    // A reset, not an orderly end: no client will read a reply.
    client.stream.set_zero_linger().expect("a TCP socket");
    drop(client);
    store.release_results(ReleaseOrder::FirstToLast);
    store.release_acquires();
    let drained = proxy.drain().await;
    assert_eq!(drained.connections_cut, 0);
    assert_eq!(store.records("s").len(), 2);
}

#[tokio::test]
async fn a_client_that_ends_its_sending_side_is_answered_to_the_end() {
    use tokio::io::AsyncWriteExt;
    let (proxy, _) = start(settings()).await;
    for framed in [false, true] {
        let mut client = Raw::connect(&proxy).await;
        let stream = if framed { "framed" } else { "mux" };
        for tag in 2..5 {
            let request = write(stream, b"x");
            client
                .send(&if framed {
                    framed_call(&request)
                } else {
                    dispatch(tag, &[], &request)
                })
                .await;
        }
        client.stream.shutdown().await.expect("a TCP socket");
        for number in 0..3 {
            let answer = if framed {
                client.heard_framed().await
            } else {
                client.heard().await.1
            };
            assert_eq!(answer, format!("200 at 1/{number}/0"));
        }
        client.closed().await;
    }
}

#[tokio::test]
async fn a_tag_that_is_in_use_ends_the_session() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    store.hold_results();
    client.dispatch(2, &write("s", b"a")).await;
    client.dispatch(2, &write("s", b"b")).await;
    assert_eq!(
        client.heard().await,
        (
            2,
            r#"Rerr { error: "this tag's earlier request is not answered yet" }"#.to_owned()
        )
    );
    store.release_results(ReleaseOrder::FirstToLast);
    assert_eq!(client.heard().await, (2, "200 at 1/0/0".to_owned()));
    client.closed().await;
    let mut client = Raw::connect(&proxy).await;
    client.dispatch(0, &Request::Handshake).await;
    let (tag, answer) = client.heard().await;
    assert!(tag == 0 && answer.starts_with("Rerr"), "{answer}");
}

#[tokio::test]
async fn a_proxy_that_requires_client_ids_refuses_in_the_originals_words() {
    let (proxy, _) = start(settings().require_client_id(true)).await;
    let mut client = Raw::connect(&proxy).await;
    let answer = client.ask(&Request::Handshake).await;
    assert!(
        answer.starts_with("exception 6: Internal error processing handshake"),
        "{answer}"
    );
    assert!(answer.contains("NoClientIdSpecifiedException"), "{answer}");
    client
        .send(&dispatch(
            2,
            &[Context::client_id("me")],
            &Request::Handshake,
        ))
        .await;
    assert_eq!(client.heard().await, (2, "server 100 []".to_owned()));
    let mut plain = Raw::connect(&proxy).await;
    let answer = plain.ask_framed(&write("s", b"x")).await;
    assert!(answer.contains("NoClientIdSpecifiedException"), "{answer}");
}

/// A client may close its sending side once it has sent all that it wants.
#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_the_answers_to_all_it_has_sent() {
    use tokio::io::AsyncWriteExt;
    let (proxy, store) = start(settings()).await;
    let mut mux = Raw::connect(&proxy).await;
    let mut framed = Raw::connect(&proxy).await;
    store.hold_appends();
    for tag in 2..6 {
        mux.dispatch(tag, &write("s", b"x")).await;
        framed.send(&framed_call(&write("t", b"x"))).await;
    }
    mux.stream.shutdown().await.expect("it is open");
    framed.stream.shutdown().await.expect("it is open");
    store.until(|store| store.held_appends() >= 2).await;
    store.release_appends();
    let mut answered = Vec::new();
    for _ in 2..6 {
        let (tag, answer) = mux.heard().await;
        assert!(answer.starts_with("200 at "), "{answer}");
        answered.push(tag);
        let answer = framed.heard_framed().await;
        assert!(answer.starts_with("200 at "), "{answer}");
    }
    answered.sort_unstable();
    assert_eq!(answered, [2, 3, 4, 5]);
    mux.closed().await;
    framed.closed().await;
}

/// A time of day that does not pass, and counts who asks for it.
#[derive(Debug, Default)]
struct CountingClock(core::sync::atomic::AtomicU64);

impl crate::WallClock for CountingClock {
    fn unix_nanos(&self) -> u64 {
        self.0.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        (NOW * SECOND) as u64
    }
}

#[tokio::test]
async fn the_time_of_day_is_read_once_for_frames_that_come_together() {
    let clock = std::sync::Arc::new(CountingClock::default());
    let (proxy, _) = start(settings().wall_clock(clock.clone())).await;
    let mut client = Raw::connect(&proxy).await;
    let deadline = deadline(0, 1);
    let frames: Vec<u8> = (2..52)
        .flat_map(|tag| dispatch(tag, &[Context::deadline(&deadline)], &write("s", b"x")))
        .collect();
    client.send(&frames).await;
    for _ in 2..52 {
        let (_, answer) = client.heard().await;
        assert!(answer.starts_with("200 at "), "{answer}");
    }
    let readings = clock.0.load(core::sync::atomic::Ordering::Relaxed);
    // They may come in a few parts.
    assert!(
        (1..10).contains(&readings),
        "{readings} readings for 50 requests"
    );
}
