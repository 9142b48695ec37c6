//! One connection: how it begins, what it survives, how it ends.

mod support;

use core::time::Duration;

use distributedlog::wire::mux::{Message, Tag};
use distributedlog::{Cause, Dlsn, WriteState};
use distributedlog_tokio::{Protocol, ProxyClient};
use support::framed::FramedPeer;
use support::{Peer, Proxy, Received};

const AT: Dlsn = Dlsn::new(3, 14, 15);

#[tokio::test]
async fn a_proxy_that_knows_tinit_is_initialised_and_written_to() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (written, call) = tokio::join!(client.write("a-stream", b"a record"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
        call
    });
    assert_eq!(written, Ok(AT));
    assert_eq!(
        (&*call.stream, &*call.data, call.is_record_set),
        ("a-stream", &b"a record"[..], false)
    );
    assert_eq!(call.client_id.as_deref(), Some("test-client"));
    assert_eq!(
        call.crc32,
        Some(i64::from(distributedlog::wire::crc::write(
            "a-stream",
            b"a record"
        )))
    );
    assert!(call.has_deadline);
}

#[tokio::test]
async fn a_proxy_that_does_not_know_tinit_is_spoken_to_without() {
    let proxy = Proxy::bind().await;
    let old_proxy = async {
        let mut peer = proxy.accept().await;
        assert_eq!(peer.receive().await, Received::Check);
        peer.send(
            Tag::ONE,
            Message::BadRerr {
                error: "what is that?",
            },
        )
        .await;
        peer.accept_handshake().await;
        peer
    };
    let (client, mut peer) = tokio::join!(proxy.client().build(), old_proxy);
    let client = client.unwrap();
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
    });
    assert_eq!(written, Ok(AT));
}

async fn framed(protocol: Protocol, asks: bool, accepts: bool) {
    let proxy = Proxy::bind().await;
    let playing = async {
        let mut peer = FramedPeer::new(proxy.accept_tcp().await);
        if asks {
            peer.answer_upgrade(accepts).await;
        }
        let first = peer.call().await;
        peer.answer_written(&first, AT).await;
        let second = peer.call().await;
        peer.answer_written(&second, AT.slot(1)).await;
        (first, second)
    };
    let writing = async {
        let client = proxy.client().protocol(protocol).build().await.unwrap();
        tokio::join!(client.write("s", b"first"), client.write("s", b"second"))
    };
    let ((one, two), (first, second)) = tokio::join!(writing, playing);
    assert_eq!((one, two), (Ok(AT), Ok(AT.slot(1))));
    assert_eq!(
        (&*first.data, &*second.data),
        (&b"first"[..], &b"second"[..])
    );
    let upgraded = asks && accepts;
    assert_eq!(first.client_id.is_some(), upgraded);
    assert_eq!(first.has_deadline, upgraded);
}

#[tokio::test]
async fn framed_thrift_is_upgraded_when_the_proxy_knows_how() {
    framed(Protocol::Thrift, true, true).await;
}

#[tokio::test]
async fn framed_thrift_goes_on_plainly_when_the_proxy_refuses_the_upgrade() {
    framed(Protocol::Thrift, true, false).await;
}

#[tokio::test]
async fn plain_thrift_does_not_ask() {
    framed(Protocol::PlainThrift, false, false).await;
}

#[tokio::test]
async fn a_dropped_write_is_discarded_at_the_proxy_and_its_neighbours_live() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let neighbour = tokio::spawn({
        let client = client.clone();
        async move { client.write("s", b"neighbour").await }
    });
    let first = peer.call().await;
    let dropped = tokio::spawn(async move { client.write("s", b"dropped").await });
    let second = peer.call().await;
    dropped.abort();
    assert_eq!(peer.receive().await, Received::Discarded(second.tag));
    peer.send(second.tag, Message::Rdiscarded).await;
    peer.answer_written(&first, AT).await;
    assert_eq!(neighbour.await.unwrap(), Ok(AT));
}

#[tokio::test]
async fn a_draining_proxy_gets_its_answer_out_and_is_connected_to_anew() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let before = tokio::spawn({
        let client = client.clone();
        async move { client.write("s", b"before").await }
    });
    let call = peer.call().await;
    let drain = Tag::new(77).unwrap();
    peer.send(drain, Message::Tdrain).await;
    assert_eq!(peer.receive().await, Received::Drained(drain));
    let after = tokio::spawn(async move { client.write("s", b"after").await });
    peer.answer_written(&call, AT).await;
    assert_eq!(before.await.unwrap(), Ok(AT));
    assert_eq!(peer.receive().await, Received::End);
    let mut again = proxy.accept_handshake().await;
    let call = again.call().await;
    assert_eq!(call.data, b"after");
    again.answer_written(&call, AT.slot(1)).await;
    assert_eq!(after.await.unwrap(), Ok(AT.slot(1)));
}

/// The proxy keeps its socket open and sends nothing: pings detect it.
#[tokio::test]
async fn a_proxy_that_falls_silent_is_left_and_its_request_is_unknown() {
    let proxy = Proxy::bind().await;
    let millis = Duration::from_millis;
    let builder = proxy
        .client()
        .pings(Some(millis(50)), millis(50), millis(50))
        .attempt_timeout(Duration::from_secs(60));
    let (client, mut peer) = proxy.built(builder).await;
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let _unanswered = peer.call().await;
        assert!(matches!(peer.receive_any().await, Received::Ping(_)));
        assert_eq!(peer.receive_any().await, Received::End);
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.cause(), error.known()),
        (Cause::ConnectionLost, WriteState::Unknown)
    );
}

#[tokio::test]
async fn a_proxys_ping_is_answered() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    // The client's own first ping has its reply before a call follows it.
    let (_, ()) = tokio::join!(client.check("s"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
    });
    let ping = Tag::new(9).unwrap();
    peer.send(ping, Message::Tping).await;
    let mut pong = [0; 8];
    peer.read_exact(&mut pong).await;
    assert_eq!(pong, [0, 0, 0, 4, 0xbf, 0, 0, 9]);
}

/// After an invalid frame the connection ends, the request fails, and the next connection works.
async fn breaks_the_connection(
    bytes: &[u8],
    builder: impl FnOnce(
        distributedlog_tokio::ProxyClientBuilder,
    ) -> distributedlog_tokio::ProxyClientBuilder,
) {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.built(builder(proxy.client())).await;
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let _unanswered = peer.call().await;
        peer.send_bytes(bytes).await;
        assert_eq!(peer.receive().await, Received::End);
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.cause(), error.known()),
        (Cause::ProtocolError, WriteState::Unknown),
        "{error}"
    );
    let (written, ()) = tokio::join!(client.write("s", b"r"), answers_once(&proxy));
    assert_eq!(written, Ok(AT));
}

async fn answers_once(proxy: &Proxy) {
    let mut peer: Peer = proxy.accept_handshake().await;
    let call = peer.call().await;
    peer.answer_written(&call, AT).await;
}

#[tokio::test]
async fn an_oversized_frame_is_refused_from_its_length() {
    // Only the length is ever sent: it is not waited for what it announces.
    breaks_the_connection(&[0, 0, 64, 0], |builder| builder.max_frame_bytes(16 * 1024)).await;
}

#[tokio::test]
async fn a_frame_of_no_known_type_ends_the_connection() {
    breaks_the_connection(&[0, 0, 0, 4, 0x33, 0, 0, 2], |builder| builder).await;
}

#[tokio::test]
async fn a_reply_without_a_request_ends_the_connection() {
    breaks_the_connection(&[0, 0, 0, 7, 0xfe, 0, 0x12, 0x34, 0, 0, 0], |builder| {
        builder
    })
    .await;
}

#[tokio::test]
async fn a_malformed_answer_fails_its_own_request_only() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let call = peer.call().await;
        let [_, a, b, c] = call.tag.get().to_be_bytes();
        peer.send_bytes(&[0, 0, 0, 9, 0xfe, a, b, c, 0, 0, 0, 0xde, 0xad])
            .await;
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.cause(), error.known()),
        (Cause::ProtocolError, WriteState::Unknown),
        "{error}"
    );
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
    });
    assert_eq!(written, Ok(AT));
}

#[tokio::test]
async fn a_nack_is_known_to_have_written_nothing() {
    use distributedlog::client::routing;
    use distributedlog::wire::mux::{Contexts, Status};
    let proxy = Proxy::bind().await;
    // It ends by the number of attempts: time could end one that has no reply yet.
    let routing = routing::Settings::builder().max_redirects(Some(3));
    let (client, mut peer) = proxy.built(proxy.client().routing(routing)).await;
    let nack = Message::Rdispatch {
        status: Status::Nack,
        contexts: Contexts::default(),
        payload: b"busy",
    };
    let busy = async {
        loop {
            let call = peer.call().await;
            peer.send(call.tag, nack).await;
        }
    };
    let written = tokio::select! {
        written = client.write("s", b"r") => written,
        () = busy => unreachable!(),
    };
    let error = written.unwrap_err();
    assert_eq!(error.known(), WriteState::NotWritten, "{error}");
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight_and_ends_the_connection() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let write = tokio::spawn({
        let client = client.clone();
        async move { client.write("s", b"r").await }
    });
    let call = peer.call().await;
    let (late, (), ()) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            client.write("s", b"too late").await
        },
        client.close(),
        async {
            peer.answer_written(&call, AT).await;
            assert_eq!(peer.receive().await, Received::End);
            drop(peer);
        }
    );
    assert_eq!(write.await.unwrap(), Ok(AT));
    assert_eq!(late.unwrap_err().cause(), Cause::Closed);
    client.close().await;
    assert_eq!(
        client.write("s", b"r").await.unwrap_err().cause(),
        Cause::Closed
    );
}

#[tokio::test]
async fn the_last_handle_dropped_ends_the_connection() {
    let proxy = Proxy::bind().await;
    let (client, mut peer): (ProxyClient, Peer) = proxy.client_and_peer().await;
    let clone = client.clone();
    drop(client);
    drop(clone);
    assert_eq!(peer.receive().await, Received::End);
}
