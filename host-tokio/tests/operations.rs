//! Each operation: its request to a proxy, and its result for each reply.

mod support;

use distributedlog::wire::crc;
use distributedlog::wire::service::{
    BulkWriteResponse, ExceptionKind, Method, Reply, ResponseHeader, WriteResponse, WriteResponses,
};
use distributedlog::{Cause, Dlsn, StatusCode, WriteState};
use support::{Call, Peer, Proxy};

const AT: Dlsn = Dlsn::new(1, 2, 3);

/// Replies to the next call with success and this position.
async fn success(peer: &mut Peer, at: Option<Dlsn>) -> Call {
    let call = peer.call().await;
    let text = at.map(Dlsn::to_text);
    peer.answer(
        &call,
        &Reply::Write(WriteResponse::success(
            text.as_ref().map(|text| text.as_str()),
        )),
    )
    .await;
    call
}

#[tokio::test]
async fn operations_on_a_stream_ask_for_what_their_names_say() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let checksum = Some(i64::from(crc::stream("s")));

    let (done, call) = tokio::join!(client.create("s"), success(&mut peer, None));
    assert_eq!(
        (done, call.method, &*call.stream, call.crc32),
        (Ok(()), Method::Create, "s", checksum)
    );

    let (done, call) = tokio::join!(
        client.write_record_set("s", b"set"),
        success(&mut peer, Some(AT))
    );
    assert_eq!(
        (done, call.method, call.is_record_set, &*call.data),
        (Ok(AT), Method::WriteWithContext, true, &b"set"[..])
    );

    let (done, call) = tokio::join!(client.truncate("s", AT), success(&mut peer, None));
    assert_eq!(
        (done, call.method, call.crc32),
        (
            Ok(()),
            Method::Truncate,
            Some(i64::from(crc::truncate("s", &AT)))
        )
    );
    assert_eq!(call.data, AT.to_text().as_str().as_bytes());

    let (done, call) = tokio::join!(client.heartbeat("s"), success(&mut peer, Some(AT)));
    assert_eq!(
        (done, call.method, &*call.data),
        (Ok(Some(AT)), Method::HeartbeatWithOptions, &[1][..])
    );

    let (done, call) = tokio::join!(client.check("s"), success(&mut peer, None));
    assert_eq!(
        (done, call.method, &*call.data),
        (Ok(()), Method::HeartbeatWithOptions, &[0][..])
    );

    let (done, call) = tokio::join!(client.release("s"), success(&mut peer, None));
    assert_eq!(
        (done, call.method, call.crc32),
        (Ok(()), Method::Release, checksum)
    );

    let (done, call) = tokio::join!(client.delete("s"), success(&mut peer, None));
    assert_eq!(
        (done, call.method, call.crc32),
        (Ok(()), Method::Delete, checksum)
    );
}

#[tokio::test]
async fn the_owner_is_an_answer_and_no_redirect() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (owner, ()) = tokio::join!(client.owner("s"), async {
        let call = peer.call().await;
        assert_eq!(call.method, Method::GetOwner);
        peer.answer_found(&call, "1;12;proxy.example:8130").await;
    });
    let owner = owner.unwrap();
    assert_eq!(
        (&*owner.host, owner.port, owner.shard),
        ("proxy.example", 8130, 12)
    );
}

/// As the real proxy replies to a bulk write with one record too large.
#[tokio::test]
async fn a_bulk_write_has_a_result_for_each_record() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (replies, ()) = tokio::join!(client.write_bulk("s", &["one", "two", "three"]), async {
        let call = peer.call().await;
        assert_eq!(
            (call.method, call.crc32),
            (Method::WriteBulkWithContext, None)
        );
        assert_eq!(call.records, [&b"one"[..], b"two", b"three"]);
        let text = AT.to_text();
        let responses = [
            WriteResponse::success(Some(text.as_str())),
            WriteResponse::new(ResponseHeader::with_message(
                StatusCode::TooLargeRecord,
                "too large",
            )),
            WriteResponse::new(ResponseHeader::new(StatusCode::WriteCancelledException)),
        ];
        let header = ResponseHeader::new(StatusCode::Success);
        let reply = BulkWriteResponse {
            header,
            responses: Some(WriteResponses::new(&responses)),
        };
        peer.answer(&call, &Reply::BulkWrite(reply)).await;
    });
    let replies = replies.unwrap();
    assert_eq!(replies[0], Ok(AT));
    let large = replies[1].as_ref().unwrap_err();
    assert_eq!(
        (large.known(), &*large.message, large.host),
        (WriteState::Rejected, "too large", Some(proxy.address))
    );
    assert_eq!(
        replies[2].as_ref().unwrap_err().cause(),
        Cause::Status(StatusCode::WriteCancelledException)
    );
    assert_eq!(replies.len(), 3);
}

#[tokio::test]
async fn an_exception_is_an_error_with_its_message() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let call = peer.call().await;
        peer.answer(
            &call,
            &Reply::Exception {
                kind: ExceptionKind::InternalError,
                message: "it hurts",
            },
        )
        .await;
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.cause(), error.known(), &*error.message),
        (Cause::Exception, WriteState::Unknown, "it hurts")
    );
}

#[tokio::test]
async fn handshakes_and_accept_new_stream_go_to_every_proxy() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (replies, ()) = tokio::join!(client.handshake(), async {
        let call = peer.handshake().await;
        peer.answer_handshake(&call, &[("a", "1;7;127.0.0.1:1"), ("b", "1;7;127.0.0.1:1")])
            .await;
    });
    assert_eq!(replies.len(), 1);
    let reply = replies[0].result.as_ref().unwrap();
    assert_eq!(
        (reply.host, reply.status, reply.streams),
        (proxy.address, Some(100), 2)
    );

    for enabled in [false, true] {
        let (replies, ()) = tokio::join!(client.set_accept_new_stream(enabled), async {
            let call = peer.call().await;
            assert_eq!(
                (call.method, &*call.data),
                (Method::SetAcceptNewStream, &[u8::from(enabled)][..])
            );
            peer.answer(&call, &Reply::Void).await;
        });
        assert_eq!(replies.len(), 1);
        assert!(replies[0].result.is_ok() && replies[0].host == proxy.address);
    }
}
