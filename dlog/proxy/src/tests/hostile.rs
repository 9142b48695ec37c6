//! Bad input of every kind: it is refused with a reason, and no other client is disturbed.

use core::time::Duration;

use distributedlog::wire::framed;
use distributedlog::wire::mux::{Contexts, Message};
use distributedlog::wire::service::{Request, WriteContext};
use distributedlog_testkit::Random;
use distributedlog_testkit::store::ReleaseOrder;
use tokio::io::AsyncWriteExt;

use super::kit::{Raw, dispatch, framed_call, mux_frame, settings, start, write};
use crate::{MAX_RECORD_BYTES, RunningProxy};

const CONTEXT: WriteContext<'static> = WriteContext {
    tried_hosts: None,
    crc32: None,
    is_record_set: None,
    identity: None,
    attempt: None,
};

/// A thrift call: `0x8001`, kind, name, sequence id, and the bytes that follow.
fn call(kind: u8, name: &[u8], sequence_id: u32, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(name.len())
        .expect("a short name")
        .to_be_bytes();
    [
        &[0x80, 1, 0, kind],
        &length[..],
        name,
        &sequence_id.to_be_bytes(),
        rest,
    ]
    .concat()
}

fn framed_bytes(message: &[u8]) -> Vec<u8> {
    [
        &u32::try_from(message.len())
            .expect("a short message")
            .to_be_bytes(),
        message,
    ]
    .concat()
}

fn in_dispatch(tag: u32, payload: &[u8]) -> Vec<u8> {
    mux_frame(
        tag,
        Message::Tdispatch {
            contexts: Contexts::default(),
            destination: "",
            delegations: [].as_slice().into(),
            payload,
        },
    )
}

/// Checks that this proxy still serves other connections.
async fn assert_serves(proxy: &RunningProxy) {
    let answer = Raw::connect(proxy)
        .await
        .ask(&write("still-here", b"x"))
        .await;
    assert!(answer.starts_with("200"), "{answer}");
}

#[tokio::test]
async fn messages_that_are_no_requests_are_answered_by_exceptions_and_the_connection_goes_on() {
    let (proxy, _) = start(settings()).await;
    let (mut mux, mut plain) = (Raw::connect(&proxy).await, Raw::connect(&proxy).await);
    for (message, expected) in [
        (
            call(1, b"getServerTime", 7, &[0]),
            "exception 1: DistributedLogService has no method 'getServerTime'",
        ),
        (
            call(1, b"write", 7, &[0]),
            "exception 7: the arguments of write: stream at offset 18: missing",
        ),
        (
            call(1, b"write", 7, &[11, 0xff, 0xff, 0, 0, 0, 200, b's']),
            "exception 7: the arguments of write: stream at offset 20",
        ),
        (
            call(1, b"write", 7, &[8, 0xff, 0xff, 0, 0, 0, 1, 0]),
            "exception 7: the arguments of write: stream at offset",
        ),
        (
            call(2, b"write", 7, &[0]),
            "exception 7: not a thrift call: message.kind at offset 3",
        ),
        (
            call(1, &[0xff, 0xfe], 7, &[0]),
            "exception 7: not a thrift call: message.name at offset 8: not UTF-8",
        ),
        (
            vec![0x80, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            "exception 7: not a thrift call: message.name at offset 4",
        ),
        (vec![0x80, 1, 0, 1], "exception 7: not a thrift call"),
    ] {
        mux.send(&in_dispatch(5, &message)).await;
        let (tag, answer) = mux.heard().await;
        assert!(
            tag == 5 && answer.starts_with(expected),
            "{expected}\n{answer}"
        );
        plain.send(&framed_bytes(&message)).await;
        let answer = plain.heard_framed().await;
        assert!(answer.starts_with(expected), "{expected}\n{answer}");
    }
    assert_eq!(mux.ask(&write("s", b"x")).await, "200 at 1/0/0");
    assert_eq!(plain.ask_framed(&write("s", b"x")).await, "200 at 1/1/0");
}

#[tokio::test]
async fn an_unknown_method_keeps_its_name_and_sequence_id() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client
        .send(&framed_bytes(&call(1, b"getServerTime", 7, &[0])))
        .await;
    let frame = client.frame().await.expect("an answer");
    let body = framed::frame_body(&frame).expect("a frame");
    assert!(
        body.starts_with(&call(3, b"getServerTime", 7, &[11])),
        "{body:x?}"
    );
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_reason() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let with = |crc32, is_record_set| WriteContext {
        crc32,
        is_record_set,
        ..CONTEXT
    };
    let record = |data, context| Request::WriteWithContext {
        stream: "s",
        data,
        context,
    };
    let large = vec![0; MAX_RECORD_BYTES + 1];
    let long = "x".repeat(1025);
    for (request, expected) in [
        (
            record(b"hello", with(Some(12345), None)),
            "523 (checksum failed: the request says 0x00003039, what arrived has 0x",
        ),
        (
            record(b"hello", with(Some(-1), None)),
            "523 (checksum failed",
        ),
        (
            record(b"hello", with(Some(i64::MAX), None)),
            "523 (checksum failed",
        ),
        (
            record(&large, CONTEXT),
            "413 (log record of 1040385 bytes, but at most 1040384 are stored)",
        ),
        (
            record(b"not a record set", with(None, Some(true))),
            "500 (not a record set: ",
        ),
        (
            record(b"", with(None, Some(true))),
            "500 (not a record set: ",
        ),
        (
            record(
                &[0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                with(None, Some(true)),
            ),
            "500 (not a record set: it contains no record)",
        ),
        (write("", b"x"), "602 (invalid stream name \"\": "),
        (
            write(".hidden", b"x"),
            "602 (invalid stream name \".hidden\": ",
        ),
        (
            write("<default>", b"x"),
            "602 (invalid stream name \"<default>\": ",
        ),
        (write("a b", b"x"), "602 (invalid stream name \"a b\": "),
        (write("a//b", b"x"), "602 (invalid stream name \"a//b\": "),
        (write("a/", b"x"), "602 (invalid stream name \"a/\": "),
        (write("a\0b", b"x"), "602 (invalid stream name \"a\\0b\": "),
        (write(&long, b"x"), "602 (invalid stream name \"xxxxxxxx"),
        (
            Request::Release {
                stream: "a b",
                context: CONTEXT,
            },
            "602 ",
        ),
        (
            Request::GetOwner {
                stream: "a b",
                context: CONTEXT,
            },
            "602 ",
        ),
        (
            Request::Create {
                stream: "s",
                context: with(Some(1), None),
            },
            "523 ",
        ),
        (
            Request::Delete {
                stream: "nothing",
                context: CONTEXT,
            },
            "510 (log stream nothing: log stream nothing is not found)",
        ),
    ] {
        let answer = client.ask(&request).await;
        assert!(answer.starts_with(expected), "{expected}\n{answer}");
    }
    assert!(store.records("s").is_empty());
    // What is wrong with the name is said before what is wrong with the checksum, and that before
    // what is wrong with the size.
    let wrong = |stream| Request::WriteWithContext {
        stream,
        data: &large,
        context: with(Some(1), Some(true)),
    };
    assert!(client.ask(&wrong("a b")).await.starts_with("602"));
    assert!(client.ask(&wrong("s")).await.starts_with("523"));
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_refused_and_what_is_in_flight_is_not_disturbed() {
    let (proxy, store) = start(settings().max_frame_bytes(2 << 20)).await;
    let (mut mux, mut plain) = (Raw::connect(&proxy).await, Raw::connect(&proxy).await);
    mux.ask(&write("s", b"x")).await;
    store.hold_results();
    mux.dispatch(2, &write("s", b"in flight")).await;
    store.until_appends(2).await;
    let large = vec![0; 3 << 20];
    let refusal = " bytes, 2097152 are allowed; a single record has at most 1040384 bytes";
    mux.dispatch(
        3,
        &Request::Write {
            stream: "s",
            data: &large,
        },
    )
    .await;
    let (tag, answer) = mux.heard().await;
    assert!(
        tag == 3 && answer.starts_with("Rerr") && answer.contains(refusal),
        "{answer}"
    );
    store.release_results(ReleaseOrder::FirstToLast);
    assert_eq!(mux.heard().await, (2, "200 at 1/1/0".to_owned()));
    assert_eq!(mux.ask(&write("s", b"x")).await, "200 at 1/2/0");
    plain
        .send(&framed_call(&Request::Write {
            stream: "s",
            data: &large,
        }))
        .await;
    let answer = plain.heard_framed().await;
    assert!(
        answer.starts_with("exception 7: a frame of 31457") && answer.ends_with(refusal),
        "{answer}"
    );
    assert_eq!(plain.ask_framed(&write("s", b"x")).await, "200 at 1/3/0");
}

#[tokio::test]
async fn a_frame_of_an_absurd_length_ends_the_connection() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.send(&[0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 5]).await;
    // The client goes on sending, as one with much to send would, and still receives the reply.
    client.send(&[0; 100_000]).await;
    let (tag, answer) = client.heard().await;
    assert!(
        tag == 5 && answer.contains("a frame of 2147483651 bytes"),
        "{answer}"
    );
    client.closed().await;
    assert_serves(&proxy).await;
}

#[tokio::test]
async fn other_protocols_are_turned_away() {
    let (proxy, _) = start(settings()).await;
    let (without_mux, _) = start(settings().thriftmux(false)).await;
    for (proxy, bytes) in [
        (&proxy, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00][..]),
        (
            &proxy,
            &[0, 0, 0, 20, 0, 0, 0, 5, b'w', b'r', b'i', b't', b'e', 1],
        ),
        (&proxy, &[0, 0, 0, 20, 0x80, 0x02, 0, 1]),
        (&without_mux, &dispatch(2, &[], &Request::Handshake)),
    ] {
        let mut client = Raw::connect(proxy).await;
        client.send(bytes).await;
        client.closed().await;
        assert_eq!(
            Raw::connect(proxy)
                .await
                .ask_framed(&Request::Handshake)
                .await,
            "server 100 []"
        );
    }
}

#[tokio::test]
async fn a_client_that_takes_too_long_for_a_frame_is_closed() {
    let short = Duration::from_millis(20);
    let (first_frame, _) = start(settings().handshake_timeout(short)).await;
    let (later_frame, _) = start(settings().frame_timeout(short)).await;
    let request = dispatch(2, &[], &write("s", b"x"));
    let mut client = Raw::connect(&first_frame).await;
    client.send(&request[..3]).await;
    client.closed().await;
    let mut client = Raw::connect(&later_frame).await;
    client.ask(&write("s", b"x")).await;
    client.send(&request[..request.len() - 1]).await;
    client.closed().await;
    // The same while a frame that was refused is dropped.
    let mut client = Raw::connect(&later_frame).await;
    // In one piece: what comes later may come too late.
    let refused = [&(17_u32 << 20).to_be_bytes()[..], &[2, 0, 0, 5, 0]].concat();
    client.send(&refused).await;
    assert!(client.heard().await.1.starts_with("Rerr"));
    client.closed().await;
    let (idle, _) = start(settings().idle_timeout(Some(short))).await;
    Raw::connect(&idle).await.closed().await;
}

#[tokio::test]
async fn a_client_that_closes_in_the_middle_of_anything_disturbs_no_other() {
    let (proxy, _) = start(settings()).await;
    let upgrade = {
        let mut bytes = vec![0; 64];
        let length = framed::encode_upgrade_request(&mut bytes).expect("room");
        bytes.truncate(length);
        bytes
    };
    for whole in [
        dispatch(2, &[], &write("s", b"x")),
        framed_call(&write("s", b"x")),
        upgrade,
    ] {
        for end in 0..whole.len() {
            let mut client = Raw::connect(&proxy).await;
            client.send(&whole[..end]).await;
            client.stream.shutdown().await.expect("a TCP socket");
            client.closed().await;
        }
    }
    assert_serves(&proxy).await;
}

/// Bytes of valid frames, with random changes: every one is answered or ends its connection, and
/// the proxy goes on.
#[tokio::test]
async fn damaged_frames_disturb_no_other_client() {
    let (proxy, _) = start(settings()).await;
    let originals = [
        dispatch(2, &[], &write("s", b"payload")),
        dispatch(3, &[], &Request::Handshake),
        framed_call(&write("s", b"payload")),
        mux_frame(1, Message::Tping),
    ];
    let mut random = Random::new(1);
    for round in 0..500 {
        let mut bytes = originals[round % originals.len()].clone();
        for _ in 0..=random.below(3) {
            let at = random.index(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
        let mut client = Raw::connect(&proxy).await;
        client.send(&bytes).await;
        client.stream.shutdown().await.expect("a TCP socket");
        while client.frame().await.is_some() {}
    }
    assert_serves(&proxy).await;
}

/// As many as the system lets one process open on both ends; ten thousand need 20,000 files.
#[tokio::test]
async fn ten_thousand_idle_connections_are_no_burden() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.maximum.unwrap_or(u64::MAX);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .expect("the soft limit may be raised to the hard one");
    let count = usize::try_from(files.saturating_sub(1_000) / 2)
        .unwrap_or(usize::MAX)
        .min(10_000);
    let (proxy, _) = start(settings()).await;
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(Raw::connect(&proxy).await);
    }
    assert_serves(&proxy).await;
    // They are all alive: each of some of them is answered.
    for client in idle.iter_mut().step_by(100) {
        assert!(client.ask(&write("s", b"x")).await.starts_with("200"));
    }
}
