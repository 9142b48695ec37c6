//! The choice of the proxy, and the errors when none is reached.

mod support;

use core::time::Duration;

use distributedlog::client::routing;
use distributedlog::{Cause, Dlsn, StatusCode, WriteState};
use distributedlog_tokio::{
    BuildError, ClientCounters, ConnectError, HostFailureReason, ProxyClient,
};
use support::{LIMIT, Proxy, Received, build_error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const AT: Dlsn = Dlsn::new(1, 2, 3);

/// Time for a client to give up by itself; none of these tests waits for it when all is well.
const SOON: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_redirect_is_followed_and_the_owner_remembered() {
    let (first, owner) = (Proxy::bind().await, Proxy::bind().await);
    let (client, mut peer) = first.client_and_peer().await;
    let redirected = async {
        let call = peer.call().await;
        peer.answer_found(&call, &owner.location()).await;
        let mut owners = owner.accept_handshake().await;
        let again = owners.call().await;
        owners.answer_written(&again, AT).await;
        let direct = owners.call().await;
        owners.answer_written(&direct, AT.slot(1)).await;
        (call, again, direct)
    };
    let (written, (call, again, direct)) = tokio::join!(
        async {
            let first = client.write("s", b"one").await;
            (first, client.write("s", b"two").await)
        },
        redirected
    );
    assert_eq!(written, (Ok(AT), Ok(AT.slot(1))));
    assert_eq!(
        (call.data, again.data, direct.data),
        (b"one".to_vec(), b"one".to_vec(), b"two".to_vec())
    );
    let text = |proxy: &Proxy| format!("/{}", proxy.address);
    assert_eq!(again.tried_hosts, [text(&first), text(&owner)]);
    assert_eq!(direct.tried_hosts, [text(&owner)]);
    let ClientCounters {
        submitted,
        succeeded,
        sent,
        redirects,
        owner_hits,
        owner_misses,
        connects,
        ..
    } = client.counters();
    assert_eq!((submitted, succeeded, sent, redirects), (2, 2, 3, 1));
    assert_eq!((owner_hits, owner_misses, connects), (1, 1, 2));
    client.close().await;
    assert_eq!(
        client.counters().succeeded,
        2,
        "they outlive the connections"
    );
}

/// Owners are often named by host name: it is looked up before it is connected to.
#[tokio::test]
async fn a_redirect_to_a_host_name_is_followed() {
    let (first, owner) = (Proxy::bind().await, Proxy::bind().await);
    let (client, mut peer) = first.client_and_peer().await;
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let call = peer.call().await;
        peer.answer_found(&call, &format!("1;9;localhost:{}", owner.address.port()))
            .await;
        let mut owners = owner.accept_handshake().await;
        let again = owners.call().await;
        owners.answer_written(&again, AT).await;
    });
    assert_eq!(written, Ok(AT));
}

#[tokio::test]
async fn the_handshake_tells_who_owns_a_stream() {
    let (first, owner) = (Proxy::bind().await, Proxy::bind().await);
    let name = format!("{},{}", first.name(), owner.address);
    let location = owner.location();
    let (client, mut peers, mut owners) = tokio::join!(
        ProxyClient::builder().proxies(name).build(),
        async {
            let mut peer = first.accept().await;
            peer.handshake_with(&[]).await;
            peer
        },
        async {
            let mut peer = owner.accept().await;
            peer.handshake_with(&[("owned", &location)]).await;
            peer
        }
    );
    let client = client.unwrap();
    let (written, ()) = tokio::join!(client.write("owned", b"r"), async {
        tokio::select! {
            call = owners.call() => owners.answer_written(&call, AT).await,
            call = peers.call() => panic!("{call:?} went to a proxy that does not own the stream"),
        }
    });
    assert_eq!(written, Ok(AT));
}

/// Behind a port forward or an alias, proxies name owners that this client cannot reach.
#[tokio::test]
async fn a_client_is_ready_when_the_hosts_of_its_name_are_not_the_owners_that_they_name() {
    let proxy = Proxy::bind().await;
    // It accepts connections and says nothing.
    let elsewhere = Proxy::bind().await;
    let location = elsewhere.location();
    let waits = Duration::from_secs(3_600);
    let client = proxy.client().connect_timeout(waits).ready_timeout(waits);
    let both = async {
        tokio::join!(client.build(), async {
            let mut peer = proxy.accept().await;
            peer.handshake_with(&[("s", &location)]).await;
            peer
        })
    };
    let (built, _peer) = tokio::time::timeout(LIMIT, both)
        .await
        .expect("it is ready");
    built.unwrap();
}

#[tokio::test]
async fn a_killed_proxy_is_connected_to_again_when_it_is_back() {
    let proxy = Proxy::bind().await;
    let routing = routing::Settings::builder()
        .blackout_start(Duration::from_millis(10))
        .blackout_max(Duration::from_millis(50));
    let (client, mut peer) = proxy
        .built(proxy.client().routing(routing).request_timeout(LIMIT))
        .await;
    let (written, call) = tokio::join!(client.write("s", b"lost"), async {
        let call = peer.call().await;
        drop(peer);
        call
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.cause(), error.known()),
        (Cause::ConnectionLost, WriteState::Unknown),
        "{error}"
    );
    assert_eq!(call.data, b"lost");
    let address = proxy.address;
    drop(proxy);
    let (written, ()) = tokio::join!(client.write("s", b"kept"), async {
        let proxy = Proxy::bind_at(address).await;
        let mut peer = loop {
            let mut peer = proxy.accept().await;
            if peer.receive().await == Received::Check {
                peer.send(
                    distributedlog::wire::mux::Tag::ONE,
                    distributedlog::wire::mux::Message::BadRerr { error: "?" },
                )
                .await;
                break peer;
            }
        };
        let call = peer.call().await;
        assert_eq!(call.data, b"kept");
        peer.answer_written(&call, AT).await;
    });
    assert_eq!(written, Ok(AT));
}

#[tokio::test]
async fn a_refused_connection_is_an_error_that_names_host_and_reason() {
    let proxy = Proxy::bind().await;
    let address = proxy.address;
    drop(proxy);
    let name = format!("inet!localhost:{}", address.port());
    let error = build_error(ProxyClient::builder().proxies(name)).await;
    let text = error.to_string();
    let BuildError::NoProxy { hosts, .. } = error else {
        panic!("{text}")
    };
    let host = hosts
        .iter()
        .find(|host| host.address == Some(address))
        .expect("the host is named");
    let HostFailureReason::Connect(ConnectError::Tcp(reason)) = &host.reason else {
        panic!("{host}")
    };
    assert_eq!(reason.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(host.host, format!("localhost:{}", address.port()));
    assert!(
        text.contains(&address.to_string()) && text.contains("refused"),
        "{text}"
    );
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_an_error_that_says_so() {
    let error = ProxyClient::builder()
        .proxies("inet!no-such-host.invalid:8000")
        .ready_timeout(SOON)
        .build()
        .await
        .unwrap_err();
    let text = error.to_string();
    let BuildError::NoProxy { hosts, .. } = error else {
        panic!("{text}")
    };
    assert!(
        matches!(
            hosts[0].reason,
            HostFailureReason::Connect(ConnectError::NoAddress(_)) | HostFailureReason::NoAnswer
        ),
        "{text}"
    );
    assert!(text.contains("no-such-host.invalid"), "{text}");
}

#[tokio::test]
async fn a_proxy_that_never_shakes_hands_is_named() {
    let proxy = Proxy::bind().await;
    let (built, peer) = tokio::join!(
        proxy
            .client()
            .connect_timeout(SOON)
            .ready_timeout(2 * SOON)
            .build(),
        proxy.accept()
    );
    let text = built.unwrap_err().to_string();
    assert!(text.contains(&proxy.address.to_string()), "{text}");
    drop(peer);
}

/// Ports are mixed up: HTTP's, the stats', one with TLS, one of something else.
#[tokio::test]
async fn a_peer_of_another_protocol_is_named_as_what_it_is() {
    let answers: [(&[u8], &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer speaks HTTP"),
        (&[0x15, 3, 3, 0, 2, 2, 10], "the peer speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the peer is no write proxy"),
        (b"", "the peer closed the connection without an answer"),
    ];
    for (answer, said) in answers {
        let proxy = Proxy::bind().await;
        let client = proxy.client();
        let peer = tokio::spawn(async move {
            loop {
                let mut stream = proxy.accept_tcp().await;
                let mut scrap = [0; 64];
                let _ = stream.read(&mut scrap).await;
                let _ = stream.write_all(answer).await;
            }
        });
        let error = build_error(client).await;
        peer.abort();
        let text = error.to_string();
        assert!(text.contains(said), "{said:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn names_are_checked_before_anything_is_connected() {
    let failure = |name: &str| {
        let name = name.to_owned();
        async move {
            ProxyClient::builder()
                .proxies(name)
                .ready_timeout(SOON)
                .build()
                .await
                .unwrap_err()
        }
    };
    assert!(matches!(failure("").await, BuildError::Name { .. }));
    assert!(matches!(
        failure("inet!host-without-port").await,
        BuildError::Name { .. }
    ));
    for name in [
        "zk!127.0.0.1:1!/messaging/proxies",
        "serverset!127.0.0.1:1!/messaging/proxies",
    ] {
        let error = build_error(ProxyClient::builder().proxies(name)).await;
        let text = error.to_string();
        if cfg!(feature = "zookeeper") {
            let BuildError::NoProxy { hosts, .. } = error else {
                panic!("{text}")
            };
            assert_eq!(hosts[0].host, "127.0.0.1:1/messaging/proxies");
            assert!(text.contains("ZooKeeper cannot be asked"), "{text}");
        } else {
            assert!(
                matches!(error, BuildError::UnsupportedName { .. }),
                "{text}"
            );
            assert!(
                text.contains("inet!"),
                "it says what to use instead: {text}"
            );
        }
    }
    for nowhere in ["neg!", "fail!not today", "nil!"] {
        assert!(
            matches!(failure(nowhere).await, BuildError::NoProxy { hosts, .. } if hosts.is_empty())
        );
    }
}

#[tokio::test]
async fn a_client_can_be_built_before_its_proxy_is_there() {
    let proxy = Proxy::bind().await;
    let client = proxy
        .client()
        .ready_timeout(Duration::ZERO)
        .request_timeout(LIMIT)
        .build()
        .await
        .unwrap();
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let mut peer = proxy.accept_handshake().await;
        let call = peer.call().await;
        peer.answer_written(&call, AT).await;
    });
    assert_eq!(written, Ok(AT));
}

#[tokio::test]
async fn what_the_proxy_said_comes_with_the_error() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy.client_and_peer().await;
    let (written, ()) = tokio::join!(client.write("s", b"much too long"), async {
        let call = peer.call().await;
        peer.answer_status(
            &call,
            StatusCode::TooLargeRecord,
            "no more than 3 bytes today",
        )
        .await;
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.known(), error.host),
        (WriteState::Rejected, Some(proxy.address))
    );
    assert_eq!(
        error.to_string(),
        format!(
            "writeWithContext on \"s\" at {}: the proxy answered TOO_LARGE_RECORD (413) \
             (rejected): no more than 3 bytes today",
            proxy.address
        )
    );
}

/// A proxy that serves nothing says why, and that is what the caller gets in the end.
#[tokio::test]
async fn the_last_answer_and_its_message_are_the_reason_of_a_request_that_ran_out_of_time() {
    let proxy = Proxy::bind().await;
    // Long enough for the answer to arrive on a busy machine.
    let builder = proxy.client().request_timeout(10 * SOON);
    let (client, mut peer) = proxy.built(builder).await;
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let call = peer.call().await;
        peer.answer_status(&call, StatusCode::ServiceUnavailable, "the disk is full")
            .await;
    });
    let error = written.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "writeWithContext on \"s\" at {}: the proxy answered SERVICE_UNAVAILABLE (503) (not \
             written): the disk is full",
            proxy.address
        )
    );
}

#[tokio::test]
async fn a_request_that_no_proxy_could_be_reached_for_says_why() {
    let proxy = Proxy::bind().await;
    let (client, peer) = proxy.built(proxy.client().request_timeout(SOON)).await;
    let address = proxy.address;
    drop((proxy, peer));
    let text = loop {
        let text = client.write("s", b"r").await.unwrap_err().to_string();
        if text.contains("no proxy could be reached") {
            break text;
        }
    };
    assert!(
        text.contains(&format!("{address}: cannot connect: ")),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_proxy_times_the_attempt_out_and_the_write_is_unknown() {
    let proxy = Proxy::bind().await;
    let (client, mut peer) = proxy
        .built(proxy.client().attempt_timeout(Duration::from_millis(50)))
        .await;
    let (written, ()) = tokio::join!(client.write("s", b"r"), async {
        let call = peer.call().await;
        assert_eq!(peer.receive().await, Received::Discarded(call.tag));
    });
    let error = written.unwrap_err();
    assert_eq!(
        (error.cause(), error.known()),
        (Cause::TimedOut, WriteState::Unknown),
        "{error}"
    );
}
